"""Looks for credentials in what is stored: sessions and their older revisions; replaces them where it is wanted."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import NamedTuple

from agentic_flywheel.documents.codec import encode
from agentic_flywheel.documents.model import Document
from agentic_flywheel.documents.revisions import kept_whole
from agentic_flywheel.documents.rewrite import next_revision
from agentic_flywheel.errors import Unavailable
from agentic_flywheel.sessions.redaction.documents import redacted_document
from agentic_flywheel.sessions.redaction.policy import Credentials
from agentic_flywheel.sessions.session_filter import MAX_PAGE, SessionFilter
from agentic_flywheel.sessions.store import SessionStore

NOTE = "credentials replaced"
"""The note of a revision in which they were."""

ATTEMPTS = 3
"""How often a session that somebody saves meanwhile is looked at again."""


class Found(NamedTuple):
    """A credential of that kind is at `path` of a session, in an older `revision` of it or (`None`) in the current one.

    `left`: it is still there.
    """

    session_id: str
    revision: int | None
    path: str
    kind: str
    left: bool = True


class SecretsScan:
    """One look at all that a store has of sessions."""

    def __init__(self, sessions: SessionStore, *, shared: bool) -> None:
        self._sessions = sessions
        self._shared = shared
        self._credentials = Credentials("redact")

    async def session_ids(self) -> list[str]:
        """The sessions there are, of all users.

        Raises:
            Unavailable: not all could be asked for.

        """
        found: dict[str, None] = {}
        cursor: str | None = ""
        while cursor is not None:
            page = await self._sessions.list_sessions(SessionFilter(folds=False), MAX_PAGE, cursor)
            if self._shared and page.scope != "shared":
                raise Unavailable("Redis stopped answering before all sessions were listed.")
            found |= dict.fromkeys(str(row["id"]) for row in page.sessions)
            cursor = page.next_cursor
        return [*found]

    async def look(self, session_id: str, *, redact: bool) -> list[Found]:
        """What is in a session; with `redact` it is replaced, in a new revision and in the older ones.

        Raises:
            DocumentError, Unavailable: it cannot be read or written.

        """
        found: list[Found] = []
        for _ in range(ATTEMPTS):
            document, where = await self._sessions.load(session_id)
            if not isinstance(document, Document) or where.text is None:
                return []
            in_id = self._credentials.in_ids(id=session_id)
            replaced = [each for each in found if not each.left]
            found = [*replaced, *(Found(self._shown(session_id), None, "id", finding.kind) for finding in in_id)]
            done = True
            async for older, text in self._older(document):
                done &= await self._look_at(older, text, document, found, redact=redact)
            done &= await self._look_at(document, where.text, document, found, redact=redact)
            if done:
                break
        return found

    def _shown(self, session_id: str) -> str:
        return self._credentials.redact({"id": session_id})[0]["id"]

    async def _older(self, document: Document) -> AsyncIterator[tuple[Document, str]]:
        for revision in kept_whole(document):
            older, where = await self._sessions.kept_whole(document.session.id, revision)
            if older and where.text is not None:
                yield older, where.text

    async def _look_at(
        self, document: Document, text: str, current: Document, found: list[Found], *, redact: bool
    ) -> bool:
        """Note what is in a document, replaced where it is wanted; whether nobody wrote it meanwhile."""
        is_older = document is not current
        clean, findings = redacted_document(self._credentials, document)
        done = True
        if findings and redact:
            if is_older:  # its key lives as long as the session, whatever its text said
                clean = replace(clean, kept_until=current.kept_until)
            else:
                clean = next_revision(document, clean, NOTE, self._sessions.kept_revisions)
            done = await self._sessions.rewrite(encode(clean), clean, text, older=is_older) != "changed"
        session_id, revision = self._shown(document.session.id), document.revision if is_older else None
        found += [Found(session_id, revision, each.path, each.kind, not (redact and done)) for each in findings]
        return done
