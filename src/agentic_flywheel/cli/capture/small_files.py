"""Reads and writes the small JSON files of capture: each is whole or the one before, private, and on the disk."""

import json
import os
from typing import Any, cast

Values = dict[str, Any]


def read(path: str) -> Values:
    """The object in a file; empty if there is none, or another thing."""
    try:
        with open(path, encoding="utf-8") as file:
            value: object = json.load(file)
    except (OSError, ValueError, RecursionError):
        return {}
    return cast("Values", value) if isinstance(value, dict) else {}


def write(path: str, value: Values, *, is_synced: bool = True) -> None:
    """Put an object in the place of a file, if `is_synced` on the disk before this returns.

    Raises:
        OSError: it cannot be written; what was there is still there.

    """
    replace(path, json.dumps(value).encode(), 0o600, is_synced=is_synced)


def replace(path: str, content: bytes, mode: int, *, is_synced: bool = True) -> None:
    """Put bytes in the place of a file, if `is_synced` on the disk before this returns.

    Raises:
        OSError: they cannot be written; what was there is still there.

    """
    ours = f"{path}.{os.getpid()}.new"
    try:
        file = os.open(ours, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), mode)
        try:
            os.fchmod(file, mode)
            left = memoryview(content)
            while left:
                left = left[os.write(file, left) :]
            if is_synced:
                os.fsync(file)
        finally:
            os.close(file)
        os.replace(ours, path)
    except OSError as exc:
        remove(ours)
        exc.filename = path  # the one that a person knows
        raise
    if is_synced:
        sync_folder(os.path.dirname(path))


def remove(path: str) -> None:
    """Take a file away, if it is there and can be."""
    try:
        os.unlink(path)
    except OSError:
        return


def sync_folder(folder: str) -> None:
    """Have the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
