"""Clocks apart: a list is in the order of what was saved, though the clock of a machine was ahead, or is behind."""

import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from agentic_flywheel.coaia.child.commit_arguments import Commit, is_fresh
from agentic_flywheel.coaia.child.document_tools import Documents
from agentic_flywheel.coaia.child.index_repair import IndexRepair
from agentic_flywheel.coaia.child.index_tools import Index
from agentic_flywheel.coaia.child.script_runner import Scripts
from agentic_flywheel.documents.save_request import Save
from agentic_flywheel.journal import Journal
from agentic_flywheel.sessions.caller_view import CallerViews
from agentic_flywheel.sessions.session_filter import SessionFilter
from agentic_flywheel.sessions.store import SessionStore
from agentic_flywheel.sessions.wiring import open_store
from agentic_flywheel.settings import Settings

from ..support.conversations import turns
from ..support.redis_server import RedisServer
from ..support.waiting import eventually
from .conftest import Clock
from .destinations import Machine
from .test_flow_history import cached, history
from .test_flow_history_set_back import answers

HOUR = 3_600_000_000


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


@pytest.fixture
def machine(journal: Journal, redis: RedisServer, clock: Clock) -> Machine:
    return Machine(journal, redis, clock)


async def test_a_session_of_a_machine_that_is_an_hour_ahead_is_put_back_while_it_lives_and_not_for_an_hour_more(
    machine: Machine, clock: Clock, redis: RedisServer, tmp_path: Path
):
    ahead = Clock(clock() + timedelta(hours=1))
    other = Machine(Journal(tmp_path / "elsewhere", ahead, addresses=("redis",)), redis, ahead)
    async with other.repository(tmp_path / "child elsewhere", worker=False) as theirs:
        assert (await theirs.write(other.save("s", "one", ttl_seconds=60))).stored_in == "redis"
    async with machine.repository(tmp_path / "child", worker=False) as ours:

        async def read() -> bool:
            return (await ours.read(machine.keys.session("s"), "s", machine.keys.index)).text is not None

        assert await read()
        await eventually(lambda: machine.journal.copy(machine.keys.session("s")), what="the copy")
        redis.forget()
        clock.move(seconds=59)
        assert await read()
        assert 0 <= redis.ttl(machine.keys.session("s")) <= 1, "it was lost, and is put back for what it had left"
        redis.forget()
        clock.move(seconds=61)
        assert not await read()
        assert machine.stored("s") is None, "it had expired"


def scripts_on(redis: RedisServer) -> tuple[Documents, Index, str]:
    """The child's verbs on a Redis, and the key of a list."""
    client = redis.client()
    scripts = Scripts(client, by_name=True)
    index = Index(client, scripts, IndexRepair(client))
    return Documents(None, client, scripts, index), index, f"{redis.prefix}:index"


def now_of(redis: RedisServer) -> int:
    with redis.client() as client:
        seconds, micros = client.time()
    return seconds * 1_000_000 + micros


def score(redis: RedisServer, key: str, member: str) -> float:
    with redis.client() as client:
        return client.zscore(key, member)


@pytest.mark.parametrize("by_script", [True, False], ids=["in one script", "key by key"])
def test_what_a_machine_saves_just_now_whose_clock_is_behind_is_listed_as_of_now(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch, *, by_script: bool
):
    documents, index, key = scripts_on(redis)
    now, behind = now_of(redis), time.time() - 3600
    monkeypatch.setattr(time, "time", lambda: behind)

    def put(member: str, at: float) -> float:
        commit = Commit(f"{key}:{member}", "{}", "", f"{key}:none", entry=[key, member, round(at * 1e6), "{}"])
        if by_script:
            call = documents._commit_by_script(commit)
            assert call.script(call.keys, call.args) == 1
        else:
            assert commit.entry
            index.put(*commit.entry, life=0, fresh=commit.fresh)
        return score(redis, key, member)

    assert put("just now", behind - 1) >= now
    assert put("yesterday", behind - 86_400) < now - HOUR, "it is imported, or only renewed"


def test_what_was_saved_longer_ago_than_a_save_takes_is_not_saved_just_now():
    now = time.time() * 1e6
    assert is_fresh(round(now - 2e6)) == "1"
    assert is_fresh(round(now - 60e6)) == ""
    assert is_fresh(round(now + 60e6)) == "", "by a clock that was put back since"


def test_a_machine_whose_clock_is_two_years_ahead_leaves_the_deletions_that_others_are_still_to_hear_of(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
):
    documents, _, key = scripts_on(redis)
    ahead = time.time() + timedelta(days=730).total_seconds()
    monkeypatch.setattr(time, "time", lambda: ahead)
    for member in ("a", "b"):
        commit = {"key": f"{key}:{member}", "value": "{}", "expected": "", "tombstone_key": f"{key}:none"}
        oldest = round((ahead - timedelta(days=365).total_seconds()) * 1000)
        documents.coaia_commit(**commit, delete=True, deletions=f"{key}:deleted", forget_before=oldest)
    with redis.client() as client:
        assert [fields["key"] for _, fields in client.xrange(f"{key}:deleted")] == [f"{key}:a", f"{key}:b"]


async def test_a_machine_that_is_a_day_ahead_hides_and_drops_no_execution_of_another_one(
    redis: RedisServer, tmp_path: Path
):
    now = datetime.now(UTC)
    there, ahead = (
        Settings.from_env(
            {
                "REDIS_URL": redis.url,
                "FLYWHEEL_KEY_PREFIX": redis.prefix,
                "FLYWHEEL_DATA_DIR": str(tmp_path / name),
            }
        )
        for name in ("there", "ahead")
    )
    sessions, executions = open_store(there, Clock(now))
    async with sessions:
        kept = await executions.cache_result({}, execution_id="theirs", session_id="s", flow_id="f", ttl_seconds=3600)
        assert kept.stored_in == "redis"
    sessions, executions = open_store(ahead, Clock(now + timedelta(days=1)))
    async with sessions:
        await sessions.repository.wait_for_child(20)
        kept = await executions.cache_result(
            {}, execution_id="first", session_id="s", flow_id="f", ttl_seconds=3600
        )  # perhaps before the first poll
        assert kept.stored_in == "redis"

        async def all_are_shown() -> bool:
            shown = await executions.get_flow_history("s", "f")
            return [each["id"] for each in shown.executions] == ["theirs", "first"]

        await eventually(all_are_shown, what="Redis' time to be known")
        await executions.cache_result({}, execution_id="second", session_id="s", flow_id="f", ttl_seconds=3600)
    text = redis.get(f"{redis.prefix}:history:s:f")
    assert text
    assert [each["id"] for each in json.loads(text)["executions"]] == ["theirs", "first", "second"]


async def test_a_clock_that_is_right_drops_what_expired_long_ago_once_it_knows_the_time_of_redis(
    redis: RedisServer, tmp_path: Path
):
    right = Machine(Journal(tmp_path / "right", clock := Clock(datetime.now(UTC)), addresses=("redis",)), redis, clock)
    key = right.keys.history("s", "f")
    async with right.repository(tmp_path / "child", worker=False) as here:
        old = cached(clock() - timedelta(hours=3), "old", ttl=3600, key=key)
        lasting = cached(clock(), "lasting", ttl=3600, key=key)
        redis.client().set(key, history(clock() - timedelta(hours=3), old, lasting))
        await here.write(cached(clock(), "unsure", ttl=3600, key=key))
        assert await answers(here)
        await here.write(cached(clock(), "sure", ttl=3600, key=key))
        text = redis.get(key)
        assert text
        assert [each["id"] for each in json.loads(text)["executions"]] == ["lasting", "unsure", "sure"]
