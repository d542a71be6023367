"""Holds the connections to one journal file, keeps it private, and has threads wait for each other a bounded time."""

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

from agentic_flywheel.errors import JournalUnavailable
from agentic_flywheel.journal.migrations import THIS_MACHINE
from agentic_flywheel.journal.recovery import damaged_files
from agentic_flywheel.journal.schema import FILE_NAME, LOG_BYTES, LOG_PAGES, LONG_LOG, PAGE
from agentic_flywheel.journal.search_index import FILE_NAME as INDEX_NAME
from agentic_flywheel.private_files import check_folder, make_private
from agentic_flywheel.sealing import KEY_FILE, MARKER

logger = logging.getLogger(__name__)

FILES_BESIDE = (
    *(f"{name}{end}" for name in (FILE_NAME, INDEX_NAME) for end in ("-wal", "-shm", "-journal")),
    f"{FILE_NAME}.lock",
    INDEX_NAME,
    KEY_FILE,
    MARKER,
)
"""What is ours beside the journal: SQLite's own files, the search index with its own, the lock, the key, sealed."""


@dataclass
class OpenFile:
    """The connections to one file; `identity` tells it from other files, `log` its write-ahead log."""

    writer: sqlite3.Connection
    reader: sqlite3.Connection
    identity: tuple[int, int]
    log: tuple[int, int]
    reading: threading.Lock = field(default_factory=threading.Lock)
    closed: bool = False
    log_bytes: int = LOG_BYTES
    """From which on the log is emptied."""
    _durable: bool | None = None
    _waits: dict[sqlite3.Connection, int] = field(default_factory=dict[sqlite3.Connection, int])

    def set_up(self, *, durable: bool, timeout: float, has_long_log: bool = False) -> None:
        """Set up the writer for a transaction that begins within `timeout` seconds; `durable` survives power loss.

        `has_long_log`: its log is checkpointed late.
        """
        if has_long_log is not (self.log_bytes == LONG_LOG):
            self.writer.execute(f"PRAGMA wal_autocheckpoint = {LONG_LOG // PAGE if has_long_log else LOG_PAGES}")
            self.log_bytes = LONG_LOG if has_long_log else LOG_BYTES
        if durable is not self._durable:
            # In WAL mode NORMAL survives the death of any process, FULL (an fsync a commit) the loss of power too.
            self.writer.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._durable = durable
        self.have_wait(self.writer, timeout)

    def have_wait(self, db: sqlite3.Connection, timeout: float) -> None:
        """Have a connection wait for others for `timeout` seconds, to a hundredth: most wait for the same time."""
        waits = max(round(timeout * 100), 0) * 10
        if waits != self._waits.get(db):
            db.execute(f"PRAGMA busy_timeout = {waits}")
            self._waits[db] = waits

    def close(self) -> None:
        """Close both, once nobody reads."""
        with self.reading:
            self.closed = True
            self.reader.close()
        self.writer.close()


class ThreadState(threading.local):
    """The destination of the verb that this thread runs, whether it may wait, and the snapshot that it reads."""

    destination = THIS_MACHINE
    waits = True
    snapshot: sqlite3.Connection | None = None


@contextlib.contextmanager
def held(lock: "threading.Lock | threading.RLock", timeout: float, path: Path) -> Generator[None]:
    """Hold a lock of this process; wait for it for `timeout` seconds."""
    if not lock.acquire(timeout=max(timeout, 0.0)):
        raise JournalUnavailable(f"The journal {path} is in use by others and did not become free in time.")
    try:
        yield
    finally:
        lock.release()


def keep_private(path: Path) -> list[str]:
    """Refuse what others own in place of our files, and close ours to others, damaged ones too; the names of those.

    Raises:
        NotPrivate: the folder or a file is not ours.

    """
    check_folder(path.parent)
    beside = [path.with_name(name) for name in (*FILES_BESIDE, *damaged_files(path))]
    opened = [file.name for file in (path, *beside) if make_private(file)]
    if opened:
        logger.warning("Others could read %s in %s; nobody else can now.", ", ".join(opened), path.parent)
    return opened
