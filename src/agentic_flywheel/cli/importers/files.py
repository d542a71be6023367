"""Finds the files with conversations in a folder or an archive, and reads each from its beginning to its end.

Nothing is written anywhere, and no name of a file in an archive becomes a path.
"""

import re
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, get_args

from agentic_flywheel.cli.importers import chatgpt, claude, claude_code
from agentic_flywheel.cli.importers.conversation import Imported
from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry, array, lines
from agentic_flywheel.cli.importers.kinds import Kind, kind_of
from agentic_flywheel.errors import InvalidArgument

_CONVERSATIONS = re.compile(r"conversations(?:[-_]?\d+)?\.json|[^.].*\.jsonl")
"""Names of files with conversations. ChatGPT's larger exports have `conversations-000.json` and so on."""

_ENCRYPTED = 0x1
"""The bit of a zip member's flags that says it has a password (PKWARE's APPNOTE, 4.4.4)."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a zip archive."""

    archive: Path
    name: str

    @property
    def stem(self) -> str:
        """The file's name without folders and ending."""
        return PurePosixPath(self.name).stem

    def __str__(self) -> str:
        return f"{self.archive}/{self.name}"


Source = Path | Member


def sources(path: Path) -> Iterator[Source]:
    """The files to read: `path` itself, or the conversations in the folder or zip archive that it is, by name.

    Raises:
        InvalidArgument: there are none in the folder or archive, or they have a password.
        OSError: the folder or archive cannot be read.

    """
    found: list[Source]
    if path.is_dir():
        found = [each for each in sorted(path.rglob("*")) if _CONVERSATIONS.fullmatch(each.name) and each.is_file()]
    elif zipfile.is_zipfile(path):
        found = list(_members(path))
    else:
        found = [path]
    if not found:
        raise InvalidArgument(f"{path} has no conversations.json and no .jsonl file in it.")
    yield from found


def _members(path: Path) -> Iterator[Member]:
    try:
        with zipfile.ZipFile(path) as archive:
            files = sorted(archive.infolist(), key=lambda each: each.filename)
    except (zipfile.BadZipFile, NotImplementedError):
        raise InvalidArgument(f"{path} is a damaged archive. Unpack it with another program, if one can.") from None
    for file in files:
        if _CONVERSATIONS.fullmatch(PurePosixPath(file.filename).name) and not file.is_dir():
            if file.flag_bits & _ENCRYPTED:
                raise InvalidArgument(f"{path} has a password. Unpack it first.")
            yield Member(path, file.filename)


def recognise(source: Source) -> Kind | None:
    """The kind of what is in the file; `None` if it is none of those there are.

    Raises:
        OSError: the file cannot be read.

    """
    try:
        with _opened(source) as file:
            return kind_of(file)
    except _DAMAGED:
        return None


def read(source: Source, kind: str = "") -> Iterator[Imported | BadEntry]:
    """The conversations in the file and all that cannot be read of it, in the order of the file.

    `kind` is one of `Kind` (this program's own exports are read by `exported`); without it the file is recognised.

    Raises:
        InvalidArgument: there is no such kind.
        OSError: the file cannot be read.

    """
    if kind and kind not in get_args(Kind):
        raise InvalidArgument(f"kind must be one of {', '.join(get_args(Kind))}.")
    line = 1
    try:
        with _opened(source) as file:
            recognised = kind or kind_of(file)
            file.seek(0)
            for each in _read(file, recognised, source.stem):
                line = each.line
                yield each
    except _DAMAGED:
        yield BadEntry(line, _DAMAGED_BEHIND)


def exported(source: Source) -> Iterator[JsonEntry | BadEntry]:
    """The lines of an export of this program, as they are, and those that cannot be read, in the order of the file.

    Raises:
        OSError: the file cannot be read.

    """
    line = 1
    try:
        with _opened(source) as file:
            for each in lines(file):
                line = each.line
                yield each
    except _DAMAGED:
        yield BadEntry(line, _DAMAGED_BEHIND)


def _read(file: IO[bytes], kind: str | None, name: str) -> Iterator[Imported | BadEntry]:
    if kind == "claude-code":
        yield from claude_code.session(lines(file), name)
    elif kind in ("claude", "chatgpt"):
        conversation = claude.conversation if kind == "claude" else chatgpt.conversation
        for entry in array(file):
            if isinstance(entry, JsonEntry):
                yield from conversation(entry)
            else:
                yield entry
    elif kind == "flywheel":
        yield BadEntry(1, "begins an export of this program, which is not read as another program's")
    else:
        yield BadEntry(1, "begins neither an export of this program, Claude or ChatGPT nor a transcript of Claude Code")


_DAMAGED_BEHIND = "is the last that can be read: the archive is damaged behind it"

_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)
"""What reading a damaged archive raises, or one that is packed in a way this Python cannot unpack."""


@contextmanager
def _opened(source: Source) -> Generator[IO[bytes]]:
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield file
    else:
        with zipfile.ZipFile(source.archive) as archive, archive.open(source.name) as file:
            yield file
