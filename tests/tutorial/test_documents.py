"""What others wrote under our keys: older shapes load, newer and damaged ones are named and never harmed."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from ..support.conversations import CONTEXT, TALK, exact, turns, words
from ..support.redis_server import RedisServer
from ..support.wire import WireServer

OLD: dict[str, Any] = {
    "id": "s",
    "backend": "flowise",
    "backend_session_id": "chat-1",
    "status": "running",
    "current_flow_id": None,
    "context": CONTEXT,
    "history": TALK,
    "created_at": "2024-05-01T10:00:00",
    "updated_at": "2024-05-02T10:00:00",
    "expires_at": "2024-06-01T10:00:00",
    "user_id": "ana",
    "total_queries": 2,
    "successful_queries": 1,
    "total_response_time": 1.5,
}


def put(redis: RedisServer, value: str) -> None:
    with redis.client() as client:
        client.set(redis.session_key("s"), value)


@pytest.mark.parametrize("version", [{}, {"_schema_version": "1.0"}])
def test_older_shapes_load_whole_even_when_their_own_expiry_has_passed(
    version: dict[str, str], server_env: dict[str, str], redis: RedisServer
):
    put(redis, json.dumps(version | OLD))
    with WireServer(server_env) as server:
        resumed = server.call("resume_session", session_id="s")
        assert resumed["found"] is True, resumed
        same = {name for name, value in OLD.items() if value} - {"created_at", "updated_at", "expires_at"}
        assert exact({name: resumed["session"][name] for name in same}) == exact({name: OLD[name] for name in same})
        assert server.call("save_session", session_id="s", history=turns("more"))["saved"] is True
        document = json.loads(redis.get(redis.session_key("s")) or "")
    assert exact(document["history"]) == exact([*TALK, *turns("more")])
    assert datetime.fromisoformat(document["created_at"]) == datetime(2024, 5, 1, 10, tzinfo=UTC), "naive means UTC"
    assert (document["total_queries"], document["total_response_time"]) == (2, 1.5)


def test_fields_that_we_do_not_know_survive_a_load_and_a_save(server_env: dict[str, str], redis: RedisServer):
    extra = {"x_future": {"list": [], "big": 2**70, "object": {}}}
    with WireServer(server_env) as server:
        server.warm()
        server.call("save_session", session_id="s", history=TALK)
        put(redis, json.dumps(json.loads(redis.get(redis.session_key("s")) or "") | extra))
        assert server.call("save_session", session_id="s", title="T")["saved"] is True
    document = json.loads(redis.get(redis.session_key("s")) or "")
    assert document["title"] == "T"
    assert exact(document["x_future"]) == exact(extra["x_future"])


def test_a_newer_schema_is_refused_with_its_number_and_not_harmed(server_env: dict[str, str], redis: RedisServer):
    newer = json.dumps({"schema_version": 987, "id": "s", "revision": 4, "history": {"of": "another shape"}})
    put(redis, newer)
    with WireServer(server_env) as server:
        resumed = server.call("resume_session", session_id="s")
        assert (resumed["found"], resumed["reason"]) == (False, "newer_schema")
        assert "987" in resumed["message"]
        for mode in ("append", "replace"):
            saved = server.call("save_session", session_id="s", history=TALK, mode=mode)
            assert (saved["saved"], saved["reason"]) == (False, "newer_schema")
        assert server.call("list_sessions")["message"]
    assert redis.get(redis.session_key("s")) == newer


def test_a_session_that_vanished_from_redis_is_not_resumed_as_an_empty_one(
    server_env: dict[str, str], redis: RedisServer
):
    with WireServer(server_env) as server:
        server.warm()
        server.call("save_session", session_id="s", history=TALK)
        with redis.client() as client:
            client.delete(redis.session_key("s"))
        resumed = server.call("resume_session", session_id="s")
        assert resumed["found"] is False or words(resumed["session"]["history"]) == words(TALK)
        if not resumed["found"]:
            assert resumed["reason"]
