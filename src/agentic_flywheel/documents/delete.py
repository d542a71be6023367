"""Deletes a document and leaves a tombstone, and puts a tombstone back that its destination lost."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime

from agentic_flywheel.documents.codec import encode_tombstone
from agentic_flywheel.documents.command import Command, Step
from agentic_flywheel.documents.lineage import later, tombstone_beats
from agentic_flywheel.documents.model import Document, Operation, Origin, Tombstone, expired, micros
from agentic_flywheel.documents.parse import (
    decode,
    kept_until_in,
    operations_in,
    revision_in,
    tombstone_in,
    tombstone_of,
)
from agentic_flywheel.documents.revisions import kept_whole
from agentic_flywheel.documents.write_ids import find, kept
from agentic_flywheel.documents.writes import ListRow, Write
from agentic_flywheel.errors import Conflict, Damaged, DocumentError
from agentic_flywheel.json_text import JSONObject, load_object

MIN_TOMBSTONE, MAX_TOMBSTONE = timedelta(days=60), timedelta(days=365)
"""A tombstone outlives every copy that could come back: twice the life of the session, within these bounds."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """A deletion's answer; `reason` says why nothing was deleted."""

    deleted: bool
    reason: Literal["not_found", "expired", "deleted"] | None = None
    parts: int = 0
    """Flow histories and executions that went with it, where its destination was asked."""
    wiped: bool | None = None
    """Whether nothing of it is left in the files of this machine; `None`: what goes with it is still to be erased."""


class DeleteCommand(Command[Deleted]):
    """Take a document away and leave a tombstone, which beats every revision up to its own."""

    kind: Literal["deletion"] = "deletion"
    member: str
    index: str = ""
    because: Origin = "deleted"
    revisions: str = ""
    histories: str = ""
    """What the keys of the session's older revisions and flow histories begin with: they go too. Empty: it has none."""
    saw: int | None = None
    saw_operations: tuple[str, ...] = ()
    """The revision, and the writes, that a pending deletion deleted here: what others saved on top of them stays.

    0: there was no session, but executions of it, of which others may have copies: it leaves a tombstone of nothing.
    """
    saw_older: tuple[str, ...] = ()
    """The keys of the older revisions that the session named then: a mirror cannot list them."""
    made_at: AwareDatetime | None = None
    """When a pending deletion was made: what is kept for the session later is of another life of it."""

    def apply(self, base: str | None, now: datetime, *, alive_remotely: bool = False) -> Step[Deleted]:
        """Replace what is stored by a tombstone; a damaged or newer document too, since its owner asked for it."""
        if base is None and self.saw == 0:
            return self._once_more(None, None, now)
        if base is None:
            return Step(None, Deleted(deleted=False, reason="not_found"), self)
        try:
            data = load_object(base, "the document")
            tombstone = tombstone_in(data, "the document")
        except Damaged:
            data, tombstone = JSONObject(), None
        if tombstone and (self.saw != 0 or tombstone.deleted_at >= (self.made_at or now)):
            return Step(None, Deleted(deleted=False, reason=tombstone.because), self)
        if tombstone:
            return self._once_more(tombstone, base, now)
        kept_until, revision, operations = kept_until_in(data), revision_in(data), operations_in(data)
        if self.saw is not None and revision > self.saw and not self._saw_all(operations):
            raise Conflict("Somebody saved it after it was deleted here, so it stays.", revision)
        is_expired = expired(kept_until, now) and not alive_remotely
        if self.because == "expired" and not is_expired:
            return Step(None, Deleted(deleted=False), self)
        because = "expired" if is_expired else self.because
        until = now + _tombstone_ttl(kept_until, now)
        tombstone = Tombstone(self.member, revision, self.made_at or now, until, because, operations)
        write = _tombstone_write(self.key, tombstone, base, self.index, now)
        saw: dict[str, object] = {
            "saw": revision,
            "saw_operations": tuple(operation.id for operation in operations),
            "made_at": self.made_at or now,
        }
        if self.revisions:
            older = tuple(f"{self.revisions}{number}" for number in _revisions_kept_whole(base, self.member))
            write = replace(write, delete_keys=older)
            saw["saw_older"] = older
        deleted = Deleted(deleted=not is_expired, reason="expired" if is_expired else None)
        return Step(write, deleted, self.model_copy(update=saw))

    def _once_more(self, before: Tombstone | None, base: str | None, now: datetime) -> Step[Deleted]:
        """A tombstone of nothing but what was kept with the session since it was deleted `before`, or without it."""
        tombstone = Tombstone(self.member, 0, self.made_at or now, now + MIN_TOMBSTONE, "deleted")
        tombstone = of_both(before, tombstone) if before else tombstone
        queued = self.model_copy(update={"made_at": self.made_at or now})
        return Step(_tombstone_write(self.key, tombstone, base, self.index, now), Deleted(deleted=True), queued)

    def _saw_all(self, operations: tuple[Operation, ...]) -> bool:
        """Whether nobody has written since; revisions given here are none of the stash's, but writes have names."""
        # What its own writer wrote before it, too: a save that was not kept may have arrived all the same.
        seen = [Operation(name, 0, 0, 0) for name in (*self.saw_operations, self.operation)]
        return bool(operations) and all(find(seen, operation.id, "") for operation in operations)


def _tombstone_ttl(kept_until: datetime | None, now: datetime) -> timedelta:
    ttl = max(MIN_TOMBSTONE, 2 * (kept_until - now)) if kept_until else MAX_TOMBSTONE
    return min(ttl, MAX_TOMBSTONE)


def _revisions_kept_whole(base: str, member: str) -> list[int]:
    """The numbers of the revisions that a document names and that lie under keys of their own."""
    try:
        document = decode(base, member)
    except DocumentError:
        return []
    return kept_whole(document) if isinstance(document, Document) else []


class TombstoneCommand(Command[None]):
    """Put a tombstone back where it was lost, and what it beats below it."""

    member: str
    index: str
    text: str

    def apply(self, base: str | None, now: datetime, *, alive_remotely: bool = False) -> Step[None]:  # noqa: ARG002
        """Replace what is not newer; with a tombstone that is there already it becomes that of both deletions."""
        tombstone = decode(self.text, self.member)
        if not isinstance(tombstone, Tombstone) or expired(tombstone.kept_until, now):
            return Step(None, None, self)
        if base is not None and (there := tombstone_of(base)):
            if not self.member or not _says_more(tombstone, there):
                return Step(None, None, self)
            tombstone = of_both(there, tombstone)
        elif base is not None and not tombstone_beats(self.text, base):
            return Step(None, None, self)
        return Step(_tombstone_write(self.key, tombstone, base, self.index, now), None, self)


def of_both(one: Tombstone, other: Tombstone) -> Tombstone:
    """The tombstone of two deletions, neither of which may have known of the other: it stands for all that both did."""
    last = other if other.deleted_at >= one.deleted_at else one
    writes = (*(write for write in one.operations if not find(other.operations, write.id)), *other.operations)
    until, top = later(one.kept_until, other.kept_until), max(one.revision, other.revision)
    return replace(last, revision=top, kept_until=until, operations=kept(writes))


def joined(stored: str, write: Write) -> Write:
    """The copy of a tombstone, which says what the one that is `stored` here says too, where that is of a deletion."""
    one, other = tombstone_of(stored), tombstone_of(write.text)
    if one is None or other is None or not _says_more(one, other):
        return write
    both = of_both(one, other)
    return replace(write, text=encode_tombstone(both), kept_until=both.kept_until)


def _says_more(one: Tombstone, than: Tombstone) -> bool:
    """Whether a deletion is to be added to what another one left: it was later, or had seen what that had not."""
    if {one.because, than.because} != {"deleted"}:
        return False
    if one.deleted_at > than.deleted_at or one.revision > than.revision:
        return True
    return any(find(than.operations, write.id) is None for write in one.operations)


def _tombstone_write(key: str, tombstone: Tombstone, base: str | None, index: str, now: datetime) -> Write:
    return Write(
        key=key,
        text=encode_tombstone(tombstone),
        seen=base,
        kept_until=tombstone.kept_until,
        tombstone=True,
        list_row=ListRow(index, tombstone.id, micros(now)) if index else None,
    )
