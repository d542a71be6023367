"""Makes the errors that refuse a save, each with what is stored instead."""

from agentic_flywheel.documents.model import Document, Tombstone
from agentic_flywheel.documents.revisions import turns_in
from agentic_flywheel.errors import Conflict, DeletedMeanwhile, NothingToSave, TooLarge
from agentic_flywheel.json_text import JSONObject, size_of


def deleted_meanwhile(current: Document | Tombstone, based_on: int) -> DeletedMeanwhile | None:
    """The refusal of a save that is based on a revision which was deleted; `None` for another save."""
    if isinstance(current, Document):
        deleted_revision, is_deleted = current.began - 1, based_on < current.began
    else:
        deleted_revision = current.revision
        is_deleted = current.because == "deleted" and based_on <= current.revision
    text = "The session was deleted while this save was under way, or before it; the deletion stands."
    return DeletedMeanwhile(text, current.revision, deleted_revision) if is_deleted else None


def conflict(alive: Document | None, current: Document | Tombstone | None, expected_revision: int) -> Conflict:
    """The refusal of a save that expected another revision than the current one."""
    if not alive:
        gone = "There is no such session now: it was deleted or has expired."
        return Conflict(gone if current else "There is no such session.", current.revision if current else 0)
    text = f"Somebody saved in between: the current revision is {alive.revision}."
    if expected_revision == alive.revision:
        text = f"The store was set back since; revision {alive.revision} is another one now. Resume it first."
    if expected_revision > alive.revision:
        text = f"There is no revision {expected_revision}: the current one is {alive.revision}."
    return Conflict(text, alive.revision, turns_in(alive), alive.kept_until)


def nothing_to_begin_with() -> NothingToSave:
    """The refusal of a save that has nothing in it, where there is no session that it could renew."""
    return NothingToSave(
        'nothing was sent to begin a session with. Send history, e.g. [{"role": "user", "content": "…"}], or a title, '
        "summary, tags or context."
    )


def check_owner(alive: Document | None, values: JSONObject) -> None:
    """Raise `Conflict` for a save that names another user than the one whose session it is."""
    named, owner = values.get("user_id"), alive.session.user_id if alive else None
    if named and owner and named != owner:
        raise Conflict(
            "The session belongs to another user_id, which its first save set. Save under another session_id."
        )


def too_large(text: str, max_bytes: int, alive: Document | None) -> TooLarge:
    """The refusal of a save that would make the document as long as this text."""
    message = (
        f"The session would have {size_of(text):,} bytes; the limit is {max_bytes:,} (FLYWHEEL_MAX_SESSION_BYTES). "
        "What was stored stays as it is. Go on in a new session, or keep a summary with mode='replace'."
    )
    return TooLarge(message, alive.revision, turns_in(alive), alive.kept_until) if alive else TooLarge(message)
