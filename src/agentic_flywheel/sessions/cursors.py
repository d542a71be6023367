"""Writes and reads the cursors of lists: opaque text that names where the next page begins."""

import base64
import hashlib
import json
from dataclasses import dataclass

from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.sessions.session_filter import SessionFilter

UNFINISHED = "Not all of the list could be looked through in time: next_cursor goes on there."


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
class SearchPosition:
    """Where a page of what was found begins: behind so many, the `last` of which had this id.

    `start` is the place in the list from which on it was looked through for them (`None`: its beginning).
    """

    offset: int = 0
    last: str = ""
    start: tuple[int, str] | None = None


def write_search_cursor(place: SearchPosition, wanted: SessionFilter) -> str:
    """The cursor to that place."""
    return _written([place.offset, place.last, _question(wanted), *(place.start or ())])


def read_search_cursor(cursor: str, wanted: SessionFilter) -> SearchPosition:
    """The place that a cursor names.

    Raises:
        InvalidArgument: it is no cursor of a search for the same.

    """
    match _read(cursor):
        case [int(offset), str(last), str(question)]:
            place = SearchPosition(offset, last)
        case [int(offset), str(last), str(question), int(saved_at), str(member)] if _is_time(saved_at):
            place = SearchPosition(offset, last, (saved_at, member))
        case _:
            raise InvalidArgument(_FOREIGN)
    if question != _question(wanted) or not 0 <= offset < 2**31:
        raise InvalidArgument(_FOREIGN)
    return place


def _is_time(value: int) -> bool:
    return not isinstance(value, bool) and 0 <= value < 2**63


def _question(wanted: SessionFilter) -> str:
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
