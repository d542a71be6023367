"""Adds executions to flow histories: an append reads both ends of the text and writes only what is new.

What has expired leaves, and room is made, in a rewrite of its own, in which the executions that stay keep their text.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal, Self, cast

from pydantic import Field

from agentic_flywheel.documents.codec import listed
from agentic_flywheel.documents.command import FollowingCommand, Step
from agentic_flywheel.documents.flow_document import (
    Outline,
    Placed,
    Stored,
    earliest,
    end_of,
    latest,
    outline,
    outline_of,
    put_together,
    remembered,
    whole,
)
from agentic_flywheel.documents.known_ids import KnownIds
from agentic_flywheel.documents.model import Operation, Tombstone, expired, instant_of
from agentic_flywheel.documents.parse import kept_until_in, tombstone_of
from agentic_flywheel.documents.write_ids import arrived, kept, name_on
from agentic_flywheel.documents.writes import Append, Ends, Splice, Write, ends_of, etag
from agentic_flywheel.errors import TooLarge
from agentic_flywheel.json_text import JSONObject, dumps, dumps_checked, size_of

MAX_EXECUTIONS = 10_000
"""Executions in a flow's history; with one more, its oldest leave."""

LEFT_WHEN_FULL = 0.9
"""The part of either limit to which a full history shrinks, so that the next appends need not make room again."""

CLEARED_AFTER = timedelta(hours=1)
"""An expired execution is hidden at once, and leaves with the first append that is this much later."""


@dataclass(frozen=True, slots=True)
class Added:
    """An append's answer: until when the history lives, and how many living executions had to leave for room.

    `operations`: by which write it is there.
    """

    kept_until: datetime | None
    dropped: int = 0
    operations: tuple[Operation, ...] = ()


class FlowHistoryCommand(FollowingCommand[Added]):
    """Put executions at the end of their flow's history, or in its place; one whose id is there is replaced."""

    appends: ClassVar[bool] = True
    goes_on: ClassVar[bool] = True

    kind: Literal["flow"] = "flow"
    session_id: str
    flow_id: str
    records: list[JSONObject]
    replaces: bool = False
    ttl_seconds: int
    max_bytes: int
    fresh: bool = Field(default=False, exclude=True)
    """Their ids were made for this very call: none of them can be there."""
    ahead: timedelta = Field(default=timedelta(), exclude=True)
    """By how much the clock here may be ahead: others' executions expire so much later by it."""

    def with_clock_ahead(self, ahead: timedelta) -> Self:
        """The command of a machine whose clock is so much ahead."""
        return self.model_copy(update={"ahead": ahead}) if ahead != self.ahead else self

    def apply(self, base: str | None, now: datetime, *, alive_remotely: bool = False) -> Step[Added]:
        """Add to what is stored; when the history passes a limit, its oldest executions go first."""
        tombstone = tombstone_of(base) if base is not None else None
        there = outline(ends_of(base)) if base is not None and not tombstone else None
        if tombstone and tombstone.because == "deleted" and self._was_deleted(tombstone.deleted_at):
            return Step(None, Added(tombstone.kept_until), self)
        if there and there.begun_after and self._was_deleted(there.begun_after):
            return Step(None, Added(there.kept_until), self)
        if base is not None and (grown := self._append(ends_of(base), now, alive_remotely=alive_remotely, text=base)):
            append, added = grown
            write = Write(self.key, append.applied_to(base), base, append.kept_until, splice=append.splice)
            return Step(write, added, self)
        stored = self._stored(base, tombstone, now, alive_remotely=alive_remotely)
        done = arrived(stored.outline.writes, self.operation)
        if done or (self.records and not self._living(now)):
            return Step(None, Added(stored.outline.kept_until, operations=(done,) if done else ()), self)
        return self._rewritten(stored, base, now)

    def onto(self, ends: Ends, now: datetime) -> tuple[Append, Added] | None:
        """The append to a history that begins and ends so.

        `None` where more of it must be known: an execution may be there already, or some have to leave.
        """
        return self._append(ends, now, alive_remotely=False, text=None)

    def _append(
        self, ends: Ends, now: datetime, *, alive_remotely: bool, text: str | None
    ) -> tuple[Append, Added] | None:
        """The same; `text` is all of the history, where that is at hand."""
        there, records = outline(ends), self._living(now)
        if not there or there.count is None or self.replaces or not records:
            return None
        if arrived(there.writes, self.operation) or (
            expired(there.kept_until, now - self.ahead) and not alive_remotely
        ):
            return None
        if _has_to_clear(there, now - self.ahead) or there.count + len(records) > MAX_EXECUTIONS:
            return None
        after = self._after(there, records, there.count, now)
        (old_head, old_tail), (head, tail) = there.around(), after.around()
        remembered(after, (head, tail))
        tail = ("," if there.count else "") + ",".join(map(_text_of, records)) + tail
        splice = Splice(head, size_of(old_head), size_of(old_tail), tail)
        append = Append(self.key, ends, splice, after.kept_until)
        fits = append.size <= self.max_bytes and self._are_new(append, text)
        return (append, Added(append.kept_until, operations=after.newest)) if fits else None

    def _are_new(self, append: Append, text: str | None) -> bool:
        """Whether none of the executions is there; where that cannot be told without reading those, no."""
        ids = [_cut(record.get("id")) for record in self.records]
        if None in ids:
            return False
        return _IDS.add(append, cast("list[str]", ids), text, fresh=self.fresh)

    def _stored(self, base: str | None, tombstone: Tombstone | None, now: datetime, *, alive_remotely: bool) -> Stored:
        """What the executions are added to: none where the history is replaced, was deleted or has expired."""
        new = Outline(session_id=self.session_id, flow_id=self.flow_id)
        if base is None:
            return Stored(new)
        if tombstone:
            writes = listed(tombstone.operations)
            update: dict[str, object] = {"revision": tombstone.revision, "operations": writes}
            if tombstone.because == "deleted":
                update |= {"began": tombstone.revision + 1, "begun_after": tombstone.deleted_at}
            return Stored(new.model_copy(update=update))
        stored = whole(base, new)
        if self.replaces or (expired(stored.outline.kept_until, now - self.ahead) and not alive_remotely):
            return Stored(stored.outline.model_copy(update={"dropped": 0}))
        return stored

    def _rewritten(self, stored: Stored, base: str | None, now: datetime) -> Step[Added]:
        """The history without what is replaced, has expired or must leave for room, and with the new executions."""
        records = self.records if self.replaces else self._living(now)
        sent = [record["id"] for record in records if record.get("id")]
        stay = [each for each in stored.executions if _stays(each[0], sent, now - self.ahead)]
        texts = [*map(_text_of, records)]
        after = self._after(outline_of(stored.outline, stay), records, len(stay), now)
        head, tail = after.around()
        sizes = [size_of(stored.text[a:b]) + 1 for _, a, b in stay]
        if dropped := self._for_room(sizes, texts, size_of(head) + size_of(tail)):
            stay = stay[dropped:]
            after = self._after(outline_of(stored.outline, stay, dropped), records, len(stay), now)
            head, tail = after.around()
        remembered(after, (head, tail))
        tail = ("," if stay and texts else "") + ",".join(texts) + tail
        text, splice = put_together(stored, stay, head, tail)
        ids = {_cut(record.get("id")) for record in (*(execution for execution, _, _ in stay), *records)}
        _IDS.keep(self.key, {name for name in ids if name is not None}, etag(text))
        write = Write(self.key, text, base, after.kept_until, splice=splice if stored.text is base else None)
        return Step(write, Added(after.kept_until, dropped, after.newest), self)

    def _for_room(self, sizes: list[int], sent: list[str], around: int) -> int:
        """How many of the oldest executions, which have these sizes, must leave."""
        count, size = len(sizes) + len(sent), sum(sizes) + sum(size_of(text) + 1 for text in sent)
        room = self.max_bytes - around
        if self.replaces:  # whoever sends the whole history does not want it shortened
            if size > room:
                raise TooLarge(f"The flow history has {size:,} bytes; the limit is {self.max_bytes:,}.")
            return 0
        if count <= MAX_EXECUTIONS and size <= room:
            return 0
        for leaving, each in enumerate(sizes):
            if count <= LEFT_WHEN_FULL * MAX_EXECUTIONS and size <= LEFT_WHEN_FULL * room:
                return leaving
            count, size = count - 1, size - each
        return len(sizes)

    def _after(self, there: Outline, records: list[JSONObject], count: int, now: datetime) -> Outline:
        """The outline with the executions that are added to so many."""
        until = now + timedelta(seconds=self.ttl_seconds) if self.ttl_seconds else None
        ends = [until] if self.replaces else [end_of(record, until) for record in records]
        expiries = [there.next_expiry if count else None, *map(kept_until_in, records)]
        return there.model_copy(
            update={
                "revision": there.revision + 1,
                "saved_at": now,
                "kept_until": latest([there.kept_until, *ends] if count else ends),
                "ttl_seconds": self.ttl_seconds,
                "count": count + len(records),
                "next_expiry": earliest(expiries),
                "operations": listed(self._writes_after(there)),
                **({} if count else self._said_at_the_beginning()),
            }
        )

    def _writes_after(self, there: Outline) -> tuple[Operation, ...]:
        """The writes that the history names with this one; one that replaces it stands for all of its writer."""
        name = self.operation if self.replaces else name_on(there.writes, self.operation, self.follows)
        return kept((*there.writes, Operation(name, there.revision + 1, 0, 0)))

    def _said_at_the_beginning(self) -> JSONObject:
        """Fields of the outline that the first execution brings along."""
        return {}

    def _living(self, now: datetime) -> list[JSONObject]:
        """The executions that have not expired on their way."""
        return [record for record in self.records if self.replaces or not expired(kept_until_in(record), now)]

    def _was_deleted(self, deleted_at: datetime) -> bool:
        """Whether all these executions were kept before their history was deleted."""
        if self.replaces:
            return False
        times = [time for record in self.records if (time := instant_of(record.get("cached_at")))]
        return len(times) == len(self.records) and all(time <= deleted_at for time in times)


def merged(mine: str, there: str, operation: str, now: datetime) -> tuple[str, datetime | None] | None:
    """The history `there` with the living executions that only `mine` has at its end, and until when it lives.

    `None` if it lacks none.

    Raises:
        Damaged, NewerSchema: one of them is no flow history, or one of a newer version.

    """
    ours, theirs = whole(mine), whole(there)
    lost = _lost(ours, theirs, now)
    if not lost:
        return None
    again = {dumps(execution["id"]) for execution, _, _ in lost if execution.get("id")}
    stay = [each for each in theirs.executions if dumps(each[0].get("id")) not in again]
    before, back = outline_of(theirs.outline, stay), outline_of(ours.outline, lost)
    revision = max(before.revision, back.revision) + 1
    writes = sorted((*ours.outline.writes, *theirs.outline.writes), key=lambda each: each.revision)  # the oldest may go
    after = before.model_copy(
        update={
            "revision": revision,
            "saved_at": max((at for at in (before.saved_at, back.saved_at) if at), default=None),
            "kept_until": latest([before.kept_until, back.kept_until] if stay else [back.kept_until]),
            "count": len(stay) + len(lost),
            "dropped": max(before.dropped, back.dropped),
            "next_expiry": earliest([before.next_expiry, back.next_expiry]),
            "operations": listed(kept((*writes, Operation(operation, revision, 0, 0)))),
        }
    )
    head, tail = after.around()
    tail = ("," if stay else "") + ",".join(ours.text[start:end] for _, start, end in lost) + tail
    return put_together(theirs, stay, head, tail)[0], after.kept_until


def _lost(ours: Stored, theirs: Stored, now: datetime) -> list[Placed]:
    """The living executions of ours that theirs lacks, or has as they were before; none of a life that was ended."""
    known = [execution for execution, _, _ in theirs.executions]
    ids = {dumps(execution["id"]): instant_of(execution.get("cached_at")) for execution in known if execution.get("id")}

    def lacking(execution: JSONObject) -> bool:
        if not execution.get("id"):
            return execution not in known
        name, kept_at = dumps(execution["id"]), instant_of(execution.get("cached_at"))
        return name not in ids or bool(kept_at and (other := ids[name]) and kept_at > other)

    def gone(execution: JSONObject) -> bool:
        kept_at, after = instant_of(execution.get("cached_at")), theirs.outline.begun_after
        return expired(kept_until_in(execution), now) or bool(kept_at and after and kept_at <= after)

    return [each for each in ours.executions if not gone(each[0]) and lacking(each[0])]


def _has_to_clear(there: Outline, now: datetime) -> bool:
    """Whether an execution expired so long ago that it has to leave."""
    return there.next_expiry is not None and there.next_expiry <= now - CLEARED_AFTER


def _stays(execution: JSONObject, sent: list[Any], now: datetime) -> bool:
    return execution.get("id") not in sent and not expired(kept_until_in(execution), now)


def _text_of(record: JSONObject) -> str:
    """A record as it is stored; whoever made the command has checked that JSON can carry it."""
    return dumps_checked(record).decode()


def _cut(identity: object) -> str | None:
    """The text of an id as far as its first quotation mark: enough to say that it is another one."""
    return dumps(identity)[1:].partition('"')[0] if isinstance(identity, str) else None


_IDS = KnownIds()
"""Those of this process."""
