"""Filters sessions: which of them a list is to show, and what of each is shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from agentic_flywheel.coaia.envelope import key_of_note
from agentic_flywheel.documents.model import expired, instant, instant_of, iso
from agentic_flywheel.documents.writes import Filter, ListRow
from agentic_flywheel.errors import Damaged, InvalidArgument
from agentic_flywheel.json_text import JSONObject, load_object
from agentic_flywheel.keys import glob
from agentic_flywheel.plain_text import brief

READ_AT_ONCE = 200
"""Rows that are read in one go: some 2 ms."""

MAX_PAGE = 1000
"""The most sessions that one list shows."""

MAX_PATTERN = 4_096
"""Characters of a pattern: an id has 512, and a class for one character some eight."""

SOON = timedelta(days=1)
"""Sessions that expire within this are marked: resuming one renews it."""


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """The sessions a list is to show. `pattern` is a Redis glob on ids; a `query` is searched for in the words said.

    `each`: also those that are folded into the row of another one, as a sub-agent's is.
    """

    pattern: str = "*"
    query: str = ""
    tags: Sequence[str] = ()
    status: str = ""
    user_id: str = ""
    each: bool = False

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
                if (key := key_of_note(entry.note)) is None:
                    continue
                shown = _sealed(entry, key)
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


def _sealed(entry: ListRow, key: str) -> JSONObject:
    """What is shown of a session whose key is not here: left out, it would look as if there were none."""
    title = f"sealed: the key {key!r} is not given here"
    return {"id": entry.member, "title": title, "updated_at": iso(instant(entry.saved_at))}


def _row(entry: ListRow, shown: JSONObject, now: datetime) -> Row:
    kept_until = instant_of(shown.get("expires_at"))
    shown["id"] = entry.member  # others who share the Redis may have written anything there
    if entry.here_alone:
        shown["scope"] = "this machine"
    if expired(kept_until, now + SOON):
        shown["expires_soon"] = True
    return Row(entry, shown, expired(kept_until, now))


EVERY_SESSION = SessionFilter(each=True)
"""For what goes through all that is kept: an export leaves nothing out."""


def check_pattern(pattern: str) -> None:
    """Raise `InvalidArgument` if a pattern is longer than any that an id needs: it would hold everybody up."""
    if len(pattern) > MAX_PATTERN:
        raise InvalidArgument(f"pattern must be at most {MAX_PATTERN:,} characters; it has {len(pattern):,}.")


def check_limit(limit: int) -> None:
    """Raise `InvalidArgument` unless a page may have so many rows."""
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidArgument(f"limit must be from 1 to {MAX_PAGE}; {brief(limit)} came.")


def whose(user_id: str | None, own: str, *, own_only: bool) -> str:
    """The user that is asked for; absent, the server's `own`.

    Raises:
        InvalidArgument: another one, where others' sessions are hidden.

    """
    if own_only and user_id not in (None, "", own):
        raise InvalidArgument("user_id must be absent: this server shows its own user's sessions alone.")
    return user_id or own


def _tags(shown: JSONObject) -> list[str]:
    """The tags of a row, which others who share the Redis may have written in any shape."""
    tags = shown.get("tags")
    return [tag for tag in cast("list[object]", tags) if isinstance(tag, str)] if isinstance(tags, list) else []
