"""Holds the connections to one journal file, and has threads of this process wait for each other a bounded time."""

import contextlib
import sqlite3
import threading
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

from agentic_flywheel.errors import JournalUnavailable


@dataclass
class OpenFile:
    """The connections to one file; `identity` tells it from other files, `log` its write-ahead log."""

    writer: sqlite3.Connection
    reader: sqlite3.Connection
    identity: tuple[int, int]
    log: tuple[int, int]
    reading: threading.Lock = field(default_factory=threading.Lock)
    closed: bool = False

    def close(self) -> None:
        """Close both, once nobody reads."""
        with self.reading:
            self.closed = True
            self.reader.close()
        self.writer.close()


@contextlib.contextmanager
def held(lock: "threading.Lock | threading.RLock", timeout: float, path: Path) -> Generator[None]:
    """Hold a lock of this process; wait for it for `timeout` seconds."""
    if not lock.acquire(timeout=max(timeout, 0.0)):
        raise JournalUnavailable(f"The journal {path} is in use by others and did not become free in time.")
    try:
        yield
    finally:
        lock.release()
