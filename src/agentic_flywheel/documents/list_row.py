"""Makes the row by which lists show a session, and reads its revision."""

from collections.abc import Sequence

from agentic_flywheel.documents.model import Document, iso, micros
from agentic_flywheel.documents.turn_text import asked_in
from agentic_flywheel.documents.writes import ListRow
from agentic_flywheel.errors import Damaged
from agentic_flywheel.json_text import JSONObject, dumps, load_object
from agentic_flywheel.plain_text import ellipsis

TITLE_SHOWN, SUMMARY_SHOWN = 200, 1000
"""Characters of them that lists show: a page of a thousand rows must stay readable."""

FIRST_WORDS = 60
"""Characters of what the user said first that stand for a title where none was given."""

TURNS_LOOKED_AT = 20
"""Turns among which the user's first is looked for: a talk may begin with instructions and tools."""


def first_words(history: Sequence[JSONObject]) -> str:
    """What the user said first, as a title: up to `FIRST_WORDS` characters of whole words; empty if nothing was."""
    for turn in history[:TURNS_LOOKED_AT]:
        if text := " ".join(asked_in(turn)[: 4 * FIRST_WORDS].split()):
            if len(text) <= FIRST_WORDS:
                return text
            return text[:FIRST_WORDS].rpartition(" ")[0] or text[: FIRST_WORDS - 1] + "…"
    return ""


def list_row(index: str, document: Document) -> ListRow:
    """How lists show a session."""
    session = document.session
    parent = session.context.get("parent_session") if session.context.get("relation") == "sub-agent" else None
    note = dumps({
        "id": session.id,
        "title": ellipsis(document.title, TITLE_SHOWN) or first_words(session.history),
        "summary": ellipsis(document.summary, SUMMARY_SHOWN),
        "tags": list(document.tags),
        "status": session.status.value,
        "user_id": session.user_id,
        "turns": len(session.history),
        "revision": document.revision,
        "created_at": iso(session.created_at),
        "updated_at": iso(document.saved_at),
        "expires_at": iso(document.kept_until),
        **({"parent": parent} if isinstance(parent, str) else {}),
    })  # fmt: skip
    saved_at = max(1, micros(document.saved_at))  # a document may have no time; 0 and -1 mean something in an index
    return ListRow(index, session.id, saved_at, note)


def revision_in(note: str) -> int:
    """The revision that a row of a list shows; 0 where it shows none."""
    try:
        revision = load_object(note, "a row of the list").get("revision")
    except Damaged:
        return 0
    return revision if isinstance(revision, int) else 0
