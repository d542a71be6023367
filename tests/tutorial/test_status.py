"""What the status says is what is: which place takes saves, and why what waits does so."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..conftest import clean_env
from ..support.conversations import turns
from ..support.moods import MoodyRedis, TimedServer, arrives, ids, kept_here, kept_in_redis, timed
from ..support.redis_server import RedisServer
from ..support.waiting import wait_until
from ..test_demo_and_doctor import run

SLOTS = 16_384
ONE_MB = 2**20


@pytest.fixture
def moody(tmp_path: Path) -> Iterator[MoodyRedis]:
    """A Redis for this test alone, not started yet."""
    redis = MoodyRedis(tmp_path / "redis")
    yield redis
    redis.kill()


def names(server: TimedServer, cause: str) -> dict[str, Any]:
    """The status, once its reason names this cause (a pattern)."""
    try:
        wait_until(lambda: re.search(cause, server.status()["reason"]))
    except AssertionError:
        pytest.fail(f"{cause} is not named: {server.status()}")
    return server.status()


def test_a_refused_read_before_what_is_pending_is_named(moody: MoodyRedis, lonely_env: dict[str, str]):
    with TimedServer(timed(lonely_env, moody.url)) as server:
        kept_here(server.settled().save("s", turns("one")))
        moody.arguments = ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"]
        moody.start()
        with moody.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTS", *range(SLOTS))
        status = names(server, "CROSSSLOT")
        assert (status["mode"], status["journal"]["pending"]) == ("journal", 1)
        assert "keeps the shared copy" not in status["reason"]
        assert "CROSSSLOT" in status["redis"]["last_error"]
        assert "CROSSSLOT" in status["journal"]["pending_cause"]


def test_a_deletion_that_is_refused_is_named_and_says_nothing_of_saves(moody: MoodyRedis, lonely_env: dict[str, str]):
    moody.start()
    with moody.client() as client:
        client.execute_command("ACL", "SETUSER", "ana", "on", ">hers", "~*", "&*", "+@all", "-del", "-unlink")
        with TimedServer(timed(lonely_env, f"redis://ana:hers@127.0.0.1:{moody.port}/0")) as server:
            server.warm()
            kept_in_redis(server.save("s", turns("one")))
            assert server.call("delete_session", session_id="s")["deleted"] is True
            status = names(server, r"One change waits in the journal: a deletion \(.*(permission|NOPERM).*\)")
            assert (status["mode"], status["redis"]["state"]) == ("redis", "answering"), "nobody has said: no writes"
            kept_in_redis(server.save("t", turns("two")))
            assert server.status()["mode"] == "redis"
            client.execute_command("ACL", "SETUSER", "ana", "+del")
            wait_until(lambda: server.pending() == 0, what="the deletion to get there")
            server.is_well()


def test_a_save_that_cuts_the_connection_is_named_with_its_size(moody: MoodyRedis, lonely_env: dict[str, str]):
    moody.arguments = ["--client-query-buffer-limit", "1mb"]
    moody.start()
    with TimedServer(timed(lonely_env, moody.url)) as server:
        server.warm()
        server.bounded = False  # of a large document it is longer
        kept_here(server.save("large", turns("fern " * (2 * ONE_MB // 5))))
        status = names(server, r"One change waits in the journal: a save of 2\.\d MB \(.+\)")
        kept_in_redis(server.save("small", turns("two")))
        status = names(server, r"a save of 2\.\d MB")
        assert (status["mode"], status["journal"]["pending"]) == ("redis", 1), status


def test_a_save_that_is_refused_is_a_redis_that_takes_none_until_it_takes_one(
    moody: MoodyRedis, lonely_env: dict[str, str]
):
    moody.start()
    with TimedServer(timed(lonely_env, moody.url)) as server, moody.client() as client:
        server.warm()
        kept_in_redis(server.save("s", turns("one")))
        client.config_set("maxmemory", 1)
        kept_here(server.save("s", turns("two")))
        assert server.blames("OOM")["redis"]["state"] == "refusing writes"
        client.config_set("maxmemory", 0)
        arrives(moody, {"s": ["one", "two"]})
        wait_until(lambda: server.pending() == 0, what="nothing to be pending")
        server.is_well()


def test_a_deletion_that_is_refused_says_so_and_not_that_redis_does_not_answer(
    moody: MoodyRedis, lonely_env: dict[str, str]
):
    moody.start()
    with TimedServer(timed(lonely_env, moody.url)) as server, moody.client() as client:
        server.warm()
        kept_in_redis(server.save("s", turns("one")))
        client.config_set("maxmemory", 1)
        deleted = server.call("delete_session", session_id="s")
        assert deleted["deleted"] is True
        assert re.fullmatch(
            r"Deleted, but Redis does not take that \(.*OOM.*\): there, and on other machines, it goes by itself .*",
            deleted["message"],
        )
        client.config_set("maxmemory", 0)
        wait_until(lambda: server.pending() == 0, what="the deletion to be sent")


def test_evicted_keys_are_counted_and_the_policy_is_warned_of(moody: MoodyRedis, lonely_env: dict[str, str]):
    moody.arguments = ["--maxmemory", "4mb", "--maxmemory-policy", "allkeys-random"]
    moody.start()
    with moody.client() as client:
        for number in range(40):
            client.set(f"filling:{number}", "x" * 200_000)
    with TimedServer(timed(lonely_env, moody.url)) as server:
        status = names(
            server.settled(), "This Redis may evict sessions .allkeys-random.: set maxmemory-policy noeviction"
        )
        assert re.search(r"It has evicted \d+ keys since it was started", status["reason"])
        assert "noeviction" in status["redis"]["warning"]


def test_what_redis_lost_and_is_put_back_is_said_meanwhile(moody: MoodyRedis, lonely_env: dict[str, str]):
    moody.start()
    with TimedServer(timed(lonely_env, moody.url)) as server:
        server.warm()
        kept_in_redis(server.save("s", turns("one")))
        moody.kill()
        moody.arguments = ["--maxmemory", "1"]  # so that it cannot be put back yet
        moody.start()
        with moody.client() as client:
            status = names(server, "put back")
            assert status["journal"]["putting_back"] is True
            client.config_set("maxmemory", 0)
            arrives(moody, {"s": ["one"]})
        wait_until(lambda: not server.status()["journal"]["putting_back"], what="all to be verified")
        server.is_well()


def test_words_of_the_contract_for_what_is_here_alone_and_for_what_redis_was_not_asked(
    own_redis: RedisServer, tmp_path: Path
):
    env = clean_env(tmp_path, own_redis.url, "agentic_flywheel")
    alone = {name: value for name, value in env.items() if name != "REDIS_URL"} | {"REDIS_ENABLED": "false"}
    with TimedServer(alone) as server:
        saved = server.save("mine", turns("one"))
        assert (saved["stored_in"], saved["provisional"]) == ("journal", False), "the journal is the destination"
        assert server.resume("mine")["stale"] is False
        assert "scope" not in server.call("list_sessions")["sessions"][0], "where no Redis is, all is here"
    own_redis.start()
    with TimedServer(timed(env, own_redis.url)) as server:
        server.warm()
        kept_in_redis(server.save("theirs", turns("two")))
        listed = server.call("list_sessions")
        assert listed["scope"] == "shared"
        assert {row["id"]: row.get("scope") for row in listed["sessions"]} == {"mine": "this machine", "theirs": None}
        assert "1 of them on this machine only" in listed["message"]
        resumed = server.resume("mine")
        assert (resumed["found"], resumed["source"], resumed["stale"]) == (True, "journal", False), "Redis was asked"
        assert "on this machine only" in resumed["message"]
        status = server.status()
        assert status["journal"]["this_machine"] == 1
        assert "1 session belongs to this machine" in status["reason"]
        table = run(env, "sessions", "list").stdout
        assert re.search(r"^ID .* WHERE$", table, re.MULTILINE), table
        assert re.search(r"^mine .* this machine$", table, re.MULTILINE), table
        assert not re.search(r"^theirs .* this machine$", table, re.MULTILINE), table
        kept_in_redis(server.save("mine", turns("three")))
        assert server.status()["journal"]["this_machine"] == 0
        assert not any("scope" in row for row in server.call("list_sessions")["sessions"])
        assert "on this machine only" not in server.resume("mine")["message"]
        own_redis.kill()
        server.bounded = False
        saved = server.save("mine", turns("four"))
        assert (saved["stored_in"], saved["provisional"]) == ("journal", True)
        resumed = server.resume("mine")
        assert (resumed["source"], resumed["stale"]) == ("journal", True), "Redis was not asked"
        assert ids(server.call("list_sessions")) == {"mine", "theirs"}
        assert server.call("list_sessions")["scope"] == "this machine"
