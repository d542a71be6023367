"""Lists sessions where this machine's journal is all there is, with none of what a store imports: it starts at once."""

from datetime import datetime

from agentic_flywheel.journal import Journal
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.sessions.folded import is_folded, note_children, without_children
from agentic_flywheel.sessions.session_filter import SessionFilter


def newest(
    journal: Journal, index: str, session_filter: SessionFilter, limit: int, now: datetime
) -> tuple[list[JSONObject], bool]:
    """The rows of the newest sessions that match all but the query, as a store lists them; whether there are more.

    Raises:
        JournalUnavailable: they cannot be read.

    """
    found: list[JSONObject] = []
    before: tuple[int, str] | None = None
    while len(found) <= limit:
        entries = journal.recent(index, before, limit + 1)
        rows = [row for row in session_filter.matching(entries, now) if not row.expired]
        rows = without_children(journal, index, rows) if is_folded(session_filter) else rows
        found += [row.shown for row in rows]
        if len(entries) <= limit:
            break
        before = entries[-1].saved_at, entries[-1].member
    note_children(journal, index, found[:limit])
    return found[:limit], len(found) > limit
