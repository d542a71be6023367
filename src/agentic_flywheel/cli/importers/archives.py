"""Opens zip archives, and those that lie in them, and finds the files with conversations, under limits for both.

No name in an archive becomes a path: an archive that names a file outside of itself is refused all the same, since no
export does. One that would unpack to more than anybody's talks is refused before anything is unpacked. An archive in
an archive is copied to a file without a name, and counts against what the outer one may unpack to.
"""

import errno
import re
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, NamedTuple, Self

from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.plain_text import quoted

MAX_MEMBERS = 10_000
"""Files in an archive, with those of the archives in it; an export has some hundred, with its pictures."""

MAX_DIRECTORY_BYTES = 800 * MAX_MEMBERS
"""Of an archive's table of contents, which is held in memory: a file in it takes some 100 bytes, with its name."""

MAX_UNPACKED_BYTES = 4 * 10**9
"""Of all conversations of an archive, and of the archives in it, or of standard input."""

MAX_RATIO = 200
"""Unpacked bytes for a packed one. Talks pack to a fifth; what packs to a thousandth was made to fill memory."""

RATIO_COUNTS_FROM = 1_000_000
"""Bytes: what is smaller fills nothing, however well it packs."""

MAX_OPEN = 100
"""Archives with conversations in one import, each of which is an open file."""

MAX_KEPT = 5 * MAX_MEMBERS
"""Files in all of these, whose names are held in memory."""

_ENCRYPTED = 0x1
"""The bit of a zip member's flags that says it has a password (PKWARE's APPNOTE, 4.4.4)."""

_LEAVES = re.compile(r"(?:.*[/\\])?\.\.(?:[/\\].*)?|[/\\].*|[A-Za-z]:.*", re.DOTALL)
"""Names that would lead out of the folder into which an archive is unpacked."""

_UNPACK = "If it is yours, unpack it, and name the folder with its conversations."

DAMAGED = "is a damaged archive. Unpack it with another program, if one can."


class Found(NamedTuple):
    """A file in an archive that is open; `shown` is what people call the archive."""

    archive: zipfile.ZipFile
    shown: str
    info: zipfile.ZipInfo


class Archives:
    """The archives of one import, open until its end. `is_wanted` tells a file with conversations by its name."""

    def __init__(self, is_wanted: Callable[[str], bool]) -> None:
        self._is_wanted = is_wanted
        self._stack = ExitStack()
        self._open = self._kept = 0
        self._members = 0
        self._unpacked = 0
        self.left: list[tuple[str, str]] = []
        """The archives that are left, each with the rest of a sentence that says why."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def wanted(self, file: IO[bytes], given: object) -> list[Found]:
        """The files with conversations in the archive and in those that lie in it, by name.

        Raises:
            InvalidArgument: it is larger than talks are, damaged, has a password or names files outside of itself.

        """
        size = file.seek(0, 2)
        self._members = self._unpacked = 0
        archive, found, inner = self._look(file, given, size)
        files = [Found(archive, str(given), info) for info in found]
        for info in inner:
            files += self._nested(archive, info, f"{given}/{info.filename}")
            self._check_ratio(given, self._unpacked, size)
        if files:
            self._open += 1
            self._kept += self._members
            if self._open > MAX_OPEN or self._kept > MAX_KEPT:
                raise InvalidArgument(
                    f"{given} has conversations, as {self._open - 1} archives before it: that is as many as are read"
                    " at once. Move the others away, import these, and then those."
                )
        else:
            archive.close()
        return files

    def in_file(self, path: Path) -> list[Found]:
        """The files with conversations in the archive of that name, by name; none if it is no archive.

        Raises:
            InvalidArgument: as `wanted`.
            OSError: it cannot be read.

        """
        with ExitStack() as opened:
            file = opened.enter_context(path.open("rb"))
            found = self.wanted(file, path) if zipfile.is_zipfile(file) else []
            if found:
                self._stack.push(opened.pop_all())
        return found

    def _look(
        self, file: IO[bytes], given: object, size: int
    ) -> tuple[zipfile.ZipFile, list[zipfile.ZipInfo], list[zipfile.ZipInfo]]:
        """The archive of `size` bytes, its files with conversations, and the archives in it, each by name."""
        try:
            with _damage_told():
                self._check_directory(file, given)
                archive = self._stack.enter_context(zipfile.ZipFile(file))
        except UNREADABLE:
            raise InvalidArgument(f"{given} {DAMAGED}") from None
        self._members += len(archive.infolist())
        if self._members > MAX_MEMBERS:
            raise InvalidArgument(f"{given} has more than {MAX_MEMBERS:,} files. {_UNPACK}")
        members = sorted((each for each in archive.infolist() if not each.is_dir()), key=lambda each: each.filename)
        for each in members:
            if _LEAVES.fullmatch(each.filename):
                raise InvalidArgument(
                    f"{given} has a file that would lie outside of it, {quoted(each.filename)}, as no export does."
                )
        found = [each for each in members if self._is_wanted(PurePosixPath(each.filename).name)]
        inner = [each for each in members if each.filename.lower().endswith(".zip") and each not in found]
        self._check(given, found + inner, size)
        return archive, found, inner

    def _check_directory(self, file: IO[bytes], given: object) -> None:
        """Refuse one whose table of contents is too large, before it is read (PKWARE's APPNOTE, 4.3.14 to 16)."""
        file.seek(max(file.seek(0, 2) - 2**16 - 100, 0))
        end = file.read()
        at = end.rfind(b"PK\x05\x06")
        members, size = struct.unpack_from("<HI", end, at + 10)
        if at >= 76 and end[at - 76 : at - 72] == b"PK\x06\x06":  # one of more than 4 GB or 65,535 files
            members, size = struct.unpack_from("<QQ", end, at - 76 + 32)
        if members > MAX_MEMBERS or size > MAX_DIRECTORY_BYTES:
            raise InvalidArgument(f"{given} has more than {MAX_MEMBERS:,} files. {_UNPACK}")

    def _check(self, given: object, found: list[zipfile.ZipInfo], size: int) -> None:
        if any(each.flag_bits & _ENCRYPTED for each in found):
            raise InvalidArgument(f"{given} has a password. Unpack it first.")
        total = sum(each.file_size for each in found)  # no more than this is ever unpacked of a file
        self._unpacked += total
        if self._unpacked > MAX_UNPACKED_BYTES:
            raise InvalidArgument(f"{given} unpacks to more than {MAX_UNPACKED_BYTES // 10**9} GB. {_UNPACK}")
        for whole, part in [(each.file_size, each.compress_size) for each in found] + [(total, size)]:
            self._check_ratio(given, whole, part)

    @staticmethod
    def _check_ratio(given: object, whole: int, part: int) -> None:
        if whole > max(RATIO_COUNTS_FROM, MAX_RATIO * part):
            raise InvalidArgument(f"{given} unpacks to more than {MAX_RATIO} times its size, as no talks do. {_UNPACK}")

    def _nested(self, outer: zipfile.ZipFile, info: zipfile.ZipInfo, shown: str) -> Iterator[Found]:
        """The files with conversations of an archive in an archive; what lies deeper is left, and named."""
        file = self._stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115  it is
        try:
            with unpacked(outer, info) as packed:
                shutil.copyfileobj(packed, file)
        except UNREADABLE:
            self.left.append((shown, DAMAGED))
            return
        if not zipfile.is_zipfile(file):
            file.close()
            return
        archive, found, deeper = self._look(file, shown, min(info.compress_size, info.file_size))
        self.left += [(f"{shown}/{each.filename}", TOO_DEEP) for each in deeper]
        if not found:
            file.close()
        yield from (Found(archive, shown, each) for each in found)


@contextmanager
def _damage_told() -> Generator[None]:
    """Raise what the library meets in a damaged archive as what it raises most often."""
    try:
        yield
    except (struct.error, RuntimeError, ValueError) as exc:
        raise zipfile.BadZipFile from exc
    except OSError as exc:
        if exc.errno != errno.EINVAL:
            raise
        raise zipfile.BadZipFile from exc


def unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> IO[bytes]:
    """A file in an archive, to be read.

    Raises:
        BadZipFile, NotImplementedError: the archive is damaged there, or packed in a way this Python cannot unpack.

    """
    with _damage_told():
        return archive.open(info)


TOO_DEEP = "is an archive in an archive in an archive, and is left. Unpack the outer one, and name the folder."

UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)
"""What reading a damaged archive raises, or one that is packed in a way this Python cannot unpack."""
