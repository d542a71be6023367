"""Filters sessions: which of them a list is to show, and what of each is shown."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from agentic_flywheel.documents.command import expired
from agentic_flywheel.documents.parse import kept_until_in
from agentic_flywheel.documents.writes import Filter, ListRow
from agentic_flywheel.errors import Damaged
from agentic_flywheel.json_text import JSONObject, load_object
from agentic_flywheel.keys import glob
from agentic_flywheel.replication.repository import Repository

READ_AT_ONCE = 200
"""Rows that are read in one go: some 2 ms."""

SOON = timedelta(days=1)
"""Sessions that expire within this are marked: resuming one renews it."""


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """The sessions a list is to show. `pattern` is a Redis glob on ids; a `query` is searched for in the words said."""

    pattern: str = "*"
    query: str = ""
    tags: Sequence[str] = ()
    status: str = ""
    user_id: str = ""

    @property
    def row_filter(self) -> Filter:
        """What of this the keeper of the list can test by itself, so that it need not give every row."""
        texts = tuple(text for text in (self.status, self.user_id, *self.tags) if text)
        return Filter(texts=texts, pattern=self.pattern)

    def matching(self, entries: Sequence[ListRow], now: datetime) -> list["Row"]:
        """The rows of the entries that match all but the query, those included that have expired by our clock.

        A row that expires within `SOON` says so: `expires_soon`.
        """
        matches_id = glob(self.pattern)
        rows: list[Row] = []
        for entry in entries:
            try:
                shown = load_object(entry.note, "a listing row")
            except Damaged:
                continue
            if matches_id(entry.member) and self._matches(shown):
                rows.append(_row(entry, shown, now))
        return rows

    def _matches(self, shown: JSONObject) -> bool:
        return (
            (not self.user_id or shown.get("user_id") == self.user_id)
            and (not self.status or shown.get("status") == self.status)
            and set(self.tags) <= set(_tags(shown))
        )


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a list as it is shown, and whether it has expired by the clock of this machine."""

    entry: ListRow
    shown: JSONObject
    expired: bool


def _row(entry: ListRow, shown: JSONObject, now: datetime) -> Row:
    kept_until = kept_until_in({"kept_until": shown.get("expires_at")})
    shown["id"] = entry.member  # others who share the Redis may have written anything there
    if entry.here_alone:
        shown["scope"] = "this machine"
    if expired(kept_until, now + SOON):
        shown["expires_soon"] = True
    return Row(entry, shown, expired(kept_until, now))


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


def _tags(shown: JSONObject) -> list[str]:
    """The tags of a row, which others who share the Redis may have written in any shape."""
    tags = shown.get("tags")
    return [tag for tag in cast("list[object]", tags) if isinstance(tag, str)] if isinstance(tags, list) else []
