"""The journal: a local SQLite file that is default store, outbox and replica at once. Nothing else speaks SQL.

One row per key holds the text last known here; the outbox holds the changes that the stash has not taken yet,
in the order in which they were made. Several processes may share the file. Calls block for at most
`BUSY_SECONDS`; the store runs them in worker threads.
"""

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from agentic_flywheel.codec import instant, micros
from agentic_flywheel.errors import JournalUnavailable
from agentic_flywheel.keyvalue import Entry, Outcome, Write
from agentic_flywheel.local import JournalState, Pending

FILE_NAME = "journal.sqlite3"
SCHEMA = 1
"""The journal file's own version, kept in SQLite's `user_version`; a newer one is refused untouched."""

BUSY_SECONDS = 5.0
"""How long a write waits for another process's transaction; they last milliseconds."""

BUSY_STEP_SECONDS = 0.01

PURGE_AFTER = timedelta(hours=1)
"""Expired rows are hidden at once and stay this long, so that a clock set wrong and right again costs nothing."""

DRAINED_AT_ONCE = 100
"""Changes read from the outbox at once; their texts may be large."""

_TABLES = """
CREATE TABLE documents (
    key TEXT PRIMARY KEY, text TEXT NOT NULL, kept_until INTEGER, tombstone INTEGER NOT NULL,
    list TEXT, member TEXT, saved_at INTEGER, note TEXT
) WITHOUT ROWID;
CREATE INDEX recent ON documents (list, saved_at DESC, member DESC) WHERE list IS NOT NULL;
CREATE INDEX expiry ON documents (kept_until) WHERE kept_until IS NOT NULL;
CREATE TABLE outbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, change TEXT NOT NULL, set_aside TEXT
);
CREATE INDEX pending ON outbox (key, position);
"""


class Journal:
    """The journal file in `folder`, made on first use. `clock` gives the time that expiry is judged by."""

    off = False

    def __init__(self, folder: Path, clock: Callable[[], datetime]) -> None:
        self.path = folder / FILE_NAME
        self._clock = clock
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    def __repr__(self) -> str:
        return f"Journal({str(self.path)!r}, {'open' if self._connection else 'closed'})"

    def commit(self, write: Write, pending: str | None = None, *, durable: bool = False) -> Outcome:
        """Write if what was seen is still there; with `durable` it survives power loss once this returns."""
        with self._transaction(durable=durable) as db:
            row = db.execute("SELECT text FROM documents WHERE key = ?", (write.key,)).fetchone()
            current = row[0] if row else None
            if current != write.seen:
                return Outcome(accepted=False, current=current)
            _put(db, write)
            if pending is not None:
                db.execute("INSERT INTO outbox (key, change) VALUES (?, ?)", (write.key, pending))
        return Outcome(accepted=True)

    def copy(self, key: str) -> Write | None:
        """What is known here of `key`, expired or not, ready to be written where there is nothing."""
        with self._use() as db:
            return _copy(db, key)

    def remember(self, write: Write) -> None:
        """Keep a copy of what the stash holds, unless a change of that key is still pending."""
        with self._transaction() as db:
            if not _is_pending(db, write.key):
                _put(db, write)

    def pending(self, *beginnings: str) -> list[Pending]:
        """Up to `DRAINED_AT_ONCE` changes not yet in the stash whose keys begin so (none given: all), oldest first."""
        mine = " OR ".join("substr(key, 1, length(?)) = ?" for _ in beginnings) or "TRUE"
        with self._use() as db:
            rows = db.execute(
                f"SELECT position, key, change FROM outbox WHERE set_aside IS NULL AND ({mine})"  # noqa: S608  only ?s
                " ORDER BY position LIMIT ?",
                (*(text for beginning in beginnings for text in (beginning, beginning)), DRAINED_AT_ONCE),
            ).fetchall()
        return [Pending(*row) for row in rows]

    def next_pending(self, key: str) -> Pending | None:
        """The oldest change of one key not yet in the stash, without those set aside."""
        with self._use() as db:
            row = db.execute(
                "SELECT position, key, change FROM outbox WHERE key = ? AND set_aside IS NULL"
                " ORDER BY position LIMIT 1",
                (key,),
            ).fetchone()
        return Pending(*row) if row else None

    def unsent_document(self, key: str) -> tuple[Write | None, list[int]]:
        """The document of `key` and the positions of the pending changes that it holds, as of one moment."""
        with self._transaction() as db:
            rows = db.execute("SELECT position FROM outbox WHERE key = ? AND set_aside IS NULL", (key,)).fetchall()
            return _copy(db, key), [row[0] for row in rows]

    def settle(self, positions: Sequence[int], write: Write | None) -> None:
        """Take changes out of the outbox; the last one of its key leaves behind what the stash holds now."""
        with self._transaction() as db:
            db.executemany("DELETE FROM outbox WHERE position = ?", [(position,) for position in positions])
            if write and not _is_pending(db, write.key):
                _put(db, write)

    def set_aside(self, position: int, why: str) -> None:
        """Keep a change that the stash will never take, out of the way of the others.

        The document here, which holds it, is dropped: it must not be taken for what the stash holds.
        """
        with self._transaction(durable=True) as db:
            db.execute("UPDATE outbox SET set_aside = ? WHERE position = ?", (why, position))
            db.execute("DELETE FROM documents WHERE key = (SELECT key FROM outbox WHERE position = ?)", (position,))

    def recent(self, index: str, before: tuple[int, str] | None, limit: int) -> list[Entry]:
        """A page of the list, newest first."""
        saved_at, member = before or (2**62, "")
        with self._use() as db:
            rows = db.execute(
                "SELECT list, member, saved_at, note FROM documents WHERE list = ?"
                " AND (saved_at < ? OR (saved_at = ? AND member < ?)) AND (kept_until IS NULL OR kept_until > ?)"
                " ORDER BY saved_at DESC, member DESC LIMIT ?",
                (index, saved_at, saved_at, member, self._now(), limit),
            ).fetchall()
        return [Entry(*row) for row in rows]

    def unsent(self, index: str) -> list[Entry]:
        """The entries of the list that have a pending change, newest first."""
        with self._use() as db:
            rows = db.execute(
                "SELECT list, member, saved_at, note FROM documents WHERE list = ? AND (kept_until IS NULL OR"
                " kept_until > ?) AND key IN (SELECT key FROM outbox) ORDER BY saved_at DESC, member DESC",
                (index, self._now()),
            ).fetchall()
        return [Entry(*row) for row in rows]

    def keys(self, prefix: str) -> list[str]:
        """The keys of live documents that begin with `prefix`."""
        with self._use() as db:
            rows = db.execute(
                "SELECT key FROM documents WHERE substr(key, 1, length(?1)) = ?1 AND NOT tombstone"
                " AND (kept_until IS NULL OR kept_until > ?2)",
                (prefix, self._now()),
            ).fetchall()
        return [row[0] for row in rows]

    def purge_expired(self) -> None:
        """Remove what expired more than `PURGE_AFTER` ago; what is pending stays."""
        limit = micros(self._clock() - PURGE_AFTER)
        with self._transaction() as db:
            db.execute("DELETE FROM documents WHERE kept_until < ? AND key NOT IN (SELECT key FROM outbox)", (limit,))

    def state(self) -> JournalState:
        """What it says of itself; never raises."""
        try:
            with self._use() as db:
                (pending,) = db.execute("SELECT count(*) FROM outbox WHERE set_aside IS NULL").fetchone()
                aside = db.execute("SELECT key, set_aside FROM outbox WHERE set_aside IS NOT NULL LIMIT 20").fetchall()
        except JournalUnavailable as exc:
            return JournalState(str(self.path), error=str(exc))
        files = (self.path, self.path.with_name(FILE_NAME + "-wal"))
        size = sum(file.stat().st_size for file in files if file.exists())
        return JournalState(str(self.path), pending, tuple(aside), size)

    def close(self) -> None:
        """Let go of the file; a later call opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _file(self) -> tuple[int, int]:
        status = self.path.stat()
        return status.st_dev, status.st_ino

    def _is_there(self) -> bool:
        """Whether the file that is open is still the one in the folder: what went into a deleted one would be lost."""
        try:
            return self._file() == self._identity
        except FileNotFoundError:
            return False

    def _now(self) -> int:
        return micros(self._clock())

    @contextlib.contextmanager
    def _use(self) -> Generator[sqlite3.Connection]:
        """The open connection, for one thread at a time, its errors mapped."""
        with self._lock:
            try:
                if self._connection and not self._is_there():
                    self._connection.close()
                    self._connection = None
                if self._connection is None:
                    self._connection = _open(self.path)
                    self._identity = self._file()
                yield self._connection
            except (sqlite3.Error, OSError) as exc:
                raise JournalUnavailable(f"The journal {self.path} cannot be used: {exc}") from exc

    @contextlib.contextmanager
    def _transaction(self, *, durable: bool = False) -> Generator[sqlite3.Connection]:
        with self._use() as db:
            # In WAL mode NORMAL survives the death of any process, FULL (an fsync a commit) the loss of power too.
            db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:  # SQLite itself rolls back after some errors, a full disk among them
                    db.execute("ROLLBACK")
                raise


def _copy(db: sqlite3.Connection, key: str) -> Write | None:
    row = db.execute(
        "SELECT text, kept_until, tombstone, list, member, saved_at, note FROM documents WHERE key = ?", (key,)
    ).fetchone()
    if row is None:
        return None
    text, kept_until, tombstone, *entry = row
    return Write(
        key, text, None, instant(kept_until), tombstone=bool(tombstone), entry=Entry(*entry) if entry[0] else None
    )


def _is_pending(db: sqlite3.Connection, key: str) -> bool:
    return bool(db.execute("SELECT 1 FROM outbox WHERE key = ? AND set_aside IS NULL", (key,)).fetchone())


def _put(db: sqlite3.Connection, write: Write) -> None:
    entry = None if write.tombstone else write.entry
    db.execute(
        "INSERT OR REPLACE INTO documents (key, text, kept_until, tombstone, list, member, saved_at, note)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            write.key,
            write.text,
            micros(write.kept_until) if write.kept_until else None,
            write.tombstone,
            *((entry.index, entry.member, entry.saved_at, entry.note) if entry else (None, None, None, None)),
        ),
    )


def _open(path: Path) -> sqlite3.Connection:
    """Open or make the journal: its folder 0700, its files 0600."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not any(path.parent.iterdir()):  # ours alone; a folder that holds other things is left as its owner set it
        path.parent.chmod(0o700)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))  # SQLite gives -wal and -shm the same mode
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _check_version(db, path)
        _switch_to_wal(db)
        db.execute("BEGIN IMMEDIATE")
        if _check_version(db, path) < SCHEMA:
            for statement in _TABLES.split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {SCHEMA}")
        db.execute("COMMIT")
    except BaseException:
        db.close()
        raise
    return db


def _check_version(db: sqlite3.Connection, path: Path) -> int:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA:
        raise JournalUnavailable(
            f"The journal {path} has version {version}; this program knows up to {SCHEMA}. Update the program."
        )
    return version


def _switch_to_wal(db: sqlite3.Connection) -> None:
    """Several processes may be the first to open the file, and this is the one statement that SQLite lets not wait."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(BUSY_STEP_SECONDS)
        else:
            return
