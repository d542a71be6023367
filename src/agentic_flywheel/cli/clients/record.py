"""Keeps what was put into which files, and what they were before, so that uninstall gives the bytes back.

    ~/.config/agentic-flywheel-state/installed.json    {"PATH NAME": {"before", "after", "backup", "made_key", …}}

It lies below HOME whatever the environment says, and holds no content. What a file was stands beside it, in
`FILE.flywheel.bak`.
"""

import hashlib
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from agentic_flywheel.cli import config_files
from agentic_flywheel.cli.capture import small_files
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.private_files import changing
from agentic_flywheel.settings_file import PLACE

NAME = "installed.json"
SUFFIX = ".flywheel.bak"
BACKUPS = 100
"""How many names are tried for a backup."""


@dataclass(frozen=True, slots=True)
class Installed:
    """What was done to one file; digests are SHA-256 of its bytes, empty where there was no file."""

    path: str
    server: str
    before: str
    after: str
    backup: str = ""
    made_key: bool = False
    """Whether the object that the entry stands in was not there before."""
    folders: list[str] = field(default_factory=list[str])
    """Folders that were made for the file, the innermost first."""


def digest(content: bytes | None) -> str:
    """What tells one content from another; empty for no file."""
    return "" if content is None else hashlib.sha256(content).hexdigest()


def find(home: Path, path: Path, server: str) -> Installed | None:
    """What was done to this file, if that is known."""
    try:
        return Installed(**small_files.read(str(_file(home)))[_key(path, server)])
    except (KeyError, TypeError):
        return None


def note(home: Path, known: Installed) -> None:
    """Note what is done to a file.

    Raises:
        InvalidArgument: it cannot be noted.

    """
    with _changing(home):
        _write(home, {**small_files.read(str(_file(home))), _key(Path(known.path), known.server): asdict(known)})


def forget(home: Path, path: Path, server: str) -> None:
    """Forget what was done to a file. Raises as `note` does."""
    if not _file(home).exists():
        return
    with _changing(home):
        known = small_files.read(str(_file(home)))
        if known.pop(_key(path, server), None):
            _write(home, known)


def back_up(path: Path, content: bytes) -> tuple[str, bool]:
    """Put what a file was beside it; where, and whether it was not there already.

    Raises:
        InvalidArgument: it cannot be put there.

    """
    for number in range(BACKUPS):
        backup = path.with_name(f"{path.name}{SUFFIX}{f'.{number}' if number else ''}")
        there = config_files.read(backup)
        if there is None:
            config_files.write(backup, None, content)
        elif there != content:
            continue
        return str(backup), there is None
    raise InvalidArgument(f"{path} has {BACKUPS} backups. Move them away first.")


def _file(home: Path) -> Path:
    return (home / PLACE).with_name(NAME)


def _key(path: Path, server: str) -> str:
    return f"{path} {server}"


@contextmanager
def _changing(home: Path) -> Generator[None]:
    """Hold the record for a change: of two installs at once, neither forgets what the other did."""
    file = _file(home)
    try:
        with changing(file.parent):
            yield
    except OSError as exc:
        raise InvalidArgument(f"{file} cannot be written ({exc.strerror}). Nothing was changed.") from None


def _write(home: Path, known: small_files.Values) -> None:
    file = _file(home)
    if known:
        small_files.write(str(file), known)
        return
    small_files.remove(str(file))
    with suppress(OSError):  # the settings file may lie there, too
        file.parent.rmdir()
        file.parent.parent.rmdir()
