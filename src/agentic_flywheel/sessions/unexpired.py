"""Tells which rows of a list are alive: those that have expired by our clock may live on in Redis, which decides."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from agentic_flywheel.documents.writes import ListRow
from agentic_flywheel.replication.repository import Repository
from agentic_flywheel.sessions.session_filter import Row, SessionFilter

READ_AT_ONCE = 200
"""Rows that are read in one go: some 2 ms."""


async def unexpired_rows(
    repository: Repository, session_filter: SessionFilter, entries: Sequence[ListRow], now: datetime, deadline: float
) -> list[Row]:
    """The rows that match all but the query and have not expired; Redis decides where it holds them.

    Reads them a part at a time, so that others are served in between.
    """
    rows: list[Row] = []
    for first in range(0, len(entries), READ_AT_ONCE):
        rows += session_filter.matching(entries[first : first + READ_AT_ONCE], now)
        await asyncio.sleep(0)
    alive = await repository.still_stored([row.entry.member for row in rows if row.expired], deadline)
    return [row for row in rows if not row.expired or row.entry.member in alive]
