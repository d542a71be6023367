"""A share of one core for a server and its children, in control groups: it shows how many can stand side by side."""

import os
from pathlib import Path

from ..support.processes import children

PERIOD = 10_000
"""µs; short, so that a server that has used its share goes on within one request."""


def hold(pid: int, share: float, group: Path) -> None:
    """Give a process and all below it together at most `share` of one core (a folder of the cpu controller, 1 or 2)."""
    group.mkdir(exist_ok=True)
    quota = round(share * PERIOD)
    if (group / "cpu.max").exists():
        (group / "cpu.max").write_text(f"{quota} {PERIOD}")
    else:
        (group / "cpu.cfs_period_us").write_text(str(PERIOD))
        (group / "cpu.cfs_quota_us").write_text(str(quota))
    for each in (pid, *children(pid)):
        (group / "cgroup.procs").write_text(str(each))


def room(at: Path) -> Path:
    """A new group for one run; it and the groups in it go with `leave`."""
    made = at / f"bench-{os.getpid()}"
    made.mkdir()
    return made


def leave(made: Path) -> None:
    """Remove a run's groups, which no process is in any more."""
    for group in (*(each for each in made.iterdir() if each.is_dir()), made):
        group.rmdir()
