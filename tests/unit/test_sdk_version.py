"""An MCP SDK that is too old for the server, as beside a framework that holds it back: said at once, in a sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentic_flywheel.sdk_version import check_sdk


def run(sdk: str | None, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run our program where this version of the SDK is found first."""
    package = folder / "packages" / "mcp"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    if sdk:
        (package.parent / f"mcp-{sdk}.dist-info").mkdir()
    env = {"HOME": str(folder), "PATH": os.environ["PATH"], "PYTHONPATH": str(package.parent)}
    command = [sys.executable, "-m", "agentic_flywheel", *arguments]
    return subprocess.run(command, env=env, input="", capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("arguments", [[], ["demo"]])
@pytest.mark.parametrize("sdk", ["1.30.0", "2.2.1", "2.0.0rc1"])
def test_a_server_is_not_begun_on_an_sdk_that_is_too_old(sdk: str, arguments: list[str], tmp_path: Path):
    done = run(sdk, tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "needs the package mcp 2.3 or newer" in line
    assert sdk in line


def test_commands_need_no_sdk(tmp_path: Path):
    done = run("1.30.0", tmp_path, "sessions", "list")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_sdk_of_this_environment_will_do():
    check_sdk()
