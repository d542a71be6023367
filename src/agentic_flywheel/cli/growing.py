"""Reads a file of another program from where the last run ended, and takes in what is new.

What was read of a file is noted in the journal (`reading_marks.py`). A file that is the same is left; one that only
grew is read from there, where its program's lines can be followed (`importers/following.py`); one that was cut,
rewritten or replaced is read whole, and so is any other. A run that is killed between the session and the note reads
the same once more, and adds nothing twice.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path

from agentic_flywheel.cli.added import Added
from agentic_flywheel.cli.capture.on_record import on_the_record
from agentic_flywheel.cli.importer import Importer
from agentic_flywheel.cli.importers import opencode
from agentic_flywheel.cli.importers.conversation import Imported
from agentic_flywheel.cli.importers.files import exported, is_database, read, recognise
from agentic_flywheel.cli.importers.following import FOLLOWED, read_tail, read_whole
from agentic_flywheel.cli.importers.found_files import Source
from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry
from agentic_flywheel.cli.importers.related import origin_of
from agentic_flywheel.cli.own_export import Ours, ours
from agentic_flywheel.cli.reading_ahead import Ahead, ReadAhead
from agentic_flywheel.cli.reading_marks import Look, Mark, Marks, Stat
from agentic_flywheel.coaia.envelope import Envelopes
from agentic_flywheel.errors import FlywheelError
from agentic_flywheel.keys import Keys
from agentic_flywheel.sessions.redaction.policy import Credentials
from agentic_flywheel.sessions.store import SessionStore
from agentic_flywheel.settings import Settings

ENTRY_OF_SESSIONS = 4
"""How many times what a session may be an entry of a file may be: it is written less tersely."""

TAIL_AT_MOST = 16 * 2**20
"""Bytes that are held in memory to see whether they go on; after more than this the file is read whole."""


_OF_MORE_FILES = ("flywheel", "opencode-session")
"""Kinds of files that are read whole each time: each entry is compared, or the talk is in other files around it."""


@dataclass(frozen=True, slots=True)
class Known:
    """A session of a file that has nothing new of it."""

    talk: str
    line: int = 1


Entry = Ours | Imported | BadEntry
Result = tuple[Entry | Known, Added]


def _first(mark: Mark) -> str:
    return next(iter(mark.sessions), "")


class Growing:
    """Takes in files, each from where it was read last. `brings_back`: what was deleted here, too."""

    def __init__(self, sessions: SessionStore, settings: Settings, *, brings_back: bool = False) -> None:
        keys, credentials, most = Keys(settings.key_prefix), Credentials(settings.secrets), settings.max_session_bytes
        self.limit = ENTRY_OF_SESSIONS * most
        self.marks = Marks(sessions.repository.journal, settings)
        self._importer = Importer(sessions, credentials, keys, most, brings_back=brings_back)
        self.mark: Mark | None = None
        """What is to be noted of the file that was read last: `note` does it."""
        self.bytes_read = 0
        """Of that file."""
        self.cwd = ""
        """Where the talks of that file were, if they do not say it themselves."""
        self.since = 0
        """The time in a database from which on it is read; 0: all of it."""
        self.ahead: ReadAhead | None = None
        """What reads the files before they are asked for."""
        self._settings = settings
        self._envelopes = Envelopes(settings.seal) if settings.seal else None
        self._capture = settings.data_dir / "capture"

    @property
    def shared(self) -> bool:
        """Whether Redis answers."""
        return self._importer.shared

    @shared.setter
    def shared(self, answers: bool) -> None:
        self._importer.shared = answers

    async def read(self, source: Source, look: Look | None = None, *, related: bool = False) -> AsyncGenerator[Result]:
        """Each entry of a file, or of what is new of it, and what became of it; `mark` is set then.

        `related`: another file may begin with what this one has, or this one with another's.

        Raises:
            OSError: the file cannot be read.

        """
        self.mark, self.bytes_read = None, 0
        before = look.mark if look else None
        mark = before if look and look.is_now == "grown" else None
        if mark and isinstance(source, Path) and (results := await self._tail(source, mark)) is not None:
            for result in results:
                yield result
            return
        ahead = self.ahead.take(source) if self.ahead and isinstance(source, Path) else None
        stat = ahead.stat if ahead else Stat.of(source) if isinstance(source, Path) else None
        kind = ahead.kind if ahead else recognise(source, self.limit)
        is_noted = stat and kind not in _OF_MORE_FILES and isinstance(source, Path) and not is_database(source)
        made = Mark(stat, kind, origin=origin_of(source)) if is_noted and stat and kind else None
        if made and made.origin and not made.origin.parent and (first := await self.marks.begun_by(made.origin)):
            await self._importer.may_begin_with(first)
            related = True
        for each in self.entries(source, kind, made, ahead):
            await asyncio.sleep(0)  # a signal ends it here, too
            given = before.sessions.get(each.session_id) if before and isinstance(each, Imported) else None
            kept = on_the_record(self._capture, each, self.cwd, source) if isinstance(each, Imported) else each
            wrote = given[0] if given and look and look.begins_alike else 0
            added = await self._added(kept, related=related, given=given, wrote=wrote) if kept else Added("paused")
            if made and isinstance(each, Imported):
                made.version = made.version or str(each.context.get("program_version") or "")
                if added.outcome not in ("copy", "paused"):
                    made.sessions[each.session_id] = (added.revision if added.is_end else 0, *added.given)
            if made:
                made.is_clean = made.is_clean and added.outcome not in ("bad", "deleted", "paused")
            yield kept or each, added
        self.mark, self.bytes_read = made, self.bytes_read + (stat.size if stat else 0)

    def entries(
        self, source: Source, kind: str | None = None, made: Mark | None = None, ahead: Ahead | None = None
    ) -> Iterator[Entry]:
        """All entries of a file, if it was not read `ahead`. Where the next run may begin is noted in `made`.

        Raises:
            OSError: the file cannot be read.

        """
        kind = kind or recognise(source, self.limit)
        if kind in FOLLOWED and isinstance(source, Path) and made:
            grown = (ahead and ahead.grown) or read_whole(source, kind, self.limit)
            made.place = grown.place
            yield from grown.entries
        elif kind == "opencode" and self.since and isinstance(source, Path):
            yield from opencode.database(source, self.limit, self.since)
        elif kind == "flywheel":
            for entry in exported(source, self.limit):
                yield self._ours(entry) if isinstance(entry, JsonEntry) else entry
        else:
            yield from (ahead and ahead.entries) or read(source, kind or "", self.limit)

    def _ours(self, entry: JsonEntry) -> Ours | BadEntry:
        settings = self._settings
        return ours(entry, self._envelopes, settings.user, user_only=settings.user_only)

    async def _tail(self, source: Path, mark: Mark) -> list[Result] | None:
        """What is new of a file that only grew; `None` where it must be read whole."""
        stat = Stat.of(source)
        unread = stat.size - mark.place.offset
        if mark.kind not in FOLLOWED or len(mark.sessions) != 1 or not mark.place.offset or unread > TAIL_AT_MOST:
            return None
        grown = read_tail(source, mark.kind, self.limit, mark.place)
        self.bytes_read = unread
        talk = next((each for each in grown.entries if isinstance(each, Imported)), None) if grown else None
        session_id = _first(mark)
        if grown is None or (talk and (talk.session_id != session_id or not mark.sessions[session_id][0])):
            return None
        if talk and on_the_record(self._capture, talk, self.cwd, source) is not talk:
            return None
        results: list[Result] = [
            (each, Added("bad", each.reason)) for each in grown.entries if isinstance(each, BadEntry)
        ]
        if talk:
            overlaps = mark.place.offset < mark.stat.size
            revision, *given = mark.sessions[session_id]
            added = await self._importer.add_tail(talk, revision, (given[0], given[1]), overlaps=overlaps)
            if added is None:
                return None
            results.append((talk, added))
            mark.sessions[session_id] = (added.revision, *added.given)
        else:
            results.append((Known(session_id), Added("same", revision=mark.sessions[session_id][0])))
        # Lines of which nothing came in yet are read again with the next: what a person typed may make turns of them.
        if talk or grown.place.state == mark.place.state:
            mark.place = grown.place
        mark.stat = stat
        mark.is_clean = len(results) == 1
        self.mark = mark
        return results

    async def note(self, source: Source) -> None:
        """Note how far the file was read that was read last."""
        if self.mark and isinstance(source, Path):
            await self.marks.note(source, self.mark)

    async def _added(self, each: Entry, *, related: bool, given: tuple[int, str, str] | None, wrote: int) -> Added:
        try:
            return await self._importer.add(each, related=related, given=given[1:] if given else None, wrote=wrote)
        except FlywheelError as exc:
            return Added("bad", f"is not taken in: {exc}")


def known(look: Look) -> list[Result]:
    """The sessions that a file became which is unchanged."""
    sessions = look.mark.sessions if look.mark else {}
    return [(Known(each), Added("same", revision=revision)) for each, (revision, *_) in sessions.items()]
