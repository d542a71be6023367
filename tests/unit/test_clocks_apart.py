"""Clocks apart: a list is in the order of what was saved, though the clock of a machine was ahead, or is behind."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from agentic_flywheel.documents.save_request import Save
from agentic_flywheel.sessions.caller_view import CallerViews
from agentic_flywheel.sessions.session_filter import SessionFilter
from agentic_flywheel.sessions.store import SessionStore
from agentic_flywheel.sessions.wiring import open_store
from agentic_flywheel.settings import Settings

from ..support.conversations import turns
from .conftest import Clock


@pytest_asyncio.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[SessionStore]:
    environ = {"REDIS_ENABLED": "false", "FLYWHEEL_DATA_DIR": str(tmp_path / "data")}
    sessions, _ = open_store(Settings.from_env(environ), clock)
    async with sessions:
        yield sessions


async def save(store: SessionStore, session_id: str, said: str, title: str = "") -> None:
    kept = await store.save(Save(session_id=session_id, history=turns(said), title=title), CallerViews())
    assert kept.saved, kept


async def listed(store: SessionStore, query: str = "") -> list[str]:
    return [row["id"] for row in (await store.list_sessions(SessionFilter(query=query))).sessions]


async def test_what_a_clock_saved_that_was_a_year_ahead_is_listed_before_nothing_that_is_saved_since(
    store: SessionStore, clock: Clock
):
    await save(store, "before", "one")
    clock.move(days=365)
    for session_id in ("ahead 1", "ahead 2"):
        await save(store, session_id, "one")
        clock.move(seconds=1)
    clock.move(days=-365)
    assert await listed(store) == ["ahead 2", "ahead 1", "before"]
    await save(store, "since", "one")
    assert await listed(store) == ["since", "ahead 2", "ahead 1", "before"]
    latest = await store.resume(CallerViews())
    assert latest.session
    assert latest.session["id"] == "since"
    clock.move(seconds=1)
    await save(store, "ahead 1", "two")
    assert await listed(store) == ["ahead 1", "since", "ahead 2", "before"]


async def test_a_search_has_the_title_of_now_though_an_earlier_one_came_from_a_clock_that_was_ahead(
    store: SessionStore, clock: Clock
):
    clock.move(days=365)
    await save(store, "s", "one", "Quokkas")
    assert await listed(store, "quokkas") == ["s"]
    clock.move(days=-365)
    await save(store, "s", "two", "Wombats")
    assert await listed(store, "wombats") == ["s"]
    assert await listed(store, "quokkas") == []
