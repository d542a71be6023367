"""Takes records out of a segment of a log by their ids; the segment takes no new ones from then on."""

from datetime import datetime
from typing import Literal

from agentic_flywheel.documents.codec import listed
from agentic_flywheel.documents.command import FollowingCommand, Step
from agentic_flywheel.documents.flow_document import put_together, whole
from agentic_flywheel.documents.flow_history import Added
from agentic_flywheel.documents.model import Operation
from agentic_flywheel.documents.parse import tombstone_of
from agentic_flywheel.documents.write_ids import arrived, kept, name_on
from agentic_flywheel.documents.writes import Write


class DropRecordsCommand(FollowingCommand[Added]):
    """Take the records of these ids out; those that others added meanwhile stay.

    A segment that has lost records is full from then on, whatever its size: another may follow it, and nothing may be
    added to one that another follows.
    """

    kind: Literal["log_drop"] = "log_drop"
    ids: list[str]

    def apply(self, base: str | None, now: datetime, *, alive_remotely: bool = False) -> Step[Added]:  # noqa: ARG002
        """Write the segment without them."""
        if base is None or tombstone_of(base):
            return Step(None, Added(None), self)
        stored, gone = whole(base), frozenset(self.ids)
        there = stored.outline
        stay = [each for each in stored.executions if each[0].get("id") not in gone]
        dropped = len(stored.executions) - len(stay)
        done = arrived(there.writes, self.operation)
        if not dropped or done:
            return Step(None, Added(there.kept_until, operations=(done,) if done else ()), self)
        made = Operation(name_on(there.writes, self.operation, self.follows), there.revision + 1, 0, 0)
        after = there.model_copy(
            update={
                "revision": there.revision + 1,
                "count": len(stay),
                "dropped": there.dropped + dropped,
                "full_bytes": 0,
                "operations": listed(kept((*there.writes, made))),
            }
        )
        text, splice = put_together(stored, stay, *after.around())
        write = Write(self.key, text, base, after.kept_until, splice=splice if stored.text is base else None)
        return Step(write, Added(after.kept_until, dropped, (made,)), self)
