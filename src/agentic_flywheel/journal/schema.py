"""Opens the journal's file for several processes at once; refuses newer versions."""

import contextlib
import os
import sqlite3
import time
from collections.abc import Collection, Generator, Sequence
from pathlib import Path

from agentic_flywheel.errors import JournalUnavailable
from agentic_flywheel.journal.forks import check_whole
from agentic_flywheel.journal.migrations import SCHEMA, create, migrate, prepare
from agentic_flywheel.journal.sqlite import connect
from agentic_flywheel.private_files import PRIVATE, NotPrivate, open_again

FILE_NAME = "journal.sqlite3"

NO_VERSION = 2**20
"""A number that no version will have: it is damage."""

BUSY_SECONDS = 2.0
"""How long a verb waits for other processes and threads by default: as long as one storage operation may take. Their
transactions last milliseconds."""

BUSY_STEP_SECONDS = 0.01

LOG_PAGES = 150
"""Pages in the write-ahead log at which a save checkpoints it."""

LOG_BYTES = 700_000
"""Bytes from which on the log, which a large save makes that long, is emptied at once."""

LONG_LOG = 16_000_000
"""The same while much is written of which nobody is told yet: what is written again and again is moved once."""

WIPE_SECONDS = 0.25
"""How long a deletion waits for others who are reading in the log: they do so for milliseconds."""

CACHE_KILOBYTES = 8_000
"""What a transaction may change before it writes to the log: it writes a page that it changes twice once."""

NO_ROOM = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
"""SQLite's own words for a file that cannot be written (https://sqlite.org/rescode.html)."""

DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
"""SQLite's error codes for a file that is damaged, or no database (https://sqlite.org/rescode.html)."""

TABLES_OF_OURS = (b"documents", b"outbox")
"""The tables that every version of the journal has."""

PAGE = 4096
"""Bytes of a page: SQLite's default, which no statement here changes."""


def open_file(path: Path, addresses: Sequence[str] = (), timeout: float = BUSY_SECONDS) -> sqlite3.Connection:
    """Open or make the journal: a new folder 0700, its files 0600; `addresses` are those of the Redis in use.

    Waits for other processes for `timeout` seconds.

    Raises:
        JournalUnavailable: it has a newer version, is another program's, or was in use when this process was forked.
        sqlite3.Error, OSError: it cannot be opened.

    """
    check_whole(path)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        with exclusive(path):
            create_empty(path)
    _refuse_others(path, timeout)
    db = connect(path, timeout=timeout, isolation_level=None, check_same_thread=False)
    try:
        if _version(db, path) == 0:
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # what is purged shall free the disk
        _switch_to_wal(db, timeout)
        db.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
        db.execute(f"PRAGMA cache_size = -{CACHE_KILOBYTES}")
        db.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten, however SQLite was compiled
        if _version(db, path) < SCHEMA:
            _migrate(db, path, addresses)
            shorten_log(db)
            db.execute(f"PRAGMA busy_timeout = {round(timeout * 1000)}")
    except BaseException:
        db.close()
        raise
    return db


def create_empty(path: Path) -> None:
    """Create the file without the log of an earlier one: SQLite would take its pages for those of the new file.

    The caller holds the lock of `exclusive`.
    """
    with contextlib.suppress(FileExistsError):
        if not path.exists():
            delete_log(path)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, PRIVATE))  # SQLite gives -wal and -shm the same mode


def identity(path: Path) -> tuple[int, int]:
    """What tells a file from another one of the same name."""
    status = path.stat()
    return status.st_dev, status.st_ino


def delete_log(path: Path) -> None:
    """Delete what SQLite had beside a journal that is gone."""
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


@contextlib.contextmanager
def exclusive(path: Path) -> Generator[None]:
    """Hold the lock under which one process at a time makes or moves the journal; wait for it for `BUSY_SECONDS`."""
    deadline = time.monotonic() + BUSY_SECONDS
    with os.fdopen(open_again(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR)) as file:
        with contextlib.suppress(ImportError):  # Windows does not let go of an open file, so two cannot move it
            import fcntl

            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(BUSY_STEP_SECONDS)
        yield


def _migrate(db: sqlite3.Connection, path: Path, addresses: Sequence[str]) -> None:
    """Make the tables, or migrate those of an older version, in one transaction."""
    if _version(db, path):
        prepare(db)
    db.execute("BEGIN IMMEDIATE")
    if version := _version(db, path):
        if version < SCHEMA:  # or another process was faster
            migrate(db, version, addresses)
    else:
        create(db)
    db.execute(f"PRAGMA user_version = {SCHEMA}")
    db.execute("COMMIT")


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open another connection to an open journal, which only reads."""
    db = connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA query_only = ON")
    except BaseException:
        db.close()
        raise
    return db


def is_at_rest(path: Path) -> bool:
    """Whether the journal exists and nobody has it open: all of it is in the file."""
    return path.exists() and size_of_log(path) == 0


def open_immutable(path: Path) -> sqlite3.Connection:
    """Open a journal at rest to read it, with SQLite's `immutable`.

    Raises:
        sqlite3.Error: it cannot be, or it is of an older version.

    """
    db = connect(path, "immutable=1", isolation_level=None, check_same_thread=False)
    if _version(db, path) == SCHEMA:
        return db
    db.close()
    raise sqlite3.OperationalError("there is no room to bring it up to date")


def size_of_log(path: Path) -> int:
    """The size of the write-ahead log in bytes."""
    try:
        return os.stat(f"{path}-wal").st_size  # noqa: PTH116  making a Path of it takes longer than the call
    except FileNotFoundError:
        return 0


def shorten_log(db: sqlite3.Connection) -> None:
    """Checkpoint the write-ahead log and empty it, unless somebody is reading in it."""
    with _waiting(db, 0.0), contextlib.suppress(sqlite3.OperationalError):
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def wipe_log(db: sqlite3.Connection) -> bool:
    """Empty the write-ahead log, in which what was deleted can still be read; whether nobody was reading in it."""
    with _waiting(db, WIPE_SECONDS):
        busy, *_ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy


@contextlib.contextmanager
def _waiting(db: sqlite3.Connection, seconds: float) -> Generator[None]:
    """Have a connection wait for others for another time than it does."""
    (before,) = db.execute("PRAGMA busy_timeout").fetchone()
    db.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")
    try:
        yield
    finally:
        db.execute(f"PRAGMA busy_timeout = {before}")


def _refuse_others(path: Path, timeout: float) -> None:
    """Refuse a newer version, and another program's file, without leaving a trace: SQLite makes files beside one."""
    way = "mode=ro" if path.with_name(path.name + "-wal").exists() else "immutable=1"
    try:
        with contextlib.closing(connect(path, way, timeout=timeout)) as db:
            _version(db, path)
            refuse_foreign(db, path, TABLES_OF_OURS)
    except sqlite3.DatabaseError as exc:
        if getattr(exc, "sqlite_errorcode", 0) & 0xFF not in DAMAGED:  # which is found, and mended, where it is opened
            raise


def refuse_foreign(db: sqlite3.Connection, path: Path, ours: Collection[bytes]) -> None:
    """Raise `NotPrivate` if the file is another program's: it has tables, or a mark, and no version and tables of ours.

    A file that is empty is nobody's.
    """
    db.text_factory = bytes  # a damaged name is no text
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    (version,), (mark,) = (db.execute(f"PRAGMA {name}").fetchone() for name in ("user_version", "application_id"))
    db.text_factory = str
    if (tables or mark) and not (version and tables.issuperset(ours)):
        raise NotPrivate(f"{path} is another program's. Set FLYWHEEL_DATA_DIR to a folder without it.")


def _version(db: sqlite3.Connection, path: Path) -> int:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return _checked(version, path)


def _checked(version: int, path: Path) -> int:
    if SCHEMA < version < NO_VERSION or version < 0:
        raise JournalUnavailable(
            f"The journal {path} has version {version}; this program knows up to {SCHEMA}. Update the program."
        )
    return version


def _switch_to_wal(db: sqlite3.Connection, timeout: float) -> None:
    """Retry, since several processes may open the file first and SQLite has no busy timeout for this statement."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(BUSY_STEP_SECONDS)
        else:
            return
