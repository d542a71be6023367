"""Keeps on this machine what a destination took and lost again before it was copied. Calls block."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from agentic_flywheel.documents.command import Command
from agentic_flywheel.documents.lineage import MergeForwardCommand, operations_at_end
from agentic_flywheel.documents.write_ids import arrived
from agentic_flywheel.documents.writes import Append, Write
from agentic_flywheel.journal import Journal


def keep_both(
    journal: Journal,
    merge_of: Callable[[Write], MergeForwardCommand],
    change: Command[Any],
    writes: Sequence[Write | Append],
    now: datetime,
) -> None:
    """Merge what the destination took into copies that do not go on to it, so that both are put back.

    Raises:
        DocumentError, JournalUnavailable: they cannot be merged.

    """
    for write in writes:
        _, ends = journal.ends(write.key)
        if isinstance(write, Append) and ends and arrived(operations_at_end(ends.tail), change.operation):
            continue  # another process of this machine saw it, and put what came after
        copy = journal.copy(write.key)
        if copy is None or copy.tombstone:
            continue
        merging: Command[Any] = change if isinstance(write, Append) else merge_of(write)
        step = merging.apply(copy.text, now)
        both = [each for each in (step.write, step.superseded_write) if each]
        if both:
            journal.put_replica(*both)
            journal.mark_unverified(write.key)
