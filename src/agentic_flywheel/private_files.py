"""Keeps files that hold conversations or passwords to the account that runs us: mode 0600, ours, no link followed.

Only where accounts are those of POSIX; on Windows a person's own folders are closed to others already.
"""

import os
import stat
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from agentic_flywheel.file_lock import wait_for_lock

PRIVATE = 0o600
"""What may be done with such a file: its owner reads and writes it."""

OF_OTHERS = 0o077
"""The bits of a mode with which the group and all others may do anything."""

WRITE_OF_OTHERS = 0o022
"""Those with which they may write."""

ROOT = 0

CHANGE_SECONDS = 10.0
"""How long a change waits for the one before it; each takes milliseconds."""


class NotPrivate(OSError):  # noqa: N818  it is named for what is the matter
    """A file or folder that is not used, because others own it or can read it; the message is a whole sentence."""


def check_folder(folder: Path) -> None:
    """Check that the folder, if it is there, is ours, or one in which root lets us write.

    Raises:
        NotPrivate: it belongs to somebody else.

    """
    try:
        owner = folder.stat().st_uid
    except (FileNotFoundError, NotADirectoryError):
        return
    effective = os.access in os.supports_effective_ids
    if _is_ours(owner) or (owner == ROOT and os.access(folder, os.W_OK | os.X_OK, effective_ids=effective)):
        return
    raise NotPrivate(f"the folder {folder} belongs to {_name(owner)}, not to {_me()}. Name a folder of your own.")


def make_private(path: Path) -> bool:
    """Check that a file, if it is there, is ours and no link, and close it to others; whether it was open to them.

    Raises:
        NotPrivate: it is not ours, or no file, or cannot be closed.

    """
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    _check(path, status)
    if not hasattr(os, "geteuid") or not status.st_mode & OF_OTHERS:
        return False
    _close_to_others(path)
    if path.lstat().st_mode & OF_OTHERS:
        raise NotPrivate(f"{path} can be read by others, and its disk keeps no modes. Name a folder on another disk.")
    return True


def _close_to_others(path: Path) -> None:
    """Set the mode of a file, without opening it: who closes a file ends all locks of its process, SQLite's as well."""
    if os.chmod in os.supports_follow_symlinks:
        path.chmod(PRIVATE, follow_symlinks=False)
        return
    file = os.open(path, os.O_PATH | os.O_NOFOLLOW)  # names the file, and opens nothing
    try:
        _check(path, os.fstat(file))
        Path(f"/proc/self/fd/{file}").chmod(PRIVATE)
    finally:
        os.close(file)


def create(path: Path) -> int:
    """Make a new file and open it to write; a file descriptor.

    Raises:
        FileExistsError: there is something of that name, be it a link.

    """
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)


def put(path: Path, content: bytes) -> None:
    """Put a file with this content in place in one step, closed to others; its folder is made if it is missing.

    Raises:
        NotPrivate: the folder belongs to somebody else.

    """
    path.parent.mkdir(0o700, parents=True, exist_ok=True)
    check_folder(path.parent)
    new = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        with os.fdopen(create(new), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


@contextmanager
def changing(folder: Path) -> Generator[None]:
    """Let one process at a time read and then write a file of a folder: of two changes at once, neither is lost.

    The folder itself is locked, so that no file is left behind; it is made if it is missing.

    Raises:
        OSError: it cannot be made or opened, or another holds the lock for `CHANGE_SECONDS`.

    """
    folder.mkdir(0o700, parents=True, exist_ok=True)
    if sys.platform == "win32":  # where a folder cannot be locked
        yield
        return
    file = os.open(folder, os.O_RDONLY)
    try:
        try:
            wait_for_lock(file, CHANGE_SECONDS)
        except BlockingIOError:
            raise
        except OSError:  # a disk that has no such locks
            pass
        yield
    finally:
        os.close(file)


def open_again(path: Path, flags: int) -> int:
    """Open a file of ours with these flags, and close it to others; a file descriptor. `O_CREAT` makes it private.

    Raises:
        NotPrivate: it is not ours, or no file.

    """
    make_private(path)
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), PRIVATE)


def read_secret(path: Path, limit: int, denied: int = OF_OTHERS) -> bytes:
    """The first `limit` bytes of a file with which others may do nothing of what is `denied`, by bits of its mode.

    Raises:
        NotPrivate: it is not ours, no file, or others may do that.
        OSError: it cannot be read.

    """
    status = path.lstat()
    _check(path, status)
    if hasattr(os, "geteuid") and status.st_mode & denied:
        what = "written" if denied == WRITE_OF_OTHERS else "read"
        raise NotPrivate(f"{path} can be {what} by others (mode {status.st_mode & 0o777:04o}): chmod 600 it.")
    with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)), "rb") as file:
        return file.read(limit)


def _check(path: Path, status: os.stat_result) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise NotPrivate(f"{path} is a link, and links are not followed. Put the file itself there.")
    if not stat.S_ISREG(status.st_mode):
        raise NotPrivate(f"{path} is no file. Move it out of the way.")
    if not _is_ours(status.st_uid):
        raise NotPrivate(f"{path} belongs to {_name(status.st_uid)}, not to {_me()}. Name another place, or remove it.")


def _is_ours(owner: int) -> bool:
    return not hasattr(os, "geteuid") or owner == os.geteuid()


def _me() -> str:
    return _name(os.geteuid())


def _name(user: int) -> str:
    """What a person calls a user: the name, or else the number."""
    try:
        import pwd

        return pwd.getpwuid(user).pw_name
    except (ImportError, KeyError):
        return f"user {user}"
