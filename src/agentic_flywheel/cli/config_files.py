"""Reads and writes other programs' settings: no link is followed, the mode stays, a write is whole or none."""

import os
import stat
from pathlib import Path

from agentic_flywheel.cli.capture import small_files
from agentic_flywheel.errors import InvalidArgument

MAX_BYTES = 32 * 2**20
"""Of such a file: Claude Code keeps much beside its settings in one."""

NEW_MODE = 0o600
"""Of one that is made."""


def read(path: Path) -> bytes | None:
    """What is in the file; `None` if there is none.

    Raises:
        InvalidArgument: it is a link, no file, too large, or cannot be read.

    """
    try:
        _refuse_links(path)
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            raise InvalidArgument(f"{path} is no file of settings. Nothing was changed.")
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise InvalidArgument(f"{path} cannot be read ({exc.strerror}). Nothing was changed.") from None


def read_to_change(path: Path) -> bytes | None:
    """What is in the file, which is ours to change; `None` if there is none.

    Raises:
        InvalidArgument: it is read-only or another user's, or as `read` says.

    """
    content = read(path)
    if content is not None:
        check_ours(path)
    return content


def check_ours(path: Path) -> None:
    """Check that a file is this user's and may be written: a rename over it would ask neither.

    Raises:
        InvalidArgument: it is not, or may not.

    """
    try:
        status = path.stat()
    except OSError as exc:
        raise InvalidArgument(f"{path} cannot be read ({exc.strerror}). Nothing was changed.") from None
    if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
        raise InvalidArgument(f"{path} belongs to somebody else. Nothing was changed.")
    if not status.st_mode & stat.S_IWUSR:
        raise InvalidArgument(f"{path} is read-only. Nothing was changed: make it writable, and run the same again.")


def text_of(path: Path, content: bytes) -> tuple[str, str]:
    """The byte order mark, if there is one, and the text behind it.

    Raises:
        InvalidArgument: it is not text in UTF-8.

    """
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise InvalidArgument(f"{path} is not text in UTF-8. Nothing was changed.") from None
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    return mark, text[len(mark) :]


def write(path: Path, before: bytes | None, after: bytes) -> list[str]:
    """Put `after` in the place of `before`; the folders that were made for it, the innermost first.

    Raises:
        InvalidArgument: somebody else has written the file meanwhile, or it cannot be written.

    """
    made: list[str] = []
    try:
        folder = path.parent
        while not folder.exists():
            made.append(str(folder))
            folder = folder.parent
        path.parent.mkdir(0o700, parents=True, exist_ok=True)
        if read(path) != before:
            raise InvalidArgument(f"{path} was written by another program just now. Run the same again.")
        mode = NEW_MODE if before is None else stat.S_IMODE(path.stat().st_mode)
        small_files.replace(str(path), after, mode)
    except OSError as exc:
        raise InvalidArgument(f"{path} cannot be written ({exc.strerror}). Nothing was changed.") from None
    return made


def take_away(path: Path, before: bytes, made: list[str]) -> None:
    """Take the file away that was made, and the folders made for it that are empty.

    Raises:
        InvalidArgument: it has changed, or cannot be taken away.

    """
    if read(path) != before:
        raise InvalidArgument(f"{path} was written by another program just now. Run the same again.")
    try:
        path.unlink()
    except OSError as exc:
        raise InvalidArgument(f"{path} cannot be taken away ({exc.strerror}).") from None
    for folder in made:
        try:
            Path(folder).rmdir()
        except OSError:
            return


def _refuse_links(path: Path) -> None:
    """Refuse a file that is a link, or lies behind one that leads out of HOME."""
    if path.is_symlink():
        raise InvalidArgument(f"{path} is a link, and links are not followed. Nothing was changed.")
    home = Path.home()
    if path.is_relative_to(home) and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(home)):
        raise InvalidArgument(f"{path} lies behind a link that leads out of your home. Nothing was changed.")
