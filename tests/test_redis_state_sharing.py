"""Who saves what: several writers of a session, the server's tools beside the library, documents of other shapes."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentic_flywheel.backends.base import BackendType, FlowStatus, UniversalSession
from agentic_flywheel.errors import Damaged, NewerSchema
from agentic_flywheel.integrations.redis_state import RedisExecutionCache, RedisSessionManager
from agentic_flywheel.plain_text import first_hidden

from .support.client import open_server
from .support.conversations import CONTEXT, TALK, exact, turns, words
from .support.redis_server import RedisServer

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, server_env: dict[str, str]) -> None:
    """This process's environment is that of the server beside it: the same Redis, the same data folder."""
    for name in os.environ:
        if name.startswith(("REDIS_", "FLYWHEEL_")):
            monkeypatch.delenv(name)
    for name, value in (server_env | {"FLYWHEEL_TIMEOUT_SECONDS": "10"}).items():
        monkeypatch.setenv(name, value)


@pytest_asyncio.fixture
async def mine(redis: RedisServer) -> AsyncIterator[RedisSessionManager]:
    async with RedisSessionManager(key_prefix=redis.prefix) as manager:
        yield manager


@pytest_asyncio.fixture
async def theirs(redis: RedisServer) -> AsyncIterator[RedisSessionManager]:
    async with RedisSessionManager(key_prefix=redis.prefix) as manager:
        yield manager


def session(*said: str, **fields: Any) -> UniversalSession:
    return UniversalSession(id="s", backend=BackendType.CUSTOM, history=turns(*said), **fields)


async def loaded(manager: RedisSessionManager) -> UniversalSession:
    found = await manager.load_session("s")
    assert found
    return found


async def stored(redis: RedisServer) -> list[str]:
    """What is in Redis now, without any manager having looked."""
    return words(json.loads(redis.get(redis.session_key("s")) or "")["history"])


# somebody saved in between


async def test_a_save_replaces_the_revision_that_its_manager_loaded(mine, theirs, redis: RedisServer):
    await theirs.save_session(session("a", "b", context={"old": 1}))
    copy = await loaded(mine)
    copy.history, copy.context = turns("b"), {}
    await mine.save_session(copy)
    assert await stored(redis) == ["b"]
    assert (await loaded(theirs)).context == {}


async def test_a_first_save_adds_to_what_somebody_else_began(mine, theirs, redis: RedisServer):
    await theirs.save_session(session("a"))
    await mine.save_session(session("b"))
    assert await stored(redis) == ["a", "b"]


async def test_the_saves_after_a_first_save_do_not_take_away_what_others_began(mine, theirs, redis: RedisServer):
    await theirs.save_session(session("a", context={"theirs": 1}))
    copy = session("b", context={"mine": 2})
    await mine.save_session(copy)
    copy.history += turns("c")
    await mine.save_session(copy)
    assert await stored(redis) == ["a", "b", "c"]
    assert (await loaded(theirs)).context == {"theirs": 1, "mine": 2}


async def test_the_saves_after_a_first_save_do_not_take_away_context_that_others_began(mine, theirs):
    await theirs.save_session(session(context={"theirs": 1}, user_id="ana"))
    copy = session("a", context={"mine": 2})
    await mine.save_session(copy)
    copy.history += turns("b")
    await mine.save_session(copy)
    assert (await loaded(theirs)).context == {"theirs": 1, "mine": 2}
    assert (await loaded(theirs)).user_id == "ana"


async def test_turns_that_somebody_added_in_between_stay(mine, theirs, redis: RedisServer):
    await theirs.save_session(session("a"))
    copy = await loaded(mine)
    other = await loaded(theirs)
    other.history += turns("theirs")
    await theirs.save_session(other)
    copy.history += turns("mine")
    assert await mine.save_session(copy) is True
    assert await stored(redis) == ["a", "theirs", "mine"]


async def test_turns_that_somebody_added_in_between_stay_at_every_later_save(mine, theirs, redis: RedisServer):
    await theirs.save_session(session("a"))
    copy = await loaded(mine)
    other = await loaded(theirs)
    other.history += turns("theirs")
    await theirs.save_session(other)
    for word in ("one", "two", "three"):
        copy.history += turns(word)
        assert await mine.save_session(copy) is True
    assert await stored(redis) == ["a", "theirs", "one", "two", "three"]


async def test_after_a_merge_a_load_makes_the_next_save_a_replace_again(mine, theirs, redis: RedisServer):
    await theirs.save_session(session("a"))
    await mine.save_session(session("b"))
    copy = await loaded(mine)
    copy.history = turns("b")
    await mine.save_session(copy)
    assert await stored(redis) == ["b"]


async def test_saving_at_once_from_many_managers_loses_no_turn(redis: RedisServer):
    managers = [RedisSessionManager(key_prefix=redis.prefix) for _ in range(8)]

    async def write(manager: RedisSessionManager, name: str) -> None:
        own = session()
        for n in range(5):
            own.history += turns(f"{name}{n}")
            assert await manager.save_session(own) is True

    await asyncio.gather(*(write(manager, name) for manager, name in zip(managers, "abcdefgh", strict=True)))
    kept = await stored(redis)
    assert sorted(kept) == sorted(f"{name}{n}" for name in "abcdefgh" for n in range(5))
    for manager in managers:
        await manager.aclose()


async def test_saving_what_was_just_loaded_changes_nothing(mine, redis: RedisServer):
    await mine.save_session(session("a"))
    before = json.loads(redis.get(redis.session_key("s")) or "")
    await mine.save_session(await loaded(mine))
    after = json.loads(redis.get(redis.session_key("s")) or "")
    assert after["revision"] == before["revision"]
    assert exact(after["history"]) == exact(before["history"])


async def test_a_deletion_in_between_wins_over_a_save_once_and_the_next_begins_anew(mine, theirs, redis: RedisServer):
    await theirs.save_session(session("a"))
    copy = await loaded(mine)
    assert await theirs.delete_session("s") is True
    assert await mine.save_session(copy) is False
    assert redis.get(redis.session_key("s")) is None
    assert await mine.save_session(copy) is True
    assert await stored(redis) == ["a"]


# the server's tools


async def test_what_the_library_saves_the_tools_resume(mine, server_env: dict[str, str], redis: RedisServer):
    cache = RedisExecutionCache(key_prefix=redis.prefix)
    await mine.save_session(UniversalSession("s", BackendType.LANGFLOW, context=CONTEXT, history=TALK, user_id="ana"))
    await cache.cache_result("e", {"n": 1})
    await cache.cache_flow_history("s", "f", [{"n": 1}, {"n": 2}])
    await cache.aclose()
    async with open_server(server_env) as server:
        await server.warm()
        resumed = (await server.call("resume_session", session_id="s"))["session"]
        assert exact([resumed["context"], resumed["history"]]) == exact([CONTEXT, TALK])
        assert (resumed["backend"], resumed["user_id"]) == ("langflow", "ana")
        assert (await server.call("get_result", execution_id="e"))["execution"]["result"] == {"n": 1}
        history = await server.call("get_flow_history", session_id="s", flow_id="f")
        assert history["executions"] == [{"n": 1}, {"n": 2}]
        assert [row["id"] for row in (await server.call("list_sessions"))["sessions"]] == ["s"]


async def test_what_the_tools_save_the_library_loads(mine, server_env: dict[str, str], redis: RedisServer):
    async with open_server(server_env) as server:
        await server.warm()
        await server.call(
            "save_session", session_id="s", history=TALK, context=CONTEXT, status="running", backend="flowise",
            backend_session_id="chat-1", current_flow_id="flow-1", user_id="ana",
        )  # fmt: skip
        await server.call("cache_result", execution_id="e", result={"n": 1}, session_id="s", flow_id="f")
    copy = await loaded(mine)
    assert exact([copy.history, copy.context]) == exact([TALK, CONTEXT])
    assert (copy.status, copy.backend) == (FlowStatus.RUNNING, BackendType.FLOWISE)
    assert (copy.backend_session_id, copy.current_flow_id, copy.user_id) == ("chat-1", "flow-1", "ana")
    assert await mine.list_sessions() == ["s"]
    cache = RedisExecutionCache(key_prefix=redis.prefix)
    assert await cache.get_result("e") == {"n": 1}
    assert [execution["result"] for execution in await cache.get_flow_history("s", "f")] == [{"n": 1}]
    await cache.aclose()


async def test_title_summary_tags_and_life_that_a_tool_set_survive_a_save_of_the_library(
    mine, server_env: dict[str, str], redis: RedisServer
):
    about: dict[str, Any] = {"title": "Harvest", "summary": "Monday.", "tags": ["farm"]}
    async with open_server(server_env) as server:
        await server.warm()
        await server.call("save_session", session_id="s", history=turns("a"), ttl_seconds=600, **about)
        for copy in (session("a", "b"), await loaded(mine)):  # an append, then a replace
            copy.history += turns("c")
            assert await mine.save_session(copy) is True
            resumed = (await server.call("resume_session", session_id="s"))["session"]
            assert {name: resumed[name] for name in about} == about
    assert redis.ttl(redis.session_key("s")) <= 600


async def test_the_defaults_of_the_server_do_not_apply(monkeypatch: pytest.MonkeyPatch, redis: RedisServer):
    monkeypatch.setenv("FLYWHEEL_USER", "somebody")
    monkeypatch.setenv("REDIS_TTL_SECONDS", "60")
    async with RedisSessionManager(key_prefix=redis.prefix) as manager:
        secret = session("my password is hunter2", context={"api_key": "sk-0123456789abcdef0123456789abcdef"})
        await manager.save_session(secret)
        assert await manager.load_session("s") == secret
        assert await manager.list_sessions() == ["s"]
    assert redis.ttl(redis.session_key("s")) > 86_000


async def test_a_session_of_another_user_is_loaded_and_listed(mine, theirs, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FLYWHEEL_USER", "ana")
    await theirs.save_session(session("a", user_id="bo"))
    assert await mine.list_sessions() == ["s"]
    assert (await loaded(mine)).user_id == "bo"


# every field

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(text, json_values, max_size=4)
# A day from either end, so that every instant has a name in UTC.
first, last = datetime(1, 1, 2), datetime(9999, 12, 30)  # noqa: DTZ001
times = st.datetimes(first, last) | st.datetimes(first, last, timezones=st.timezones() | st.just(UTC))
sessions = st.builds(
    UniversalSession,
    id=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(
        lambda text: first_hidden(text) is None  # a new id with such a character is refused
    ),
    backend=st.sampled_from(BackendType),
    backend_session_id=text,
    status=st.sampled_from(FlowStatus),
    current_flow_id=st.none() | text,
    context=objects,
    history=st.lists(objects, max_size=5),
    created_at=times,
    updated_at=times,
    expires_at=st.none() | times,
    user_id=st.none() | text,
    total_queries=st.integers(0, 2**62),
    successful_queries=st.integers(0, 2**62),
    total_response_time=st.floats(0, allow_nan=False, allow_infinity=False),
)


def test_every_field_of_any_session_comes_back_equal(redis: RedisServer):
    names = [name for name in UniversalSession.__dataclass_fields__ if not name.endswith("_at")]

    with asyncio.Runner() as runner:
        writer, reader = (RedisSessionManager(key_prefix=redis.prefix) for _ in range(2))

        @settings(max_examples=200, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
        @given(saved=sessions)
        def check(saved: UniversalSession) -> None:
            async def there_and_back() -> UniversalSession | None:
                await writer.delete_session(saved.id)
                assert await writer.save_session(saved) is True
                return await reader.load_session(saved.id)

            back = runner.run(there_and_back())
            assert back
            for name in names:
                before, after = getattr(saved, name), getattr(back, name)
                if name in ("context", "history"):
                    assert exact(after) == exact(before), name
                else:
                    assert (after, type(after)) == (before, type(before)), name
            for name in ("created_at", "updated_at", "expires_at"):
                before, after = getattr(saved, name), getattr(back, name)
                if before is None:
                    assert after is None
                else:
                    instant = before.replace(tzinfo=UTC) if before.tzinfo is None else before.astimezone(UTC)
                    assert after == instant, name
                    assert after.utcoffset() == timedelta(0), "aware"

        check()
        runner.run(writer.aclose())
        runner.run(reader.aclose())


# what others wrote

OLD: dict[str, Any] = {
    "id": "s",
    "backend": "flowise",
    "backend_session_id": "chat-1",
    "status": "running",
    "context": CONTEXT,
    "history": TALK,
    "user_id": "ana",
    "total_queries": 2,
    "successful_queries": 1,
    "total_response_time": 1.5,
}


def put(redis: RedisServer, document: dict[str, Any]) -> str:
    text = json.dumps(document)
    with redis.client() as client:
        client.set(redis.session_key("s"), text)
    return text


@pytest.mark.parametrize(
    "times",
    [
        {"created_at": "2024-05-01T10:00:00", "updated_at": "2024-05-02T10:00:00+00:00"},
        {
            "_schema_version": "1.0",
            "metadata": {"created_at": "2024-05-01T10:00:00", "last_active": "2024-05-02T10:00:00"},
        },
    ],
    ids=["no version", "_schema_version 1.0"],
)  # fmt: skip
async def test_the_older_shapes_load_and_can_be_saved(times: dict[str, Any], mine, theirs, redis: RedisServer):
    put(redis, OLD | times)
    copy = await loaded(mine)
    assert exact([copy.history, copy.context]) == exact([TALK, CONTEXT])
    assert (copy.backend, copy.status, copy.user_id) == (BackendType.FLOWISE, FlowStatus.RUNNING, "ana")
    assert (copy.total_queries, copy.successful_queries, copy.total_response_time) == (2, 1, 1.5)
    assert copy.created_at == datetime(2024, 5, 1, 10, tzinfo=UTC)
    assert copy.updated_at == datetime(2024, 5, 2, 10, tzinfo=UTC)
    copy.history += turns("more")
    assert await mine.save_session(copy) is True
    assert await theirs.load_session("s") == copy
    assert json.loads(redis.get(redis.session_key("s")) or "")["schema_version"] == 1


async def test_a_field_that_we_do_not_know_survives_a_load_and_a_save(mine, redis: RedisServer):
    unknown = {"x_future": {"list": [], "object": {}, "big": 2**70}, "metadata": {"theirs": 1}}
    put(redis, OLD | unknown)
    copy = await loaded(mine)
    copy.history += turns("more")
    assert await mine.save_session(copy) is True
    document = json.loads(redis.get(redis.session_key("s")) or "")
    assert exact({name: document[name] for name in unknown}) == exact(unknown)
    assert words(document["history"])[-1] == "more"


async def test_a_newer_schema_is_refused_and_left_as_it_is(mine, redis: RedisServer):
    newer = put(redis, {"schema_version": 999, "id": "s", "revision": 4, "history": {"of": "another shape"}})
    assert await mine.load_session("s") is None
    assert await mine.save_session(session("a")) is False
    async with RedisSessionManager(key_prefix=redis.prefix, strict=True) as careful:
        with pytest.raises(NewerSchema, match="999"):
            await careful.load_session("s")
        with pytest.raises(NewerSchema, match="999"):
            await careful.save_session(session("a"))
    assert redis.get(redis.session_key("s")) == newer


@pytest.mark.parametrize("damage", ["", "no json", "[1]", '{"id": "s", "history": 5}', '{"id": "another"}'])
async def test_a_damaged_document_is_refused_and_left_as_it_is(damage: str, mine, redis: RedisServer):
    with redis.client() as client:
        client.set(redis.session_key("s"), damage)
    assert await mine.load_session("s") is None
    assert await mine.save_session(session("a")) is False
    async with RedisSessionManager(key_prefix=redis.prefix, strict=True) as careful:
        for call in (lambda: careful.load_session("s"), lambda: careful.save_session(session("a"))):
            with pytest.raises(Damaged):
                await call()
    assert redis.get(redis.session_key("s")) == damage


@pytest.mark.parametrize(
    "damage", ['{"id": "e", "result": "text"}', '{"id": "e"}', "no json", '{"schema_version": 999}']
)
async def test_a_result_that_cannot_be_read_is_none_refused_and_never_of_another_type(damage: str, redis: RedisServer):
    with redis.client() as client:
        client.set(f"{redis.prefix}:execution:e", damage)
    async with RedisExecutionCache(key_prefix=redis.prefix) as cache:
        assert await cache.get_result("e") is None
    async with RedisExecutionCache(key_prefix=redis.prefix, strict=True) as careful:
        with pytest.raises((Damaged, NewerSchema)):
            await careful.get_result("e")


@pytest.mark.parametrize(
    "damage", ['{"executions": ["text"]}', '{"executions": 5}', "no json", '{"schema_version": 999}']
)
async def test_a_flow_history_that_cannot_be_read_is_empty_and_refused(damage: str, redis: RedisServer):
    with redis.client() as client:
        client.set(f"{redis.prefix}:history:s:f", damage)
    async with RedisExecutionCache(key_prefix=redis.prefix) as cache:
        assert await cache.get_flow_history("s", "f") == []
    async with RedisExecutionCache(key_prefix=redis.prefix, strict=True) as careful:
        with pytest.raises((Damaged, NewerSchema)):
            await careful.get_flow_history("s", "f")
