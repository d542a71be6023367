"""What one save does to a session: append or replace, revision, expiry, size, and how lists show the outcome."""

import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal, Self

from pydantic import Field, SkipValidation, TypeAdapter

from agentic_flywheel.backends.base import BackendType, FlowStatus, UniversalSession
from agentic_flywheel.documents.append import Fingerprint, Fingerprints, fingerprint, new_turns
from agentic_flywheel.documents.codec import encode, encode_around, turns_of
from agentic_flywheel.documents.command import Command, Step, expired
from agentic_flywheel.documents.incremental import DOCUMENT_CACHE, append_text
from agentic_flywheel.documents.list_row import list_row
from agentic_flywheel.documents.model import Document, Operation, Past, Tombstone
from agentic_flywheel.documents.parse import decode
from agentic_flywheel.documents.renewal import RenewCommand, ttl_of
from agentic_flywheel.documents.revisions import CAME_TOO_LATE, kept_whole, turns_in
from agentic_flywheel.documents.superseded import as_older, forgotten, superseded
from agentic_flywheel.documents.write_ids import LOST, apart, arrived, find, holds, kept, of_an_earlier_life
from agentic_flywheel.documents.writes import Splice, Write, revision_at_head
from agentic_flywheel.errors import Conflict, Damaged, DeletedMeanwhile, TooLarge
from agentic_flywheel.json_text import JSONObject, canonical, is_larger, narrow, size_of

COMPARED_FIRST = 100
"""Characters at the end of the turns: what was changed is nearly always there."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A save's answer. `turns` is the total; `operations` are those of the document that it tells of."""

    revision: int
    turns: int
    added: int
    kept_until: datetime | None
    history: list[JSONObject]
    operations: tuple[Operation, ...] = field(default=(), compare=False)


class SaveCommand(Command[Saved]):
    """A save. Absent means unchanged; `values` are `UniversalSession` fields in their JSON form."""

    kind: Literal["session"] = "session"
    session_id: str
    index: str
    mode: Literal["append", "replace"] = "append"
    turns: SkipValidation[list[JSONObject] | None] = None  # checked already, and it would be copied
    context: SkipValidation[JSONObject | None] = None
    values: JSONObject = Field(default_factory=JSONObject)
    title: str = ""
    summary: str = ""
    tags: list[str] | None = None
    ttl_seconds: int | None = None
    default_ttl_seconds: int
    default_user: str = ""
    max_bytes: int
    expected_revision: int | None = None
    expects: str = ""
    """A write that the revision which is expected, or replaced, holds; else it is another one of that number."""
    replaces: int | None = None
    """The revision that a pending replace replaced here; where there is another by now, the replace came too late."""
    base: int | None = None
    """The revision on which the first of the pending changes was made (0: there was none); `None`: not known."""
    retry: str = ""
    """What the same save has in common each time a client sends it; empty where sending it again adds again."""
    based_on: int = 0
    """The highest revision that its writer had seen in the shared store; 0 for none, or none but a deleted one."""
    revisions: str = ""
    """What the keys of older revisions begin with."""
    kept_revisions: int = 10
    """How many of them can be had back."""
    note: str = ""
    """How the revision came about, for the list of revisions."""
    extra: JSONObject = Field(default_factory=JSONObject)
    """Fields beyond those of a session, kept and shown with it."""
    session_only: bool = False
    """A replace keeps title, summary and tags: the caller knows only the fields of `UniversalSession`."""
    exact: bool = False
    """The turns were already compared with the history: add them all, but for what is in what it did not have then."""
    compared: tuple[int, Fingerprint] | None = None
    """How many turns the history had then, and the last of them; `None` where all are to be added."""
    views: tuple[Fingerprints, ...] | None = None
    cut: tuple[tuple[Fingerprint, Fingerprint], ...] = ()
    """Turns that its writer was shown cut, and the whole ones."""
    seen_here: bool = False
    """Whether its writer has seen nothing but what was on this machine: then those views tell nothing of elsewhere."""
    told: tuple[str, ...] = ()
    """Writes that the document holds, if the store was not set back since its writer took those views."""
    follows: str = ""
    """A write of this machine that it holds then, too."""

    def with_write_id(self, operation: str, follows: str = "") -> Self:
        """The save as the write of that id; its document must hold the write that it `follows`."""
        return self.model_copy(update={"operation": operation, "follows": follows})

    def with_base_revision(self, copy: Write | None, now: datetime) -> Self:
        """The save, based on what this machine has seen of the session as well."""
        if copy is None or copy.tombstone or expired(copy.kept_until, now):
            return self
        return self.model_copy(update={"based_on": max(self.based_on, revision_at_head(copy.text))})

    def apply(self, base: str | None, now: datetime, *, alive_remotely: bool = False) -> Step[Saved]:
        """Merge into what is stored, or begin a session."""
        part = DOCUMENT_CACHE.parse_head(base, self.session_id) if base and self._replaces_all else None
        current = part[0] if part else DOCUMENT_CACHE.decode(base, self.session_id) if base is not None else None
        alive = current if isinstance(current, Document) and (alive_remotely or not expired(current.kept_until, now)) else None
        if step := self._answered(base, current, alive, now, head_only=part is not None, alive_remotely=alive_remotely):
            return step
        if self.based_on and current and self._is_based_on_what_was_deleted(current):
            text = "The session was deleted while this save was under way, or before it; the deletion stands."
            deleted = current.began - 1 if isinstance(current, Document) else current.revision
            raise DeletedMeanwhile(text, current.revision, deleted)
        if alive and self.replaces is not None and not self._is(alive, self.replaces):
            if not self.session_only:
                return self._too_late(alive, base, now)
            # A library's replace that lost while it was pending is merged: it must overwrite nobody, nor get lost.
            return self.model_copy(update={"mode": "append", "replaces": None}).apply(base, now, alive_remotely=alive_remotely)
        if self.expected_revision is not None and not self._is(alive, self.expected_revision):
            raise self._conflict(alive, current)
        return self._made(base, current, alive, part[1] if part else None, now)

    def _answered(
        self, base: str | None, current: Document | Tombstone | None, alive: Document | None, now: datetime,
        *, head_only: bool, alive_remotely: bool,
    ) -> Step[Saved] | None:  # fmt: skip
        """The answer that this write had, if it was accepted before, or that of the write which it repeats."""
        if isinstance(current, Tombstone) and (done := arrived(current.operations, self.operation)):
            return Step(None, Saved(done.revision, done.turns, done.added, None, []), self)  # deleted since
        if not alive:
            return None
        history = (self.turns or []) if head_only else alive.session.history
        if done := arrived(alive.operations, self.operation):
            superseded_write = None
            if done.id.endswith(LOST):  # it may not have been kept as an older revision yet
                superseded_write = self._as_older(self._merged(alive, self.turns or [], now), done.revision - 1)
            saved = Saved(done.revision, done.turns, done.added, alive.kept_until, history, alive.operations)
            return Step(None, saved, self, superseded_write=superseded_write)
        if done := find(alive.operations, self.operation, self.retry):  # sent again: nothing is added, the life renewed
            renewal = RenewCommand(key=self.key, session_id=self.session_id, index=self.index, revisions=self.revisions)
            step = renewal.apply(base, now, alive_remotely=alive_remotely)
            until = step.write.kept_until if step.write else alive.kept_until
            saved = Saved(done.revision, done.turns, done.added, until, history, alive.operations)
            return Step(step.write, saved, renewal)
        return None

    def _is(self, alive: Document | None, revision: int) -> bool:
        """Whether what is stored is this revision (0: nothing), and not another one of its number."""
        if alive is None or revision != alive.revision:
            return alive is None and revision == 0
        return not self.expects or holds(alive.operations, [self.expects])

    def _made(
        self, base: str | None, current: Document | Tombstone | None, alive: Document | None, there: str | None,
        now: datetime,
    ) -> Step[Saved]:  # fmt: skip
        """The next revision, or the same one with its life renewed; `there`: see `_is_same`."""
        added = self._added(alive)
        document = self._merged(alive, added, now)
        if current and not alive:  # what was sent to the life before must not be taken for new in this one
            document = replace(document, operations=of_an_earlier_life(current.operations))
        turns = turns_of(document) if self._replaces_all else b""
        unchanged = alive is not None and _is_same(document, alive, there, turns)
        revision, session = current.revision if current else 0, document.session
        if not unchanged:
            revision += 1
            session = session if "updated_at" in self.values else replace(session, updated_at=now)
        # What changes nothing may be sent again as often as one likes: it is compared with what is stored each time.
        name = self._name(current) + (f"~{self.retry}" if self.retry and not unchanged else "")
        done = Operation(name, revision, len(session.history), len(added))
        past, whole = (document.past, False)
        if alive and not unchanged:
            whole = self.mode == "replace" and self._takes_away(alive)
            past, whole = superseded(alive, document, whole=whole, limit=self.kept_revisions)
        document = replace(
            document,
            session=session,
            revision=revision,
            note=document.note if unchanged else self.note,
            past=past,
            began=_began(current, revision),
            operations=kept((*document.operations, done)),
        )
        write = self._written(base, alive, document, added, turns)
        saved = Saved(
            revision, len(session.history), len(added), document.kept_until, session.history, document.operations
        )
        archived = None
        if self.revisions and base and alive:
            if whole:  # as it is: a place that has it can keep it without being sent it
                archived = Write(f"{self.revisions}{alive.revision}", base, None, document.kept_until)
            write = replace(write, delete_keys=tuple(f"{self.revisions}{number}" for number in forgotten(alive.past, past)))
        return Step(write, saved, self._queued(alive, added), archived=archived)

    def _written(
        self, base: str | None, alive: Document | None, document: Document, added: list[JSONObject], turns: bytes
    ) -> Write:
        """The write of the document, whose text is remembered with it; `turns` is the text of those of a replace.

        Raises:
            TooLarge: it is.

        """
        more = append_text(base, alive, document, added) if base and alive and self.mode == "append" else None
        if self._replaces_all:
            text, place = encode_around(document, turns)
            own, splice = replace(document, session=replace(document.session, history=[])), None
        else:
            text, splice, own = more or (encode(document), None, None)
            place = None
        if is_larger(text, self.max_bytes):
            size = size_of(text)
            raise TooLarge(
                f"The session would have {size:,} bytes; the limit is {self.max_bytes:,} (FLYWHEEL_MAX_SESSION_BYTES). "
                "What was stored stays as it is. Go on in a new session, or keep a summary with mode='replace'.",
                alive.revision if alive else 0,
                turns_in(alive) if alive else 0,
                alive.kept_until if alive else None,
            )
        if own:
            DOCUMENT_CACHE.keep(text, own, place)
        return self._write(document, text, base, splice)

    def _queued(self, alive: Document | None, added: list[JSONObject]) -> Self:
        """The save as it is to be kept, and applied again later, where it cannot be sent now."""
        replaced = alive if self.mode == "replace" else None
        # What is here was set back: only where the writer's views hold can it be told what is new.
        set_back = self.expected_revision is None and not holds(alive.operations if alive else (), self.told)
        as_sent = self.mode == "replace" or set_back  # a library's replace is merged later, if it lost
        history = alive.session.history if alive and not as_sent and self.expected_revision is None else []
        return self.model_copy(
            update={
                "turns": self.turns if as_sent else added,
                "compared": (len(history), fingerprint(history[-1])) if history else None,
                "exact": not as_sent and (alive is not None or self.exact),
                # Of who has seen what is elsewhere, only what names itself can be there: people repeat themselves.
                "views": self.views if as_sent else None if self.views is None or self.seen_here else (),
                "told": self.told if as_sent else (),
                "cut": self.cut if set_back else (),
                "expected_revision": None,
                "replaces": replaced.revision if replaced else None,
                "expects": replaced.operations[-1].id if replaced and replaced.operations else "",
            }
        )

    def _name(self, current: Document | Tombstone | None) -> str:
        """The name of this write there: one apart, where what it follows is not there any more."""
        operations = current.operations if current else ()
        return self.operation if not self.follows or find(operations, self.follows) else apart(self.operation)

    def _conflict(self, alive: Document | None, current: Document | Tombstone | None) -> Conflict:
        if not alive:
            gone = "There is no such session now: it was deleted or has expired."
            return Conflict(gone if current else "There is no such session.", current.revision if current else 0)
        text = f"Somebody saved in between: the current revision is {alive.revision}."
        if self.expected_revision == alive.revision:
            text = f"The store was set back since; revision {alive.revision} is another one now. Resume it first."
        if (self.expected_revision or 0) > alive.revision:
            text = f"There is no revision {self.expected_revision}: the current one is {alive.revision}."
        return Conflict(text, alive.revision, turns_in(alive), alive.kept_until)

    def _write(self, document: Document, text: str, base: str | None, splice: Splice | None = None) -> Write:
        older = tuple(f"{self.revisions}{number}" for number in kept_whole(document)) if self.revisions else ()
        until = document.kept_until
        return Write(self.key, text, base, until, list_row=list_row(self.index, document), splice=splice, extend_keys=older)

    @property
    def _replaces_all(self) -> bool:
        """Whether nothing of the turns that are stored is needed."""
        return self.mode == "replace" and not self.session_only and self.replaces is None

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
        done = Operation(self._name(alive) + LOST, alive.revision + 2, len(history), 0)
        late = Past(alive.revision + 1, now, len(self.turns or []), None, CAME_TOO_LATE)
        document = replace(
            alive,
            revision=alive.revision + 2,
            operations=kept((*alive.operations, done)),
            past=(*alive.past, late)[-self.kept_revisions :] if self.kept_revisions else (),
        )
        write = self._write(document, encode(document), base)
        superseded_write = self._as_older(replace(self._merged(alive, self.turns or [], now), past=()), alive.revision + 1)
        saved = Saved(document.revision, len(history), 0, document.kept_until, history, document.operations)
        return Step(write, saved, self, superseded_write=superseded_write)

    def _as_older(self, document: Document, revision: int) -> Write | None:
        if not self.revisions:
            return None
        return as_older(self.revisions, replace(document, revision=revision))

    def _added(self, alive: Document | None) -> list[JSONObject]:
        sent = self.turns or []
        if self.mode == "replace" or alive is None or self.expected_revision is not None:
            return sent
        if self.exact:
            return new_turns(self._not_compared(alive.session.history), sent, self.views) if self.compared else sent
        set_back = not holds(alive.operations, self.told)
        return new_turns(alive.session.history, sent, self.views, dict(self.cut), set_back=set_back)

    def _not_compared(self, history: list[JSONObject]) -> list[JSONObject]:
        """What of the history the turns were not compared with: all of it, where it does not begin as it did then."""
        count, mark = self.compared or (0, b"")
        same = 0 < count <= len(history) and fingerprint(history[count - 1]) == mark
        return history[count:] if same else history

    def _merged(self, alive: Document | None, added: list[JSONObject], now: datetime) -> Document:
        """The stored session with this change in it; revision and operations still the old ones."""
        kept = alive if self.mode == "append" else None
        labelled = alive if self.session_only else kept
        created_at = alive.session.created_at if alive else now
        ttl = self.ttl_seconds if self.ttl_seconds is not None else ttl_of(alive) if alive else None
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
            began=alive.began if alive else 1,
            extra={**(alive.extra if alive else {}), **self.extra},
            note=alive.note if alive else "",
            past=alive.past if alive else (),
        )


def _is_same(document: Document, alive: Document, there: str | None, turns: bytes) -> bool:
    """Whether a save changes nothing but the times; `there` is the text of the turns if of `alive` only the head was parsed."""
    document = replace(document, saved_at=alive.saved_at, kept_until=alive.kept_until)
    if there is None:
        return document == alive
    if replace(document, session=replace(document.session, history=[])) != alive:
        return False
    end = there[-COMPARED_FIRST:].encode()
    for written in (bytes, narrow):
        if written(turns[-4 * COMPARED_FIRST :]).endswith(end) and written(turns).decode() == there:
            return True
    return False


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


def recoverable(change: SaveCommand, base: str | None, revision: int, now: datetime) -> Write:
    """What the save comes to on top of `base`, as an older revision: for one whose session was deleted meanwhile.

    Raises:
        DocumentError: it cannot be applied to that.

    """
    alone = change.model_copy(update={"based_on": 0, "expected_revision": None, "replaces": None})
    step = alone.apply(base, now, alive_remotely=True)
    document = decode(step.write.text if step.write else base or "", change.session_id)
    if not isinstance(document, Document):
        raise Damaged("A save came to no session.")
    return as_older(change.revisions, replace(document, revision=revision))


def retry_id(*parts: object) -> str:
    """What the same save has in common each time it is sent."""
    return hashlib.blake2b(canonical(parts).encode(), digest_size=16).hexdigest()
