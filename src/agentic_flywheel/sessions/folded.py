"""Folds the sessions of sub-agents into the rows of those that asked: a list of talks is one of what people said."""

from collections.abc import Callable, Sequence
from typing import Concatenate, ParamSpec, TypeVar

from agentic_flywheel.errors import FlywheelError
from agentic_flywheel.journal import Journal
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.plain_text import quoted
from agentic_flywheel.sessions.session_filter import Row, SessionFilter

_Found = TypeVar("_Found")
_P = ParamSpec("_P")

CHILDREN_NAMED = 20
"""Sessions that a resume names of those that belong to one: the newest."""

NAMED_BYTES = 100
"""Bytes of a title there, so that each child takes less than 40 tokens."""

STAY_NAMED = 5
"""Sessions that the sentence about a deletion names: the oldest of those."""


def is_folded(session_filter: SessionFilter) -> bool:
    """Whether nothing of what is asked for can mean a sub-agent's session: neither an id, a question nor its tag."""
    if session_filter.each or session_filter.pattern != "*":
        return False
    return not session_filter.query and "sub-agent" not in session_filter.tags


def without_children(journal: Journal, index: str, rows: Sequence[Row]) -> list[Row]:
    """The rows but those of sessions whose parent is listed."""
    parents = {parent for row in rows if isinstance(parent := row.shown.get("parent"), str)}
    if not parents:
        return list(rows)
    with_parent = journal.listed(index, [*parents])
    return [row for row in rows if row.shown.get("parent") not in with_parent]


def note_children(journal: Journal, index: str, rows: Sequence[JSONObject]) -> None:
    """Say in each row how many sessions belong to it."""
    found = journal.children(index, [row["id"] for row in rows])
    for row in rows:
        if children := found.get(row["id"]):
            row["children"] = len(children)


def children_of(journal: Journal, index: str, session_id: str) -> list[JSONObject]:
    """Id and title of the sessions that belong to this one, the oldest first; of many the newest."""
    found = journal.children(index, [session_id])
    return [{"id": row["id"], "title": _short(str(row.get("title")))} for row in found.get(session_id, [])][
        -CHILDREN_NAMED:
    ]


def those_that_stay(children: Sequence[JSONObject] | None) -> str:
    """A sentence about what belonged to a session that was deleted; empty where nothing did."""
    if not children:
        return ""
    named = ", ".join(quoted(row["id"]) for row in children[:STAY_NAMED]) + (" …" if children[STAY_NAMED:] else "")
    return f"Its sub-agents' sessions stay: {named}."


async def asked(
    verb: Callable[Concatenate[Journal, str, _P], _Found],
    otherwise: _Found,
    journal: Journal,
    index: str,
    *args: _P.args,
    **kwargs: _P.kwargs,
) -> _Found:
    """What one of these verbs gives, waiting in a thread if at all; `otherwise` where there is no journal to ask."""
    from agentic_flywheel.journal.threads import at_once  # here: the list of a journal alone starts without threads

    try:
        return await at_once(journal, verb, journal, index, *args, **kwargs)
    except FlywheelError:
        return otherwise


def _short(title: str) -> str:
    text = title.encode()
    return title if len(text) <= NAMED_BYTES else text[: NAMED_BYTES - 3].decode(errors="ignore") + "…"
