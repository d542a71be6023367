"""Renews the life of a session that was resumed: no new revision, no new place in the list."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

from agentic_flywheel.documents.codec import encode
from agentic_flywheel.documents.command import Command, Step
from agentic_flywheel.documents.incremental import DOCUMENT_CACHE, append_text
from agentic_flywheel.documents.list_row import list_row
from agentic_flywheel.documents.model import Document, expired
from agentic_flywheel.documents.revisions import kept_whole
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.settings import MAX_TTL_SECONDS


class RenewCommand(Command[None]):
    """Start a session's clock again because it was resumed: no new revision, no new place in the list."""

    kind: Literal["renewal"] = "renewal"
    session_id: str
    index: str
    revisions: str = ""
    """What the keys of older revisions begin with: they live as long."""

    def apply(self, base: str | None, now: datetime, *, alive_remotely: bool = False) -> Step[None]:
        """Move the expiry of a session that is alive and has one."""
        document = DOCUMENT_CACHE.decode(base, self.session_id) if base is not None else None
        seconds = ttl_of(document) if isinstance(document, Document) else None
        if (
            not isinstance(document, Document)
            or not seconds
            or (expired(document.kept_until, now) and not alive_remotely)
        ):
            return Step(None, None, self)
        renewed = replace(document, kept_until=now + timedelta(seconds=seconds))
        more = append_text(base, document, renewed, []) if base else None
        text, splice = more or (encode(renewed), None)
        older = tuple(f"{self.revisions}{number}" for number in kept_whole(renewed)) if self.revisions else ()
        until, listed = renewed.kept_until, list_row(self.index, renewed)
        return Step(Write(self.key, text, base, until, list_row=listed, splice=splice, extend_keys=older), None, self)


def ttl_of(document: Document) -> int | None:
    """The stored time to live in seconds; `None` for none, or one that is beyond reason."""
    ttl = document.ttl_seconds
    return ttl if ttl is not None and 0 <= ttl <= MAX_TTL_SECONDS else None
