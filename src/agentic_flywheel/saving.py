"""What one save does to a session: append or replace, revision, expiry, size, and how lists show the outcome."""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import Field, TypeAdapter

from agentic_flywheel.backends.base import BackendType, FlowStatus, UniversalSession
from agentic_flywheel.change import BaseChange, Step, expired
from agentic_flywheel.codec import Document, Operation, decode, encode, iso, micros
from agentic_flywheel.errors import Conflict, TooLarge
from agentic_flywheel.jsontext import JSONObject, canonical, dumps
from agentic_flywheel.keyvalue import Entry, Write
from agentic_flywheel.merge import View, new_turns
from agentic_flywheel.settings import MAX_TTL_SECONDS

TITLE_SHOWN, SUMMARY_SHOWN = 200, 1000
"""Characters of them that lists show: a page of a thousand rows must stay readable."""

KEPT_OPERATIONS = 32
"""Operation ids kept in a document: enough for every retry in flight, small beside a conversation."""

PENDING_OPERATIONS = 4096
"""Operation ids kept in a document here while its changes are pending. Sent whole, it must name each of them, since
another process of this machine may be sending them one by one."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A save's answer. `turns` is the total."""

    revision: int
    turns: int
    added: int
    kept_until: datetime | None
    history: list[JSONObject]


class SessionChange(BaseChange):
    """A save. Absent means unchanged; `values` are `UniversalSession` fields in their JSON form."""

    kind: Literal["session"] = "session"
    session_id: str
    index: str
    mode: Literal["append", "replace"] = "append"
    turns: list[JSONObject] | None = None
    context: JSONObject | None = None
    values: JSONObject = Field(default_factory=JSONObject)
    title: str = ""
    summary: str = ""
    tags: list[str] | None = None
    ttl_seconds: int | None = None
    default_ttl_seconds: int
    default_user: str = ""
    max_bytes: int
    expected_revision: int | None = None
    replaces: int | None = None
    """The revision that a pending replace replaced here; another one there is a conflict."""
    session_only: bool = False
    """A replace keeps title, summary and tags: the caller knows only the fields of `UniversalSession`."""
    kept_operations: int = KEPT_OPERATIONS
    exact: bool = False
    """The turns were already compared with the history: add them all."""
    views: tuple[View, ...] | None = None

    def apply(self, base: str | None, now: datetime) -> Step[Saved]:
        """Merge into what is stored, or begin a session."""
        current = decode(base, self.session_id) if base is not None else None
        alive = current if isinstance(current, Document) and not expired(current.kept_until, now) else None
        revision = current.revision if current else 0
        if alive and (done := next((o for o in alive.operations if o.id == self.operation), None)):
            saved = Saved(done.revision, done.turns, done.added, alive.kept_until, alive.session.history)
            return Step(None, saved, self)
        if self.session_only and self.replaces not in (None, revision):
            # A library's replace that lost while it was pending is merged: it must overwrite nobody, nor get lost.
            return self.model_copy(update={"mode": "append", "replaces": None}).apply(base, now)
        expected = self.expected_revision if self.expected_revision is not None else self.replaces
        if expected is not None and expected != (alive.revision if alive else 0):
            text = f"Somebody saved in between: the current revision is {revision}."
            raise Conflict(text if alive else "There is no such session now: it was deleted or has expired.", revision)

        added = self._added(alive)
        document = self._merged(alive, added, now)
        unchanged = (
            alive is not None and replace(document, saved_at=alive.saved_at, kept_until=alive.kept_until) == alive
        )
        session = document.session
        if not unchanged:
            revision += 1
            session = session if "updated_at" in self.values else replace(session, updated_at=now)
        done = Operation(self.operation, revision, len(session.history), len(added))
        operations = (*document.operations, done)[-self.kept_operations :]
        document = replace(document, session=session, revision=revision, operations=operations)
        text = encode(document)
        if (size := len(text.encode())) > self.max_bytes:
            raise TooLarge(
                f"The session would have {size:,} bytes; the limit is {self.max_bytes:,} (FLYWHEEL_MAX_SESSION_BYTES). "
                "What was stored stays as it is. Go on in a new session, or keep a summary with mode='replace'."
            )
        write = Write(self.key, text, base, document.kept_until, entry=entry(self.index, document))
        saved = Saved(
            revision, len(document.session.history), len(added), document.kept_until, document.session.history
        )
        pending = self.model_copy(
            update={
                "turns": added if self.mode == "append" else self.turns,
                "exact": self.mode == "append" and (alive is not None or self.exact),
                "views": self.views if self.mode == "replace" else None,
                "expected_revision": None,
                "kept_operations": KEPT_OPERATIONS,
                "replaces": (alive.revision if alive else None) if self.mode == "replace" else None,
            }
        )
        return Step(write, saved, pending)

    def _added(self, alive: Document | None) -> list[JSONObject]:
        sent = self.turns or []
        if self.mode == "replace" or alive is None or self.expected_revision is not None:
            return sent
        return new_turns(alive.session.history, sent, () if self.exact else self.views)

    def _merged(self, alive: Document | None, added: list[JSONObject], now: datetime) -> Document:
        """The stored session with this change in it; revision and operations still the old ones."""
        kept = alive if self.mode == "append" else None
        labelled = alive if self.session_only else kept
        created_at = alive.session.created_at if alive else now
        ttl = self.ttl_seconds if self.ttl_seconds is not None else life(alive) if alive else None
        ttl = self.default_ttl_seconds if ttl is None else ttl
        base = kept.session if kept else UniversalSession(
            id=self.session_id,
            backend=BackendType.CUSTOM,
            created_at=created_at,
            updated_at=alive.session.updated_at if alive else now,
            user_id=self.default_user or None,
        )  # fmt: skip
        session = replace(
            base,
            **_session_values(self.values, absent=(None, "") if kept else ()),
            context={**base.context, **(self.context or {})},
            history=[*base.history, *added],
        )
        tags = tuple(self.tags) if self.tags is not None else labelled.tags if labelled else ()
        return Document(
            session=session,
            revision=alive.revision if alive else 0,
            saved_at=now,
            kept_until=now + timedelta(seconds=ttl) if ttl else None,
            ttl_seconds=ttl,
            title=self.title or (labelled.title if labelled else ""),
            summary=self.summary or (labelled.summary if labelled else ""),
            tags=tags,
            operations=alive.operations if alive else (),
            extra=alive.extra if alive else {},
        )


_SESSION_VALUES: dict[str, TypeAdapter[Any]] = {
    "backend": TypeAdapter(BackendType),
    "status": TypeAdapter(FlowStatus),
    "created_at": TypeAdapter(datetime),
    "updated_at": TypeAdapter(datetime),
    "expires_at": TypeAdapter(datetime | None),
}


def _session_values(values: JSONObject, absent: tuple[object, ...]) -> JSONObject:
    """The values as the dataclass has them, without those that mean: leave it as it is."""
    return {
        name: _SESSION_VALUES[name].validate_python(value) if name in _SESSION_VALUES else value
        for name, value in values.items()
        if value not in absent
    }


class Renewal(BaseChange):
    """Start a session's clock again because it was resumed: no new revision, no new place in the list."""

    kind: Literal["renewal"] = "renewal"
    session_id: str
    index: str

    def apply(self, base: str | None, now: datetime) -> Step[None]:
        """Move the expiry of a session that is alive and has one."""
        document = decode(base, self.session_id) if base is not None else None
        seconds = life(document) if isinstance(document, Document) else None
        if not isinstance(document, Document) or not seconds or expired(document.kept_until, now):
            return Step(None, None, self)
        document = replace(document, kept_until=now + timedelta(seconds=seconds))
        write = Write(self.key, encode(document), base, document.kept_until, entry=entry(self.index, document))
        return Step(write, None, self)


def life(document: Document) -> int | None:
    """The stored time to live in seconds; `None` for none, or one that is beyond reason."""
    ttl = document.ttl_seconds
    return ttl if ttl is not None and 0 <= ttl <= MAX_TTL_SECONDS else None


def retry_id(*parts: object) -> str:
    """The operation id that the same save has each time it is sent."""
    return "same:" + hashlib.blake2b(canonical(parts).encode(), digest_size=16).hexdigest()


def shorten(text: str, limit: int) -> str:
    """The text, or its beginning with an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def entry(index: str, document: Document) -> Entry:
    """How lists show a session."""
    session = document.session
    note = dumps({
        "id": session.id,
        "title": shorten(document.title, TITLE_SHOWN),
        "summary": shorten(document.summary, SUMMARY_SHOWN),
        "tags": list(document.tags),
        "status": session.status.value,
        "user_id": session.user_id,
        "turns": len(session.history),
        "revision": document.revision,
        "created_at": iso(session.created_at),
        "updated_at": iso(document.saved_at),
        "expires_at": iso(document.kept_until),
    })  # fmt: skip
    return Entry(index, session.id, micros(document.saved_at), note)
