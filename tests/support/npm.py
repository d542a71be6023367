"""Programs from npm for tests: fetched once into pytest's cache folder."""

import os
import subprocess
from pathlib import Path

import pytest

WITHIN = 300  # seconds of one command: the first one fetches the program


def commands_of(package: str, command: str, config: pytest.Config) -> Path:
    """The folder of a package's commands, of which this is one."""
    return fetched(package, command, config.cache.mkdir("npm"))


def fetched(package: str, command: str, cache: Path) -> Path:
    """The same, from a cache in this folder."""
    npm = {
        "npm_config_cache": str(cache),
        "npm_config_userconfig": str(Path.home() / ".npmrc"),  # where the registry is named, if anywhere
    }
    call = ["npx", "-y", "-p", package, "-c", f"command -v {command}"]
    done = subprocess.run(
        call, env=os.environ | npm, cwd=cache, capture_output=True, text=True, timeout=WITHIN,
        stdin=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    return Path(done.stdout.strip()).parent
