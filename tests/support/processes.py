"""Looking at processes by their pid: children, life, sockets."""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from .waiting import PATIENCE, wait_until

PROC = Path("/proc/self/stat").exists()


def _table() -> list[tuple[int, int, str]]:
    """(pid, parent's pid, state letter) of every process."""
    if not PROC:
        out = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,state="], capture_output=True, text=True, check=True).stdout  # noqa: S607
        return [(int(p), int(pp), s) for p, pp, s in (line.split(None, 2) for line in out.splitlines())]
    rows: list[tuple[int, int, str]] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                rows.append((int(entry.name), int(parent), state))
    return rows


def children(pid: int) -> list[int]:
    """The living processes below `pid`, grandchildren too."""
    rows = [(p, pp) for p, pp, state in _table() if not state.startswith("Z")]
    found: list[int] = []
    above = {pid}
    while above:
        below = [p for p, pp in rows if pp in above]
        found += below
        above = set(below)
    return found


def alive(pid: int) -> bool:
    """Whether `pid` runs (one that only waits to be reaped does not)."""
    return any(p == pid and not state.startswith("Z") for p, _, state in _table())


def state_of(pid: int) -> str:
    """The letter of its state, as in ps; "" when it is gone."""
    return next((state[0] for p, _, state in _table() if p == pid), "")


def kill(pid: int, sig: int = signal.SIGKILL) -> None:
    """Send a signal to one process that may already be gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, sig)


def wait_gone(pids: list[int], *, within: float = PATIENCE) -> None:
    """Wait until none of `pids` runs."""
    wait_until(lambda: not any(alive(p) for p in pids), within=within, what=f"the end of processes {pids}")


def tcp_ports(pid: int) -> set[int]:
    """The local ports of the TCP connections that process `pid` holds (Linux)."""
    inodes: set[str] = set()
    with suppress(OSError):
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                link = str(fd.readlink())
                if link.startswith("socket:["):
                    inodes.add(link[8:-1])
    ports: set[int] = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[9] in inodes:
                    ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports
