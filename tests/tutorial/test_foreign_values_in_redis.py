"""Under our keys lies what we cannot read: it is named, it is left as it is, and whatever is healthy goes on."""

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..conftest import clean_env
from ..support.conversations import turns
from ..support.moods import TimedServer, arrives, ids, kept_here, kept_in_redis, timed
from ..support.redis_server import RedisServer
from ..support.waiting import wait_until

Spoil = Callable[[Any, str], Any]

CUT = '{"schema_version": 1, "id": "s", "revision": 1, "history": [{"role": "us'
DAMAGES: dict[str, Spoil] = {
    "cut JSON": lambda raw, key: raw.set(key, CUT),
    "JSON of another shape": lambda raw, key: raw.set(key, '{"history": {"of": "something else"}}'),
    "not UTF-8": lambda raw, key: raw.set(key, b'{"schema_version": 1, "id": "\xff\xfe"}'),
    "nothing but zeros": lambda raw, key: raw.set(key, b"\0" * 100),
    "a list": lambda raw, key: raw.rpush(key, "somebody's"),
    "a hash": lambda raw, key: raw.hset(key, "somebody", "else"),
    "a stream": lambda raw, key: raw.xadd(key, {"some": "body"}),
}
each_damage = pytest.mark.parametrize("damage", DAMAGES)


@pytest.fixture(scope="module")
def redis(worker_redis: RedisServer) -> Iterator[RedisServer]:
    """The worker's Redis under a prefix of this module's own: its tests keep apart by ids."""
    before, worker_redis.prefix = worker_redis.prefix, f"test-{uuid.uuid4().hex[:12]}"
    yield worker_redis
    with worker_redis.client() as client:
        for key in list(client.scan_iter(match=f"{worker_redis.prefix}:*", count=1000)):
            client.delete(key)
    worker_redis.prefix = before


@pytest.fixture(scope="module")
def server(redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TimedServer]:
    """One server for all tests of this module, each of its answers timed."""
    with TimedServer(timed(clean_env(tmp_path_factory.mktemp("foreign"), redis.url, redis.prefix), redis.url)) as one:
        yield one.warm()


@pytest.fixture(scope="module")
def raw(redis: RedisServer) -> Iterator[Any]:
    """A client that sees bytes."""
    with redis.client(decode_responses=False) as client:
        yield client


def spoil(raw: Any, key: str, damage: str) -> bytes:
    """Put the damage under the key; what then lies there, to the byte."""
    raw.delete(key)
    DAMAGES[damage](raw, key)
    return raw.dump(key) or b""


@each_damage
def test_a_damaged_session_is_named_and_left_as_it_is_and_the_others_are_well(
    damage: str, raw: Any, redis: RedisServer, server: TimedServer, sid: str
):
    healthy, key = f"healthy-{sid}", redis.session_key(sid)
    kept_in_redis(server.save(sid, turns("one")))
    kept_in_redis(server.save(healthy, turns("one")))
    there = spoil(raw, key, damage)
    resumed = server.resume(sid)
    assert (resumed["found"], resumed["reason"]) == (False, "damaged"), resumed
    for mode in ("append", "replace"):
        saved = server.save(sid, turns("two"), mode=mode)
        assert (saved["saved"], saved["reason"], saved["stored_in"]) == (False, "damaged", "none"), saved
    assert server.call("save_session", session_id=sid, title="T", expected_revision=1)["reason"] == "damaged"
    kept_in_redis(server.save(healthy, turns("two")))
    assert (server.said(healthy), server.resume(healthy)["source"]) == (["one", "two"], "redis")
    listed = server.call("list_sessions", limit=1000)
    assert healthy in ids(listed)
    assert listed["scope"] == "shared"
    assert raw.dump(key) == there, "nobody overwrote it"
    server.is_well()


@each_damage
def test_a_damaged_session_that_was_the_last_one_saved_is_named_to_who_wants_the_latest(
    damage: str, raw: Any, redis: RedisServer, server: TimedServer, sid: str
):
    server.save(f"healthy-{sid}", turns("one"), user_id=sid)
    server.save(sid, turns("one"), user_id=sid)
    spoil(raw, redis.session_key(sid), damage)
    latest = server.call("resume_session", user_id=sid)
    assert latest["found"] is False or latest["session"]["id"] == f"healthy-{sid}", latest
    if not latest["found"]:
        assert latest["reason"] == "damaged"
        assert sid in latest["message"], latest


def test_a_damaged_session_is_damaged_also_for_a_server_that_starts_anew(
    raw: Any, redis: RedisServer, tmp_path: Path, sid: str
):
    there = {damage: spoil(raw, redis.session_key(f"{sid}-{i}"), damage) for i, damage in enumerate(DAMAGES)}
    with TimedServer(timed(clean_env(tmp_path, redis.url, redis.prefix), redis.url)) as server:
        server.warm()
        for i, damage in enumerate(DAMAGES):
            assert server.resume(f"{sid}-{i}")["reason"] == "damaged", damage
            saved = server.save(f"{sid}-{i}", turns("two"))
            assert (saved["saved"], saved["reason"]) == (False, "damaged"), damage
        kept_in_redis(server.save(sid, turns("one")))
    for i, damage in enumerate(DAMAGES):
        assert raw.dump(redis.session_key(f"{sid}-{i}")) == there[damage], damage


def test_what_is_pending_for_a_session_that_is_damaged_there_is_set_aside_and_blocks_nothing(
    own_redis: RedisServer, lonely_env: dict[str, str]
):
    env = timed(lonely_env, own_redis.url)
    damaged = {f"s-{i}": damage for i, damage in enumerate(DAMAGES)}
    with TimedServer(env) as server:
        server.settled()
        for session_id in (*damaged, "healthy"):
            kept_here(server.save(session_id, turns("not to be lost")))
    own_redis.start()
    with own_redis.client(decode_responses=False) as raw:
        there = {own_redis.session_key(i): spoil(raw, own_redis.session_key(i), damaged[i]) for i in damaged}
        with TimedServer(env) as server:
            server.warm()
            arrives(own_redis, {"healthy": ["not to be lost"]})
            wait_until(lambda: server.pending() == 0, what="nothing to be pending")
            aside = server.status()["journal"]["set_aside"]
            assert {item["key"] for item in aside} == there.keys()
            assert all(item["reason"] for item in aside)
            kept_in_redis(server.save("healthy", turns("two")))
            for session_id, damage in damaged.items():
                saved = server.save(session_id, turns("more"))
                assert (saved["saved"], saved["reason"]) == (False, "damaged"), damage
                assert server.resume(session_id)["reason"] == "damaged", damage
        assert {key: raw.dump(key) for key in there} == there


@each_damage
def test_a_damaged_execution_is_named_and_left_as_it_is(
    damage: str, raw: Any, redis: RedisServer, server: TimedServer, sid: str
):
    key = f"{redis.prefix}:execution:{sid}"
    assert server.call("cache_result", result={"n": 1}, execution_id=sid)["stored_in"] == "redis"
    there = spoil(raw, key, damage)
    got = server.call("get_result", execution_id=sid)
    assert (got["found"], got.get("reason")) == (False, "damaged"), got
    cached = server.call("cache_result", result={"n": 2}, execution_id=sid)
    assert (cached["cached"], cached.get("reason")) == (False, "damaged"), cached
    healthy = f"healthy-{sid}"
    assert server.call("cache_result", result={"n": 3}, execution_id=healthy)["stored_in"] == "redis"
    assert server.call("get_result", execution_id=healthy)["execution"]["result"] == {"n": 3}
    assert raw.dump(key) == there
    server.is_well()


@each_damage
def test_a_damaged_flow_history_is_named_and_left_as_it_is_and_the_execution_is_kept_all_the_same(
    damage: str, raw: Any, redis: RedisServer, server: TimedServer, sid: str
):
    key = f"{redis.prefix}:history:{sid}:f"
    server.call("cache_result", result={"n": 1}, session_id=sid, flow_id="f")
    there = spoil(raw, key, damage)
    history = server.call("get_flow_history", session_id=sid, flow_id="f")
    assert (history["found"], history["reason"], history["executions"]) == (False, "damaged", []), history
    cached = server.call("cache_result", result={"n": 2}, execution_id=sid, session_id=sid, flow_id="f")
    assert cached["cached"] is server.call("get_result", execution_id=sid)["found"] is True
    assert "history" in cached["message"], "what was not done is said"
    server.call("cache_result", result={"n": 3}, execution_id=f"{sid}-3", session_id=sid, flow_id="other")
    other = server.call("get_flow_history", session_id=sid, flow_id="other")
    assert [execution["id"] for execution in other["executions"]] == [f"{sid}-3"]
    assert raw.dump(key) == there
    server.is_well()


@pytest.mark.parametrize("where", ["index", "index:notes"])
@pytest.mark.parametrize("damage", ["a list"])
def test_a_foreign_value_under_the_key_of_the_list_stops_no_save_and_is_named(
    where: str, damage: str, raw: Any, redis: RedisServer, server: TimedServer, sid: str
):
    key = f"{redis.prefix}:{where}"
    both = {f"before-{sid}", sid}
    kept_in_redis(server.save(f"before-{sid}", turns("one")))
    there = spoil(raw, key, damage)
    try:
        kept_in_redis(server.save(sid, turns("one")))
        assert (server.said(sid), server.resume(sid)["source"]) == (["one"], "redis")
        listed = server.call("list_sessions", limit=1000)
        assert (ids(listed) & both, listed["scope"]) == (both, "this machine"), listed
        told = listed["message"] + json.dumps(server.status())
        assert f"{redis.prefix}:index" in told, "the person is told which key to look at"
        assert raw.dump(key) == there
    finally:
        raw.delete(key)
    listed = server.call("list_sessions", limit=1000)
    assert (ids(listed) & both, listed["scope"]) == (both, "shared"), "it is made anew"
    server.is_well()
