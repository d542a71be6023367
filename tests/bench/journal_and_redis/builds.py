"""The two builds: an interpreter with each of them installed, and servers started by it."""

import subprocess
import sys
import tarfile
import time
import venv
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ...support.async_wire import AsyncWireServer, clean_environment
from ...support.redis_server import NOBODY_LISTENS
from ...support.wire import WireServer

BASE = "e10e851"
"""The commit that this one is held against."""

QUIET_SECONDS, QUIET_TICKS, QUIET_WITHIN = 0.5, 2, 120.0
"""Servers are quiet if they used no more processor time than these ticks in so many seconds; for that we wait."""


@dataclass(frozen=True, slots=True)
class Build:
    """One build of ours."""

    name: str
    python: str

    @property
    def command(self) -> tuple[str, ...]:
        """What starts its server."""
        return (self.python, "-P", "-m", "agentic_flywheel")

    def version(self) -> str:
        """What it calls itself, or why it does not start."""
        code = "import agentic_flywheel as a; print(a.__version__)"
        done = subprocess.run([self.python, "-P", "-c", code], capture_output=True, text=True, check=False, cwd="/")
        return done.stdout.strip() or done.stderr.strip()

    def server(self, env: dict[str, str]) -> WireServer:
        """A server, not started yet."""
        return WireServer(env, command=self.command)

    def busy_server(self, env: dict[str, str]) -> AsyncWireServer:
        """A server for many callers at once, not started yet."""
        return AsyncWireServer(env, Path(env["HOME"]) / "stderr.log", self.python)


def builds(before: str, now: str, folder: Path) -> tuple[Build, Build]:
    """Both, by their interpreters; without one the build before is made in `folder`, and this one is ours."""
    return Build("before", before or _made(folder)), Build("now", now or sys.executable)


def _made(folder: Path) -> str:
    """The interpreter of a new environment with the commit `BASE` installed."""
    tree, environment = folder / "tree", folder / "venv"
    tree.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", "--output", str(folder / "tree.tar"), BASE], check=False)  # noqa: S607
    if archive.returncode:
        sys.exit(f"The commit {BASE} is not here. Name an interpreter that has it installed with --before.")
    with tarfile.open(folder / "tree.tar") as tar:
        tar.extractall(tree, filter="data")
    venv.EnvBuilder(with_pip=True).create(environment)
    python = str(environment / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", str(tree)], check=True)
    return python


def alone(folder: Path) -> dict[str, str]:
    """The environment of a server without Redis whose journal is in `folder`."""
    return clean_environment(folder, "home", NOBODY_LISTENS, REDIS_ENABLED="false")


def wait_quiet(*servers: WireServer) -> None:
    """Come back when these have done what they do at their start.

    Raises:
        AssertionError: they go on for `QUIET_WITHIN` seconds.

    """
    deadline = time.monotonic() + QUIET_WITHIN
    before, now = 0, _ticks(servers)
    while now - before > QUIET_TICKS:
        assert time.monotonic() < deadline, "the server does not come to rest"
        time.sleep(QUIET_SECONDS)
        before, now = now, _ticks(servers)


def _ticks(servers: Sequence[WireServer]) -> int:
    """Processor time that servers and their children used, in hundredths of a second."""
    ticks = 0
    for pid in (pid for server in servers for pid in (server.pid, *server.children)):
        with suppress(OSError):  # it has ended
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks


def folder_bytes(folder: Path) -> int:
    """What the files below a folder take."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
