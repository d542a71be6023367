"""A list costs a page, however large the Redis is, and is still right: what drifts from it is found."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentic_flywheel.backends.base import BackendType, UniversalSession
from agentic_flywheel.documents.codec import encode
from agentic_flywheel.documents.model import Document
from agentic_flywheel.keys import Keys

from ..support.conversations import turns
from ..support.redis_server import RedisServer
from ..support.waiting import wait_until
from ..support.wire import WireServer

MANY = 3_000  # keys beyond which a list no longer compares itself with all of them
HEALED_WITHIN = 40.0  # a step a second, and a few are enough


@pytest.fixture
def large(redis: RedisServer, server_env: dict[str, str]) -> Iterator[WireServer]:
    """A server whose Redis holds thousands of other keys."""
    with redis.client() as client, client.pipeline(transaction=False) as pipe:
        for number in range(MANY):
            pipe.set(f"{redis.prefix}:filler:{number}", "")
        pipe.execute()
    with WireServer(server_env) as server:
        server.warm()
        # Until a machine has looked at a Redis for the first time, it puts back what is not there.
        wait_until(lambda: redis.get(Keys(redis.prefix).epoch), what="its first look")
        yield server


def ids(server: WireServer, **wanted: Any) -> list[str]:
    return [row["id"] for row in server.call("list_sessions", **wanted)["sessions"]]


def test_a_session_that_somebody_else_wrote_is_listed_within_seconds(large: WireServer, redis: RedisServer):
    session = UniversalSession("foreign", BackendType.CUSTOM, history=turns("from elsewhere"))
    text = encode(Document(session, 1, session.updated_at, None, title="Written elsewhere"))
    with redis.client() as client:
        client.set(Keys(redis.prefix).session("foreign"), text)
    wait_until(lambda: ids(large) == ["foreign"], within=HEALED_WITHIN, what="it to be listed")
    assert large.call("list_sessions")["sessions"][0]["title"] == "Written elsewhere"


def test_a_session_that_is_gone_leaves_the_list_within_seconds(large: WireServer, redis: RedisServer):
    """One that this machine has no copy of: what it has would be put back."""
    keys, session = Keys(redis.prefix), UniversalSession("goes", BackendType.CUSTOM)
    large.call("save_session", session_id="stays", history=turns("hello"))
    with redis.client() as client:
        client.set(keys.session("goes"), encode(Document(session, 1, session.updated_at, None)))
        client.zadd(keys.index, {"goes": 1})
        client.hset(f"{keys.index}:notes", "goes", '{"id":"goes"}')
        assert ids(large) == ["stays", "goes"]
        client.delete(keys.session("goes"))
    wait_until(lambda: ids(large) == ["stays"], within=HEALED_WITHIN, what="it to leave the list")


def test_words_find_the_one_session_among_thousands_whatever_their_case(large: WireServer, redis: RedisServer):
    keys = Keys(redis.prefix)
    with redis.client() as client, client.pipeline(transaction=False) as pipe:
        for number in range(MANY):
            name = f"s{number}"
            title = 'The "green" Winter garden' if number == 7 else f"Talk {number}"
            session = UniversalSession(name, BackendType.CUSTOM)
            pipe.set(keys.session(name), encode(Document(session, 1, session.updated_at, None, title=title)))
            quoted = title.replace('"', '\\"')
            pipe.zadd(keys.index, {name: number})
            pipe.hset(f"{keys.index}:notes", name, f'{{"id":"{name}","title":"{quoted}"}}')
        pipe.execute()
    assert ids(large, query="WINTER garden") == ["s7"]
    assert ids(large, query='"green"') == ["s7"], "a word that JSON writes in another way"
    (best, *_) = large.call("list_sessions", query="winter Talk")["sessions"]
    assert (best["id"], best["matched"]) == ("s7", "some words")
    page = large.call("list_sessions", query="talk", limit=1000)
    best = [row["id"] for row in page["sessions"]][:200]  # only the best are told of; of equal ones, the newest
    assert best == [f"s{number}" for number in range(MANY - 1, MANY - 201, -1)]


def test_what_redis_holds_is_listed_whatever_the_clock_of_this_machine_says(
    server_env: dict[str, str], redis: RedisServer
):
    keys = Keys(redis.prefix)
    with WireServer(server_env) as server:
        server.warm()
        for name in ("alive", "over"):
            server.call("save_session", session_id=name, history=turns("hello"), ttl_seconds=3600)
        with redis.client() as client:  # as a machine sees them whose clock is two hours ahead
            for name in ("alive", "over"):
                row = json.loads(client.hget(f"{keys.index}:notes", name))
                row["expires_at"] = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
                client.hset(f"{keys.index}:notes", name, json.dumps(row))
        assert ids(server) == ["over", "alive"]
        assert ids(server, query="hello") == ["over", "alive"]
        assert server.call("resume_session")["session"]["id"] == "over"
        with redis.client() as client, client.pipeline(transaction=False) as pipe:
            pipe.delete(keys.session("over"))
            for number in range(MANY):  # so that the list is not compared with what is stored at once
                pipe.set(f"{redis.prefix}:filler:{number}", "")
            pipe.execute()
        assert ids(server) == ["alive"]
        assert server.call("resume_session")["session"]["id"] == "alive"
