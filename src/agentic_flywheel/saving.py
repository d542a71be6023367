"""What one save does to a session: append or replace, revision, expiry, size, and how lists show the outcome."""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, Self

from pydantic import Field, TypeAdapter

from agentic_flywheel.backends.base import BackendType, FlowStatus, UniversalSession
from agentic_flywheel.change import BaseChange, Step, expired
from agentic_flywheel.codec import Document, Operation, Tombstone, decode, encode, iso, micros
from agentic_flywheel.errors import Conflict, Damaged, DeletedMeanwhile, TooLarge
from agentic_flywheel.jsontext import JSONObject, canonical, dumps
from agentic_flywheel.keyvalue import Entry, Write, revision_at_head
from agentic_flywheel.merge import View, new_turns
from agentic_flywheel.operations import LOST, find, kept
from agentic_flywheel.settings import MAX_TTL_SECONDS

TITLE_SHOWN, SUMMARY_SHOWN = 200, 1000
"""Characters of them that lists show: a page of a thousand rows must stay readable."""


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
    """The revision that a pending replace replaced here; where there is another by now, the replace came too late."""
    retry: str = ""
    """What the same save has in common each time a client sends it; empty where sending it again adds again."""
    based_on: int = 0
    """The highest revision that its writer had seen in the shared store; 0 for none, or none but a deleted one."""
    revisions: str = ""
    """What the keys of older revisions begin with."""
    session_only: bool = False
    """A replace keeps title, summary and tags: the caller knows only the fields of `UniversalSession`."""
    exact: bool = False
    """The turns were already compared with the history: add them all."""
    views: tuple[View, ...] | None = None

    def knowing(self, copy: Write | None, now: datetime) -> Self:
        """The save, based on what this machine has seen of the session as well."""
        if copy is None or copy.tombstone or expired(copy.kept_until, now):
            return self
        return self.model_copy(update={"based_on": max(self.based_on, revision_at_head(copy.text))})

    def apply(self, base: str | None, now: datetime, *, held: bool = False) -> Step[Saved]:
        """Merge into what is stored, or begin a session."""
        current = decode(base, self.session_id) if base is not None else None
        alive = current if isinstance(current, Document) and (held or not expired(current.kept_until, now)) else None
        if isinstance(current, Tombstone) and (done := find(current.operations, self.operation, self.retry)):
            return Step(None, Saved(done.revision, done.turns, done.added, None, []), self)  # deleted since
        if alive and (done := find(alive.operations, self.operation, self.retry)):
            saved = Saved(done.revision, done.turns, done.added, alive.kept_until, alive.session.history)
            loser = None
            if done.id.endswith(LOST):  # it may not have been kept as an older revision yet
                loser = self._as_older(self._merged(alive, self.turns or [], now), done.revision - 1)
            return Step(None, saved, self, loser=loser)
        if self.based_on and current and self._is_based_on_what_was_deleted(current):
            text = "The session was deleted while this save was under way, or before it; the deletion stands."
            buried = current.began - 1 if isinstance(current, Document) else current.revision
            raise DeletedMeanwhile(text, current.revision, buried)
        if alive and self.replaces not in (None, alive.revision):
            if not self.session_only:
                return self._too_late(alive, base, now)
            # A library's replace that lost while it was pending is merged: it must overwrite nobody, nor get lost.
            return self.model_copy(update={"mode": "append", "replaces": None}).apply(base, now, held=held)
        revision = current.revision if current else 0
        if self.expected_revision is not None and self.expected_revision != (alive.revision if alive else 0):
            text = f"Somebody saved in between: the current revision is {revision}."
            raise Conflict(text if alive else "There is no such session now: it was deleted or has expired.", revision)

        added = self._added(alive)
        document = self._merged(alive, added, now)
        if current and not alive:  # what was sent to the life before must not be taken for new in this one
            document = replace(document, operations=current.operations)
        unchanged = (
            alive is not None and replace(document, saved_at=alive.saved_at, kept_until=alive.kept_until) == alive
        )
        session = document.session
        if not unchanged:
            revision += 1
            session = session if "updated_at" in self.values else replace(session, updated_at=now)
        name = f"{self.operation}~{self.retry}" if self.retry else self.operation
        done = Operation(name, revision, len(session.history), len(added))
        document = replace(
            document,
            session=session,
            revision=revision,
            began=_began(current, revision),
            operations=kept((*document.operations, done)),
        )
        text = encode(document)
        if (size := len(text.encode())) > self.max_bytes:
            raise TooLarge(
                f"The session would have {size:,} bytes; the limit is {self.max_bytes:,} (FLYWHEEL_MAX_SESSION_BYTES). "
                "What was stored stays as it is. Go on in a new session, or keep a summary with mode='replace'."
            )
        write = Write(self.key, text, base, document.kept_until, entry=entry(self.index, document))
        saved = Saved(revision, len(session.history), len(added), document.kept_until, session.history)
        pending = self.model_copy(
            update={
                "turns": added if self.mode == "append" else self.turns,
                "exact": self.mode == "append" and (alive is not None or self.exact),
                "views": self.views if self.mode == "replace" else None,
                "expected_revision": None,
                "replaces": (alive.revision if alive else None) if self.mode == "replace" else None,
            }
        )
        replaced = None
        if alive and self.mode == "replace" and not unchanged and self._takes_away(alive):
            replaced = self._as_older(replace(alive, kept_until=document.kept_until), alive.revision)
        return Step(write, saved, pending, replaced=replaced)

    def _is_based_on_what_was_deleted(self, current: Document | Tombstone) -> bool:
        if isinstance(current, Document):
            return self.based_on < current.began
        return current.because == "deleted" and self.based_on <= current.revision

    def _takes_away(self, alive: Document) -> bool:
        """Whether this replace removes something that its writer may want back."""
        return not self.session_only or (self.turns or [])[: len(alive.session.history)] != alive.session.history

    def _too_late(self, alive: Document, base: str | None, now: datetime) -> Step[Saved]:
        """Somebody saved since: what is there stays, as one revision more, above the older one that this becomes."""
        history = alive.session.history
        done = Operation(self.operation + LOST, alive.revision + 2, len(history), 0)
        document = replace(alive, revision=alive.revision + 2, operations=kept((*alive.operations, done)))
        write = Write(self.key, encode(document), base, document.kept_until, entry=entry(self.index, document))
        loser = self._as_older(self._merged(alive, self.turns or [], now), alive.revision + 1)
        return Step(write, Saved(document.revision, len(history), 0, document.kept_until, history), self, loser=loser)

    def _as_older(self, document: Document, revision: int) -> Write | None:
        if not self.revisions:
            return None
        return as_older(self.revisions, replace(document, revision=revision))

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


def _began(current: Document | Tombstone | None, revision: int) -> int:
    """With which revision the life began that this save goes on with, or begins."""
    if isinstance(current, Document):
        return current.began
    return revision if current and current.because == "deleted" else 1


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

    def apply(self, base: str | None, now: datetime, *, held: bool = False) -> Step[None]:
        """Move the expiry of a session that is alive and has one."""
        document = decode(base, self.session_id) if base is not None else None
        seconds = life(document) if isinstance(document, Document) else None
        if not isinstance(document, Document) or not seconds or (expired(document.kept_until, now) and not held):
            return Step(None, None, self)
        document = replace(document, kept_until=now + timedelta(seconds=seconds))
        write = Write(self.key, encode(document), base, document.kept_until, entry=entry(self.index, document))
        return Step(write, None, self)


def as_older(revisions: str, document: Document) -> Write:
    """The document as an older revision, kept under a key of its own for as long as the session."""
    return Write(f"{revisions}{document.revision}", encode(document), None, document.kept_until)


def recoverable(change: SessionChange, base: str | None, revision: int, now: datetime) -> Write:
    """What the save comes to on top of `base`, as an older revision: for one whose session was deleted meanwhile.

    Raises:
        DocumentError: it cannot be applied to that.

    """
    alone = change.model_copy(update={"based_on": 0, "expected_revision": None, "replaces": None})
    step = alone.apply(base, now, held=True)
    document = decode(step.write.text if step.write else base or "", change.session_id)
    if not isinstance(document, Document):
        raise Damaged("A save came to no session.")
    return as_older(change.revisions, replace(document, revision=revision))


def life(document: Document) -> int | None:
    """The stored time to live in seconds; `None` for none, or one that is beyond reason."""
    ttl = document.ttl_seconds
    return ttl if ttl is not None and 0 <= ttl <= MAX_TTL_SECONDS else None


def retry_id(*parts: object) -> str:
    """What the same save has in common each time it is sent."""
    return hashlib.blake2b(canonical(parts).encode(), digest_size=16).hexdigest()


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
