"""Waits for the lock of an open file, which its process lets go of however it ends. It imports next to nothing."""

import time

STEP_SECONDS = 0.005
"""From one try to the next: what is done under such a lock takes milliseconds."""


def wait_for_lock(file: int, seconds: float) -> None:
    """Lock an open file, or folder, for this process alone; closing it lets go.

    Raises:
        BlockingIOError: another process holds the lock for so many seconds.
        OSError: the disk has no such locks.

    """
    import fcntl  # here: Windows has none

    end = time.monotonic() + seconds
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise
            time.sleep(STEP_SECONDS)
