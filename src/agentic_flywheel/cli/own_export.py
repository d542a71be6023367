"""Reads the lines of an export of this program: each is a session as it was."""

from dataclasses import dataclass

from agentic_flywheel.cli.importers.conversation import mended, named, named_entry
from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry
from agentic_flywheel.coaia.envelope import Envelopes
from agentic_flywheel.documents.list_row import first_words
from agentic_flywheel.documents.model import Document
from agentic_flywheel.documents.parse import decode
from agentic_flywheel.errors import FlywheelError
from agentic_flywheel.json_text import check_json, dumps


@dataclass(frozen=True, slots=True)
class Ours:
    """A line of our own export."""

    line: int
    document: Document
    halves: int = 0

    @property
    def talk(self) -> str:
        """What a report calls it."""
        return named(self.document.title or first_words(self.document.session.history), self.document.session.id)


def ours(entry: JsonEntry, envelopes: Envelopes | None = None) -> Ours | BadEntry:
    """A line of our own export as its session; a sealed one is opened."""
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
    if isinstance(document, Document):
        return Ours(entry.line, document, halves)
    return BadEntry(entry.line, "is a deleted one", talk)
