"""How long something took of its own: the time in which its processes waited for a processor is the machine's.

Linux counts it for each thread, as the second number of its `schedstat`. Elsewhere all of the time is its own.
"""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


class OwnTime:
    """The seconds since it was made, less those in which this process, `pid` or what is below it had no processor."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._waited = dict(self._waits())
        self._began = time.monotonic()

    def seconds(self) -> float:
        """What has passed of its own time."""
        return time.monotonic() - self._began - self.waited()

    def waited(self) -> float:
        """The seconds without a processor: rather too many, as threads that waited at the same time count each."""
        return sum(until_now - self._waited.get(task, 0) for task, until_now in self._waits()) / 1e9

    def _waits(self) -> Iterator[tuple[str, int]]:
        """Each thread, and the nanoseconds for which it has waited so far."""
        pids = [os.getpid(), self._pid]
        for pid in pids:
            with suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    with suppress(OSError, IndexError):
                        yield task.name, int((task / "schedstat").read_text().split()[1])
                    with suppress(OSError):
                        pids += [int(below) for below in (task / "children").read_text().split() if pid != pids[0]]
