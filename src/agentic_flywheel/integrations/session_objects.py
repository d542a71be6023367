"""Saves session objects: one replaces the stored revision that it is, any other one adds what is new in it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agentic_flywheel.backends.base import UniversalSession
from agentic_flywheel.documents.model import Document
from agentic_flywheel.documents.write_ids import told
from agentic_flywheel.errors import DeletedMeanwhile, DocumentError, Unavailable
from agentic_flywheel.integrations.checks import values_of
from agentic_flywheel.integrations.fail_safe import error_of
from agentic_flywheel.integrations.known_objects import KnownObjects

if TYPE_CHECKING:  # imported when a store is opened: a program that only imports this module does not pay for it
    from agentic_flywheel.documents.save_request import Save
    from agentic_flywheel.sessions.store import SessionStore


class SessionObjects:
    """The session objects that one manager has given or taken."""

    def __init__(self) -> None:
        self._known = KnownObjects()

    async def save(
        self,
        store: "SessionStore",
        session: UniversalSession,
        kept: UniversalSession,
        ttl_seconds: int | None,
        default_ttl_seconds: int,
        remove_context: Sequence[str] = (),
    ) -> None:
        """Save an object as what may be `kept` of it: itself, or a copy without credentials.

        `default_ttl_seconds` is the life of a new session where `ttl_seconds` sets none; `remove_context` are keys that
        leave the stored context.

        Raises:
            FlywheelError: it is not kept; `DeletedMeanwhile` if somebody deleted what it had loaded.

        """
        known = self._known.of(session)
        merge = _merging(kept, ttl_seconds, default_ttl_seconds, remove_context)
        revision = known.revision
        exactly = {} if revision is None else {"mode": "replace", "expected_revision": revision}
        as_it_is = merge.model_copy(update=exactly)
        result = await store.save(as_it_is, known.memory)
        merged = revision is None or result.reason == "conflict"
        if revision is not None and merged and result.deleted_revision is None:
            result = await store.save(merge, known.memory)
        if not result.saved:
            known.revision = None
            if result.deleted_revision is None:
                raise error_of(result.reason, result.message)
            self._known.forget(session.id)
            raise DeletedMeanwhile(result.message, result.revision, result.deleted_revision)
        known.revision = result.revision
        if merged and result.revision > 1 and not await _is_all(store, kept):
            known.revision = None  # what others wrote is in it as well, so the next save merges again
        self._known.keep(session, known)

    def loaded(self, document: Document) -> UniversalSession:
        """The object of a stored session, known from now on."""
        session = document.session
        known = self._known.new(session.id)
        known.revision = document.revision
        seen = known.memory.of(session.id)
        seen.resumed(session.history)
        seen.told, seen.newest = told(seen.told, document.operations), document.revision
        self._known.keep(session, known)
        return session

    def forget(self, session_id: str) -> None:
        """The session is gone."""
        self._known.forget(session_id)


def _merging(
    kept: UniversalSession, ttl_seconds: int | None, default_ttl_seconds: int, remove_context: Sequence[str]
) -> "Save":
    from agentic_flywheel.documents.save_request import Save

    return Save(
        session_id=kept.id,
        history=kept.history,
        context=kept.context,
        remove_context=list(remove_context),
        values=values_of(kept),
        ttl_seconds=ttl_seconds,
        default_ttl_seconds=default_ttl_seconds,
        session_only=True,
    )


async def _is_all(store: "SessionStore", session: UniversalSession) -> bool:
    """Whether what is stored is this session and nothing else."""
    try:
        document, _ = await store.load(session.id)
    except (DocumentError, Unavailable):
        return False
    if not isinstance(document, Document):
        return False
    return values_of(document.session) == values_of(session) and (
        (document.session.history, document.session.context) == (session.history, session.context)
    )
