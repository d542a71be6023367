"""Connects to the files of a journal: the one place that knows with which library, and which folders are sealed.

A sealed folder's files are encrypted by SQLCipher page by page, with their logs; all else is SQLite as it is.
"""

import sqlite3
from pathlib import Path
from typing import Any

from agentic_flywheel.sealing import KEY_FILE, MARKER

_DATA_KEYS: dict[Path, bytes] = {}
"""The sealed folders of this process."""


def open_sealed(folder: Path, data_key: bytes) -> None:
    """Have all files in a folder, and in those within, opened with this key from now on."""
    _DATA_KEYS[folder.resolve()] = data_key


def forget_sealed(folder: Path) -> None:
    """Have them opened as they are again."""
    _DATA_KEYS.pop(folder.resolve(), None)


def connect(path: Path, parameters: str = "", **options: Any) -> sqlite3.Connection:
    """Connect to a file; `parameters` are those of its URI, such as `mode=ro`, `options` those of `sqlite3.connect`.

    Raises:
        ChangedMeanwhile: the folder was sealed, or unsealed, since this process began. A file opened the wrong way
            would be taken for a damaged one, and an index be made anew in clear.

    """
    target = f"{path.as_uri()}?{parameters}" if parameters else str(path)
    key = key_for(path)
    if (key is None) is _has_key_file(path) or path.with_name(MARKER).exists():
        raise ChangedMeanwhile(path, key)
    if key is None:
        return sqlite3.connect(target, uri=bool(parameters), **options)
    from agentic_flywheel.journal.cipher import connect_sealed

    return connect_sealed(target, key, uri=bool(parameters), **options)


class ChangedMeanwhile(sqlite3.OperationalError):
    """A folder is sealed and this process has no key for it, or the other way round."""

    sqlite_errorcode = sqlite3.SQLITE_CANTOPEN

    def __init__(self, path: Path, key: bytes | None) -> None:
        how = "unsealed" if key else "sealed"
        super().__init__(f"the store in {path.parent} was {how} meanwhile: start this program again")


def _has_key_file(path: Path) -> bool:
    return path.with_name(KEY_FILE).exists()


def key_for(path: Path) -> bytes | None:
    """The key with which a file is opened; `None`: it is in clear."""
    if not _DATA_KEYS:
        return None
    folders = path.resolve().parents
    return next((key for folder in folders if (key := _DATA_KEYS.get(folder))), None)
