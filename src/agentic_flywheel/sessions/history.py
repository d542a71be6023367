"""Lists, restores and forks the revisions of a session."""

from dataclasses import replace

from agentic_flywheel.documents.model import Document, Tombstone
from agentic_flywheel.documents.renewal import ttl_of
from agentic_flywheel.documents.revisions import RESTORED, listed, values_of, was_replaced_since
from agentic_flywheel.documents.save_request import Save
from agentic_flywheel.errors import DocumentError, Reason, Unavailable
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.keys import check_id, refuse_hidden
from agentic_flywheel.replication.answers import Found
from agentic_flywheel.sessions.caller_view import CallerViews
from agentic_flywheel.sessions.results import ForkResult, RestoreResult, RevisionsResult, reason_of
from agentic_flywheel.sessions.store import SessionStore


class RevisionHistory:
    """The revisions of the sessions in a store. Storage that is down is an answer, never an exception."""

    def __init__(self, sessions: SessionStore) -> None:
        self._sessions = sessions

    async def list_revisions(self, session_id: str) -> RevisionsResult:
        """The revisions that can be restored, newest first, the current one among them."""
        try:
            document, found = await self._sessions.load(session_id)
            rows = listed(document) if isinstance(document, Document) else []
            rows = [row for row in rows if await self._is_kept(session_id, row["revision"], document, found)]
        except (DocumentError, Unavailable) as exc:
            return RevisionsResult(found=False, revisions=[], reason=reason_of(exc), message=str(exc))
        if not isinstance(document, Document):
            reason = document.because if document else "not_found"
            return RevisionsResult(found=False, revisions=[], reason=reason)
        return RevisionsResult(found=True, revisions=rows)

    async def restore(self, memory: CallerViews, session_id: str, revision: int) -> RestoreResult:
        """Make an earlier revision the current one again, as a revision of its own."""
        found = await self._revision(session_id, revision)
        if not isinstance(found, Document):
            reason, message = found
            return RestoreResult(restored=False, session_id=session_id, reason=reason, message=message)
        title = await self._title_since(session_id, revision) or found.title
        saved = await self._sessions.save(
            Save(
                session_id=session_id,
                mode="replace",
                note=f"{RESTORED} {revision}",
                **save_fields(replace(found, title=title)),
            ),
            memory,
        )
        memory.forget(session_id)  # the turns that it saw last are not the stored ones any more
        return RestoreResult(
            restored=saved.saved, session_id=session_id, revision=saved.revision, reason=saved.reason,
            message=saved.message or (f"Its title stays {title!r}." if title != found.title else ""),
        )  # fmt: skip

    async def _title_since(self, session_id: str, revision: int) -> str:
        """The title that it has now, where no replace took an earlier one away: a restore is of what was said."""
        try:
            current, _ = await self._sessions.load(session_id)
        except (DocumentError, Unavailable):
            return ""
        if not isinstance(current, Document) or was_replaced_since(current, revision):
            return ""
        return current.title

    async def fork(
        self,
        memory: CallerViews,
        session_id: str,
        revision: int | None = None,
        new_session_id: str = "",
        *,
        parent: str = "",
    ) -> ForkResult:
        """Begin another session with what this one was at a revision; it records its origin.

        `parent`: the session that it belongs to instead, where it is a sub-agent's.
        """
        if new_session_id:
            refuse_hidden(check_id(new_session_id, "new_session_id"), "new_session_id")
        found = await self._revision(session_id, revision)
        if not isinstance(found, Document):
            reason, message = found
            return ForkResult(forked=False, session_id=new_session_id, reason=reason, message=message)
        origin = {"session_id": session_id, "revision": found.revision}
        fields = save_fields(found, forked_from=origin)
        if parent:
            fields["context"] = fields["context"] | {"parent_session": parent}
        saved = await self._sessions.save(
            Save(
                session_id=new_session_id,
                expected_revision=0,
                note=f"forked from {session_id} at revision {found.revision}",
                **fields,
            ),
            memory,
        )
        if saved.reason == "conflict":
            saved.message = f"There is a session {new_session_id!r} already; choose another new_session_id."
        return ForkResult(
            forked=saved.saved, session_id=saved.session_id, forked_from=origin, revision=saved.revision,
            reason=saved.reason, message=saved.message,
        )  # fmt: skip

    async def _is_kept(
        self, session_id: str, revision: int, document: Document | Tombstone | None, found: Found
    ) -> bool:
        """Whether a revision that a document names is still kept: one kept whole may have been lost since."""
        try:
            older, _ = await self._sessions.older(session_id, revision, document, found)
        except DocumentError:
            return False
        except Unavailable:
            return True  # it may well be
        return older is not None

    async def _revision(self, session_id: str, revision: int | None) -> Document | tuple[Reason, str]:
        """A revision (`None`: the current one) of a stored session, or why there is none."""
        try:
            current, found = await self._sessions.load(session_id)
            if not isinstance(current, Document):
                return (current.because if current else "not_found"), ""
            if revision is None or revision == current.revision:
                return current
            older, _ = await self._sessions.older(session_id, revision, current, found)
        except (DocumentError, Unavailable) as exc:
            return reason_of(exc), str(exc)
        if older:
            return older
        return "not_found", f"revision {revision} is not kept; see list_revisions."


def save_fields(document: Document, **more: JSONObject) -> JSONObject:
    """The fields of a save that makes a session what this document is, with `more` fields of the document."""
    session = document.session
    return {
        "history": session.history,
        "context": session.context,
        "title": document.title,
        "summary": document.summary,
        "tags": list(document.tags),
        "values": values_of(document),
        "ttl_seconds": ttl_of(document),
        "extra": document.extra | more,
    }
