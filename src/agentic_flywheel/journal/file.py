"""The journal's file: its tables, its version, and how it is opened by several processes at once."""

import contextlib
import os
import sqlite3
import stat
import time
from pathlib import Path

from agentic_flywheel.errors import JournalUnavailable

FILE_NAME = "journal.sqlite3"
SCHEMA = 3
"""The journal file's own version, kept in SQLite's `user_version`; a newer one is refused untouched."""

NO_VERSION = 2**20
"""A number that no version will ever have: it is damage."""

BUSY_SECONDS = 5.0
"""How long a write waits for another process's transaction; they last milliseconds."""

BUSY_STEP_SECONDS = 0.01

# `place` names the Redis that holds the same text; without one the text is nowhere else. `lost`: that Redis may have
# lost it. `hidden_since`: when it was first seen to have expired. `touched`: when it was last written here.
# `revision`: that of the text, 0 where it is not known.
_VERSIONS = (
    """
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
""",
    """
ALTER TABLE documents ADD COLUMN place TEXT;
ALTER TABLE documents ADD COLUMN lost INTEGER NOT NULL DEFAULT 0;
ALTER TABLE documents ADD COLUMN hidden_since INTEGER;
ALTER TABLE documents ADD COLUMN touched INTEGER NOT NULL DEFAULT 0;
ALTER TABLE documents ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
UPDATE documents SET bytes = length(CAST(text AS BLOB));
CREATE INDEX doubtful ON documents (tombstone DESC) WHERE lost;
CREATE INDEX replica ON documents (touched) WHERE place IS NOT NULL;
CREATE TABLE stashes (place TEXT PRIMARY KEY, epoch TEXT NOT NULL, run TEXT NOT NULL, after TEXT NOT NULL);
""",
    # What is asked often is asked of an index that holds it: in the table it lies behind the text.
    """
ALTER TABLE documents ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
DROP INDEX replica;
CREATE INDEX replica ON documents (touched, bytes, tombstone, lost) WHERE place IS NOT NULL;
CREATE INDEX heads ON documents (key, place, revision);
""",
)
"""What each version added; a new file goes through all of them, so that every file has the same layout."""


def open_file(path: Path) -> sqlite3.Connection:
    """Open or make the journal: its folder 0700, its files 0600.

    Raises:
        JournalUnavailable: it has a newer version.
        sqlite3.Error, OSError: it cannot be opened.

    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.parent.stat().st_mode & stat.S_IWUSR and not any(path.parent.iterdir()):
        path.parent.chmod(0o700)  # ours alone; one that holds other things or is read-only is left as it is
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))  # SQLite gives -wal and -shm the same mode
    _refuse_newer(path)
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        if _version(db, path) == 0:
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of a new file only: what is purged shall free the disk
        _switch_to_wal(db)
        if _version(db, path) < SCHEMA:
            db.execute("BEGIN IMMEDIATE")
            for statements in _VERSIONS[_version(db, path) :]:
                for statement in statements.split(";"):
                    db.execute(statement)
            db.execute(f"PRAGMA user_version = {SCHEMA}")
            db.execute("COMMIT")
    except BaseException:
        db.close()
        raise
    return db


def _refuse_newer(path: Path) -> None:
    """Look at the version without leaving a trace: SQLite makes files beside one, and tidies up when it closes it."""
    if path.with_name(path.name + "-wal").exists():
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", timeout=BUSY_SECONDS, uri=True)) as db:
            _version(db, path)
    else:
        with path.open("rb") as file:
            header = file.read(64)
        if header.startswith(b"SQLite format 3\0"):
            _known(int.from_bytes(header[60:64], "big"), path)  # https://sqlite.org/fileformat.html


def _version(db: sqlite3.Connection, path: Path) -> int:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return _known(version, path)


def _known(version: int, path: Path) -> int:
    if SCHEMA < version < NO_VERSION:
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
