"""Virtual environments of the tests' own, built once from the package index and kept in pytest's cache folder."""

import fcntl
import subprocess
import sys
import tomllib
import venv
from collections.abc import Sequence
from pathlib import Path

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def environment(folder: Path, requirements: Sequence[str]) -> Path:
    """The interpreter of an environment in `folder` with these packages; later runs and other workers find it."""
    python = folder / "venv" / "bin" / "python"
    ready = folder / f"ready-{sys.version_info.major}.{sys.version_info.minor}"
    wanted = "\n".join(requirements)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists() or ready.read_text() != wanted:
            venv.EnvBuilder(clear=True, with_pip=True).create(folder / "venv")
            pip = [str(python), "-m", "pip", "install", "--quiet", *requirements]
            done = subprocess.run(pip, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            ready.write_text(wanted)
    return python


def child_alone() -> list[str]:
    """What our child needs where there is nothing else: the newest redis-py that we take, and no coaiapy-mcp."""
    project = tomllib.loads(PROJECT.read_text("utf-8"))["project"]
    return [line for line in project["dependencies"] if line.startswith("redis")]
