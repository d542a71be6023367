"""Rules of the store that no single layer keeps alone, on the journal with a clock of our own."""

import asyncio
import itertools
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import pytest

from agentic_flywheel.documents.model import Document, iso
from agentic_flywheel.documents.save_request import Save
from agentic_flywheel.errors import JournalUnavailable
from agentic_flywheel.keys import Keys
from agentic_flywheel.replication.repository import Repository
from agentic_flywheel.sessions.caller_view import CallerViews
from agentic_flywheel.sessions.executions import ExecutionStore
from agentic_flywheel.sessions.history import RevisionHistory
from agentic_flywheel.sessions.resume import LARGE
from agentic_flywheel.sessions.session_filter import SessionFilter
from agentic_flywheel.sessions.store import SessionStore
from agentic_flywheel.sessions.wiring import open_store
from agentic_flywheel.settings import Settings

from ..support.conversations import turns, words
from ..support.shelf import Shelf
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
    found = await store.resume(CallerViews(), "s")
    assert found.session
    return words(found.session["history"])


async def test_the_whole_talk_can_be_resent_after_turns_were_repeated_on_purpose(opened: OpenStore):
    memory = CallerViews()
    async with opened() as store:
        first = await store.save(Save(session_id="s", history=turns("yes")), memory)
        await store.save(Save(session_id="s", history=turns("yes"), expected_revision=first.revision), memory)
        assert await history(store) == ["yes", "yes"]
        await store.save(Save(session_id="s", history=turns("yes", "yes", "no")), memory)
        assert await history(store) == ["yes", "yes", "no"]


async def test_the_whole_talk_can_be_resent_by_who_looked_what_others_added(opened: OpenStore):
    mine, others = CallerViews(), CallerViews()
    async with opened() as store:
        await store.save(Save(session_id="s", history=turns("b1")), others)
        await store.resume(mine, "s")
        await store.save(Save(session_id="s", history=turns("a1")), mine)
        await store.save(Save(session_id="s", history=turns("b2")), others)
        await store.resume(mine, "s")
        await store.save(Save(session_id="s", history=turns("b1", "a1", "a2")), mine)
        assert await history(store) == ["b1", "a1", "b2", "a2"]


async def test_a_session_deleted_meanwhile_is_not_taken_for_the_one_that_was_expected(opened: OpenStore):
    mine, others = CallerViews(), CallerViews()
    async with opened() as store:
        first = await store.save(Save(session_id="s", history=turns("a1", "a2")), mine)
        await store.delete("s", others)
        second = await store.save(Save(session_id="s", history=turns("a3"), expected_revision=first.revision), mine)
        assert (second.saved, second.reason) == (False, "conflict")


async def test_what_expired_is_purged_at_the_next_start(opened: OpenStore, tmp_path: Path, clock: Clock):
    async with opened() as store:
        await store.save(Save(session_id="brief", history=turns("a"), ttl_seconds=60), CallerViews())
        await store.save(Save(session_id="lasting", history=turns("a"), ttl_seconds=0), CallerViews())
    clock.move(hours=23)

    def keys() -> list[str]:
        with closing(sqlite3.connect(tmp_path / "data" / "journal.sqlite3")) as db:
            rows = db.execute("SELECT key FROM documents ORDER BY key").fetchall()
        return [key.rpartition(":")[2] for (key,) in rows]

    async with opened() as store:
        await store.save(Save(session_id="other", history=turns("a")), CallerViews())
        await store.resume(CallerViews(), "lasting")
        await eventually(lambda: keys() == ["lasting", "other"], what="the purge")


async def test_a_session_lives_as_long_after_a_resume_as_after_a_save(opened: OpenStore, clock: Clock):
    async with opened() as store:
        await store.save(Save(session_id="s", history=turns("a"), ttl_seconds=100), CallerViews())
        for _ in range(3):
            clock.move(seconds=90)
            assert (await store.resume(CallerViews(), "s")).found

            async def renewed() -> bool:
                (row,) = (await store.list_sessions(SessionFilter())).sessions
                return row["expires_at"] == iso(clock() + timedelta(seconds=100))

            await eventually(renewed, what="the renewal")
        clock.move(seconds=100)
        assert (await store.resume(CallerViews(), "s")).reason == "expired"


async def test_a_large_session_that_is_resumed_again_and_again_is_not_written_anew_each_time(
    opened: OpenStore, clock: Clock
):
    async with opened() as store:
        saved = await store.save(Save(session_id="s", history=turns("a" * LARGE), ttl_seconds=1000), CallerViews())

        async def ends_after_a_resume() -> str:
            assert (await store.resume(CallerViews(), "s")).found
            await eventually(lambda: not store._background, what="what is done behind the answer's back")
            (row,) = (await store.list_sessions(SessionFilter())).sessions
            return row["expires_at"]

        for _ in range(9):
            clock.move(seconds=11)
            assert await ends_after_a_resume() == saved.expires_at
        clock.move(seconds=1)
        assert await ends_after_a_resume() == iso(clock() + timedelta(seconds=1000))


async def test_a_session_stays_whole_where_what_goes_with_it_cannot_be_erased(clock: Clock):
    shelf, keys = Shelf(), Keys("p")
    repository = Repository(shelf, None, keys, clock)
    store = SessionStore(repository, keys, session_ttl_seconds=0, max_bytes=10**6, revisions=10, user="", clock=clock)
    executions = ExecutionStore(repository, keys, ttl_seconds=0, max_bytes=10**6, clock=clock)
    await store.save(Save(session_id="s", history=turns("a")), CallerViews())
    for flow in ("f", "g"):
        await executions.cache_result({}, session_id="s", flow_id=flow)
    shelf.refused = keys.history("s", "f")
    deleted = await store.delete("s", CallerViews())
    assert (deleted.deleted, deleted.reason) == (False, "unavailable")
    assert (await store.resume(CallerViews(), "s")).found
    assert len(shelf.keys(keys.histories("s"))) == 2
    shelf.refused = ""
    rest = await store.delete("s", CallerViews())
    assert (rest.deleted, rest.message) == (True, "")
    assert (await store.resume(CallerViews(), "s")).reason == "deleted"
    assert shelf.keys(keys.histories("s")) == []
    assert (await store.delete("s", CallerViews())).reason == "deleted"


async def test_a_restore_leaves_the_title_that_was_given_since_however_often_it_is_done(opened: OpenStore):
    memory = CallerViews()
    async with opened() as store:
        undo = RevisionHistory(store)
        await store.save(Save(session_id="s", history=turns("a"), title="Plan"), memory)
        await store.save(Save(session_id="s", title="The plan", history=turns("b")), memory)
        restored = [await undo.restore(memory, "s", 1) for _ in range(2)]
        assert [each.revision for each in restored] == [3, 3], "done twice it is the same revision"
        await store.save(Save(session_id="s", title="Our plan"), memory)
        for revision in (1, 2, 3):
            await undo.restore(memory, "s", revision)
            document, _ = await store.load("s")
            assert isinstance(document, Document)
            assert document.title == "Our plan"
        await store.save(Save(session_id="s", mode="replace", history=turns("b")), memory)
        await undo.restore(memory, "s", 1)
        document, _ = await store.load("s")
        assert isinstance(document, Document)
        assert document.title == "Plan", "a replace took the title away, so all is as it was"


async def test_a_branch_and_a_restored_session_are_what_they_were(opened: OpenStore, clock: Clock):
    async with opened() as store:
        undo = RevisionHistory(store)
        first = await store.save(
            Save(session_id="s", history=turns("a"), ttl_seconds=0, extra={"x-theirs": [1]}), CallerViews()
        )
        await store.save(Save(session_id="s", history=turns("b"), mode="replace", ttl_seconds=60), CallerViews())
        assert (await undo.fork(CallerViews(), "s", first.revision, "branch")).forked
        assert (await undo.restore(CallerViews(), "s", first.revision)).restored
        clock.move(days=4000)
        for session_id, more in (("s", {}), ("branch", {"forked_from": {"session_id": "s", "revision": 1}})):
            found = await store.resume(CallerViews(), session_id)
            assert found.session, session_id
            assert (words(found.session["history"]), found.session["ttl_seconds"]) == (["a"], 0)
            assert {name: found.session.get(name) for name in ("x-theirs", *more)} == {"x-theirs": [1], **more}


async def test_an_id_that_looks_the_same_is_suggested_however_long_ago_it_was_saved(
    opened: OpenStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("agentic_flywheel.sessions.resume.SIMILAR_AMONG", 2)
    async with opened() as store:
        await store.save(Save(session_id="cafe\u0301", history=turns("a")), CallerViews())
        for name in "xyz":
            await store.save(Save(session_id=name, history=turns("a")), CallerViews())
        assert (await store.resume(CallerViews(), "caf\u00e9")).suggestions == ["cafe\u0301"]


async def test_what_is_saved_where_no_redis_was_ever_meant_waits_for_none(opened: OpenStore):
    async with opened() as store:
        for said in ("a", "b"):
            await store.save(Save(session_id="s", history=turns(said), mode="replace"), CallerViews())
        state = store.repository.journal.state()
        assert (state.pending, state.waiting) == (0, ())


async def test_the_time_that_an_answer_may_take_runs_while_others_of_its_caller_are_waited_for(
    opened: OpenStore, monkeypatch: pytest.MonkeyPatch
):
    let, taken, given = asyncio.Event(), itertools.count(1), list[object]()

    async def write(_: object, bound: object = None) -> NoReturn:
        given.append(bound)
        await let.wait()
        raise JournalUnavailable("The disk is full.")

    async with opened() as store:
        monkeypatch.setattr(store.repository, "deadline", lambda **_: float(next(taken)))
        monkeypatch.setattr(store.repository, "write", write)
        memory = CallerViews()
        first = asyncio.create_task(store.save(Save(session_id="s", history=turns("a")), memory))
        second = asyncio.create_task(store.save(Save(session_id="s", history=turns("b")), memory))
        third = asyncio.create_task(store.delete("s", memory))
        await eventually(lambda: len(given) == 1, what="the first to be under way, and the others to wait for it")
        assert next(taken) == 4
        let.set()
        await asyncio.gather(first, second, third)
    assert given == [1.0, 2.0, 3.0]


async def test_of_two_replacements_that_are_equal_one_is_refused_where_none_is_the_other_sent_again(opened: OpenStore):
    async with opened() as store:
        await store.save(Save(session_id="s", history=turns("one", "two")), CallerViews())
        taken = Save(session_id="s", history=turns("one"), mode="replace", expected_revision=1)
        for as_sent, again in ((True, False), (False, True)):
            save = taken.model_copy(update={"as_sent": as_sent})
            assert (await store.save(save, CallerViews())).saved
            assert (await store.save(save, CallerViews())).saved is again
            taken = taken.model_copy(update={"expected_revision": 2, "history": turns("none")})
