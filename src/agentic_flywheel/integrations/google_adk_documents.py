"""Reads and writes the documents of Google ADK's sessions and of the state that they share."""

import asyncio
import logging
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from agentic_flywheel.documents.model import Document
from agentic_flywheel.integrations.adapter import Adapter
from agentic_flywheel.integrations.composed_ids import compose
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.keys import glob_escape

logger = logging.getLogger("agentic_flywheel.integrations.google_adk")

SESSION, STATE = "adk", "adk-state"
"""What the ids of sessions begin with, and those of the state that sessions share."""

READ_AT_ONCE = 16
"""Sessions of a list that are read side by side."""


async def documents_below(adapter: Adapter, *parts: str) -> list[Document]:
    """The sessions whose ids begin with these parts.

    Raises:
        DocumentError, Unavailable: one of them cannot be read.

    """
    gate = asyncio.Semaphore(READ_AT_ONCE)

    async def read(session_id: str) -> Document | None:
        async with gate:
            return await adapter.load(session_id)

    names = await _ids(adapter, f"{glob_escape(compose(SESSION, *parts, ''))}*")
    found = await asyncio.gather(*map(read, names))
    return [document for document in found if document]  # a listed session may be gone by now


async def _ids(adapter: Adapter, pattern: str) -> list[str]:
    from agentic_flywheel.sessions.session_filter import MAX_PAGE, SessionFilter

    names: dict[str, None] = {}  # a session that is saved meanwhile stands on two pages
    cursor, store = "", (await adapter.stores()).sessions
    while True:
        page = await store.list_sessions(SessionFilter(pattern, each=True), limit=MAX_PAGE, cursor=cursor)
        names |= dict.fromkeys(row["id"] for row in page.sessions)
        stash = store.repository.stash
        if page.scope == "this machine" and stash and not stash.mirror:
            logger.warning("list_sessions: Redis could not be asked; these are the sessions of this machine.")
        if not page.next_cursor:
            return list(names)
        cursor = page.next_cursor


async def app_state(adapter: Adapter, app_name: str) -> JSONObject:
    """The state that all sessions of an app share."""
    return await _context(adapter, compose(STATE, app_name))


async def user_state(adapter: Adapter, app_name: str, user_id: str) -> JSONObject:
    """The state that a user's sessions of an app share."""
    return await _context(adapter, compose(STATE, app_name, user_id))


async def user_states(adapter: Adapter, app_name: str, user_ids: Iterable[str]) -> dict[str, JSONObject]:
    """The same of several users."""
    users = sorted(set(user_ids))
    states = await asyncio.gather(*(user_state(adapter, app_name, user) for user in users))
    return dict(zip(users, states, strict=True))


async def _context(adapter: Adapter, session_id: str) -> JSONObject:
    document = await adapter.load(session_id)
    return document.session.context if document else {}


async def share(
    adapter: Adapter, app_name: str, user_id: str, app: JSONObject, user: JSONObject, before: datetime
) -> None:
    """Merge changes into the state that sessions share, key by key; nothing is written where nothing changed.

    `before` is a time before the talk's own save: a talk is the last that was saved, and not the state it shares.

    Raises:
        FlywheelError: they are not kept.

    """
    merges = [_merge(adapter, (app_name,), app, f"Shared state of {app_name}", before)] if app else []
    if user:
        values = {"user_id": user_id} if user_id else {}
        merges += [_merge(adapter, (app_name, user_id), user, f"State of {user_id} in {app_name}", before, **values)]
    await asyncio.gather(*merges)


async def _merge(
    adapter: Adapter, parts: tuple[str, ...], change: JSONObject, title: str, before: datetime, **values: Any
) -> None:
    """Such a document has no turns and lives until it is deleted; lists show it at the time at which it began."""
    from agentic_flywheel.documents.save_request import Save

    name, tags = compose(STATE, *parts), [parts[0]]
    save = Save(session_id=name, context=change, title=title, tags=tags, values=values, ttl_seconds=0, said_at=before)
    await adapter.save(save)
