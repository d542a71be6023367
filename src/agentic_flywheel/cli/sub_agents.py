"""Finds the sessions of a session's sub-agents, for commands that take them along."""

from collections import defaultdict
from collections.abc import AsyncGenerator

from agentic_flywheel.errors import Unavailable
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.sessions.session_filter import EVERY_SESSION, MAX_PAGE
from agentic_flywheel.sessions.store import SessionStore


async def every_row(store: SessionStore) -> AsyncGenerator[JSONObject]:
    """The listing rows of all sessions.

    Raises:
        Unavailable: not all could be asked for.

    """
    cursor: str | None = ""
    while cursor is not None:
        page = await store.list_sessions(EVERY_SESSION, MAX_PAGE, cursor)
        for row in page.sessions:
            yield row
        if page.message and not page.next_cursor and store.repository.stash is None:
            raise Unavailable(page.message)
        cursor = page.next_cursor


async def sub_agents_of(store: SessionStore, session_id: str) -> dict[str, str]:
    """The sessions of its sub-agents and of theirs, with the session that asked for each, which comes before it.

    Raises:
        Unavailable: not all could be asked for.

    """
    asked_by: defaultdict[str, list[str]] = defaultdict(list)
    async for row in every_row(store):
        if isinstance(parent := row.get("parent"), str):
            asked_by[parent].append(str(row["id"]))
    found: dict[str, str] = {}
    left = [session_id]
    for parent in left:
        new = [each for each in reversed(asked_by[parent]) if each not in found and each != session_id]
        found |= dict.fromkeys(new, parent)
        left += new  # others may have written that two sessions asked for each other
    return found
