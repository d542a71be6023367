"""Lists: which sessions a caller asked for, what of each is shown, and the cursor to the next page."""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from agentic_flywheel.change import expired
from agentic_flywheel.codec import kept_until_in
from agentic_flywheel.errors import Damaged, InvalidArgument
from agentic_flywheel.jsontext import JSONObject, load_object
from agentic_flywheel.keys import glob
from agentic_flywheel.keyvalue import Entry
from agentic_flywheel.wording import words_in

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
    def everything(self) -> bool:
        """Whether every session is wanted."""
        return self == Wanted()

    def rows(self, entries: Sequence[Entry], now: datetime) -> list[tuple[Entry, JSONObject]]:
        """The rows of those entries that are wanted, whatever the query, and have not expired.

        One that will have within `SOON` says so: `expires_soon`.
        """
        fits = glob(self.pattern)
        rows: list[tuple[Entry, JSONObject]] = []
        for entry in entries:
            try:
                row = load_object(entry.note, "a listing row")
            except Damaged:
                continue
            kept_until = kept_until_in({"kept_until": row.get("expires_at")})
            if (
                not expired(kept_until, now)
                and fits(entry.member)
                and (not self.user_id or row.get("user_id") == self.user_id)
                and (not self.status or row.get("status") == self.status)
                and set(self.tags) <= set(_tags(row))
            ):
                row["id"] = entry.member  # whoever shares the Redis may have written anything there
                if expired(kept_until, now + SOON):
                    row["expires_soon"] = True
                rows.append((entry, row))
        return rows


def shown_text(row: JSONObject) -> str:
    """What of a row words are looked for in, whatever their case."""
    return " ".join([*(str(row.get(name) or "") for name in ("id", "title", "summary")), *_tags(row)]).casefold()


def _tags(row: JSONObject) -> list[str]:
    """The tags of a row; whoever shares the Redis may have written anything there."""
    tags = row.get("tags")
    return [tag for tag in cast("list[object]", tags) if isinstance(tag, str)] if isinstance(tags, list) else []


def write_cursor(entry: Entry) -> str:
    """The cursor to what comes after this entry."""
    return _written([entry.saved_at, entry.member])


def read_cursor(cursor: str) -> tuple[int, str]:
    """The place in the list that a cursor names.

    Raises:
        InvalidArgument: it is none of ours.

    """
    match _read(cursor):
        case [int(saved_at), str(member)] if saved_at is not True and saved_at is not False and 0 <= saved_at < 2**63:
            return saved_at, member
        case _:
            raise InvalidArgument(_FOREIGN)


def write_place(offset: int, last: str, wanted: Wanted) -> str:
    """The cursor to what comes after so many that were found, the `last` of which had this id."""
    return _written([offset, last, _question(wanted)])


def read_place(cursor: str, wanted: Wanted) -> tuple[int, str]:
    """How many that were found come before, and the id of the last of them.

    Raises:
        InvalidArgument: it is no cursor of a search for the same.

    """
    match _read(cursor):
        case [int(offset), str(last), str(question)] if 0 <= offset < 2**31 and question == _question(wanted):
            return offset, last
        case _:
            raise InvalidArgument(_FOREIGN)


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
