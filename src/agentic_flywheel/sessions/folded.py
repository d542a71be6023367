"""Folds the sessions of sub-agents into the rows of those that asked: a list of talks is one of what people said."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from agentic_flywheel.errors import FlywheelError
from agentic_flywheel.journal import Journal
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.sessions.session_filter import Row, SessionFilter

_Found = TypeVar("_Found")

CHILDREN_NAMED = 20
"""Sessions that a resume names of those that belong to one: the newest."""

NAMED_BYTES = 100
"""Bytes of a title there, so that each child takes less than 40 tokens."""


def is_folded(session_filter: SessionFilter) -> bool:
    """Whether nothing of what is asked for can mean a sub-agent's session: neither an id, a question nor its tag."""
    is_named = session_filter.pattern != "*" or session_filter.query or "sub-agent" in session_filter.tags
    return session_filter.folds and not is_named


def without_children(journal: Journal, index: str, rows: Sequence[Row]) -> list[Row]:
    """The rows but those of sessions whose parent is listed."""
    parents = {parent for row in rows if isinstance(parent := row.shown.get("parent"), str)}
    if not parents:
        return list(rows)
    with_parent = _or_nothing(lambda: journal.listed(index, [*parents]), set[str]())
    return [row for row in rows if row.shown.get("parent") not in with_parent]


def note_children(journal: Journal, index: str, rows: Sequence[JSONObject]) -> None:
    """Say in each row how many sessions belong to it."""
    found = _or_nothing(lambda: journal.children(index, [row["id"] for row in rows]), dict[str, list[JSONObject]]())
    for row in rows:
        if children := found.get(row["id"]):
            row["children"] = len(children)


def children_of(journal: Journal, index: str, session_id: str) -> list[JSONObject]:
    """Id and title of the sessions that belong to this one, the oldest first; of many the newest."""
    found = _or_nothing(lambda: journal.children(index, [session_id]), dict[str, list[JSONObject]]())
    return [{"id": row["id"], "title": _short(str(row.get("title")))} for row in found.get(session_id, [])][
        -CHILDREN_NAMED:
    ]


def _or_nothing(ask: "Callable[[], _Found]", nothing: "_Found") -> "_Found":
    """What the journal says; without one a list is as it is."""
    try:
        return ask()
    except FlywheelError:
        return nothing


def _short(title: str) -> str:
    text = title.encode()
    return title if len(text) <= NAMED_BYTES else text[: NAMED_BYTES - 3].decode(errors="ignore") + "…"
