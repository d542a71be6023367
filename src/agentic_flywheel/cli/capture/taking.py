"""Takes one transcript into the store, with those of its sub-agents, and says what became of it."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from io import BufferedReader
from pathlib import Path

from agentic_flywheel.cli.added import Added
from agentic_flywheel.cli.capture import off_record
from agentic_flywheel.cli.capture.outcomes import Outcome, What
from agentic_flywheel.cli.capture.shelf import change_of
from agentic_flywheel.cli.growing import Entry, Growing, Known
from agentic_flywheel.cli.importers import opencode
from agentic_flywheel.cli.importers.conversation import Imported
from agentic_flywheel.cli.importers.found_files import Source, Stream
from agentic_flywheel.cli.importers.json_entries import BadEntry
from agentic_flywheel.cli.reading_marks import Look
from agentic_flywheel.cli.terminal import plainly
from agentic_flywheel.documents.model import Document
from agentic_flywheel.errors import FlywheelError, Unavailable
from agentic_flywheel.sessions.store import SessionStore


@dataclass(slots=True)
class Seen:
    """What was found so far in one transcript."""

    sessions: list[str] = field(default_factory=list[str])
    new: bool = False
    paused: int = 0
    deleted: int = 0
    bad: list[str] = field(default_factory=list[str])
    left_out: int = 0
    not_understood: list[str] = field(default_factory=list[str])
    version: str = ""
    begun: tuple[int, int] | None = None
    """Turns and revision of the first session, where nothing of it was there before."""

    def note(self, each: Entry | Known, added: Added) -> None:
        """Note what became of an entry."""
        if isinstance(each, BadEntry):
            if not each.is_unfinished:
                self.left_out += 1
                self.not_understood.append(f"line {each.line:,} {each.reason}")
        elif added.outcome == "bad":
            self.bad.append(added.message)
        elif added.outcome in ("paused", "deleted"):
            self.paused += added.outcome == "paused"
            self.deleted += added.outcome == "deleted"
        elif isinstance(each, Imported | Known):
            session_id = each.session_id if isinstance(each, Imported) else each.talk
            if session_id in self.sessions[:1] or not self.sessions:
                is_whole = not self.sessions and added.outcome == "new"
                self.begun = (added.turns, added.revision) if is_whole else None
            self.new |= added.outcome in ("new", "more")
            self.sessions.append(session_id)

    @property
    def outcome(self) -> What:
        """All in a word."""
        if self.bad:
            return "refused"
        if self.sessions:
            return "kept" if self.new else "same"
        if self.paused:  # lines that are not understood are off the record, too
            return "paused"
        return "refused" if self.left_out else "deleted" if self.deleted else "nothing"


@dataclass(frozen=True, slots=True)
class Taker:
    """Takes transcripts into a store; `place` is the folder of capture."""

    sessions: SessionStore
    growing: Growing
    place: Path

    async def take(self, program: str, path: str, *, cwd: str = "", session: str = "", second: str = "") -> Outcome:
        """Take in what is new of a transcript, from its `second` name if it has vanished.

        `again` in the answer says that it failed for a cause that passes.
        """
        main, source = Path(path), _source(Path(path), second)
        about = _as_it_is(Outcome(program, path, "vanished", cwd=cwd), source)
        is_one_talk = main.suffix != ".db"
        if (
            off_record.is_off(str(self.place), cwd, (session, f"{program}-{session}") if session else ())
            and is_one_talk
        ):
            return replace(about, outcome="paused")
        if not source:
            return replace(about, cause="it was deleted before it was read")
        if not about.size:
            return replace(about, outcome="nothing")
        seen = Seen()
        self.growing.cwd = cwd if is_one_talk else ""
        try:
            with ExitStack() as stack:
                opened = main if source == main else Stream(stack.enter_context(_open(source)), main.stem)
                for each in (opened, *sub_agents(main)):
                    await self._read(each, seen, about.newest)
        except (FlywheelError, OSError) as exc:
            passes = isinstance(exc, Unavailable | OSError)
            return replace(about, outcome="refused", cause=plainly(exc), again=passes, sessions=seen.sessions)
        if seen.outcome == "paused":
            return replace(about, outcome="paused")
        turns, revision = seen.begun or await self._now(seen)
        return replace(
            about,
            outcome=seen.outcome,
            sessions=seen.sessions[:100],
            turns=turns,
            revision=revision,
            cause="; ".join(dict.fromkeys([*seen.bad, *seen.not_understood][:3])),
            version=seen.version,
            left_out=seen.left_out,
        )

    async def _read(self, source: Source, seen: Seen, newest: int) -> None:
        """Read what is new of a file; `newest`: the time of the newest row of one that is a database with such times.

        Raises:
            FlywheelError, OSError: it cannot be read or kept now.

        """
        look = await self.growing.marks.look(source) if isinstance(source, Path) else Look("other", None)
        if look.mark and not look.mark.is_clean:
            look = replace(look, is_now="other")
        if look.is_now == "unchanged" and look.mark:
            seen.sessions += look.mark.sessions
            seen.version = seen.version or look.mark.version
            return
        marks = self.growing.marks
        self.growing.since = await marks.newest(source) if newest and isinstance(source, Path) else 0
        async for each, added in self.growing.read(source, look):
            seen.note(each, added)
        if newest and isinstance(source, Path) and not (seen.paused or seen.bad or seen.left_out):
            await marks.note_newest(source, newest)
        if mark := self.growing.mark:
            seen.version = seen.version or mark.version
        await self.growing.note(source)

    async def _now(self, seen: Seen) -> tuple[int, int]:
        """How many turns the session has now, and its revision; 0 where that cannot be told."""
        try:
            document, _ = await self.sessions.load(seen.sessions[0]) if seen.sessions else (None, None)
        except FlywheelError:
            return 0, 0
        return (len(document.session.history), document.revision) if isinstance(document, Document) else (0, 0)


def sub_agents(transcript: Path) -> Iterator[Path]:
    """The transcripts of its sub-agents.

    Claude Code's and Qwen Code's lie in folders of its name, Gemini CLI's in one that is called after the session, of
    which the name of the transcript has the first eight characters: `session-2026-11-30T21-31-d5d2b663.jsonl`.
    """
    if transcript.suffix != ".jsonl":
        return
    folders = [transcript.with_suffix("") / "subagents", transcript.parent.parent / "subagents" / transcript.stem]
    if _OF_GEMINI(transcript.stem):
        folders += sorted(transcript.parent.glob(f"{transcript.stem[-8:]}-*"))
    for folder in folders:
        yield from sorted(each for each in folder.glob("*.jsonl") if each.is_file() and not each.is_symlink())


_OF_GEMINI = re.compile(r"session-.*-[0-9a-f]{8}").fullmatch


def _source(path: Path, second: str) -> Path | None:
    """What is read: the transcript, or its second name, which is left if it has vanished."""
    return path if path.exists() else Path(second) if second else None


def _open(path: Path) -> BufferedReader:
    return path.open("rb")


def _as_it_is(outcome: Outcome, path: Path | None) -> Outcome:
    """The outcome with the size and the time of the file, if it is there."""
    if path is None or not path.exists():
        return outcome
    size, changed = change_of(path)
    newest = opencode.newest(path) if outcome.program in ("opencode", "kilo") else 0
    return replace(outcome, size=size, mtime_ns=changed, newest=newest)
