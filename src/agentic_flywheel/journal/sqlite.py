"""Connects to the files of a journal: the one place that knows with which library, and which folders are sealed.

A sealed folder's files are encrypted by SQLCipher page by page, with their logs; all else is SQLite as it is.
"""

import sqlite3
from pathlib import Path
from typing import Any

_DATA_KEYS: dict[Path, bytes] = {}
"""The sealed folders of this process."""


def open_sealed(folder: Path, data_key: bytes) -> None:
    """Have all files in a folder, and in those within, opened with this key from now on."""
    _DATA_KEYS[folder.resolve()] = data_key


def forget_sealed(folder: Path) -> None:
    """Have them opened as they are again."""
    _DATA_KEYS.pop(folder.resolve(), None)


def is_sealed(path: Path) -> bool:
    """Whether a file is opened with a key."""
    return _key_for(path) is not None


def connect(path: Path, parameters: str = "", **options: Any) -> sqlite3.Connection:
    """Connect to a file; `parameters` are those of its URI, such as `mode=ro`, `options` those of `sqlite3.connect`."""
    target = f"{path.as_uri()}?{parameters}" if parameters else str(path)
    key = _key_for(path)
    if key is None:
        return sqlite3.connect(target, uri=bool(parameters), **options)
    from agentic_flywheel.journal.cipher import connect_sealed

    return connect_sealed(target, key, uri=bool(parameters), **options)


def _key_for(path: Path) -> bytes | None:
    if not _DATA_KEYS:
        return None
    folders = path.resolve().parents
    return next((key for folder in folders if (key := _DATA_KEYS.get(folder))), None)
