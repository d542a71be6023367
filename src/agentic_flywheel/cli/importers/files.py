"""Finds the files with conversations in a folder or an archive, and reads each from its beginning to its end.

Nothing is written anywhere, no name of a file in an archive becomes a path, and no link of a folder is followed. An
archive that would unpack to more than anybody's talks is refused before it is unpacked.
"""

import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast, get_args

from agentic_flywheel.cli.importers import chatgpt, claude, plain_turns
from agentic_flywheel.cli.importers.conversation import Imported
from agentic_flywheel.cli.importers.json_entries import MAX_ENTRY_BYTES, BadEntry, Given, JsonEntry, array, lines
from agentic_flywheel.cli.importers.kinds import Kind, kind_of, not_read
from agentic_flywheel.cli.importers.neighbours import Neighbours
from agentic_flywheel.cli.importers.transcripts import TRANSCRIPTS
from agentic_flywheel.errors import InvalidArgument

MAX_MEMBERS = 10_000
"""Files in an archive; an export has some hundred, with its pictures."""

MAX_DIRECTORY_BYTES = 800 * MAX_MEMBERS
"""Of an archive's table of contents, which is held in memory: a file in it takes some 100 bytes, with its name."""

MAX_UNPACKED_BYTES = 4 * 10**9
"""Of all conversations of an archive, or of standard input."""

MAX_RATIO = 200
"""Unpacked bytes for a packed one. Talks pack to a fifth; what packs to a thousandth was made to fill memory."""

RATIO_COUNTS_FROM = 1_000_000
"""Bytes: what is smaller fills nothing, however well it packs."""

_CONVERSATIONS = re.compile(r"conversations(?:[-_]?\d+)?\.json|[^.].*\.jsonl(?:\.zst)?")
"""Names of files with conversations. ChatGPT's larger exports have `conversations-000.json` and so on."""

_ENCRYPTED = 0x1
"""The bit of a zip member's flags that says it has a password (PKWARE's APPNOTE, 4.4.4)."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A file without a name of its own, that can seek."""

    file: IO[bytes]
    shown: str

    @property
    def stem(self) -> str:
        """What people call it."""
        return self.shown

    def __str__(self) -> str:
        return self.shown


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a zip archive that is open."""

    archive: zipfile.ZipFile
    shown: str
    info: zipfile.ZipInfo

    @property
    def stem(self) -> str:
        """The file's name without folders and ending."""
        return PurePosixPath(self.info.filename).stem

    def __str__(self) -> str:
        return f"{self.shown}/{self.info.filename}"


Source = Path | Member | Stream


@dataclass(frozen=True, slots=True)
class Sources:
    """The files to read, by name, and the links that are left."""

    files: list[Source]
    links: list[Path]


@contextmanager
def sources(given: Path | Stream) -> Generator[Sources]:
    """The files to read: what is `given`, or the conversations in the folder or zip archive that it is.

    Raises:
        InvalidArgument: there are none in the folder or archive, it is larger than talks are, or has a password.
        OSError: the folder or archive cannot be read.

    """
    if isinstance(given, Path) and given.is_dir():
        yield _in_folder(given)
        return
    with _opened(given) as file:
        if not zipfile.is_zipfile(file):
            yield Sources([given], [])
            return
        _check_directory(file, given)
        try:
            archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, NotImplementedError):
            again = "Unpack it with another program, if one can."
            raise InvalidArgument(f"{given} is a damaged archive. {again}") from None
        with archive:
            yield Sources([Member(archive, str(given), info) for info in _members(archive, given, file.seek(0, 2))], [])


def _in_folder(folder: Path) -> Sources:
    found = [each for each in sorted(folder.rglob("*")) if each.is_symlink() or _CONVERSATIONS.fullmatch(each.name)]
    links = [each for each in found if each.is_symlink() and (each.is_dir() or _CONVERSATIONS.fullmatch(each.name))]
    files: list[Source] = [each for each in found if not each.is_symlink() and each.is_file()]
    if not files:
        left = f" Links in it are left: {', '.join(map(str, links[:10]))}." if links else ""
        raise InvalidArgument(f"{folder} has no conversations.json and no .jsonl file in it.{left}")
    return Sources(files, links)


def _check_directory(file: IO[bytes], given: object) -> None:
    """Refuse an archive whose table of contents is too large, before it is read (PKWARE's APPNOTE, 4.3.14 to 16)."""
    file.seek(max(file.seek(0, 2) - 2**16 - 100, 0))
    end = file.read()
    at = end.rfind(b"PK\x05\x06")
    members, size = struct.unpack_from("<HI", end, at + 10)
    if at >= 76 and end[at - 76 : at - 72] == b"PK\x06\x06":  # one of more than 4 GB or 65,535 files
        members, size = struct.unpack_from("<QQ", end, at - 76 + 32)
    if members > MAX_MEMBERS or size > MAX_DIRECTORY_BYTES:
        raise InvalidArgument(f"{given} has more than {MAX_MEMBERS:,} files. {_UNPACK}")


def _members(archive: zipfile.ZipFile, given: object, size: int) -> list[zipfile.ZipInfo]:
    """The conversations in an archive of `size` bytes, by name."""
    if len(archive.infolist()) > MAX_MEMBERS:
        raise InvalidArgument(f"{given} has more than {MAX_MEMBERS:,} files. {_UNPACK}")
    found = [
        each
        for each in sorted(archive.infolist(), key=lambda each: each.filename)
        if _CONVERSATIONS.fullmatch(PurePosixPath(each.filename).name) and not each.is_dir()
    ]
    if not found:
        raise InvalidArgument(f"{given} has no conversations.json and no .jsonl file in it.")
    if any(each.flag_bits & _ENCRYPTED for each in found):
        raise InvalidArgument(f"{given} has a password. Unpack it first.")
    total = sum(each.file_size for each in found)  # no more than this is ever unpacked of a file
    if total > MAX_UNPACKED_BYTES:
        raise InvalidArgument(f"{given} unpacks to more than {MAX_UNPACKED_BYTES // 10**9} GB. {_UNPACK}")
    packed = [(each.file_size, each.compress_size) for each in found] + [(total, size)]
    if any(whole > max(RATIO_COUNTS_FROM, MAX_RATIO * part) for whole, part in packed):
        raise InvalidArgument(f"{given} unpacks to more than {MAX_RATIO} times its size, as no talks do. {_UNPACK}")
    return found


_UNPACK = "If it is yours, unpack it, and name the folder with its conversations."


def recognise(source: Source, limit: int = MAX_ENTRY_BYTES) -> Kind | None:
    """The kind of what is in the file; `None` if it is none of those there are.

    Raises:
        OSError: the file cannot be read.

    """
    try:
        with _opened(source) as file:
            return kind_of(file, limit)
    except _DAMAGED:
        return None


def read(
    source: Source, kind: str = "", limit: int = MAX_ENTRY_BYTES, given: Callable[[IO[bytes]], Given] | None = None
) -> Iterator[Imported | BadEntry]:
    """The conversations in the file and all that cannot be read of it, in the order of the file.

    `kind` is one of `Kind` (this program's own exports are read by `exported`); without it the file is recognised. An
    entry may have `limit` bytes. `given` makes the entries of the lines that the file has, where somebody follows them.

    Raises:
        InvalidArgument: there is no such kind.
        OSError: the file cannot be read.

    """
    if kind and kind not in get_args(Kind):
        raise InvalidArgument(f"kind must be one of {', '.join(get_args(Kind))}.")
    line = 1
    try:
        with _opened(source) as file:
            recognised = kind or kind_of(file, limit)
            file.seek(0)
            if given:  # `lines` reads it as it does a file
                file = cast("IO[bytes]", given(file))
            for each in _read(file, recognised, source, limit):
                line = each.line
                yield each
    except _DAMAGED:
        yield BadEntry(line, _DAMAGED_BEHIND)


def exported(source: Source, limit: int = MAX_ENTRY_BYTES) -> Iterator[JsonEntry | BadEntry]:
    """The lines of an export of this program, as they are, and those that cannot be read, in the order of the file.

    Raises:
        OSError: the file cannot be read.

    """
    line = 1
    try:
        with _opened(source) as file:
            for each in lines(file, limit):
                line = each.line
                yield each
    except _DAMAGED:
        yield BadEntry(line, _DAMAGED_BEHIND)


def _read(file: IO[bytes], kind: str | None, source: Source, limit: int) -> Iterator[Imported | BadEntry]:
    if kind in TRANSCRIPTS:
        yield from TRANSCRIPTS[kind](lines(file, limit), source.stem, Neighbours.around(source))
    elif kind in ("claude", "chatgpt"):
        conversation = claude.conversation if kind == "claude" else chatgpt.conversation
        for entry in array(file, limit):
            if isinstance(entry, JsonEntry):
                yield from conversation(entry)
            else:
                yield entry
    elif kind == "turns":
        yield from plain_turns.conversation(file, source.stem, limit)
    elif kind == "flywheel":
        yield BadEntry(1, "begins an export of this program, which is not read as another program's")
    else:
        yield not_read(file, limit)


UNDERSTOOD = (
    "What can be read: exports of this program; the data export of Claude or of ChatGPT, as it was downloaded or its"
    " conversations.json; transcripts of Claude Code, Codex and Qwen Code (.jsonl); and lists of turns,"
    ' [{"role", "content"}] or {"messages": […]}.'
)
"""What a person is told who names another file."""

_DAMAGED_BEHIND = "is the last that can be read: the archive is damaged behind it"

_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)
"""What reading a damaged archive raises, or one that is packed in a way this Python cannot unpack."""


@contextmanager
def _opened(source: Source) -> Generator[IO[bytes]]:
    if isinstance(source, Stream):
        source.file.seek(0)
        yield source.file
    elif isinstance(source, Path):
        with source.open("rb") as file:
            yield file
    else:
        with source.archive.open(source.info) as file:
            yield file
