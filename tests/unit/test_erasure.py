"""Deleted and expired sessions leave no byte in the files, however SQLite was compiled and whoever reads meanwhile."""

import re
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path

import pytest

from agentic_flywheel.documents.save_request import Save
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.journal import FILE_NAME, Journal
from agentic_flywheel.keys import Keys
from agentic_flywheel.session_keys import SessionKeys, check_beginning, execution_set
from agentic_flywheel.sessions.caller_view import CallerViews
from agentic_flywheel.sessions.executions import ExecutionStore
from agentic_flywheel.sessions.session_filter import SessionFilter
from agentic_flywheel.sessions.store import STILL_READ, SessionStore
from agentic_flywheel.sessions.wiring import open_store
from agentic_flywheel.settings import Settings

from ..support.files import contents
from ..support.waiting import eventually
from .conftest import Clock

MARK = re.compile(rb"planted-\d{5}-x")
TRACES = 9
"""Pieces that SQLite may leave in the unused parts of pages until the file is written anew a second later: one in a
hundred. How many depends on where its rows lie, which random ids decide: up to three were seen.
"""
Stores = tuple[SessionStore, ExecutionStore]
OpenStores = Callable[[], AbstractAsyncContextManager[Stores]]
CONNECT = sqlite3.connect


def connect_without_wiping(*arguments: object, **options: object) -> sqlite3.Connection:
    """Connect as an SQLite does that was compiled without SECURE_DELETE."""
    db = CONNECT(*arguments, **options)  # type: ignore[call-overload,arg-type]
    db.execute("PRAGMA secure_delete = OFF")
    return db


@pytest.fixture(params=["this SQLite", "one that wipes nothing by itself"])
def opened(tmp_path: Path, clock: Clock, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> OpenStores:
    """Open the stores of this test's folder, as a new process would."""
    if request.param != "this SQLite":
        monkeypatch.setattr(sqlite3, "connect", connect_without_wiping)

    @asynccontextmanager
    async def stores() -> AsyncIterator[Stores]:
        environ = {"REDIS_ENABLED": "false", "FLYWHEEL_DATA_DIR": str(tmp_path)}
        sessions, executions = open_store(Settings.from_env(environ), clock)
        async with sessions:
            yield sessions, executions

    return stores


def marks(folder: Path) -> set[bytes]:
    return {mark for _, data in contents(folder) for mark in MARK.findall(data)}


def mark(session: int, number: int) -> str:
    return f"planted-{session * 100 + number:05}-x"


async def plant(stores: Stores, session: int, ttl_seconds: int | None = None) -> None:
    """Fifty marks in turns, metadata, an older revision, executions and flow ids; beside it a session that stays."""
    sessions, executions = stores
    memory, name = CallerViews(), f"s{session}"
    said = [{"role": "user", "content": f"{mark(session, n)} " * (1 + n * session % 90)} for n in range(30)]
    more = {"title": mark(session, 30), "summary": mark(session, 31), "tags": [mark(session, 32)]}
    context = {mark(session, 33): mark(session, 34)}
    await sessions.save(
        Save(session_id=name, history=said, context=context, ttl_seconds=ttl_seconds, **more), memory
    )  # fmt: skip
    other = [{"role": "user", "content": mark(session, n)} for n in range(35, 40)]
    await sessions.save(Save(session_id=name, history=other, mode="replace"), memory)
    for n in range(40, 46, 2):
        await executions.cache_result({"a": mark(session, n)}, "", name, mark(session, n + 1), ttl_seconds)
    for n in range(46, 50):
        await executions.cache_result({"a": mark(session, n)}, "", name, "", ttl_seconds)
    await sessions.save(Save(session_id=f"kept{session}", history=[{"role": "user", "content": "stays " * 99}]), memory)


async def test_nothing_of_a_thousand_marks_is_left_when_a_deletion_is_answered(opened: OpenStores, tmp_path: Path):
    async with opened() as stores:
        for session in range(20):
            await plant(stores, session)
        assert len((await stores[0].list_sessions(SessionFilter(query="planted"), 50)).sessions) == 20
        assert len(marks(tmp_path)) >= 900
        for session in range(20):
            assert (await stores[0].delete(f"s{session}", CallerViews())).message == ""
        assert len(marks(tmp_path)) <= TRACES
        await eventually(lambda: not marks(tmp_path), what="the trace to go")
        assert len((await stores[0].list_sessions(SessionFilter(), 50)).sessions) == 20
    assert marks(tmp_path) == set()


async def test_nothing_of_what_has_expired_is_left_soon_after_the_next_start(
    opened: OpenStores, tmp_path: Path, clock: Clock
):
    async with opened() as stores:
        for session in range(20):
            await plant(stores, session, ttl_seconds=60)
        await stores[0].list_sessions(SessionFilter(query="planted"), 50)
    clock.move(seconds=61)
    assert marks(tmp_path)
    async with opened():
        await eventually(lambda: not marks(tmp_path), what="the expired to be erased")


async def test_a_clock_that_leaps_beyond_reason_erases_nothing_at_a_start(
    opened: OpenStores, tmp_path: Path, clock: Clock
):
    async with opened() as stores:
        await plant(stores, 1)
    clock.move(days=4000)
    journal = Journal(tmp_path, clock)
    with closing(journal):
        assert journal.purge_expired(at_once=True).gone == []
    clock.move(days=-4000)
    async with opened() as (sessions, _):
        assert (await sessions.resume(CallerViews(), "s1")).found


async def test_a_deletion_says_when_others_read_and_the_trace_goes_when_they_have_done(
    opened: OpenStores, tmp_path: Path
):
    async with opened() as stores:
        await plant(stores, 1)
        with closing(CONNECT(tmp_path / FILE_NAME, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM documents").fetchone()
            deleted = await stores[0].delete("s1", CallerViews())
            assert (deleted.deleted, deleted.message) == (True, STILL_READ)
            assert marks(tmp_path)
            reader.execute("COMMIT")
        await eventually(lambda: not marks(tmp_path), what="the log to be emptied")


async def test_executions_of_a_session_that_was_never_saved_go_too(opened: OpenStores, tmp_path: Path):
    async with opened() as (sessions, executions):
        await executions.cache_result({"a": mark(0, 1)}, "e", "s", mark(0, 2))
        assert (await sessions.delete("s", CallerViews())).deleted is True
        assert marks(tmp_path) == set()
        assert (await executions.get_result("e")).reason == "not_found"


def test_executions_that_an_earlier_version_kept_are_found_by_what_they_say(journal: Journal):
    keys = SessionKeys("p:session:s")
    text = '{"schema_version":1,"id":"e","revision":1,"session_id":"s","flow_id":null,"result":{}}'
    for key, said in (("p:execution:e", text), ("p:execution:f", text.replace('"s"', '"t"'))):
        journal.commit(Write(key, said, None, None))
    assert journal.part_keys(keys) == ["p:execution:e"]
    assert journal.erase(keys).parts == 1
    assert journal.copy("p:execution:f")


def test_dead_letters_of_a_session_go_with_it_and_no_others(journal: Journal):
    for key in ("p:session:s", "p:session:t", "p:history:s:f"):
        journal.commit(Write(key, "{}", None, None), '{"kind":"session"}')
    for item in [item for key in ("p:session:s", "p:session:t", "p:history:s:f") for item in journal.pending(key)]:
        journal.make_dead_letter(item.position, "refused")
    journal.erase(SessionKeys("p:session:s"))
    assert [letter.key for letter in journal.dead_letters()] == ["p:session:t"]


@pytest.mark.parametrize(
    "beginning", ["", "*", "p", "p:", "p:history:", "p:session:s", "p:history:s", "q:history:s:", "p:history:s:f:"]
)
def test_no_beginning_but_that_of_one_session_is_ever_looked_for(beginning: str):
    with pytest.raises(ValueError, match="one session"):
        check_beginning(beginning, "p")


@pytest.mark.parametrize(
    "key", ["", "p:session:", ":session:s", "session:s", "p:history:s:x:session:t", "p:execution:e"]
)
def test_only_the_key_of_a_session_names_what_goes_with_it(key: str):
    assert SessionKeys.of(key) is None
    with pytest.raises(ValueError, match="not the key of a session"):
        SessionKeys(key)


@pytest.mark.parametrize("session_id", ["s", "a:b", "x%y", "p:session:q", "*", "ü 😀"])
def test_the_keys_of_a_session_are_those_under_which_it_is_kept(session_id: str):
    keys = Keys("p:q")
    own = SessionKeys(keys.session(session_id))
    assert own.session_id == session_id
    assert (own.revisions, own.histories) == (keys.revisions(session_id), keys.histories(session_id))
    assert check_beginning(own.histories, "p:q") == own.histories
    assert execution_set(keys.execution("e"), session_id) == own.executions
    assert execution_set(keys.history("s", "f:execution:e"), session_id) == ""
    assert keys.tombstone(keys.history(session_id, "secret")).count("secret") == 0
