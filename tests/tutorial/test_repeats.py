"""The same save again: its answer is the same, and the session lives on; what somebody else saved is a conflict."""

import os
from typing import Any

import pytest

from agentic_flywheel.backends.base import BackendType, UniversalSession
from agentic_flywheel.integrations.redis_state import RedisSessionManager

from ..support.conversations import turns, words
from ..support.redis_server import RedisServer
from ..support.wire import WireServer

LIFE, SOON = 1000, 100
"""Seconds that a session lives, and that it has left when it is saved again."""


@pytest.fixture
def server(server_env: dict[str, str]) -> Any:
    with WireServer(server_env) as running:
        yield running.warm()


def nearly_over(redis: RedisServer, session_id: str) -> None:
    """Make as if most of its life were over."""
    with redis.client() as client:
        assert client.expire(redis.session_key(session_id), SOON)


@pytest.mark.parametrize("mode", ["append", "replace"])
def test_a_save_that_changes_nothing_renews_the_life_each_time(
    mode: str, server: WireServer, redis: RedisServer, sid: str
):
    save = {"session_id": sid, "history": turns("a"), "mode": mode, "ttl_seconds": LIFE}
    first = server.call("save_session", **save)
    if mode == "append":
        save["history"] = []
    ends = first["expires_at"]
    for _ in range(4):
        nearly_over(redis, sid)
        again = server.call("save_session", **save, expected_revision=1)
        assert (again["saved"], again["revision"], again["turns"]) == (True, 1, 1)
        assert again["expires_at"] > ends
        assert redis.ttl(redis.session_key(sid)) > SOON
        ends = again["expires_at"]


def test_a_save_sent_again_has_the_same_answer_and_renews_the_life(server: WireServer, redis: RedisServer, sid: str):
    server.call("save_session", session_id=sid, history=turns("0"))
    save = {"session_id": sid, "history": turns("a", "a"), "expected_revision": 1, "ttl_seconds": LIFE}
    first = server.call("save_session", **save)
    server.call("save_session", session_id=sid, history=turns("b"))
    for _ in range(3):
        nearly_over(redis, sid)
        again = server.call("save_session", **save)
        same = ("saved", "session_id", "revision", "turns", "added_turns", "stored_in")
        assert {name: again[name] for name in same} == {name: first[name] for name in same}
        assert again["expires_at"] > first["expires_at"]
        assert redis.ttl(redis.session_key(sid)) > SOON
    assert words(server.call("resume_session", session_id=sid)["session"]["history"]) == ["0", "a", "a", "b"]


def test_a_revision_that_is_not_the_current_one_any_more_is_a_conflict_the_second_time_too(
    server: WireServer, sid: str
):
    server.call("save_session", session_id=sid, history=turns("a"))
    mine = {"session_id": sid, "history": turns("a"), "mode": "replace", "expected_revision": 1}
    unchanged = server.call("save_session", **mine)
    assert (unchanged["saved"], unchanged["revision"]) == (True, 1)
    server.call("save_session", session_id=sid, history=turns("theirs"))
    for _ in range(2):
        refused = server.call("save_session", **mine)
        assert (refused["saved"], refused["reason"], refused["revision"]) == (False, "conflict", 2)
    assert words(server.call("resume_session", session_id=sid)["session"]["history"]) == ["a", "theirs"]


async def test_a_program_that_saves_an_unchanged_session_keeps_it_alive(
    monkeypatch: pytest.MonkeyPatch, server_env: dict[str, str], redis: RedisServer, sid: str
):
    for name in [*os.environ]:
        if name.startswith(("REDIS_", "FLYWHEEL_")):
            monkeypatch.delenv(name)
    for name, value in (server_env | {"FLYWHEEL_TIMEOUT_SECONDS": "10"}).items():
        monkeypatch.setenv(name, value)
    async with RedisSessionManager(ttl_seconds=LIFE, key_prefix=redis.prefix) as manager:
        session = UniversalSession(id=sid, backend=BackendType.CUSTOM, history=turns("a"))
        for _ in range(5):
            assert await manager.save_session(session) is True
            assert redis.ttl(redis.session_key(sid)) > SOON
            nearly_over(redis, sid)


def test_a_wrong_expected_revision_is_a_conflict_also_while_redis_refuses_connections(
    own_redis: RedisServer, lonely_env: dict[str, str], sid: str
):
    with WireServer(lonely_env | {"REDIS_URL": own_redis.start().url}) as server:
        server.warm()
        for said in ("a", "b"):
            server.call("save_session", session_id=sid, history=turns(said))
        own_redis.kill()
        refused = server.call("save_session", session_id=sid, history=turns("c"), expected_revision=1)
        assert (refused["saved"], refused["reason"], refused["revision"]) == (False, "conflict", 2)
        taken = server.call("save_session", session_id=sid, history=turns("c"), expected_revision=2)
        assert (taken["saved"], taken["stored_in"]) == (True, "journal")
