"""Recovers a damaged journal: moves it aside, and puts what can still be read of it into a new one."""

import contextlib
import logging
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from agentic_flywheel.journal.migrations import SCHEMA, create, migrate, prepare
from agentic_flywheel.journal.old_schemas import OLD_COLUMNS, create_old
from agentic_flywheel.journal.schema import DAMAGED, PAGE, create_empty, exclusive, identity, open_file
from agentic_flywheel.journal.sqlite import connect, key_for

logger = logging.getLogger(__name__)

UNREADABLE = "Could not decode to UTF-8"
"""The beginning of Python's message for a damaged text; the message quotes the text."""


def is_damage(error: Exception) -> bool:
    """Whether the error says that the file is damaged, or that its log was cut while it was open."""
    code = getattr(error, "sqlite_errorcode", 0)
    damaged = code & 0xFF in DAMAGED or code == sqlite3.SQLITE_IOERR_SHORT_READ
    return isinstance(error, sqlite3.Error) and (damaged or str(error).startswith(UNREADABLE))


_IN_WORDS = {
    "database is locked": "another program holds it",
    "database or disk is full": "the disk is full",
    "unable to open database file": "its folder or the file may not be used",
}


def cause(error: Exception) -> str:
    """The message of an error, without text of the file, and in words of ours before SQLite's where they say little."""
    said = "a text in it is damaged" if str(error).startswith(UNREADABLE) else str(error)
    return f"{_IN_WORDS[said]} ({said})" if said in _IN_WORDS else said


def damaged_files(path: Path) -> list[str]:
    """The names of the damaged journals in the folder."""
    return sorted(file.name for file in path.parent.glob(f"{path.name}.damaged-*") if "-wal" not in file.name)


def recover(path: Path, damaged: tuple[int, int] | None, now: datetime, addresses: Sequence[str]) -> None:
    """Move the damaged journal aside, once for all the processes that share it, and save what can be read.

    Raises:
        sqlite3.Error, OSError: there can be no new journal either.

    """
    with exclusive(path):
        if damaged is None or identity(path) != damaged:
            return  # another process was faster
        aside = path.with_name(f"{path.name}.damaged-{now.strftime('%Y%m%dT%H%M%S')}")
        path.with_name(path.name + "-shm").unlink(missing_ok=True)
        wal = path.with_name(path.name + "-wal")
        if wal.exists():  # before the file itself: beside a new one, its pages would be taken for that one's
            wal.rename(aside.with_name(aside.name + "-wal"))
        path.rename(aside)
        create_empty(path)
        with contextlib.closing(open_file(path, addresses)) as fresh:
            documents, changes = _salvaged(aside, fresh, now, addresses)
    logger.error(
        "The journal %s was damaged. It was moved to %s; %d documents and %d pending changes were recovered.",
        path, aside.name, documents, changes,
    )  # fmt: skip


def _salvaged(aside: Path, fresh: sqlite3.Connection, now: datetime, addresses: Sequence[str]) -> tuple[int, int]:
    """Take over what can be read of the file; the number of documents and of pending changes."""
    if key := key_for(aside):
        return _salvaged_sealed(aside, key, fresh, now, addresses)
    saved = _taken(aside, None, fresh, now, addresses)
    if any(saved):
        return saved
    with _copied(aside) as copy:
        for version, page in _first_pages():
            _graft(copy, page)
            saved = _taken(copy, version, fresh, now, addresses)
            if any(saved):
                break
    return saved


def _salvaged_sealed(
    aside: Path, key: bytes, fresh: sqlite3.Connection, now: datetime, addresses: Sequence[str]
) -> tuple[int, int]:
    """The same of a sealed file, in memory: nothing of it is written in clear."""
    from agentic_flywheel.journal.damaged_pages import decrypted, grafted

    image = decrypted(aside, key)
    saved = _taken(aside, None, fresh, now, addresses, image)
    for version, page in () if any(saved) else _first_pages(key):
        saved = _taken(aside, version, fresh, now, addresses, grafted(image, page))
        if any(saved):
            break
    return saved


def _taken(
    source: Path,
    version: int | None,
    fresh: sqlite3.Connection,
    now: datetime,
    addresses: Sequence[str],
    image: bytes | None = None,
) -> tuple[int, int]:
    """What is taken over of the file, or of its `image` in memory."""
    from agentic_flywheel.journal.salvage import salvage
    from agentic_flywheel.journal.takeover import take_over

    try:
        with contextlib.closing(sqlite3.connect(":memory:") if image else connect(source)) as db:
            if image:
                db.deserialize(image)
            if version is None:
                (version,) = db.execute("PRAGMA user_version").fetchone()
            return take_over(fresh, salvage(db, version or SCHEMA, addresses), now)
    except sqlite3.Error as exc:
        logger.info("%s cannot be read: %s", source.name, cause(exc))
        return 0, 0


@contextlib.contextmanager
def _copied(aside: Path) -> Generator[Path]:
    """Make a copy that may be changed."""
    with tempfile.TemporaryDirectory(dir=aside.parent) as folder:
        copy = Path(folder) / aside.name
        shutil.copyfile(aside, copy)
        wal = aside.with_name(aside.name + "-wal")
        if wal.exists():
            shutil.copyfile(wal, copy.with_name(copy.name + "-wal"))
        yield copy


def _graft(copy: Path, page: bytes) -> None:
    """Give a file the first page, which names the tables, of another file of the same layout."""
    size = copy.stat().st_size // PAGE
    with copy.open("r+b") as file:  # the number of pages, https://sqlite.org/fileformat.html
        file.write(page[:28] + size.to_bytes(4, "big") + page[32:])


def _first_pages(key: bytes | None = None) -> Iterator[tuple[int, bytes]]:
    """The first pages of empty files, with their versions: as each version made them, and as they were migrated."""

    def older(version: int) -> Callable[[sqlite3.Connection], None]:
        return lambda db: create_old(db, version)

    def migrated(version: int) -> Callable[[sqlite3.Connection], None]:
        def make(db: sqlite3.Connection) -> None:
            create_old(db, version)
            prepare(db)
            migrate(db, version, ())

        return make

    yield SCHEMA, _first_page(create, key)
    for version in sorted(OLD_COLUMNS, reverse=True):
        yield SCHEMA, _first_page(migrated(version), key, auto_vacuum=version > 1)
        yield version, _first_page(older(version), key, auto_vacuum=version > 1)


def _first_page(make: Callable[[sqlite3.Connection], None], key: bytes | None, *, auto_vacuum: bool = True) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty"
        with contextlib.closing(_opened(path, key)) as db:
            if auto_vacuum:
                db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            db.execute("PRAGMA journal_mode = WAL")
            make(db)
        if key:
            from agentic_flywheel.journal.damaged_pages import decrypted

            return decrypted(path, key)[:PAGE]
        return path.read_bytes()[:PAGE]


def _opened(path: Path, key: bytes | None) -> sqlite3.Connection:
    if key is None:
        return sqlite3.connect(path, isolation_level=None)
    from agentic_flywheel.journal.cipher import connect_sealed

    return connect_sealed(str(path), key, isolation_level=None)
