"""Lists: which sessions a caller asked for, what of each is shown, and the cursor to the next page."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from agentic_flywheel.change import expired
from agentic_flywheel.codec import kept_until_in
from agentic_flywheel.errors import Damaged, InvalidArgument
from agentic_flywheel.jsontext import JSONObject, load_object
from agentic_flywheel.keys import glob
from agentic_flywheel.keyvalue import Entry


@dataclass(frozen=True, slots=True)
class Wanted:
    """The sessions a list is to show. `pattern` is a Redis glob on ids; `query` words must all be there."""

    pattern: str = "*"
    query: str = ""
    tags: Sequence[str] = ()
    status: str = ""
    user_id: str = ""

    @property
    def words(self) -> list[str]:
        """The words of the query."""
        return self.query.casefold().split()

    @property
    def everything(self) -> bool:
        """Whether every session is wanted."""
        return self == Wanted()

    def rows(self, entries: Sequence[Entry], now: datetime) -> list[tuple[Entry, JSONObject]]:
        """The rows of those entries that are wanted and have not expired."""
        fits = glob(self.pattern)
        words = self.words
        rows: list[tuple[Entry, JSONObject]] = []
        for entry in entries:
            try:
                row = load_object(entry.note, "a listing row")
            except Damaged:
                continue
            if (
                not expired(kept_until_in({"kept_until": row.get("expires_at")}), now)
                and fits(entry.member)
                and (not self.user_id or row.get("user_id") == self.user_id)
                and (not self.status or row.get("status") == self.status)
                and set(self.tags) <= set(_tags(row))
                and _has_words(row, words)
            ):
                rows.append((entry, row))
        return rows


def _has_words(row: JSONObject, words: Sequence[str]) -> bool:
    if not words:
        return True
    text = " ".join([*(str(row.get(name) or "") for name in ("id", "title", "summary")), *_tags(row)])
    text = text.casefold()
    return all(word in text for word in words)


def _tags(row: JSONObject) -> list[str]:
    """The tags of a row; whoever shares the Redis may have written anything there."""
    tags = row.get("tags")
    return [tag for tag in cast("list[object]", tags) if isinstance(tag, str)] if isinstance(tags, list) else []


def write_cursor(entry: Entry) -> str:
    """The cursor to what comes after this entry."""
    return base64.urlsafe_b64encode(json.dumps([entry.saved_at, entry.member]).encode()).decode()


def read_cursor(cursor: str) -> tuple[int, str]:
    """The place in the list that a cursor names.

    Raises:
        InvalidArgument: it is none of ours.

    """
    try:
        saved_at, member = json.loads(base64.urlsafe_b64decode(cursor.encode()))
    except (ValueError, TypeError):
        saved_at = member = None
    if not isinstance(saved_at, int) or not isinstance(member, str):
        raise InvalidArgument("cursor must be the next_cursor of an earlier answer, unchanged.")
    return saved_at, member
