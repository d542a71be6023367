"""What was saved for one Redis is read, listed, searched and sent under no other, and this machine's own stays here."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..conftest import clean_env
from ..support.conversations import turns, words
from ..support.redis_server import RedisServer
from ..support.waiting import wait_until
from ..support.wire import WireServer


@pytest.fixture
def other(tmp_path: Path) -> Iterator[RedisServer]:
    """A second Redis, with the key prefix of the first."""
    server = RedisServer(tmp_path / "other-redis")
    yield server
    server.kill()


@pytest.fixture
def env(tmp_path: Path, own_redis: RedisServer) -> dict[str, str]:
    return clean_env(tmp_path, own_redis.url, own_redis.prefix)


def ids(server: WireServer, **more: str) -> set[str]:
    return {row["id"] for row in server.call("list_sessions", **more)["sessions"]}


def nothing_pending(server: WireServer) -> None:
    wait_until(lambda: server.call("persistence_status")["journal"]["pending"] == 0, what="nothing to be pending")


def test_what_waits_for_one_redis_is_not_sent_to_another(
    env: dict[str, str], own_redis: RedisServer, other: RedisServer
):
    other.start()
    with WireServer(env) as server:  # its Redis is away
        assert server.call("save_session", session_id="garden", history=turns("for A"))["stored_in"] == "journal"
    with WireServer(env | {"REDIS_URL": other.url}) as server:
        server.warm()
        server.call("save_session", session_id="kitchen", history=turns("for B"))
        nothing_pending(server)
        assert not own_redis_keys(other, "garden")
        (waiting,) = server.call("persistence_status")["journal"]["waiting"]
        assert (waiting["changes"], own_redis.url.split("//")[1].split("/")[0] in waiting["destination"]) == (1, True)
    own_redis.start()
    with WireServer(env) as server:
        server.warm()
        wait_until(lambda: own_redis_keys(own_redis, "garden"), what="it to reach the Redis that it was saved for")
        assert not own_redis_keys(own_redis, "kitchen")


def own_redis_keys(redis: RedisServer, session_id: str) -> set[str]:
    return redis.all_keys(f"*session:{session_id}")


def test_two_redis_with_sessions_of_one_name_never_mix(env: dict[str, str], own_redis: RedisServer, other: RedisServer):
    own_redis.start()
    other.start()
    with WireServer(env) as server:
        server.warm()
        assert server.call("save_session", session_id="garden", history=turns("ferns"))["stored_in"] == "redis"
    with WireServer(env | {"REDIS_URL": other.url}) as server:
        server.warm()
        assert server.call("resume_session", session_id="garden")["reason"] == "not_found"
        assert ids(server) == set()
        assert ids(server, query="ferns") == set()
        assert server.call("save_session", session_id="garden", history=turns("roses"))["turns"] == 1
        assert ids(server, query="roses") == {"garden"}
    other.kill()
    with WireServer(env | {"REDIS_URL": other.url}) as server:  # from the copies alone
        assert words(server.call("resume_session", session_id="garden")["session"]["history"]) == ["roses"]
        assert ids(server, query="ferns") == set()
    with WireServer(env) as server:
        server.warm()
        assert words(server.call("resume_session", session_id="garden")["session"]["history"]) == ["ferns"]
        assert ids(server, query="roses") == set()


def test_one_redis_under_two_names_is_one_destination(env: dict[str, str], own_redis: RedisServer):
    own_redis.start()
    with WireServer(env) as server:
        server.warm()
        server.call("save_session", session_id="garden", history=turns("ferns"))
    again = env | {"REDIS_URL": own_redis.url.replace("127.0.0.1", "localhost") + "?socket_timeout=1.5"}
    own_redis.kill()
    own_redis.start()  # it keeps nothing: what it held is put back by whoever knows it
    with WireServer(again) as server:
        server.warm()
        wait_until(lambda: own_redis_keys(own_redis, "garden"), what="it to be put back")
        assert ids(server) == {"garden"}


def test_what_belongs_to_this_machine_stays_until_it_is_saved_again(
    env: dict[str, str], own_redis: RedisServer, tmp_path: Path
):
    own_redis.start()
    none = {name: value for name, value in env.items() if name != "REDIS_URL"} | {"REDIS_ENABLED": "false"}
    with WireServer(none) as server:
        for session_id in ("stays", "moves", "taken"):
            server.call("save_session", session_id=session_id, history=turns(f"{session_id} here"))
    with WireServer(clean_env(tmp_path / "elsewhere", own_redis.url, own_redis.prefix)) as elsewhere:
        elsewhere.warm()
        elsewhere.call("save_session", session_id="taken", history=turns("theirs"))
    with WireServer(env) as server:
        server.warm()
        rows = {row["id"]: row.get("scope") for row in server.call("list_sessions")["sessions"]}
        assert rows == {"stays": "this machine", "moves": "this machine", "taken": None}
        stays = server.call("resume_session", session_id="stays")
        assert (words(stays["session"]["history"]), stays["source"]) == (["stays here"], "journal")
        assert words(server.call("resume_session", session_id="taken")["session"]["history"]) == ["theirs"]
        saved = server.call("save_session", session_id="moves", history=turns("and more"))
        assert (saved["stored_in"], saved["turns"]) == ("redis", 2)
        assert words(json.loads(own_redis.get(own_redis.session_key("moves")) or "")["history"]) == [
            "moves here", "and more",
        ]  # fmt: skip
        nothing_pending(server)
        assert not own_redis_keys(own_redis, "stays")
        rows = {row["id"]: row.get("scope") for row in server.call("list_sessions")["sessions"]}
        assert rows == {"stays": "this machine", "moves": None, "taken": None}


def test_what_belongs_to_this_machine_is_resumed_while_the_redis_is_away(env: dict[str, str]):
    none = {name: value for name, value in env.items() if name != "REDIS_URL"} | {"REDIS_ENABLED": "false"}
    with WireServer(none) as server:
        server.call("save_session", session_id="stays", history=turns("here"))
    with WireServer(env) as server:
        answer = server.call("resume_session", session_id="stays")
        assert words(answer["session"]["history"]) == ["here"]
        assert (answer["source"], answer["stale"]) == ("journal", True)
        assert server.call("resume_session", session_id="nobody's")["reason"] == "unavailable"


def test_a_page_of_the_list_leaves_out_nothing_that_belongs_to_this_machine(
    env: dict[str, str], own_redis: RedisServer
):
    own_redis.start()
    none = {name: value for name, value in env.items() if name != "REDIS_URL"} | {"REDIS_ENABLED": "false"}
    with WireServer(env) as server:
        server.warm()
        for number in range(3):
            server.call("save_session", session_id=f"old {number}", history=turns("there"))
    with WireServer(none) as server:
        for number in range(9):
            server.call("save_session", session_id=f"here {number}", history=turns("here"))
    with WireServer(env) as server:
        server.warm()
        for number in range(3):
            server.call("save_session", session_id=f"new {number}", history=turns("there"))
        pages, cursor = list[str](), ""
        while True:
            page = server.call("list_sessions", limit=2, cursor=cursor)
            pages += [row["id"] for row in page["sessions"]]
            cursor = page.get("next_cursor") or ""
            if not cursor:
                break
        expected = [
            f"{kind} {number}" for kind, count in (("new", 3), ("here", 9), ("old", 3)) for number in range(count)
        ]
        assert sorted(pages) == sorted(expected)
        assert pages[:3] == ["new 2", "new 1", "new 0"]
