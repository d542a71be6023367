"""Rules of the store that no single layer keeps alone, on the journal with a clock of our own."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from agentic_flywheel.codec import iso
from agentic_flywheel.listing import Wanted
from agentic_flywheel.merge import Memory
from agentic_flywheel.settings import Settings
from agentic_flywheel.store import Save, SessionStore, open_store

from ..support.conversations import turns, words
from ..support.waiting import eventually
from .conftest import Clock

OpenStore = Callable[[], AbstractAsyncContextManager[SessionStore]]


@pytest.fixture
def opened(tmp_path: Path, clock: Clock) -> OpenStore:
    """Open the store of this test's folder, as a new process would."""

    @asynccontextmanager
    async def store() -> AsyncIterator[SessionStore]:
        environ = {"REDIS_ENABLED": "false", "FLYWHEEL_DATA_DIR": str(tmp_path / "data")}
        sessions, _ = open_store(Settings.from_env(environ), clock)
        async with sessions:
            yield sessions

    return store


async def history(store: SessionStore) -> list[str]:
    """What is stored, as a stranger sees it."""
    found = await store.resume(Memory(), "s")
    assert found.session
    return words(found.session["history"])


async def test_the_whole_talk_can_be_resent_after_turns_were_repeated_on_purpose(opened: OpenStore):
    memory = Memory()
    async with opened() as store:
        first = await store.save(Save("s", turns("yes")), memory)
        await store.save(Save("s", turns("yes"), expected_revision=first.revision), memory)
        assert await history(store) == ["yes", "yes"]
        await store.save(Save("s", turns("yes", "yes", "no")), memory)
        assert await history(store) == ["yes", "yes", "no"]


async def test_the_whole_talk_can_be_resent_by_who_looked_what_others_added(opened: OpenStore):
    mine, others = Memory(), Memory()
    async with opened() as store:
        await store.save(Save("s", turns("b1")), others)
        await store.resume(mine, "s")
        await store.save(Save("s", turns("a1")), mine)
        await store.save(Save("s", turns("b2")), others)
        await store.resume(mine, "s")
        await store.save(Save("s", turns("b1", "a1", "a2")), mine)
        assert await history(store) == ["b1", "a1", "b2", "a2"]


async def test_a_session_deleted_meanwhile_is_not_taken_for_the_one_that_was_expected(opened: OpenStore):
    mine, others = Memory(), Memory()
    async with opened() as store:
        first = await store.save(Save("s", turns("a1", "a2")), mine)
        await store.delete("s", others)
        second = await store.save(Save("s", turns("a3"), expected_revision=first.revision), mine)
        assert (second.saved, second.reason) == (False, "conflict")


async def test_what_expired_is_purged_within_a_day(opened: OpenStore, tmp_path: Path, clock: Clock):
    async with opened() as store:
        await store.save(Save("brief", turns("a"), ttl_seconds=60), Memory())
        await store.save(Save("lasting", turns("a"), ttl_seconds=0), Memory())
    clock.move(hours=23)

    def keys(where: str) -> list[str]:
        with sqlite3.connect(tmp_path / "data" / "journal.sqlite3") as db:
            rows = db.execute(f"SELECT key FROM documents WHERE {where} ORDER BY key").fetchall()  # noqa: S608
        db.close()
        return [key.rpartition(":")[2] for (key,) in rows]

    async with opened() as store:
        await store.list_sessions(Wanted())
        await eventually(lambda: keys("hidden_since NOT NULL") == ["brief"], within=3, what="the purge to notice")
    clock.move(hours=1)
    async with opened() as store:
        await store.save(Save("other", turns("a")), Memory())
        await store.resume(Memory(), "lasting")

        def kept() -> list[str]:
            return keys("TRUE")

        await eventually(lambda: kept() == ["lasting", "other"], within=3, what="the purge")


async def test_a_session_lives_as_long_after_a_resume_as_after_a_save(opened: OpenStore, clock: Clock):
    async with opened() as store:
        await store.save(Save("s", turns("a"), ttl_seconds=100), Memory())
        for _ in range(3):
            clock.move(seconds=90)
            assert (await store.resume(Memory(), "s")).found

            async def renewed() -> bool:
                (row,) = (await store.list_sessions(Wanted())).sessions
                return row["expires_at"] == iso(clock() + timedelta(seconds=100))

            await eventually(renewed, within=3, what="the renewal")
        clock.move(seconds=100)
        assert (await store.resume(Memory(), "s")).reason == "expired"
