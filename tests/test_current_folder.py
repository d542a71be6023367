"""A folder of traps: no command imports or runs a file of the folder in which it is typed."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agentic_flywheel.coaia.launch import child_command

from .support.conversations import turns
from .support.wire import WireServer
from .test_demo_and_doctor import SCRIPT

IMPORTED = """
import contextlib, pkgutil, sys
import agentic_flywheel, redis
with contextlib.suppress(ModuleNotFoundError):
    import coaiapy_mcp.tools
for module in pkgutil.walk_packages(agentic_flywheel.__path__, "agentic_flywheel."):
    if ".coaia.child" not in module.name and not module.name.endswith("__main__"):
        with contextlib.suppress(ModuleNotFoundError):  # an adapter, whose framework is not here
            __import__(module.name)
print(*sorted({name.partition(".")[0] for name in sys.modules}), *(module.name for module in pkgutil.iter_modules()))
"""
"""Prints the names of all modules that we import, and of all others that are installed."""

COMMANDS = (
    ("demo",), ("doctor",), ("export", "{out}"), ("import", "{export}"), ("sessions", "list"),
    ("sessions", "show", "s"), ("sessions", "restore", "s", "1"), ("sessions", "delete", "s", "--yes"),
    ("dead-letters",), ("dead-letters", "retry", "--all"), ("purge",), ("--version",), ("serve",),
)  # fmt: skip

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("cold")]  # one that is forked has imported all it needs


@pytest.fixture(scope="module")
def names() -> set[str]:
    """The modules that a trap can pretend to be."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", IMPORTED], capture_output=True, text=True, check=True, timeout=60
    )
    found = {name for name in done.stdout.split() if name.isidentifier()} - {*sys.builtin_module_names, "__main__"}
    assert {"agentic_flywheel", "redis", "mcp", "json", "asyncio", "sqlite3"} <= found
    return found


@pytest.fixture
def traps(tmp_path: Path, names: set[str]) -> Callable[[set[str]], tuple[Path, Path]]:
    """A folder whose modules and programs leave a mark, and where they leave it."""

    def set_up(but: set[str]) -> tuple[Path, Path]:
        folder, marks = tmp_path / "traps", tmp_path / "marks"
        folder.mkdir()
        marks.mkdir()
        for name in names - but:
            (folder / f"{name}.py").write_text(f"open({str(marks / name)!r}, 'w').close()\n")
        for name in ("python", "python3", "uvx", "coaiapy-mcp", Path(sys.executable).name):
            (folder / name).write_text(f"#!/bin/sh\n: > '{marks / name}-run'\n")
            (folder / name).chmod(0o755)
        return folder, marks

    return set_up


@pytest.mark.parametrize("how", ["script", "module"])
def test_no_command_imports_or_runs_a_file_of_the_current_folder(
    how: str, traps: Callable[[set[str]], tuple[Path, Path]], server_env: dict[str, str], tmp_path: Path
):
    command = [str(SCRIPT)] if how == "script" else [sys.executable, "-m", "agentic_flywheel"]
    folder, marks = traps(set() if how == "script" else imported_by_python_itself())
    env = server_env | {"PATH": f".{os.pathsep}{server_env['PATH']}"}
    with WireServer(env, command=command, cwd=folder) as server:
        assert server.warm().call("save_session", session_id="s", history=turns("a"))["stored_in"] == "redis"
    export = tmp_path / "export.jsonl"
    places = {"out": str(tmp_path / "out.jsonl"), "export": str(export)}
    subprocess.run([*command, "export", str(export)], env=env, cwd=folder, check=True, capture_output=True, timeout=60)
    for arguments in COMMANDS if how == "script" else COMMANDS[:2]:
        given = [argument.format(**places) for argument in arguments if argument != "serve"]
        done = subprocess.run(
            [*command, *given], env=env, cwd=folder, input="", capture_output=True, text=True, timeout=90, check=False
        )
        assert (done.returncode, sorted(marks.iterdir())) == (0, []), (arguments, done.stdout, done.stderr)


def imported_by_python_itself() -> set[str]:
    """What `python -m` imports from the current folder before any line of ours, and the package that it names."""
    code = "import runpy, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return {"agentic_flywheel", *done.stdout.split()}


def test_a_command_of_the_users_own_is_not_looked_for_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
        (folder / "their-child").write_text("#!/bin/sh\n")
        (folder / "their-child").chmod(0o755)
    monkeypatch.chdir(here)
    monkeypatch.setenv("PATH", os.pathsep.join([".", "", str(there)]))
    assert child_command(["their-child", "-x"], "") == [str(there / "their-child"), "-x"]
    monkeypatch.setenv("PATH", ".")
    assert child_command(["their-child"], "") == ["their-child"], "which the child's private folder does not have"
