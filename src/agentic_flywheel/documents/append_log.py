"""Adds records to a log beside a session: each once by its id, in order, and none ever leaves to make room.

A log is stored as a flow history is. One that is full is refused, and goes on under the key of its next segment.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime, Field

from agentic_flywheel.documents.codec import listed
from agentic_flywheel.documents.command import Step
from agentic_flywheel.documents.flow_document import Outline, Stored, outline
from agentic_flywheel.documents.flow_history import MAX_EXECUTIONS, Added, FlowHistoryCommand
from agentic_flywheel.documents.write_ids import arrived
from agentic_flywheel.documents.writes import Append, Ends, Splice
from agentic_flywheel.errors import Conflict, TooLarge
from agentic_flywheel.json_text import JSONObject, size_of


class LogFull(TooLarge):
    """The log takes no more: its next segment does."""


def is_full(there: Outline, size: int) -> bool:
    """Whether a log takes no more.

    That depends neither on what is added nor on who adds it: once there is a next segment, nothing may go into this
    one. So each says itself at which size it is full.
    """
    limit: object = (there.model_extra or {}).get(_LIMIT)
    return (there.count or 0) >= MAX_EXECUTIONS or (isinstance(limit, int) and size >= limit)


_LIMIT = "full_bytes"


class AppendLogCommand(FlowHistoryCommand):
    """Put records that are not there yet at the end of a log, or all of them in its place, or renew its life."""

    kind: Literal["log"] = "log"  # type: ignore[assignment]
    full_bytes: int
    """The size at which one that it begins is full."""
    renews: bool = False
    """Its life begins again, and nothing is added."""
    begins: bool = True
    """Whether it may begin the log where there is none: else it was cleared meanwhile."""
    written_at: AwareDatetime
    direct: bool = Field(default=False, exclude=True)
    """Not queued: whatever was deleted, it was before this; and its caller can still be told that the log is full, or
    gone. What was acknowledged is added to a full one as well.
    """

    @property
    def is_of_framework(self) -> bool:
        """It is: no tool writes a log."""
        return True

    def _append(
        self, ends: Ends, now: datetime, *, alive_remotely: bool, text: str | None
    ) -> tuple[Append, Added] | None:
        there = outline(ends)
        if self.renews and there and not arrived(there.writes, self.operation):
            return self._renewed(ends, there, now)
        if there and self._is_refused(there, ends.size):
            return None
        return super()._append(ends, now, alive_remotely=alive_remotely, text=text)

    def _renewed(self, ends: Ends, there: Outline, now: datetime) -> tuple[Append, Added]:
        """The same log, which lives its time from now on; when it was last written stays."""
        until = now + timedelta(seconds=self.ttl_seconds) if self.ttl_seconds else None
        writes = self._writes_after(there)
        after = there.model_copy(
            update={"revision": there.revision + 1, "kept_until": until, "operations": listed(writes)}
        )
        (old_head, old_tail), (head, tail) = there.around(), after.around()
        append = Append(self.key, ends, Splice(head, size_of(old_head), size_of(old_tail), tail), until)
        return append, Added(until, operations=writes[-1:])

    def _rewritten(self, stored: Stored, base: str | None, now: datetime) -> Step[Added]:
        if self.replaces:
            return super()._rewritten(stored, base, now)
        known = {execution.get("id") for execution, _, _ in stored.executions}
        new: list[JSONObject] = []
        for record in self.records:
            if record["id"] not in known:
                known.add(record["id"])
                new.append(record)
        if not new:
            return Step(None, Added(stored.outline.kept_until), self)
        if self.direct and not self.begins and not stored.executions:
            raise Conflict("The log was cleared meanwhile.")
        if self._is_refused(stored.outline, size_of(stored.text)):
            raise LogFull(f"The log has {len(stored.executions):,} records, and takes no more.")
        if len(new) == len(self.records):
            return super()._rewritten(stored, base, now)
        lacking = self.model_copy(update={"records": new})
        return replace(super(AppendLogCommand, lacking)._rewritten(stored, base, now), command=self)

    def _said_at_the_beginning(self) -> JSONObject:
        return {_LIMIT: self.full_bytes}

    def _for_room(self, sizes: list[int], sent: list[str], around: int) -> int:
        """None leaves, however many there are."""
        size = around + sum(sizes) + sum(size_of(text) + 1 for text in sent)
        if size > self.max_bytes:
            raise TooLarge(f"The log would have {size:,} bytes; the limit is {self.max_bytes:,}.")
        return 0

    def _is_refused(self, there: Outline, size: int) -> bool:
        return self.direct and is_full(there, size)

    def _was_deleted(self, deleted_at: datetime) -> bool:
        """Whether the records were kept before the log was deleted, as those of a pending change may be."""
        return not self.direct and self.written_at <= deleted_at
