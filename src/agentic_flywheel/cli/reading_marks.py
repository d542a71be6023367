"""Notes how far each file was read, and tells a file that is the same, or only grew, from one that was written anew.

A file is told by its place on the disk (device, inode) and by digests of how it begins and of what lies before the end
of the last reading; the time and size of its last change tell whether there is anything to do. No words of a talk are
noted.
"""

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from agentic_flywheel.cli.importers.noted import Origin, Place
from agentic_flywheel.errors import JournalUnavailable
from agentic_flywheel.keys import Keys

if TYPE_CHECKING:  # a process that only reads files needs neither
    from agentic_flywheel.journal import Journal
    from agentic_flywheel.settings import Settings

READERS = 10
"""Raised when a reader makes other turns of the same file: then all files are read anew, once."""

DIGESTED = 1024
"""Bytes at the beginning and before the end that are compared: a line or two, with ids and times in it."""

SESSIONS_AT_MOST = 5_000
"""Of one file that is noted; what has more is read whole each time."""


@dataclass(frozen=True, slots=True)
class Stat:
    """Which file it is, and its last change."""

    device: int
    inode: int
    size: int
    changed: int

    @staticmethod
    def of(file: Path) -> "Stat":
        """That of a file.

        Raises:
            OSError: there is none.

        """
        status = file.stat()
        return Stat(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


@dataclass(slots=True)
class Mark:
    """How far a file was read, and what it became.

    `sessions`: revision, and digests of the title and summary that an import set, by id; the
    revision is 0 where the session does not end as the file does, as of an older copy. `is_clean`: all of it came in.
    `origin`: what of it tells which other files have to do with it.
    """

    stat: Stat
    kind: str
    place: Place = field(default_factory=Place)
    sessions: dict[str, tuple[int, str, str]] = field(default_factory=dict[str, tuple[int, str, str]])
    version: str = ""
    is_clean: bool = True
    origin: Origin | None = None
    digests: tuple[str, str] = ("", "")
    rules: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """What was noted of a file, if anything, and what it is to that now.

    `begins_alike`: it has what it had then, and maybe more, also if it was put there anew, as by what copies folders.
    """

    is_now: Literal["unchanged", "grown", "other"]
    mark: Mark | None
    begins_alike: bool = True


class Marks:
    """The marks in a journal. Where turns are to be kept by other settings than they were, a file is read anew."""

    def __init__(self, journal: "Journal", settings: "Settings") -> None:
        self._journal = journal
        self._keys = Keys(settings.key_prefix)
        self._rules = f"{READERS} {settings.secrets} {settings.max_session_bytes}"

    async def look(self, path: Path) -> Look:
        """Compare a file with what was noted of it; whoever deleted its sessions has it read again.

        Raises:
            OSError: it cannot be read.

        """
        from agentic_flywheel.journal.threads import in_thread  # who only compares needs no asyncio

        return await in_thread(self.compare, path)

    def compare(self, path: Path) -> Look:
        """The same, blocking."""
        try:
            mark = _loaded(self._journal.reading(self._name(path)))
            if mark is None or mark.rules != self._rules or not mark.kind:
                return Look("other", mark, begins_alike=False)
            stat = Stat.of(path)
            same_file = (stat.device, stat.inode) == (mark.stat.device, mark.stat.inode)
            begins_alike = stat.size >= mark.stat.size and digests(path, mark.stat.size) == mark.digests
            if not same_file or not begins_alike:
                return Look("other", mark, begins_alike)
            living = self._journal.living([self._keys.session(each) for each in mark.sessions])
        except JournalUnavailable:
            return Look("other", None)
        if len(living) < len(mark.sessions):
            return Look("other", mark)
        return Look("unchanged" if stat == mark.stat else "grown", mark)

    async def note(self, path: Path, mark: Mark) -> None:
        """Note how far a file was read. Without a journal, or where it is busy, the file is read whole next time."""
        from agentic_flywheel.journal.threads import in_thread

        with contextlib.suppress(JournalUnavailable, OSError):
            mark.digests, mark.rules = digests(path, mark.stat.size), self._rules
            state = json.dumps(asdict(mark)) if len(mark.sessions) <= SESSIONS_AT_MOST else ""
            first: dict[str, str] = {}
            if mark.origin and mark.sessions:
                begun = {"session": next(iter(mark.sessions)), "own": mark.origin.own, "size": mark.stat.size}
                first[self._root(mark.origin)] = json.dumps(begun)
            await in_thread(self._journal.note_reading, self._name(path), state, first)

    async def begun_by(self, origin: Origin) -> str:
        """The session that was read first of those that begin with the same line; empty if it is this one's own."""
        from agentic_flywheel.journal.threads import in_thread

        with contextlib.suppress(JournalUnavailable, ValueError, TypeError, KeyError):
            first: dict[str, Any] = json.loads(await in_thread(self._journal.reading, self._root(origin)) or "")
            return str(first["session"]) if first["own"] != origin.own and first["size"] <= origin.size else ""
        return ""

    async def newest(self, path: Path) -> int:
        """What was noted of a database by `note_newest`; 0 where it must be read whole."""
        from agentic_flywheel.journal.threads import in_thread

        with contextlib.suppress(JournalUnavailable, ValueError, TypeError, KeyError):
            value: dict[str, Any] = json.loads(await in_thread(self._journal.reading, self._name(path)) or "")
            return value["newest"] if value["rules"] == self._rules and isinstance(value["newest"], int) else 0
        return 0

    async def note_newest(self, path: Path, newest: int) -> None:
        """Note the newest time in a database of which all is taken in that is as old, or older."""
        from agentic_flywheel.journal.threads import in_thread

        with contextlib.suppress(JournalUnavailable):
            state = json.dumps({"newest": newest, "rules": self._rules})
            await in_thread(self._journal.note_reading, self._name(path), state)

    def all(self) -> dict[str, Mark]:
        """Every file that was noted, by its path.

        Raises:
            JournalUnavailable: it cannot be read.

        """
        beginning = self._name(None)
        found = {
            name.removeprefix(beginning): _loaded(state) for name, state in self._journal.readings(beginning).items()
        }
        return {name: mark for name, mark in found.items() if mark}

    def _root(self, origin: Origin) -> str:
        return f"{self._keys.session('')} root {origin.root}"

    def _name(self, path: Path | None) -> str:
        name = b"" if path is None else os.fsencode(path.absolute())  # which may be no UTF-8
        return f"{self._keys.session('')} {name.decode(errors='backslashreplace')}"


def digests(path: Path, end: int) -> tuple[str, str]:
    """Digests of how a file begins, and of what lies before `end`.

    Raises:
        OSError: it cannot be read.

    """
    with path.open("rb", buffering=0) as file:
        head = file.read(min(DIGESTED, end))
        file.seek(max(end - DIGESTED, 0))
        return _digest(head), _digest(file.read(min(DIGESTED, end)))


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _loaded(state: str | None) -> Mark | None:
    """The mark in a row; `None` for one that another version wrote."""
    try:
        value: dict[str, Any] = json.loads(state or "")
        mark = Mark(**value)
        mark.stat, mark.place = Stat(**value["stat"]), Place(**value["place"])
        mark.sessions = {name: (each[0], each[1], each[2]) for name, each in value["sessions"].items()}
        mark.origin = Origin(**value["origin"]) if value["origin"] else None
        mark.digests = (value["digests"][0], value["digests"][1])
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return None
    return mark
