"""Applies one save to a session: append or replace, revision, expiry, size; refused where somebody else was first."""

from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, Literal, Self

from agentic_flywheel.documents.append import Fingerprint, Fingerprints, fingerprint
from agentic_flywheel.documents.appended import Appended, appended, compared_then
from agentic_flywheel.documents.codec import encode, turns_of
from agentic_flywheel.documents.command import FollowingCommand, Step
from agentic_flywheel.documents.incremental import DOCUMENT_CACHE, StoredSession, is_same, next_text, read_stored
from agentic_flywheel.documents.list_row import list_row
from agentic_flywheel.documents.long_ago import arrived_long_ago
from agentic_flywheel.documents.merge import merged
from agentic_flywheel.documents.model import Document, Operation, Tombstone, expired
from agentic_flywheel.documents.refusals import (
    check_owner,
    conflict,
    deleted_meanwhile,
    nothing_to_begin_with,
    too_large,
)
from agentic_flywheel.documents.renewal import RenewCommand
from agentic_flywheel.documents.revisions import kept_whole, next_note
from agentic_flywheel.documents.save_request import Save
from agentic_flywheel.documents.saved import Saved, saved_as
from agentic_flywheel.documents.superseded import above_a_late_write, as_older, forgotten, superseded, taken
from agentic_flywheel.documents.write_ids import LOST, arrived, find, holds, kept, name_on, of_an_earlier_life
from agentic_flywheel.documents.writes import Splice, Write, revision_at_head
from agentic_flywheel.json_text import JSONObject, is_larger


class SaveCommand(Save, FollowingCommand[Saved]):
    """A save, with the keys that it writes and what its writer had seen."""

    goes_on: ClassVar[bool] = True

    kind: Literal["session"] = "session"
    index: str
    default_user: str = ""
    max_bytes: int
    expects: str = ""
    """A write that the revision which is expected, or replaced, holds; else it is another one of that number."""
    replaces: int | None = None
    """The revision that a queued replace replaced here; where there is another by now, the replace came too late."""
    superseded: tuple[str, ...] = ()
    """Queued writes in whose place it stands. One may be stored nevertheless, if the answer to it was lost."""
    base: int | None = None
    """The revision on which the first of the queued commands was made (0: there was none); `None`: not known."""
    behind: int | None = None
    """How many turns there were when it was queued; `None`: not known, or it was not compared with them."""
    retry: str = ""
    """What the same save has in common each time a client sends it; empty where sending it again adds again."""
    based_on: int = 0
    """The highest revision that its writer had seen in the shared store; 0 for none, or none but a deleted one."""
    revisions: str = ""
    """What the keys of older revisions begin with."""
    kept_revisions: int = 10
    """How many of them can be had back."""
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

    def remembered(self) -> Write | None:
        """The session as it was last read or written under this id."""
        newest = DOCUMENT_CACHE.newest(self.session_id)
        return Write(self.key, newest[0], None, newest[1].kept_until) if newest else None

    @property
    def is_of_framework(self) -> bool:
        """One whose turns are added as sent is."""
        return self.as_sent

    @property
    def is_synced_later(self) -> bool:
        """As its caller says."""
        return self.synced_later

    def with_base_revision(self, copy: Write | None, now: datetime) -> Self:
        """The save, based on what this machine has seen of the session as well."""
        seen = 0 if copy is None or copy.tombstone or expired(copy.kept_until, now) else revision_at_head(copy.text)
        return self.model_copy(update={"based_on": seen}) if seen > self.based_on else self

    def apply(self, base: str | None, now: datetime, *, alive_remotely: bool = False) -> Step[Saved]:
        """Merge into what is stored, or begin a session."""
        stored = read_stored(base, self.session_id, now, head_only=self._replaces_all, alive_remotely=alive_remotely)
        if step := self._already_done(stored, now, alive_remotely=alive_remotely):
            return step
        if self.based_on and stored.current and (refusal := deleted_meanwhile(stored.current, self.based_on)):
            raise refusal
        check_owner(stored.alive if self.direct else None, self.values)
        if self.direct and not stored.alive and self.is_empty:
            raise nothing_to_begin_with()
        if stored.alive and self.replaces is not None and not self._replaces(stored.alive, self.replaces):
            if not self.session_only:
                return self._too_late(stored.alive, base, now)
            # A library's replace that lost while it was queued is merged: it must overwrite nobody, nor get lost.
            merging = self.model_copy(update={"mode": "append", "replaces": None})
            return merging.apply(base, now, alive_remotely=alive_remotely)
        if self.expected_revision is not None and not self._is(stored.alive, self.expected_revision):
            raise conflict(stored.alive, stored.current, self.expected_revision)
        return self._accepted(stored, now)

    def _already_done(self, stored: StoredSession, now: datetime, *, alive_remotely: bool) -> Step[Saved] | None:
        """The answer that this write had, if it was accepted before, or that of the write which it repeats."""
        current, alive = stored.current, stored.alive
        if isinstance(current, Tombstone) and (done := arrived(current.operations, self.operation)):
            return Step(None, Saved(done.revision, done.turns, done.added, None, []), self)  # deleted since
        if not alive:
            return None
        history = alive.session.history if stored.turns is None else self.history or []
        if done := arrived(alive.operations, self.operation):
            late = None
            if done.id.endswith(LOST):  # it may not have been kept as an older revision yet
                late = self._as_older(self._merged(alive, self.history or [], now), done.revision - 1)
            saved = Saved(done.revision, done.turns, done.added, alive.kept_until, history, alive.operations)
            return Step(None, saved, self, superseded_write=late)
        queued = not self.direct and self.mode == "append"
        if queued and arrived_long_ago(alive, self.history or [], self.base, self.behind):
            return Step(None, saved_as(alive, 0), self)
        if done := find(alive.operations, self.operation, self.retry):  # sent again: nothing is added, the life renewed
            renewal = RenewCommand(key=self.key, session_id=self.session_id, index=self.index, revisions=self.revisions)
            step = renewal.apply(stored.text, now, alive_remotely=alive_remotely)
            until = step.write.kept_until if step.write else alive.kept_until
            saved = Saved(done.revision, done.turns, done.added, until, history, alive.operations)
            return Step(step.write, saved, renewal)
        return None

    def _is(self, alive: Document | None, revision: int) -> bool:
        """Whether what is stored is this revision (0: nothing), and not another one of its number."""
        if alive is None or revision != alive.revision:
            return alive is None and revision == 0
        return not self.expects or holds(alive.operations, [self.expects])

    def _replaces(self, alive: Document, revision: int) -> bool:
        """Whether what is stored is this revision, or what a write made of it in whose place this one stands."""
        return self._is(alive, revision) or any(arrived(alive.operations[-1:], write) for write in self.superseded)

    def _too_late(self, alive: Document, base: str | None, now: datetime) -> Step[Saved]:
        """Somebody saved since: what is there stays, as one revision more, above the older one that this becomes."""
        turns = self.history or []
        document = above_a_late_write(alive, self._name(alive), len(turns), self.kept_revisions, now)
        late = self._as_older(replace(self._merged(alive, turns, now), past=()), alive.revision + 1)
        return Step(self._write(document, encode(document), base), saved_as(document, 0), self, superseded_write=late)

    def _accepted(self, stored: StoredSession, now: datetime) -> Step[Saved]:
        """The next revision, or the same one with its life renewed."""
        alive, append = stored.alive, self._appended(stored.alive)
        added = self.history or [] if append is None else append.added
        document = self._merged(alive, added, now)
        turns = turns_of(document) if self._replaces_all else b""
        unchanged = alive is not None and is_same(document, alive, stored.turns, turns)
        document, whole = self._next_document(stored, document, len(added), unchanged=unchanged)
        write, archived = self._encode(stored, document, added, turns), None
        took = alive if alive and self.mode == "replace" and document.revision > alive.revision else None
        gone = taken(took, document, is_kept=bool(self.revisions and self.kept_revisions)) if took else None
        saved = saved_as(document, len(added), append=append, taken=gone)
        if self.revisions and stored.text and alive:
            if whole:  # as it is: a store that has it can keep it without being sent it
                archived = Write(self._key_of(alive.revision), stored.text, None, document.kept_until)
            if left := forgotten(alive.past, document.past):
                write = replace(write, delete_keys=tuple(map(self._key_of, left)))
        return Step(write, saved, partial(self._queued, alive, added), archived=archived)

    def _next_document(
        self, stored: StoredSession, document: Document, added: int, *, unchanged: bool
    ) -> tuple[Document, bool]:
        """What is written of the merged `document`, and whether the revision before it is to be kept whole."""
        alive, current = stored.alive, stored.current
        revision = (current.revision if current else 0) + (not unchanged)
        session, past, whole, operations = document.session, document.past, False, document.operations
        note = document.note if unchanged else self.note
        if not unchanged and "updated_at" not in self.values:
            session.updated_at = document.saved_at
        if alive and not unchanged:
            whole = self.mode == "replace" and self._takes_away(alive)
            note = next_note(note, alive.note, replaces=self.mode == "replace", takes=whole)
            past, whole = superseded(alive, document, note, whole=whole, limit=self.kept_revisions)
        if current and not alive:  # what was sent to the life before must not be taken for new in this one
            operations = of_an_earlier_life(current.operations)
        # What changes nothing may be sent again as often as one likes: it is compared with what is stored each time.
        name = self._name(current) + (f"~{self.retry}" if self.retry and not unchanged else "")
        done = Operation(name, revision, len(session.history), added)
        document = replace(
            document,
            session=session,
            revision=revision,
            note=note,
            past=past,
            **_began(current, revision),
            operations=kept((*operations, done)),
        )
        return document, whole

    def _merged(self, alive: Document | None, added: list[JSONObject], now: datetime) -> Document:
        return merged(self, alive, added, now, self.default_user)

    def _appended(self, alive: Document | None) -> Appended | None:
        """What is new of what was sent; `None`: all of it."""
        all_new = self.mode == "replace" or self.expected_revision is not None or (self.exact and not self.compared)
        if all_new or not alive:
            return None
        history, set_back = alive.session.history, not holds(alive.operations, self.told)
        then = compared_then(history, self.compared) if self.exact and self.compared else 0
        ends = {each.turns - then for each in (*alive.operations, *alive.past)}
        sent, cut = self.history or [], dict(self.cut)
        return appended(history[then:] if then else history, sent, self.views, cut, set_back=set_back, ends=ends)

    def _takes_away(self, alive: Document) -> bool:
        """Whether this replace removes something that its writer may want back."""
        return not self.session_only or (self.history or [])[: len(alive.session.history)] != alive.session.history

    def _encode(self, stored: StoredSession, document: Document, added: list[JSONObject], turns: bytes) -> Write:
        """The write of the document, which is remembered under its text; `turns` is the text of those of a replace.

        Raises:
            TooLarge: it is.

        """
        text, splice = next_text(stored, document, added if self.mode == "append" else None, turns)
        if is_larger(text, self.max_bytes):
            raise too_large(text, self.max_bytes, stored.alive)
        return self._write(document, text, stored.text, splice)

    def _write(self, document: Document, text: str, base: str | None, splice: Splice | None = None) -> Write:
        older = tuple(map(self._key_of, kept_whole(document))) if self.revisions else ()
        until, row = document.kept_until, list_row(self.index, document)
        return Write(self.key, text, base, until, list_row=row, splice=splice, extend_keys=older)

    def _as_older(self, document: Document, revision: int) -> Write | None:
        return as_older(self.revisions, replace(document, revision=revision)) if self.revisions else None

    def _key_of(self, revision: int) -> str:
        return f"{self.revisions}{revision}"

    def _queued(self, alive: Document | None, added: list[JSONObject]) -> Self:
        """The save as it is to be kept, and applied again later, where it cannot be sent now."""
        # What is here was set back: only where the writer's views hold can it be told what is new.
        set_back = self.expected_revision is None and not holds(alive.operations if alive else (), self.told)
        queued: dict[str, object] = {
            "expected_revision": None,
            "direct": False,
            "compared": None,
            "exact": self.as_sent,
            "cut": self.cut if set_back else (),
            "replaces": None,
            "expects": "",
        }
        if self.mode == "append" and not set_back:
            queued |= self._with_what_is_new(alive, added)
        if self.mode == "replace" and alive:  # a library's is merged later, if it lost
            queued |= {"replaces": alive.revision, "expects": alive.operations[-1].id if alive.operations else ""}
        return self.model_copy(update=queued)

    def _with_what_is_new(self, alive: Document | None, added: list[JSONObject]) -> dict[str, object]:
        """The fields of a queued append that has been compared with what is here."""
        history = alive.session.history if alive and self.expected_revision is None else []
        return {
            "history": added,
            "behind": len(alive.session.history) if alive else 0,
            "compared": (len(history), fingerprint(history[-1])) if history and not self.as_sent else None,
            "exact": alive is not None or self.exact,
            # Of who has seen what is elsewhere, only what names itself can be there: people repeat themselves.
            "views": None if self.views is None or self.seen_here else (),
            "told": (),
        }

    def _name(self, current: Document | Tombstone | None) -> str:
        """The name of this write there."""
        return name_on(current.operations if current else (), self.operation, self.follows)

    @property
    def _replaces_all(self) -> bool:
        """Whether nothing of the turns that are stored is needed."""
        return self.mode == "replace" and not self.session_only and self.replaces is None


def _began(current: Document | Tombstone | None, revision: int) -> dict[str, Any]:
    """With which revision, and after which deletion, the life began that this save goes on with, or begins."""
    if isinstance(current, Document):
        return {"began": current.began, "begun_after": current.begun_after}
    anew = current if current and current.because == "deleted" else None
    return {"began": revision, "begun_after": anew.deleted_at} if anew else {"began": 1, "begun_after": None}
