"""Lists: which sessions a caller asked for, what of each is shown, and the cursor to the next page."""

import asyncio
import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from agentic_flywheel.documents.command import expired
from agentic_flywheel.documents.parse import kept_until_in
from agentic_flywheel.documents.writes import Filter, ListRow
from agentic_flywheel.errors import Damaged, InvalidArgument
from agentic_flywheel.journal.tokens import words_in
from agentic_flywheel.json_text import JSONObject, load_object
from agentic_flywheel.keys import glob
from agentic_flywheel.replication.repository import Places

MANY_WORDS = 3
"""From so many words on one may be missing: it was misspelt, or is remembered from elsewhere."""

READ_AT_ONCE = 200
"""Rows that are read in one go: some 2 ms."""

UNFINISHED = "Not all of the list could be looked through in time: next_cursor goes on there."

SOON = timedelta(days=1)
"""Sessions that expire within this are named so: resuming one lets it live on."""


@dataclass(frozen=True, slots=True)
class Wanted:
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

    def fitting(self, entries: Sequence[ListRow], now: datetime) -> list["Row"]:
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

    entry: ListRow
    shown: JSONObject
    over: bool


async def living_rows(
    places: Places, wanted: Wanted, entries: Sequence[ListRow], now: datetime, bound: float
) -> list[Row]:
    """The rows of those entries that are wanted, whatever the query, and have not expired: where Redis is, it knows.

    They are read a part at a time, so that others are served in between.
    """
    rows: list[Row] = []
    for first in range(0, len(entries), READ_AT_ONCE):
        rows += wanted.fitting(entries[first : first + READ_AT_ONCE], now)
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


def write_cursor(place: tuple[int, str]) -> str:
    """The cursor to what comes behind this place in the list."""
    return _written([*place])


def read_cursor(cursor: str) -> tuple[int, str]:
    """The place in the list that a cursor names.

    Raises:
        InvalidArgument: it is none of ours.

    """
    match _read(cursor):
        case [int(saved_at), str(member)] if _is_time(saved_at):
            return saved_at, member
        case _:
            raise InvalidArgument(_FOREIGN)


@dataclass(frozen=True, slots=True)
class FoundPlace:
    """Where a page of what was found begins: behind so many, the `last` of which had this id.

    `start` is the place in the list from which on it was looked through for them (`None`: its beginning).
    """

    offset: int = 0
    last: str = ""
    start: tuple[int, str] | None = None


def write_place(place: FoundPlace, wanted: Wanted) -> str:
    """The cursor to that place."""
    return _written([place.offset, place.last, _question(wanted), *(place.start or ())])


def read_place(cursor: str, wanted: Wanted) -> FoundPlace:
    """The place that a cursor names.

    Raises:
        InvalidArgument: it is no cursor of a search for the same.

    """
    match _read(cursor):
        case [int(offset), str(last), str(question)]:
            place = FoundPlace(offset, last)
        case [int(offset), str(last), str(question), int(saved_at), str(member)] if _is_time(saved_at):
            place = FoundPlace(offset, last, (saved_at, member))
        case _:
            raise InvalidArgument(_FOREIGN)
    if question != _question(wanted) or not 0 <= offset < 2**31:
        raise InvalidArgument(_FOREIGN)
    return place


def _is_time(value: int) -> bool:
    return not isinstance(value, bool) and 0 <= value < 2**63


def _question(wanted: Wanted) -> str:
    return hashlib.blake2b(repr(wanted).encode("utf-8", "replace"), digest_size=6).hexdigest()


_FOREIGN = "cursor must be the next_cursor of an earlier answer to the same question, unchanged."


def _written(place: list[object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def _read(cursor: str) -> object:
    try:
        place = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        json.dumps(place, ensure_ascii=False).encode()  # no half of a surrogate pair
    except (ValueError, TypeError, RecursionError):
        return None
    return place
