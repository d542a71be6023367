"""Finds the files with conversations in a folder or an archive, by their names.

Nothing is written anywhere, and no link of a folder is followed. Archives are opened in `archives.py`.
"""

import contextlib
import errno
import io
import zipfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from agentic_flywheel.cli.importers import databases, manifests
from agentic_flywheel.cli.importers.archives import UNREADABLE, Archives, Found, unpacked
from agentic_flywheel.cli.importers.kinds import kind_of
from agentic_flywheel.cli.importers.names import MANIFEST, is_conversations, may_be_wanted
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.plain_text import quoted

BUFFERED_BYTES = 2**16
"""Of a file: lines of transcripts are long."""


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

    @property
    def folder(self) -> str:
        """The name of the folder that it is in."""
        return PurePosixPath(self.info.filename).parent.name

    def __str__(self) -> str:
        return f"{self.shown}/{self.info.filename}"


@dataclass(frozen=True, slots=True)
class Absent:
    """A file that should be there and cannot be read; `reason` is the rest of a sentence that says why."""

    shown: str
    reason: str

    @property
    def stem(self) -> str:
        """What people call it."""
        return self.shown

    def __str__(self) -> str:
        return self.shown


Source = Path | Member | Stream | Absent


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
    with Archives(may_be_wanted) as archives:
        if isinstance(given, Path) and given.is_dir():
            yield _in_folder(given, archives)
            return
        if isinstance(given, Path) and given.exists() and not given.is_file():
            raise InvalidArgument(
                f"{given} {_NO_FILE}: name a file, or give what comes out of it on standard input (-)."
            )
        with opened(given) as file:
            if not zipfile.is_zipfile(file):
                yield Sources([given], [])
                return
            files = _complete(_members(archives.wanted(file, given)), archives)
            if not files:
                raise InvalidArgument(
                    f"{given} has no file with talks in it. Name one, or the folder in which a program keeps its talks."
                )
            yield Sources(files, [])


def _members(found: Sequence[Found]) -> list[Source]:
    """Those of the files in archives that are no strangers'."""
    return [each for each in (Member(*one) for one in found) if not _is_strangers(each)]


def _is_wanted(name: str) -> bool:
    return name == MANIFEST or is_conversations(name)


def _is_strangers(source: Path | Member) -> bool:
    """Whether a file that has a name which many programs give has no talks."""
    if _is_wanted(name_of(source)):
        return False
    try:
        with opened(source) as file:
            if not databases.begins(file):
                return kind_of(file) is None
            if isinstance(source, Path):
                return databases.program(source) is None
            with databases.on_disk(file, None) as copy:
                return databases.program(copy) is None
    except (*UNREADABLE, InvalidArgument):
        return False


def _in_folder(folder: Path, archives: Archives) -> Sources:
    found = [each for each in sorted(folder.rglob("*")) if each.is_symlink() or may_be_wanted(each.name)]
    links = [each for each in found if each.is_symlink() and (each.is_dir() or is_conversations(each.name))]
    files: list[Source] = [
        each for each in found if not each.is_symlink() and each.is_file() and not _is_strangers(each)
    ]
    packed = (each for each in sorted(folder.rglob("*.[zZ][iI][pP]")) if each.is_file() and not each.is_symlink())
    for each in packed:
        try:
            files += _members(archives.in_file(each))
        except InvalidArgument as exc:
            files.append(Absent(str(each), str(exc).removeprefix(str(each)).lstrip(" /")))
    files = _complete(files, archives)
    if not files:
        left = f" Links in it are left: {', '.join(map(str, links[:10]))}." if links else ""
        raise InvalidArgument(
            f"{folder} has no file with talks in it. Name one, or the folder in which a program keeps its talks.{left}"
        )
    return Sources(files, links)


def _complete(found: Sequence[Source], archives: Archives) -> list[Source]:
    """The files, and what stands for those that a list of the export names and are not there."""
    lists = [each for each in found if name_of(each) == MANIFEST]
    files = [each for each in found if each not in lists]
    there = {name_of(each) for each in files}
    for each in lists if files else ():
        with contextlib.suppress(*UNREADABLE), opened(each) as file:
            named = dict.fromkeys(
                PurePosixPath(path).name for path in manifests.named_in(file.read(manifests.MAX_BYTES))
            )
            missing = [name for name in named if is_conversations(name) and name not in there]
            files += [Absent(f"{each}, {quoted(name)}", _MISSING) for name in missing]
    files += [Absent(*each) for each in archives.left]
    return files


_NO_FILE = "is no file but a pipe, a device or a folder"

_MISSING = "is a file of the export that is not there: put all files of the export into one folder, and name that"


def name_of(source: Source) -> str:
    """The file's name without folders."""
    if isinstance(source, Member):
        return PurePosixPath(source.info.filename).name
    return source.name if isinstance(source, Path) else ""


@contextmanager
def opened(source: Source) -> Generator[IO[bytes]]:
    """The file, at its beginning; one with nothing in it for what is absent.

    Raises:
        OSError: it cannot be read.

    """
    if isinstance(source, Stream):
        source.file.seek(0)
        yield source.file
    elif isinstance(source, Path):
        if source.exists() and not source.is_file():  # opening a pipe waits for whoever writes into it
            raise OSError(errno.EINVAL, _NO_FILE)
        with source.open("rb", BUFFERED_BYTES) as file:
            yield file
    elif isinstance(source, Absent):
        yield io.BytesIO()
    else:
        with unpacked(source.archive, source.info) as file:
            yield file
