"""Has a process fork between the transactions of its journals, and the forked one open them anew.

SQLite remembers in memory which locks its process holds on a file. A fork copies the memory and not the locks: the
forked process would take for held what nobody holds, its files could be emptied or removed under it by whoever closes
them last, and a transaction under way would stay so there for ever (https://sqlite.org/howtocorrupt.html, 2.6).
"""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from weakref import WeakSet

from agentic_flywheel.errors import JournalUnavailable

FORK_SECONDS = 2.0
"""How long a fork waits for what is under way: transactions last milliseconds."""


class Lock(Protocol):
    """A lock of `threading`."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: FBT001, FBT002  as it is there
        """Hold it; whether that was to be had in time."""
        ...

    def release(self) -> None:
        """Let go of it."""
        ...


class Forkable(Protocol):
    """What has connections to a file."""

    path: Path

    def locks(self) -> Iterator[Lock]:
        """What is held while a process forks, so that no connection is in use; one is given when the last is held."""
        ...

    def forget_connections(self) -> None:
        """Close the connections of the process that was forked; none was in use."""
        ...


_known: WeakSet[Forkable] = WeakSet()
_lock = threading.Lock()
"""Held over each change of what is known, and over each fork."""
_held: list[tuple[Forkable, list[Lock]]] = []
_torn: dict[Path, list[Forkable]] = {}
"""The files that were in use when this process was forked, and what used them, which must never be closed here."""


def know(forkable: Forkable) -> None:
    """Hold its locks at each fork from now on."""
    with _lock:
        _known.add(forkable)


def check_whole(path: Path) -> None:
    """Raise `JournalUnavailable` if the file was in use when this process was forked."""
    if path in _torn:
        raise JournalUnavailable(f"The journal {path} was in use when this process was forked: start it anew.")


def _before() -> None:
    _lock.acquire()
    deadline = time.monotonic() + FORK_SECONDS
    for each in list(_known):
        locks: list[Lock] = []
        for lock in each.locks():
            if not lock.acquire(timeout=max(deadline - time.monotonic(), 0.0)):
                break
            locks.append(lock)
        else:
            _held.append((each, locks))
            continue
        _release(locks)


def _release(locks: list[Lock]) -> None:
    for lock in reversed(locks):
        lock.release()


def _in_parent() -> None:
    while _held:
        _release(_held.pop()[1])
    _lock.release()


def _in_child() -> None:
    for each in set(_known).difference(each for each, _ in _held):
        _torn.setdefault(each.path, []).append(each)
    while _held:
        each, locks = _held.pop()
        _release(locks)
        each.forget_connections()
    _lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
