"""Filters sessions: which of them a list is to show, and what of each is shown."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from agentic_flywheel.documents.codec import kept_until_in
from agentic_flywheel.documents.command import expired
from agentic_flywheel.documents.writes import Entry, Filter
from agentic_flywheel.errors import Damaged
from agentic_flywheel.journal.tokens import words_in
from agentic_flywheel.json_text import JSONObject, load_object
from agentic_flywheel.keys import glob
from agentic_flywheel.replication.repository import Places

MANY_WORDS = 3
"""From so many words on one may be missing: it was misspelt, or is remembered from elsewhere."""

READ_AT_ONCE = 200
"""Rows that are read in one go: some 2 ms."""

SOON = timedelta(days=1)
"""Sessions that expire within this are named so: resuming one lets it live on."""


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """The sessions a list is to show. `pattern` is a Redis glob on ids; `query` is looked for by `finding`."""

    pattern: str = "*"
    query: str = ""
    tags: Sequence[str] = ()
    status: str = ""
    user_id: str = ""

    @property
    def words(self) -> list[str]:
        """The words of the query, each once; what lists show is searched for them whatever their case."""
        return words_in(self.query)

    @property
    def filter(self) -> Filter:
        """What of this a place can tell for itself, so that it need not give every row."""
        words = self.words
        texts = [text for text in (self.status, self.user_id, *self.tags) if text]
        return Filter(words, len(words) - (len(words) >= MANY_WORDS), texts, self.pattern)

    def fitting(self, entries: Sequence[Entry], now: datetime) -> list["Row"]:
        """The rows of those entries that are wanted, whatever the query; those too that have expired by our clock.

        One that will have within `SOON` says so: `expires_soon`.
        """
        fits = glob(self.pattern)
        rows: list[Row] = []
        for entry in entries:
            try:
                row = load_object(entry.note, "a listing row")
            except Damaged:
                continue
            if (
                fits(entry.member)
                and (not self.user_id or row.get("user_id") == self.user_id)
                and (not self.status or row.get("status") == self.status)
                and set(self.tags) <= set(_tags(row))
            ):
                kept_until = kept_until_in({"kept_until": row.get("expires_at")})
                row["id"] = entry.member  # whoever shares the Redis may have written anything there
                if entry.here_alone:
                    row["scope"] = "this machine"
                if expired(kept_until, now + SOON):
                    row["expires_soon"] = True
                rows.append(Row(entry, row, expired(kept_until, now)))
        return rows


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a list as it is shown, and whether it has expired by the clock of this machine."""

    entry: Entry
    shown: JSONObject
    over: bool


async def unexpired_rows(
    places: Places, wanted: SessionFilter, entries: Sequence[Entry], now: datetime, bound: float
) -> list[Row]:
    """The rows of those entries that are wanted, whatever the query, and have not expired: where Redis is, it knows.

    They are read a part at a time, so that others are served in between.
    """
    rows: list[Row] = []
    for first in range(0, len(entries), READ_AT_ONCE):
        rows += wanted.matching(entries[first : first + READ_AT_ONCE], now)
        await asyncio.sleep(0)
    alive = await places.still_stored([row.entry.member for row in rows if row.over], bound)
    return [row for row in rows if not row.over or row.entry.member in alive]


def shown_text(row: JSONObject) -> str:
    """What of a row words are looked for in, whatever their case."""
    return " ".join([*(str(row.get(name) or "") for name in ("id", "title", "summary")), *_tags(row)]).casefold()


def _tags(row: JSONObject) -> list[str]:
    """The tags of a row; whoever shares the Redis may have written anything there."""
    tags = row.get("tags")
    return [tag for tag in cast("list[object]", tags) if isinstance(tag, str)] if isinstance(tags, list) else []
