"""Starts the drainer, detached, if none is at work: it holds a lock as long as it is.

Who left a note looks at the lock after that; the drainer looks for notes once more after it let go of the lock. So a
note is always seen by one that works, or by one that is started.
"""

import fcntl
import os
import sys

LOCK = "drainer.lock"


def lock(place: str) -> int | None:
    """Take the lock, which lasts until the descriptor is closed; `None` if a drainer has it."""
    os.makedirs(place, 0o700, exist_ok=True)
    file = os.open(os.path.join(place, LOCK), os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        return None
    return file


def start(place: str) -> None:
    """Start a drainer that outlives this process and its terminal, if there is none."""
    held = lock(place)
    if held is None:
        return
    os.close(held)
    if os.fork():
        return
    try:
        os.setsid()
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        os.closerange(3, 256)
        arguments = ("-P", "-m", "agentic_flywheel", "capture", "drain", "--into", os.path.dirname(place))
        os.execv(sys.executable, (sys.executable, *arguments))  # noqa: S606  our own interpreter, no shell
    finally:
        os._exit(1)
