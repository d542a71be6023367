"""Finds the sessions that a caller may have meant by an id that is none: one like it, or one with that title."""

import difflib
from collections.abc import Sequence

from agentic_flywheel.json_text import JSONObject

SUGGESTIONS = 3
"""Ids offered when one is not found."""


def near_ids(session_id: str, rows: Sequence[JSONObject]) -> list[str]:
    """The ids of those rows of a list that have this text as their title, or an id like it; the likeliest first."""
    ids = [str(row["id"]) for row in rows]
    near = difflib.get_close_matches(session_id, ids, SUGGESTIONS)
    return [*titled(session_id, rows), *near, *(i for i in ids if session_id.casefold() in i.casefold())]


def titled(title: str, rows: Sequence[JSONObject]) -> list[str]:
    """The ids of those rows that have this title, in whatever case and white space."""
    return [str(row["id"]) for row in rows if _folded(row.get("title")) == _folded(title) != ""]


def _folded(text: object) -> str:
    return " ".join(text.casefold().split()) if isinstance(text, str) else ""
