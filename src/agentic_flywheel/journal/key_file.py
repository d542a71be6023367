"""Keeps the key of a sealed folder in a file beside the journal, sealed with a named key of a person's."""

import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import cast

from agentic_flywheel.errors import SettingError
from agentic_flywheel.journal.schema import FILE_NAME, exclusive
from agentic_flywheel.journal.sqlite import forget_sealed, open_sealed
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.private_files import read_secret
from agentic_flywheel.sealing import KEY_FILE, MARKER, KeyRing, WrongKey, check_installed, new_key

ABOUT = "agentic-flywheel-state journal"
"""What the key in the file is of."""

CLEAR = b"SQLite format 3\0"
"""How a file in clear begins (https://sqlite.org/fileformat.html); a sealed one begins with random bytes."""

LONGEST = 4096
"""Bytes of such a file."""


def check(folder: Path, ring: KeyRing | None) -> None:
    """Check that the journal in a folder can be opened with these keys, or without. Changes nothing.

    Raises:
        SettingError: it is sealed and the key is not here, or it is not sealed and there is one.

    """
    if ring:
        check_installed()
    try:
        if (folder / MARKER).exists():
            raise SettingError(
                f"The store in {folder} is being sealed or unsealed. If that was interrupted, do it again: "
                "`agentic-flywheel-state keys seal`, or `keys unseal`."
            )
        if (folder / KEY_FILE).exists():
            if ring is None:
                name = sealed_with(folder)
                raise SettingError(
                    f"The store in {folder} is sealed with the key {name!r}: give it in FLYWHEEL_KEY, "
                    "FLYWHEEL_KEY_FILE or the settings file's seal. Nothing was changed."
                )
            read_key(folder, ring)
        elif ring and is_key_missing(folder):
            raise SettingError(f"{missing_key(folder)} Nothing was changed.")
        elif ring and (folder / FILE_NAME).exists():
            raise SettingError(
                f"A key is given and the store in {folder} is not sealed. Seal it with `agentic-flywheel-state keys "
                "seal`, or take the key out of the settings."
            )
    except OSError as exc:
        if ring:
            raise SettingError(f"{folder / KEY_FILE} cannot be read: {exc.strerror or exc}.") from None


def unlock(folder: Path, ring: KeyRing | None) -> None:
    """Have the journal in a folder opened with its key; a folder without a journal is given one. Raises as `check`."""
    check(folder, ring)
    if ring is None:
        forget_sealed(folder)
        return
    try:
        if not (folder / KEY_FILE).exists():
            _begin(folder, ring)
    except OSError as exc:
        raise SettingError(f"{folder / KEY_FILE} cannot be made: {exc.strerror or exc}.") from None
    open_sealed(folder, read_key(folder, ring))


def is_clear(folder: Path) -> bool:
    """Whether the journal there is in clear; nobody may have it open in this process."""
    with (folder / FILE_NAME).open("rb") as file:
        return file.read(len(CLEAR)) == CLEAR


def is_key_missing(folder: Path) -> bool:
    """Whether the journal in a folder without a key is not in clear either."""
    path = folder / FILE_NAME
    return not has_key(folder) and path.exists() and path.stat().st_size > 0 and not is_clear(folder)


def missing_key(folder: Path) -> str:
    """What is said of such a folder."""
    return (
        f"The store in {folder} is not in clear, and its {KEY_FILE}, which it is opened with, is gone: put the one of "
        f"your backup back. If {FILE_NAME} is damaged and was in clear, start once without the key."
    )


def has_key(folder: Path) -> bool:
    """Whether a folder is sealed, or just about to be."""
    return (folder / KEY_FILE).exists()


def sealed_with(folder: Path) -> str:
    """The name of the key with which a folder is sealed; empty if it is not."""
    path = folder / KEY_FILE
    return str(_content(path).get("key", "")) if path.exists() else ""


def read_key(folder: Path, ring: KeyRing) -> bytes:
    """The key of a sealed folder.

    Raises:
        SettingError: it cannot be opened.

    """
    path = folder / KEY_FILE
    content = _content(path)
    try:
        return ring.unwrap(str(content.get("key")), str(content.get("data_key")), ABOUT)
    except WrongKey as exc:
        raise SettingError(f"The store in {folder} cannot be opened: {exc}. Nothing was changed.") from None


def write_key(folder: Path, ring: KeyRing, data_key: bytes) -> None:
    """Seal the key of a folder with the newest key; the file is another one in one step."""
    name, wrapped = ring.wrap(data_key, ABOUT)
    handle, written = tempfile.mkstemp(dir=folder, prefix=f"{KEY_FILE}.")
    try:
        with os.fdopen(handle, "w") as file:
            json.dump({"version": 1, "key": name, "data_key": wrapped}, file)
            file.flush()
            os.fsync(file.fileno())
        Path(written).replace(folder / KEY_FILE)
        sync(folder)  # whoever is told that it is another one may delete the key of the one before
    except BaseException:
        Path(written).unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, survive power loss; Windows opens no folder."""
    if sys.platform == "win32" and path.is_dir():
        return
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _begin(folder: Path, ring: KeyRing) -> None:
    """Give a new folder a key, once for all processes that begin at the same time."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with exclusive(folder / FILE_NAME):
        check(folder, ring)  # what another process began meanwhile counts
        if not (folder / KEY_FILE).exists():
            write_key(folder, ring, new_key())


def _content(path: Path) -> JSONObject:
    with contextlib.suppress(ValueError):
        content: object = json.loads(read_secret(path, LONGEST))
        if isinstance(content, dict):
            return cast("JSONObject", content)
    raise SettingError(f"{path} is damaged: put the one of your backup in its place.")
