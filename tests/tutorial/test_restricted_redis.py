"""A Redis that does not allow everything: what it allows is used, and what it does not tell is unknown, no failure."""

from pathlib import Path

import pytest
from redis import ResponseError

from ..conftest import clean_env
from ..support.conversations import turns
from ..support.moods import TimedServer, ids, kept_in_redis, timed
from ..support.redis_server import RedisServer

USER = "restricted"


def limited(redis: RedisServer, *rules: str) -> str:
    """The URL of a user who may all but what these rules take away."""
    with redis.client() as client:
        try:
            client.execute_command("ACL", "SETUSER", USER, "reset", "on", "nopass", "~*", "+@all", *rules)
        except ResponseError as exc:
            pytest.skip(f"this server has no access lists: {exc}")
    return redis.url.replace("redis://", f"redis://{USER}:any@")


@pytest.fixture
def restricted(own_redis: RedisServer) -> RedisServer:
    return own_redis.start()


@pytest.mark.parametrize("rules", [("-@dangerous", "-@admin"), ("-info",), ("-info", "-time", "-dbsize", "-scan")])
def test_a_redis_that_tells_nothing_of_itself_keeps_everything_and_says_so(
    restricted: RedisServer, lonely_env: dict[str, str], rules: tuple[str, ...]
):
    with TimedServer(timed(lonely_env, limited(restricted, *rules))) as server:
        server.warm()
        kept_in_redis(server.save("s", turns("a")))
        status = server.status()
        assert (status["mode"], status["redis"]["state"]) == ("redis", "answering"), status
        assert status["redis"]["durability"] == "unknown"
        assert ids(server.call("list_sessions")) == {"s"}
        server.is_well()


def test_where_scripts_may_not_be_loaded_they_are_sent_whole(restricted: RedisServer, lonely_env: dict[str, str]):
    with TimedServer(timed(lonely_env, limited(restricted, "-script"))) as server:
        server.warm()
        kept_in_redis(server.save("s", turns("a")))
        with restricted.client() as client:
            client.script_flush()
        kept_in_redis(server.save("s", turns("b")))
        assert server.said("s") == ["a", "b"]
        server.is_well()


def test_who_may_only_read_reads(restricted: RedisServer, lonely_env: dict[str, str], tmp_path: Path):
    with TimedServer(timed(lonely_env, restricted.url)) as server:
        server.warm()
        kept_in_redis(server.save("s", turns("a")))
    elsewhere = clean_env(tmp_path / "elsewhere", restricted.url, "agentic_flywheel")
    url = limited(restricted, "-@all", "+@read", "+@connection")
    with TimedServer(timed(elsewhere, url)) as server:
        server.settled()
        resumed = server.resume("s")
        assert (resumed["found"], resumed["source"], resumed["stale"]) == (True, "redis", False), resumed
        assert ids(server.call("list_sessions")) == {"s"}
        assert server.resume("nobody")["reason"] == "not_found"


def test_a_redis_that_pauses_writes_is_read_from(restricted: RedisServer, lonely_env: dict[str, str], tmp_path: Path):
    with TimedServer(timed(lonely_env, restricted.url)) as server:
        server.warm()
        kept_in_redis(server.save("s", turns("a"), ttl_seconds=0))
    elsewhere = clean_env(tmp_path / "elsewhere", restricted.url, "agentic_flywheel")
    with TimedServer(timed(elsewhere, restricted.url)) as server:
        server.warm()
        with restricted.client() as client:
            try:
                client.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
            except ResponseError:
                pytest.skip("this server pauses everything or nothing")
            for _ in range(3):
                resumed = server.resume("s")
                assert (resumed["found"], resumed["source"], resumed["stale"]) == (True, "redis", False), resumed
                assert ids(server.call("list_sessions")) == {"s"}
                assert server.resume("nobody")["reason"] == "not_found"
            assert server.status()["redis"]["state"] == "answering"
            client.client_unpause()
