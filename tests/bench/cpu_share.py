"""A share of one core for a server and its child, by stopping them when it is used up: how many stand side by side?"""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..support.processes import children, kill

WINDOW = 0.02
"""Seconds; short, so that a server that has used its share goes on within a few requests."""


@contextmanager
def held(pids: list[int], share: float) -> Iterator[None]:
    """Hold each process and all below it together to this share of one core, until the block ends (Linux, no root)."""
    groups = [",".join(map(str, (pid, *children(pid)))) for pid in pids]
    limiter = subprocess.Popen(
        [sys.executable, "-m", __spec__.name, str(share), *groups],
        stdin=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    try:
        yield
        assert limiter.poll() is None, "the limiter ended before those that it held"
    finally:
        limiter.communicate(timeout=30)


def used(pids: list[int]) -> float:
    """Seconds of a core, of all their threads: Linux's clock of a process, which clock_getcpuclockid(3) names."""
    return sum(time.clock_gettime(~pid << 3 | 2) for pid in pids)


class Group:
    """Processes that run while something is left of their share of the window, and are stopped for the rest of it."""

    def __init__(self, pids: list[int], share: float, begins: float) -> None:
        self._pids, self._share = pids, share
        self._ends, self._left, self._seen = begins, 0.0, used(self._pids)

    def look(self) -> float:
        """Stop or continue them; when to look again."""
        now, seen = time.monotonic(), used(self._pids)
        self._left -= seen - self._seen
        self._seen = seen
        while now >= self._ends:  # what was used too much is taken from the next one, what was not used is gone
            self._ends += WINDOW
            self._left = min(self._left, 0) + self._share * WINDOW
        if self._left <= 0:
            self.tell(signal.SIGSTOP)
            return self._ends
        self.tell(signal.SIGCONT)
        return min(self._ends, now + max(self._left / len(self._pids), WINDOW / 40))

    def tell(self, sign: signal.Signals) -> None:
        for pid in self._pids:
            kill(pid, sign)


def main(share: float, *pids: str) -> None:
    """Hold each group, given as ids with commas, until standard input ends, as it does when the parent is gone."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    begun = time.monotonic()
    groups = [
        Group(list(map(int, each.split(","))), share, begun + number * WINDOW / len(pids))
        for number, each in enumerate(pids)
    ]
    try:
        ended = False
        while not ended:
            next_look = min(group.look() for group in groups)
            ended = bool(select.select([sys.stdin], [], [], max(next_look - time.monotonic(), 0))[0])
    finally:
        for group in groups:
            group.tell(signal.SIGCONT)


if __name__ == "__main__":
    main(float(sys.argv[1]), *sys.argv[2:])
