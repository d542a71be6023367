"""Writes and reads the cursors of lists: opaque text that names where the next page begins."""

import base64
import hashlib
import json
from dataclasses import dataclass

from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.sessions.session_filter import SessionFilter

UNFINISHED = "Not all of the list could be looked through in time: next_cursor goes on there."

_FOREIGN = "cursor must be the next_cursor of an earlier answer to the same question, unchanged."


@dataclass(frozen=True, slots=True)
class SearchPosition:
    """Where a page of a search begins: after `offset` results, the `last` of which had this id."""

    offset: int = 0
    last: str = ""


def write_cursor(position: tuple[int, str]) -> str:
    """The cursor to what follows this position in the list."""
    return _encoded([*position])


def read_cursor(cursor: str) -> tuple[int, str]:
    """The position in the list that a cursor names.

    Raises:
        InvalidArgument: it is none of ours.

    """
    match _decoded(cursor):
        case [int(saved_at), str(member)] if _is_time(saved_at):
            return saved_at, member
        case _:
            raise InvalidArgument(_FOREIGN)


def write_search_cursor(position: SearchPosition, session_filter: SessionFilter) -> str:
    """The cursor to that position among the results for this filter."""
    return _encoded([position.offset, position.last, _digest(session_filter)])


def read_search_cursor(cursor: str, session_filter: SessionFilter) -> SearchPosition:
    """The position that a cursor names.

    Raises:
        InvalidArgument: it is no cursor of a search with the same filter.

    """
    match _decoded(cursor):
        case [int(offset), str(last), str(digest)]:
            position = SearchPosition(offset, last)
        case _:
            raise InvalidArgument(_FOREIGN)
    if digest != _digest(session_filter) or not 0 <= offset < 2**31:
        raise InvalidArgument(_FOREIGN)
    return position


def _is_time(value: int) -> bool:
    return not isinstance(value, bool) and 0 <= value < 2**63


def _digest(session_filter: SessionFilter) -> str:
    return hashlib.blake2b(repr(session_filter).encode("utf-8", "replace"), digest_size=6).hexdigest()


def _encoded(parts: list[object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


def _decoded(cursor: str) -> object:
    try:
        parts = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        json.dumps(parts, ensure_ascii=False).encode()  # no half of a surrogate pair
    except (ValueError, TypeError, RecursionError):
        return None
    return parts
