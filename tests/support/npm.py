"""Programs from npm for tests: fetched once into pytest's cache folder."""

import os
import subprocess
from pathlib import Path

import pytest

WITHIN = 300  # seconds of one command: the first one fetches the program


def commands_of(package: str, command: str, config: pytest.Config) -> Path:
    """The folder of a package's commands, of which this is one."""
    npm = {
        "npm_config_cache": str(config.cache.mkdir("npm")),
        "npm_config_userconfig": str(Path.home() / ".npmrc"),  # where the registry is named, if anywhere
    }
    call = ["npx", "-y", "-p", package, "-c", f"command -v {command}"]
    done = subprocess.run(
        call, env=os.environ | npm, cwd=npm["npm_config_cache"], capture_output=True, text=True, timeout=WITHIN,
        stdin=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    return Path(done.stdout.strip()).parent
