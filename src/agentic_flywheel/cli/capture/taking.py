"""Takes one transcript into the store, with those of its sub-agents, and says what became of it."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from io import BufferedReader
from pathlib import Path

from agentic_flywheel.cli.capture import off_record
from agentic_flywheel.cli.capture.on_record import on_the_record
from agentic_flywheel.cli.capture.outcomes import Outcome, What
from agentic_flywheel.cli.importer import Importer
from agentic_flywheel.cli.importers import BadEntry, Imported, Source, Stream, in_order, read
from agentic_flywheel.cli.terminal import plainly
from agentic_flywheel.documents.model import Document
from agentic_flywheel.errors import FlywheelError, InvalidArgument, Unavailable
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
    turns: int = 0
    revision: int = 0
    version: str = ""

    @property
    def outcome(self) -> What:
        """All in a word."""
        if self.bad:
            return "refused"
        if self.sessions:
            return "kept" if self.new else "same"
        if self.left_out:
            return "refused"
        return "paused" if self.paused else "deleted" if self.deleted else "nothing"


@dataclass(frozen=True, slots=True)
class Taker:
    """Takes transcripts into a store; `place` is the folder of capture, `limit` the bytes of a line."""

    sessions: SessionStore
    importer: Importer
    place: Path
    limit: int

    async def take(self, program: str, path: str, *, cwd: str = "", session: str = "", second: str = "") -> Outcome:
        """Take in a transcript, from its `second` name if it has vanished; of a database, the `session` of this id.

        `again` in the answer says that it failed for a cause that passes.
        """
        main = Path(path)
        source = _source(main, second)
        about = _as_it_is(Outcome(program, path, "vanished", cwd=cwd), source)
        if off_record.is_off(str(self.place), cwd, tuple(filter(None, (session, f"{program}-{session}")))):
            return replace(about, outcome="paused")
        if not source:
            return replace(about, cause="it was deleted before it was read")
        seen = Seen()
        try:
            with ExitStack() as stack:
                opened = main if source == main else Stream(stack.enter_context(_open(source)), main.stem)
                files, related = in_order([opened, *sub_agents(main)], self.limit)
                for each_source, each in _entries(files, self.limit):
                    await self._add(each, seen, program, session, cwd, related=each_source in related)
        except (FlywheelError, OSError) as exc:
            passes = isinstance(exc, Unavailable | OSError)
            return replace(about, outcome="refused", cause=plainly(exc), again=passes, sessions=seen.sessions)
        return replace(
            about,
            outcome=seen.outcome,
            sessions=seen.sessions,
            turns=seen.turns,
            revision=seen.revision,
            cause="; ".join(dict.fromkeys(seen.bad[:3])),
            version=seen.version,
            left_out=seen.left_out,
        )

    async def _add(
        self, each: Imported | BadEntry, seen: Seen, program: str, session: str, cwd: str, *, related: bool
    ) -> None:
        """Add an entry.

        Raises:
            Unavailable: neither Redis nor the journal takes it now.

        """
        if isinstance(each, BadEntry):
            seen.left_out += 1
            if not each.is_message:
                seen.bad.append(f"line {each.line:,} {each.reason}")
            return
        if program == "opencode" and session and not each.session_id.endswith(session):
            return
        talk = on_the_record(self.place, each, cwd)
        if talk is None:
            seen.paused += 1
            return
        try:
            added = await self.importer.add(talk, related=related)
        except Unavailable:
            raise
        except InvalidArgument as exc:
            seen.bad.append(str(exc))
            return
        if added.outcome == "deleted":
            seen.deleted += 1
            return
        await self._note(talk, seen, new=added.outcome in ("new", "more"))

    async def _note(self, talk: Imported, seen: Seen, *, new: bool) -> None:
        seen.new |= new
        seen.sessions.append(talk.session_id)
        version = talk.context.get("program_version")
        seen.version = seen.version or (version if isinstance(version, str) else "")
        if len(seen.sessions) == 1:
            document, _ = await self.sessions.load(talk.session_id)
            if isinstance(document, Document):
                seen.turns, seen.revision = len(document.session.history), document.revision


def sub_agents(transcript: Path) -> Iterator[Path]:
    """The transcripts of its sub-agents: Claude Code's, Gemini CLI's and Qwen Code's lie in folders of its name."""
    for folder in (
        transcript.with_suffix("") / "subagents",
        transcript.with_suffix(""),
        transcript.parents[1] / "subagents" / transcript.stem if len(transcript.parents) > 1 else transcript / "-",
    ):
        yield from sorted(each for each in folder.glob("*.jsonl") if each.is_file() and not each.is_symlink())


def _entries(files: list[Source], limit: int) -> Iterator[tuple[Source, Imported | BadEntry]]:
    for source in files:
        for each in read(source, limit=limit):
            yield source, each


def _source(path: Path, second: str) -> Path | None:
    """What is read: the transcript, or its second name, which is left if it has vanished."""
    return path if path.exists() else Path(second) if second else None


def _open(path: Path) -> BufferedReader:
    return path.open("rb")


def _as_it_is(outcome: Outcome, path: Path | None) -> Outcome:
    """The outcome with the size and the time of the file, if it is there."""
    if path is None or not path.exists():
        return outcome
    status = path.stat()
    return replace(outcome, size=status.st_size, mtime_ns=status.st_mtime_ns)
