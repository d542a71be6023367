"""Keeps on this machine what a destination took and lost again before it was copied. Calls block."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from agentic_flywheel.documents.command import Command
from agentic_flywheel.documents.lineage import MergeForwardCommand, operations_at_end
from agentic_flywheel.documents.write_ids import arrived
from agentic_flywheel.documents.writes import Append, Write
from agentic_flywheel.journal import Journal
from agentic_flywheel.journal.records import LeftOut

TRIES = 5
"""How often it begins anew where another process of this machine put a copy in between; then the next look merges."""


def keep_both(
    journal: Journal,
    merge_of: Callable[[Write], MergeForwardCommand],
    change: Command[Any],
    writes: Sequence[Write | Append],
    now: datetime,
) -> bool:
    """Merge what the destination took into copies that do not go on to it, so that both are put back.

    Whether a change became pending meanwhile, so that nothing was merged.

    Raises:
        DocumentError, JournalUnavailable: they cannot be merged.

    """
    is_pending = False
    for write in writes:
        for _ in range(TRIES):
            left = _merge(journal, merge_of, change, write, now)
            is_pending = is_pending or bool(left.pending)
            if not left.apart:
                break
    return is_pending


def _merge(
    journal: Journal,
    merge_of: Callable[[Write], MergeForwardCommand],
    change: Command[Any],
    write: Write | Append,
    now: datetime,
) -> LeftOut:
    """Merge one into the copy that is here; its key where something else was here by then."""
    _, ends = journal.ends(write.key)
    if isinstance(write, Append) and ends and arrived(operations_at_end(ends.tail), change.operation):
        return LeftOut()  # another process of this machine saw it, and put what came after
    copy = journal.copy(write.key)
    if copy is None or copy.tombstone:
        return LeftOut()
    merging: Command[Any] = change if isinstance(write, Append) else merge_of(write)
    step = merging.apply(copy.text, now)
    if step.write is None:
        return LeftOut()
    left = journal.put_replica(step.write)
    if not left.apart and not left.pending:
        if step.superseded_write:
            journal.put_replica(step.superseded_write)
        journal.mark_unverified(write.key)
    return left
