"""Reads the lines of an export of this program, each a session as it was, and says whose it is here."""

from dataclasses import dataclass, replace

from agentic_flywheel.cli.importers.conversation import mended, named, named_entry
from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry
from agentic_flywheel.coaia.envelope import Envelopes
from agentic_flywheel.documents.list_row import first_words
from agentic_flywheel.documents.model import Document
from agentic_flywheel.documents.parse import decode
from agentic_flywheel.errors import FlywheelError
from agentic_flywheel.json_text import JSONObject, check_json, dumps
from agentic_flywheel.sessions.history import save_fields


@dataclass(frozen=True, slots=True)
class Ours:
    """A line of our own export."""

    line: int
    document: Document
    halves: int = 0
    told: str = ""
    """What there is to tell of it if it comes in."""

    @property
    def talk(self) -> str:
        """What a report calls it."""
        return named(self.document.title or first_words(self.document.session.history), self.document.session.id)


def own_by(stored: Document, ours: Ours) -> JSONObject:
    """The fields of a session that is here, as those of the user whose the exported one is if it is nobody's."""
    owner = stored.session.user_id or ours.document.session.user_id
    return save_fields(replace(stored, session=replace(stored.session, user_id=owner)))


def ours(entry: JsonEntry, envelopes: Envelopes | None, user: str, *, user_only: bool) -> Ours | BadEntry:
    """A line of our own export as its session; a sealed one is opened.

    One that is nobody's is the `user`'s, as those are that are saved; `user_only`: one that is another's is refused.
    """
    try:
        opened = envelopes.open_line(entry.value) if envelopes else entry.value
    except FlywheelError as exc:
        return BadEntry(entry.line, f"is sealed. {exc}", named_entry(entry, None, str(entry.value.get("id") or "")))
    value, halves = mended(opened)
    own = value.get("id")
    talk = named_entry(entry, value.get("title"), own if isinstance(own, str) else "")
    try:
        check_json(value, "the document")
        document = decode(dumps(value), str(value.get("id") or ""))
    except FlywheelError as exc:
        return BadEntry(entry.line, f"is no session: {exc}", talk)
    if not isinstance(document, Document):
        return BadEntry(entry.line, "is a deleted one", talk)
    session, told = document.session, ""
    if user and not session.user_id:
        document = replace(document, session=replace(session, user_id=user))
    elif user and session.user_id != user:
        if user_only:
            return BadEntry(entry.line, f"is of another user than {user!r} (FLYWHEEL_USER_ONLY)", talk)
        told = f"is of the user {session.user_id!r}, and not in the lists of {user!r} (FLYWHEEL_USER)"
    return Ours(entry.line, document, halves, told)
