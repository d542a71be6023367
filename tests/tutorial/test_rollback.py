"""A Redis that comes back older than what it acknowledged: real snapshots, real crashes, and clients that go on."""

from pathlib import Path

import pytest

from ..conftest import AS_USUAL, clean_env
from ..support.conversations import turns, words
from ..support.redis_server import RedisServer
from ..support.waiting import wait_until
from ..support.wire import WireServer


@pytest.fixture
def env(tmp_path: Path, own_redis: RedisServer) -> dict[str, str]:
    own_redis.start()
    return clean_env(tmp_path, own_redis.url, own_redis.prefix)


def snapshot(redis: RedisServer) -> None:
    with redis.client() as client:
        client.save()


def said(server: WireServer, session_id: str = "s") -> list[str]:
    return words(server.call("resume_session", session_id=session_id)["session"]["history"])


def save(server: WireServer, *texts: str) -> dict:
    def kept() -> dict | None:
        answer = server.call("save_session", session_id="s", history=turns(*texts))
        assert answer["saved"], answer
        return answer

    return kept() or {}


def crash_and_start_again(redis: RedisServer) -> None:
    redis.kill()
    redis.start()


def in_redis(redis: RedisServer, *texts: str) -> bool:
    document = redis.get(redis.session_key("s")) or ""
    return all(text in document for text in texts)


def test_a_redis_that_comes_back_with_an_older_snapshot_gets_what_it_lacks(env: dict[str, str], own_redis: RedisServer):
    with WireServer(env | AS_USUAL) as server:
        server.warm()
        for text in ("a0", "a1"):
            assert save(server, text)["stored_in"] == "redis"
        snapshot(own_redis)
        for text in ("a2", "a3", "a4"):
            assert save(server, text)["stored_in"] == "redis"
        crash_and_start_again(own_redis)
        wait_until(lambda: in_redis(own_redis, "a2", "a3", "a4"), what="what was lost to be back")
        assert said(server) == ["a0", "a1", "a2", "a3", "a4"]
        save(server, "a5")
        assert said(server) == ["a0", "a1", "a2", "a3", "a4", "a5"]
        own_redis.freeze()
        assert said(server) == ["a0", "a1", "a2", "a3", "a4", "a5"], "the copy is of the line that Redis is on"
        own_redis.thaw()


def test_a_client_that_sends_all_its_turns_again_after_a_rollback_leaves_no_hole(
    env: dict[str, str], own_redis: RedisServer
):
    talk = [f"a{number}" for number in range(8)]
    with WireServer(env) as server:
        server.warm()
        for number in range(1, 9):
            save(server, *talk[:number])
            if number == 5:
                snapshot(own_redis)
        crash_and_start_again(own_redis)
        save(server, *talk, "a8")
        assert said(server) == [*talk, "a8"]
    with WireServer(env) as server:
        server.warm()
        wait_until(lambda: in_redis(own_redis, *talk, "a8"), what="all of it to be in Redis")
        assert said(server) == [*talk, "a8"]


def test_what_another_machine_saved_on_an_older_state_stays(
    env: dict[str, str], own_redis: RedisServer, tmp_path: Path
):
    with WireServer(env) as server:
        server.warm()
        save(server, "a0")
        snapshot(own_redis)
        save(server, "a1")
    crash_and_start_again(own_redis)
    with WireServer(clean_env(tmp_path / "elsewhere", own_redis.url, own_redis.prefix)) as elsewhere:
        elsewhere.warm()
        assert save(elsewhere, "theirs")["turns"] == 2
    with WireServer(env) as server:
        server.warm()
        wait_until(lambda: in_redis(own_redis, "a0", "theirs", "a1"), what="what was lost to be back")
        assert said(server) == ["a0", "theirs", "a1"]
        revisions = server.call("list_revisions", session_id="s")["revisions"]
        assert any("before Redis went back" in row["note"] for row in revisions)


def test_what_was_saved_while_redis_was_away_is_not_sent_into_an_older_state_alone(
    env: dict[str, str], own_redis: RedisServer
):
    with WireServer(env) as server:
        server.warm()
        save(server, "a0")
        snapshot(own_redis)
        save(server, "a1")
        own_redis.kill()
        assert save(server, "a2")["stored_in"] == "journal"
        own_redis.start()
        wait_until(lambda: in_redis(own_redis, "a0", "a1", "a2"), what="all of it to be in Redis")
        assert said(server) == ["a0", "a1", "a2"]
