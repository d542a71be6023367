"""Tells whether one version of a document goes on from another, and brings back a version that its destination lost.

A document names the newest write of each of its last writers. A version that goes on from another names its newest
write; one that does not was made without it: the destination had gone back to an older state.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, Field

from agentic_flywheel.documents.append import fingerprint
from agentic_flywheel.documents.codec import encode, encode_tombstone
from agentic_flywheel.documents.command import Command, Step
from agentic_flywheel.documents.earlier_life import kept_since, life_before, raised_to
from agentic_flywheel.documents.flow_document import outline
from agentic_flywheel.documents.flow_history import merged
from agentic_flywheel.documents.list_row import list_row
from agentic_flywheel.documents.model import Document, Operation, Past, Tombstone, expired, instant_of
from agentic_flywheel.documents.parse import decode, kept_until_in, load, operations_in, tombstone_of
from agentic_flywheel.documents.revisions import KEPT_ASIDE, newest
from agentic_flywheel.documents.superseded import as_older, superseded
from agentic_flywheel.documents.three_way import with_changes
from agentic_flywheel.documents.write_ids import KEPT_OPERATIONS, find, kept, writer_of
from agentic_flywheel.documents.writes import Write, ends_of, etag, revision_at_head
from agentic_flywheel.errors import Damaged
from agentic_flywheel.json_text import JSONObject, load_object
from agentic_flywheel.session_keys import execution_set

_OPERATIONS = '"operations":'
_NEWEST = re.compile(r"""(\[\d+,\d+,\d+,"[^"\\]*"\])\]\}$""")


def covers(newer: str, older: str) -> bool:
    """Whether the text `newer` goes on from `older`, or is the same."""
    if etag(newer) == etag(older):
        return True
    later, earlier = operations_at_end(newer), operations_at_end(older)
    if later and earlier:
        if _lack(later, earlier):
            return False
        if find(later, earlier[-1].id):
            return True
    return revision_at_head(newer) >= revision_at_head(older)  # its writer may be among those that are named no more


def lacks(text: str, writes: Sequence[Operation]) -> bool:
    """Whether a text was certainly made without one of these writes."""
    return _lack(operations_at_end(text), writes)


def _lack(known: Sequence[Operation], writes: Sequence[Operation]) -> bool:
    """Whether these are certainly the names of a version without one of these writes.

    The name of a writer goes only where those of as many others as are kept were written since.
    """
    absent = [write.revision for write in writes if not find(known, write.id)]
    if not known or not absent:
        return False
    all_others = len({writer_of(each.id) for each in known}) >= KEPT_OPERATIONS
    return not all_others or min(each.revision for each in known) < max(absent)


def began_with(text: str) -> int:
    """The revision with which the life of a document began: above 1 once it was deleted and begun anew."""
    try:
        began = load_object(text, "the document").get("began")
    except Damaged:
        return 1
    return began if isinstance(began, int) else 1


def is_of_a_later_life(text: str, than: str) -> bool:
    """Whether a document was begun anew after the other one was deleted."""
    return began_with(text) > max(1, revision_at_head(than))


def tombstone_beats(tombstone: str, document: str) -> bool:
    """Whether a tombstone beats a document: it names its newest write, and a revision that is not lower.

    A document that was begun anew by somebody who did not know of the deletion is not beaten.
    """
    if revision_at_head(tombstone) < revision_at_head(document):
        return False
    dead, alive = operations_at_end(tombstone), operations_at_end(document)
    return not dead or not alive or find(dead, alive[-1].id) is not None


def operations_at_end(text: str) -> tuple[Operation, ...]:
    """The writes that a document or tombstone names; they are its last field, so that no more of it need be read."""
    place = text.rfind(_OPERATIONS)
    if place < 0:
        return ()
    try:
        return operations_in(load_object("{" + text[place:], "the end of the document"))
    except Damaged:
        return ()


def newest_write(ending: str) -> tuple[Operation, ...]:
    """The newest write of a document of which only the last characters are known; none where they do not say."""
    found = _NEWEST.search(ending)
    return operations_in(load_object(f'{{"operations":[{found[1]}]}}', "the end of the document")) if found else ()


class MergeForwardCommand(Command[bool]):
    """Bring back a version that its destination held once: on top of what it has now, never over what goes on from it.

    An older version of the same line is replaced; one that others have saved on since gets the turns that it lacks, and
    the version itself is kept as an older revision.
    """

    kind: Literal["merge_forward"] = "merge_forward"
    member: str = ""
    """The id of the session; empty for a document of another kind."""
    index: str = ""
    revisions: str = ""
    """What the keys of older revisions begin with."""
    text: str
    ends: AwareDatetime | None = Field(default=None, exclude=True)
    """When the copy ends by the clock of this machine, which may be before the end that another wrote into it."""

    def apply(self, base: str | None, now: datetime, *, alive_remotely: bool = False) -> Step[bool]:
        """Whether there was anything to bring back."""
        tombstone = tombstone_of(base) if base is not None else None
        if tombstone and not self._outlives(tombstone, base or ""):
            return self._nothing()
        if base is not None and not tombstone and covers(base, self.text):
            return self._nothing()
        return self._session(base, now, alive_remotely=alive_remotely) if self.member else self._other(base, now)

    def _outlives(self, tombstone: Tombstone, text: str) -> bool:
        """Whether this is newer than what has expired, or was kept after what was deleted."""
        if tombstone.because == "expired":
            return revision_at_head(self.text) > tombstone.revision
        if tombstone_beats(text, self.text):
            return False
        return bool(self.member) or self._since(tombstone.deleted_at) is not None

    def _since(self, ended_at: datetime) -> str | None:
        return kept_since(self.text, ended_at, self.operation)

    def _nothing(self) -> Step[bool]:
        return Step(None, answer=False, command=self)

    def _session(self, base: str | None, now: datetime, *, alive_remotely: bool) -> Step[bool]:
        mine = decode(self.text, self.member)
        if not isinstance(mine, Document):
            return self._nothing()
        there = decode(base, self.member) if base is not None else None
        if not isinstance(there, Document) or (expired(there.kept_until, now) and not alive_remotely):
            if expired(mine.kept_until, now):
                return self._nothing()
            lost = self._write(*self._above(there, mine), base)
            if self.ends and lost.kept_until:
                lost = replace(lost, kept_until=min(self.ends, lost.kept_until))
            return Step(lost, answer=True, command=self)
        if there.began > mine.revision and self._is_ended_by(there, now):  # it was deleted, and begun anew
            return self._nothing()
        if covers(self.text, base or "") and mine.revision > there.revision:
            until = later(mine.kept_until, there.kept_until)
            text = self.text if until == mine.kept_until else encode(replace(mine, kept_until=until))
            return Step(self._write(replace(mine, kept_until=until), text, base), answer=True, command=self)
        return self._merged(mine, there, base, now)

    def _is_ended_by(self, anew: Document, now: datetime) -> bool:
        """Whether the life before that one was this: else a machine that did not know of the deletion began this."""
        before = life_before(anew, now)
        return before is None or tombstone_beats(encode_tombstone(before), self.text)

    def _above(self, there: Document | Tombstone | None, mine: Document) -> tuple[Document, str]:
        """Mine as a revision that a tombstone does not stand for which knows nothing of it."""
        if not isinstance(there, Tombstone) or mine.revision > there.revision:
            return mine, self.text
        revision = there.revision + 1
        done = Operation(self.operation, revision, len(mine.session.history), 0)
        raised = replace(mine, revision=revision, operations=kept((*mine.operations, done)))
        return raised, encode(raised)

    def _merged(self, mine: Document, there: Document, base: str | None, now: datetime) -> Step[bool]:
        history = [*there.session.history, *missing(mine.session.history, there.session.history)]
        top = max(mine.revision, there.revision)
        aside = Past(top + 1, mine.saved_at, len(mine.session.history), None, KEPT_ASIDE)
        done = Operation(self.operation, top + 2, len(history), len(history) - len(there.session.history))
        writes = sorted((*mine.operations, *there.operations), key=lambda each: each.revision)  # the oldest may go
        both, named = with_changes(mine, there), max(len(mine.past), len(there.past))
        before, whole = superseded(there, both, there.note, whole=False, limit=named)
        begun = [each for each in (mine, there) if each.begun_after] or [both]  # the last deletion is told of
        document = replace(
            both,
            began=min(each.began for each in begun),
            begun_after=max((each.begun_after for each in begun if each.begun_after), default=None),
            session=replace(both.session, history=history),
            revision=top + 2,
            saved_at=now,
            kept_until=_end(mine, there, both),
            operations=kept((*writes, done)),
            past=newest((*(there.past if whole else before), aside), there.note, named + 1),
        )
        late = as_older(self.revisions, replace(mine, revision=top + 1, past=())) if self.revisions else None
        return Step(self._write(document, encode(document), base), answer=True, command=self, superseded_write=late)

    def _write(self, document: Document, text: str, base: str | None) -> Write:
        return Write(self.key, text, base, document.kept_until, list_row=list_row(self.index, document))

    def _over(self, tombstone: Tombstone, base: str | None, now: datetime) -> Step[bool]:
        """What was kept after a deletion that did not know of it, over its tombstone."""
        text = self._since(tombstone.deleted_at)
        if text is None:
            return self._nothing()
        if revision_at_head(text) <= tombstone.revision:
            text = raised_to(text, tombstone.revision + 1)
        history = outline(ends_of(text))
        data = JSONObject() if history else load(text, "the document")
        until = history.kept_until if history else kept_until_in(data)
        return self._nothing() if expired(until, now) else self._put(text, base, until, data)

    def _other(self, base: str | None, now: datetime) -> Step[bool]:
        """An execution, a flow history or an older revision."""
        tombstone = tombstone_of(base) if base is not None else None
        if tombstone and tombstone.because == "deleted":
            return self._over(tombstone, base, now)
        history = outline(ends_of(self.text))
        data = JSONObject() if history else load(self.text, "the document")
        until = history.kept_until if history else kept_until_in(data)
        if expired(until, now):
            return self._nothing()
        if base is not None and (is_of_a_later_life(base, self.text) or is_of_a_later_life(self.text, base)):
            return self._of_two_lives(base, until, data, now)
        if (
            base is None
            or (covers(self.text, base) and revision_at_head(self.text) > revision_at_head(base))
            or ("result" in data and _was_written_later(data, base))
        ):
            return self._put(self.text, base, until, data)
        if not history or tombstone:
            return self._nothing()
        more = merged(self.text, base, self.operation, now)
        return Step(Write(self.key, more[0], base, more[1]), answer=True, command=self) if more else self._nothing()

    def _of_two_lives(self, base: str, until: datetime | None, data: JSONObject, now: datetime) -> Step[bool]:
        """The one that was begun anew after a deletion, and what was kept in the other one since."""
        is_mine = is_of_a_later_life(self.text, base)
        anew, other = (self.text, base) if is_mine else (base, self.text)
        there = outline(ends_of(anew))
        since = kept_since(other, there.begun_after, self.operation) if there and there.begun_after else None
        if since and (more := merged(since, anew, self.operation, now)):
            return Step(Write(self.key, more[0], base, more[1]), answer=True, command=self)
        return self._put(self.text, base, until, data) if is_mine else self._nothing()

    def _put(self, text: str, base: str | None, until: datetime | None, data: JSONObject) -> Step[bool]:
        part_of = execution_set(self.key, data.get("session_id"))
        return Step(Write(self.key, text, base, until, part_of=part_of), answer=True, command=self)


def _was_written_later(data: JSONObject, base: str) -> bool:
    """Whether this execution was written after the other one of its id, neither of which goes on from the other."""
    times = [instant_of(each.get("saved_at")) for each in (data, load(base, "the document"))]
    return times[0] is not None and times[1] is not None and times[0] > times[1]


def missing(mine: list[JSONObject], there: list[JSONObject]) -> list[JSONObject]:
    """The turns of `mine` that `there` lacks, in order; what both begin with is told by its place."""
    same = 0
    for one, other in zip(mine, there, strict=False):
        if one != other:
            break
        same += 1
    counted = Counter(fingerprint(turn) for turn in there[same:])
    lacking: list[JSONObject] = []
    for turn in mine[same:]:
        known = fingerprint(turn)
        if counted[known]:
            counted[known] -= 1
        else:
            lacking.append(turn)
    return lacking


def _end(mine: Document, there: Document, both: Document) -> datetime | None:
    """The end of the merged life: the later one, unless it was given another length there."""
    return later(mine.kept_until, there.kept_until) if both.ttl_seconds == mine.ttl_seconds else there.kept_until


def later(one: datetime | None, other: datetime | None) -> datetime | None:
    """The later end of two lives; `None` never ends."""
    return None if one is None or other is None else max(one, other)
