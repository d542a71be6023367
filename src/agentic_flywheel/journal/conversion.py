"""Seals a journal that is kept in clear, or the other way round: a copy of all of it takes its place in one step.

A marker file stands beside it meanwhile, and every program refuses the folder until it is gone: what was interrupted is
done by the same command once more. Nobody else may have the journal open.
"""

import contextlib
import os
import sqlite3
from collections.abc import Generator
from pathlib import Path

from agentic_flywheel.errors import JournalUnavailable, SettingError
from agentic_flywheel.journal.key_file import (
    CLEAR,
    has_key,
    is_clear,
    is_key_missing,
    missing_key,
    read_key,
    sync,
    write_key,
)
from agentic_flywheel.journal.open_file import FILES_BESIDE
from agentic_flywheel.journal.recovery import damaged_files
from agentic_flywheel.journal.schema import FILE_NAME, exclusive
from agentic_flywheel.journal.search_index import FILE_NAME as INDEX_NAME
from agentic_flywheel.private_files import create
from agentic_flywheel.sealing import KEY_FILE, MARKER, KeyRing, new_key

_BLOCK = bytes(2**16)

_INDEX_FILES = tuple(name for name in FILES_BESIDE if name.startswith(INDEX_NAME))
"""Those of the search index, which is made anew from the journal."""


def seal_journal(folder: Path, ring: KeyRing) -> bool:
    """Seal the journal; whether it was in clear.

    Raises:
        JournalUnavailable: somebody has it open. Nothing was changed.
        SettingError: it is sealed, and the key is not here. Nothing was changed.

    """
    with _alone(folder) as path:
        data_key = data_key_of(folder, ring)
        if not path.exists() or not is_clear(folder):
            if data_key is None:
                write_key(folder, ring, new_key())
            return False
        data_key = data_key or new_key()
        with _copied(path, None, data_key) as copy:
            write_key(folder, ring, data_key)  # before the file: who has no key refuses the folder from now on
            copy.replace(path)
    return True


def unseal_journal(folder: Path, ring: KeyRing) -> bool:
    """Keep the journal in clear from now on; whether it was sealed. Raises as `seal_journal`."""
    with _alone(folder) as path:
        data_key = data_key_of(folder, ring)
        sealed = data_key is not None and path.exists() and not is_clear(folder)
        if sealed:
            with _copied(path, data_key, None) as copy:
                copy.replace(path)
        (folder / KEY_FILE).unlink(missing_ok=True)
    return sealed


def data_key_of(folder: Path, ring: KeyRing) -> bytes | None:
    """The key of a folder that has one; `None` if nothing in it is sealed. Raises as `seal_journal`."""
    if has_key(folder):
        return read_key(folder, ring)
    if is_key_missing(folder):
        raise SettingError(f"{missing_key(folder)} Nothing was changed.")
    return None


def left_in_clear(folder: Path) -> list[str]:
    """Files of ours that are in clear beside a sealed journal: damaged ones of earlier days."""
    names = damaged_files(folder / FILE_NAME)
    return [name for name in names if (folder / name).read_bytes()[: len(CLEAR)] == CLEAR]


@contextlib.contextmanager
def _alone(folder: Path) -> Generator[Path]:
    """Have every other program refuse the folder; an error leaves the marker only if something may be half done."""
    path, marker = folder / FILE_NAME, folder / MARKER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with exclusive(path):
            begun = _begun_before(marker)
            try:
                yield path
            except (JournalUnavailable, SettingError):  # nothing was changed
                if not begun:
                    marker.unlink()
                raise
            if begun:
                _wipe_left(path)
            marker.unlink()
    except BlockingIOError:
        raise JournalUnavailable(f"Another program is just opening {path}. Try again.") from None


def _begun_before(marker: Path) -> bool:
    """Whether this was begun before, and interrupted; else it begins here."""
    try:
        os.close(create(marker))
    except FileExistsError:
        return True
    return False


def _is_hot(rollback: Path) -> bool:
    """Whether a rollback journal is still needed: where one file is locked all the time, it is ended by zeros."""
    with rollback.open("rb") as file:
        return any(file.read(8))


def _wipe_left(path: Path) -> None:
    """Wipe what one that was interrupted left, in clear perhaps; a key that it was just writing goes as well."""
    for name in (f"{path.name}.copy", f"{path.name}.copy-journal", f"{path.name}.old", *_INDEX_FILES):
        _wipe(path.with_name(name))
    rollback = path.with_name(f"{path.name}-journal")
    if rollback.exists() and not _is_hot(rollback):
        _wipe(rollback)
    for written in path.parent.glob(f"{KEY_FILE}.*"):
        written.unlink(missing_ok=True)
    sync(path.parent)


@contextlib.contextmanager
def _copied(path: Path, key: bytes | None, new: bytes | None) -> Generator[Path]:
    """A whole copy of the journal under another key, while nobody else can open it; the old one is wiped behind it."""
    copy, old = path.with_name(f"{path.name}.copy"), path.with_name(f"{path.name}.old")
    for left in (copy, old):
        _wipe(left)
    os.close(create(copy))
    try:
        with contextlib.closing(_open_alone(path, key)) as db:
            _export(db, copy, new)
            sync(copy)
            with contextlib.suppress(OSError):  # a disk without links: its blocks are free, and not overwritten
                os.link(path, old)
            yield copy
    finally:
        copy.unlink(missing_ok=True)
    for name in (old.name, *_INDEX_FILES, *(each for each in FILES_BESIDE if each.startswith(f"{FILE_NAME}-"))):
        _wipe(path.with_name(name))
    sync(path.parent)


def _open_alone(path: Path, key: bytes | None) -> sqlite3.Connection:
    from agentic_flywheel.journal.cipher import connect_sealed

    db = connect_sealed(str(path), key, isolation_level=None, timeout=0.5)
    try:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = DELETE").fetchall()  # refused while anybody else has it open
        db.execute("BEGIN EXCLUSIVE")
        db.execute("COMMIT")  # the lock stays
    except sqlite3.OperationalError:
        db.close()
        raise JournalUnavailable(
            f"Another program has {path} open: end every server and client that uses it, and try again."
        ) from None
    return db


def _export(db: sqlite3.Connection, copy: Path, key: bytes | None) -> None:
    from agentic_flywheel.journal.cipher import MARK

    db.execute(f"PRAGMA cipher_default_hmac_algorithm = {MARK}")  # of this process, which does nothing else
    db.execute("ATTACH DATABASE ? AS other KEY " + (f"\"x'{key.hex()}'\"" if key else "''"), (str(copy),))
    db.execute("PRAGMA other.auto_vacuum = INCREMENTAL")
    db.execute("SELECT sqlcipher_export('other')").fetchall()
    (version,) = db.execute("PRAGMA main.user_version").fetchone()
    db.execute(f"PRAGMA other.user_version = {int(version)}")
    names = [name for (name,) in db.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'")]
    for name in names:
        one, other = (db.execute(f'SELECT count(*) FROM {of}."{name}"').fetchone() for of in ("main", "other"))  # noqa: S608
        if one != other:
            raise sqlite3.DatabaseError(f"not all of the table {name} was copied")
    db.execute("DETACH DATABASE other")


def _wipe(path: Path) -> None:
    """Overwrite a file and delete it; a disk that writes elsewhere may keep what was there."""
    with contextlib.suppress(FileNotFoundError):
        status = path.stat()
        size = status.st_size if status.st_nlink == 1 else 0  # under its other name it is the journal itself
        with path.open("r+b") as file:
            for place in range(0, size, len(_BLOCK)):
                file.write(_BLOCK[: size - place])
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
