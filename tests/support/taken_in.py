"""One run over one file, as import and capture make it, and what it came to in an object that tests compare."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from agentic_flywheel.cli.added import Added
from agentic_flywheel.cli.growing import Entry, Growing, Known
from agentic_flywheel.cli.importers.conversation import Imported
from agentic_flywheel.cli.importers.json_entries import BadEntry
from agentic_flywheel.cli.reading_marks import Mark
from agentic_flywheel.errors import FlywheelError
from agentic_flywheel.sessions.store import SessionStore
from agentic_flywheel.settings import Settings


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run made of one file: `turns` more (or others) at `revision` | nothing new | refused, and the `cause`.

    `session_id` is the first that it became; `version` the program's, as the file has it. `stored_in`: "redis" or
    "journal". `left_out`: entries that could not be read, of a talk that came in. `bytes_read`: of the file.
    """

    what: Literal["taken in", "nothing new", "refused"]
    program: str = ""
    session_id: str = ""
    turns: int = 0
    revision: int = 0
    stored_in: str = ""
    cause: str = ""
    version: str = ""
    left_out: int = 0
    bytes_read: int = 0

    def __str__(self) -> str:
        """One line of it, as it is noted."""
        if self.what == "taken in":
            turns = f"{self.turns:,} turn{'' if self.turns == 1 else 's'}" if self.turns else "another title or summary"
            return f"{turns} at revision {self.revision:,}"
        if self.what == "nothing new":
            return self.what
        version = f" (format {self.program} {self.version})" if self.version else ""
        return f"refused: {self.cause.rstrip('.')}{version}"


async def take_in(sessions: SessionStore, settings: Settings, path: Path, *, program: str = "") -> Outcome:
    """Take what is new of a transcript into the store, which is open. Any trouble with either is an outcome.

    Two processes may take in one file at once: nothing comes in twice.

    Args:
        sessions: where it goes. Redis is waited for as long as the store waits.
        settings: those of the store.
        path: the file; what it is, is seen by its first entries.
        program: what the outcome calls the program where that cannot be seen.

    """
    growing = Growing(sessions, settings)
    made = Outcome("nothing new", program)
    try:
        look = await growing.marks.look(path)
        if look.is_now == "unchanged" and look.mark:
            return replace(made, program=look.mark.kind, session_id=_first(look.mark), version=look.mark.version)
        async for each, added in growing.read(path, look):
            made = _with(made, each, added)
        made = replace(made, bytes_read=growing.bytes_read)
        if mark := growing.mark:
            made = replace(
                made,
                program=mark.kind,
                version=mark.version,
                session_id=made.session_id or _first(mark),
            )
            await growing.note(path)
    except OSError as exc:
        return replace(made, what="refused", cause=f"it cannot be read: {exc.strerror or 'input/output error'}")
    except FlywheelError as exc:
        return replace(made, what="refused", cause=str(exc))
    return made


def _with(made: Outcome, each: Entry | Known, added: Added) -> Outcome:
    """The outcome with that of one more entry."""
    if isinstance(each, BadEntry) and (each.is_message or each.is_unfinished):
        return replace(made, left_out=made.left_out + (not each.is_unfinished))
    if added.outcome in ("bad", "deleted"):
        return replace(made, what="refused", cause=made.cause or added.message)
    made = replace(
        made,
        session_id=made.session_id or (each.session_id if isinstance(each, Imported) else ""),
        revision=added.revision or made.revision,
        turns=made.turns + added.turns,
        stored_in=added.stored_in or made.stored_in,
    )
    return replace(made, what="taken in") if added.outcome in ("new", "more") and made.what != "refused" else made


def _first(mark: Mark) -> str:
    return next(iter(mark.sessions), "")
