"""What is done with a damaged journal: it is moved aside, and what can still be read of it goes into a new one."""

import contextlib
import logging
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

from agentic_flywheel.errors import Damaged
from agentic_flywheel.journal.file import open_file
from agentic_flywheel.jsontext import load_object

logger = logging.getLogger(__name__)

DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
"""SQLite's own words for a file that is damaged, or none of its own (https://sqlite.org/rescode.html)."""

PAGE = 4096
"""Bytes of a page: SQLite's default, which no statement here changes."""

_DOCUMENT = "key, text, kept_until, tombstone, list, member, saved_at, note, place, touched, bytes, revision"
_CHANGE = "position, key, change, set_aside"
_Row = tuple[Any, ...]


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file is to blame, not the moment."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGED


def identity(path: Path) -> tuple[int, int]:
    """What tells one file from another that has the same name."""
    status = path.stat()
    return status.st_dev, status.st_ino


def moved_aside(path: Path) -> list[str]:
    """The names of the damaged journals in the folder."""
    return sorted(file.name for file in path.parent.glob(f"{path.name}.damaged-*") if "-wal" not in file.name)


def rescue(path: Path, damaged: tuple[int, int] | None, stamp: str) -> None:
    """Move the damaged journal aside, once for all the processes that share it, and save what can be read.

    Raises:
        sqlite3.Error, OSError: there can be no new journal either.

    """
    with _alone(path.with_name(path.name + ".lock")):
        if damaged is None or identity(path) != damaged:
            return  # another process was faster
        aside = path.with_name(f"{path.name}.damaged-{stamp}")
        path.with_name(path.name + "-shm").unlink(missing_ok=True)
        wal = path.with_name(path.name + "-wal")
        if wal.exists():  # before the file itself: beside a new one, its pages would be taken for that one's
            wal.rename(aside.with_name(aside.name + "-wal"))
        path.rename(aside)
        with contextlib.closing(open_file(path)) as fresh:
            fresh.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # so that its first page is in the file
            documents, changes = _copy(aside, fresh)
            if not documents and not changes:
                with _grafted(aside, path) as copy:
                    documents, changes = _copy(copy, fresh)
    logger.error(
        "The journal %s was damaged. It was moved to %s; %d documents and %d pending changes were recovered.",
        path, aside.name, documents, changes,
    )  # fmt: skip


@contextlib.contextmanager
def _alone(lock: Path) -> Generator[None]:
    """One process of this machine at a time."""
    with lock.open("w") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        except ImportError:  # Windows does not let go of an open file anyway, so it cannot be moved by two
            pass
        yield


@contextlib.contextmanager
def _grafted(aside: Path, path: Path) -> Generator[Path]:
    """A copy whose first page, which names the tables, is that of a new journal: they all have the same layout."""
    content = aside.read_bytes()
    with path.open("rb") as fresh:
        first = bytearray(fresh.read(PAGE))
    first[28:32] = (len(content) // PAGE).to_bytes(4, "big")  # the file's size, https://sqlite.org/fileformat.html
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        copy = Path(folder) / path.name
        copy.write_bytes(bytes(first) + content[PAGE:])
        wal = aside.with_name(aside.name + "-wal")
        if wal.exists():
            shutil.copy(wal, copy.with_name(copy.name + "-wal"))
        yield copy


def _copy(source: Path, fresh: sqlite3.Connection) -> tuple[int, int]:
    """How many documents and pending changes could be taken over."""
    try:
        with contextlib.closing(sqlite3.connect(source)) as db:
            changes = list(_changes(db))
            documents = list(_documents(db))
    except sqlite3.Error as exc:
        logger.info("%s cannot be read: %s", source.name, exc)
        return 0, 0
    with fresh:
        fresh.execute("BEGIN IMMEDIATE")
        slots = ", ".join("?" for _ in _DOCUMENT.split(","))
        fresh.executemany(f"INSERT OR IGNORE INTO documents ({_DOCUMENT}) VALUES ({slots})", documents)  # noqa: S608
        fresh.executemany(f"INSERT OR IGNORE INTO outbox ({_CHANGE}) VALUES (?, ?, ?, ?)", changes)  # noqa: S608
    return len(documents), len(changes)


def _documents(db: sqlite3.Connection) -> Iterator[_Row]:
    """The documents that can be read: from both ends, and by the keys that the indexes name."""
    rows = _from_both_ends(db, f"SELECT {_DOCUMENT} FROM documents ORDER BY key", 0)  # noqa: S608
    keys: set[str] = set()
    for index in ("recent INDEXED BY recent WHERE list IS NOT NULL", "x INDEXED BY expiry WHERE kept_until NOT NULL"):
        keys.update(row[0] for row in _readable(db, f"SELECT key FROM documents AS {index}"))  # noqa: S608
    for key in keys - rows.keys():
        for row in _readable(db, f"SELECT {_DOCUMENT} FROM documents WHERE key = ?", key):  # noqa: S608
            rows[key] = row
    return filter(_is_sound(1), rows.values())


def _changes(db: sqlite3.Connection) -> Iterator[_Row]:
    """The pending changes that can be read, in their order."""
    rows = _from_both_ends(db, f"SELECT {_CHANGE} FROM outbox ORDER BY position", 0)  # noqa: S608
    for (position,) in _readable(db, "SELECT position FROM outbox INDEXED BY pending"):
        if position not in rows:
            for row in _readable(db, f"SELECT {_CHANGE} FROM outbox WHERE position = ?", position):  # noqa: S608
                rows[position] = row
    return filter(_is_sound(2), (rows[position] for position in sorted(rows)))


def _from_both_ends(db: sqlite3.Connection, query: str, key: int) -> dict[Any, _Row]:
    rows: dict[Any, _Row] = {}
    for direction in ("", " DESC"):
        for row in _readable(db, query + direction):
            if row[key] in rows and direction:
                break
            rows[row[key]] = row
    return rows


def _readable(db: sqlite3.Connection, query: str, *values: object) -> Iterator[_Row]:
    """The rows up to the first that cannot be read."""
    with contextlib.suppress(sqlite3.Error):
        yield from db.execute(query, values)


def _is_sound(column: int) -> Callable[[_Row], bool]:
    """Whether the JSON in a column of a row is whole."""

    def sound(row: _Row) -> bool:
        try:
            load_object(row[column], "a row of the journal")
        except (Damaged, TypeError, AttributeError):
            return False
        return isinstance(row[0], str | int)

    return sound
