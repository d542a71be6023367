"""Tells what of an execution, a flow history or a log was kept after the session that it belongs to was deleted.

An execution says when it was kept, or at least when it was written; a history says that of each of its executions.
"""

from datetime import datetime, timedelta

from agentic_flywheel.documents.codec import listed
from agentic_flywheel.documents.flow_document import Placed, Stored, outline, outline_of, put_together, whole
from agentic_flywheel.documents.model import Document, Operation, Tombstone, instant_of
from agentic_flywheel.documents.parse import load
from agentic_flywheel.documents.write_ids import kept
from agentic_flywheel.documents.writes import ends_of
from agentic_flywheel.json_text import JSONObject, dumps

BEGUN_AFTER = '"begun_after":'
"""What the text of a session has that was begun anew: no turn can have it, where quotes are escaped."""

TOLD_FOR = timedelta(days=60)
"""How long it is told when a session was begun anew that the life before it was ended."""


def kept_since(text: str, ended_at: datetime, operation: str) -> str | None:
    """What of a text was kept after that: all of it, as it is; less, as a write of this name; or nothing.

    Raises:
        DocumentError: it cannot be read.

    """
    there = outline(ends_of(text))
    if there is None and "executions" not in (data := load(text, "the document")):
        kept_at = instant_of(data.get("cached_at")) or instant_of(data.get("saved_at"))
        return text if kept_at and kept_at > ended_at else None
    if there and there.saved_at and there.saved_at <= ended_at:
        return None
    stored = whole(text)
    stay = [each for each in stored.executions if not was_kept_before(each[0], ended_at)]
    if len(stay) == len(stored.executions):
        return text if stay else None
    return _shortened(stored, stay, ended_at, operation) if stay else None


def raised_to(text: str, revision: int) -> str:
    """The same as this revision: one that a tombstone does not stand for.

    Raises:
        DocumentError: it cannot be read.

    """
    if outline(ends_of(text)) is None:
        return dumps({**load(text, "the document"), "revision": revision})
    stored = whole(text)
    there = stored.outline.model_copy(update={"revision": revision})
    return put_together(stored, stored.executions, *there.around())[0]


def was_kept_before(execution: JSONObject, ended_at: datetime | None) -> bool:
    """Whether an execution of a history says that it was kept by then."""
    kept_at = instant_of(execution.get("cached_at"))
    return ended_at is not None and kept_at is not None and kept_at <= ended_at


def life_before(document: Document, now: datetime) -> Tombstone | None:
    """The tombstone of the life before this one, where a session was deleted and begun anew, and says when."""
    writes = tuple(write for write in document.operations if 0 < write.revision < document.began)
    if document.begun_after is None or (document.began > 1 and not writes):
        return None  # without its writes it would stand for what others began, who knew nothing of the deletion
    return Tombstone(document.session.id, document.began - 1, document.begun_after, now + TOLD_FOR, "deleted", writes)


def _shortened(stored: Stored, stay: list[Placed], ended_at: datetime, operation: str) -> str:
    before = outline_of(stored.outline, stay)
    revision = before.revision + 1
    # Another segment may follow a log's: nothing may be added to one that was full, whatever its size is now.
    is_log = "full_bytes" in (before.model_extra or {})
    after = before.model_copy(
        update={
            "revision": revision,
            "count": len(stay),
            "begun_after": max(ended_at, before.begun_after or ended_at),
            **({"full_bytes": 0} if is_log else {}),
            "operations": listed(kept((*before.writes, Operation(operation, revision, 0, 0)))),
        }
    )
    return put_together(stored, stay, *after.around())[0]
