"""A Redis that is not to be had from the start: down, another password, another certificate, too few rights."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support.conversations import turns
from ..support.moods import MoodyRedis, TimedServer, arrives, ids, kept_here, kept_in_redis, timed
from ..support.proxy import OTHER_CERTIFICATE, OUR_CERTIFICATE, Proxy
from ..support.redis_server import NOBODY_LISTENS, RedisServer
from ..support.waiting import wait_until

pytestmark = pytest.mark.slow

PASSWORD = "hush-hush-9"  # noqa: S105


@pytest.fixture
def moody(tmp_path: Path) -> Iterator[MoodyRedis]:
    """A Redis for this test alone, not started yet."""
    redis = MoodyRedis(tmp_path / "redis")
    yield redis
    redis.kill()


def nothing_is_reached(server: TimedServer, cause: str) -> None:
    """What every tool answers where Redis cannot be used from the start; two saves are pending then."""
    server.settled()
    kept_here(server.save("s", turns("one")))
    kept_here(server.save("s", turns("two")))
    kept_here(server.save("t", turns("three")))
    assert server.said("s") == ["one", "two"]
    assert (server.resume("s")["source"], server.resume("s")["stale"]) == ("journal", True)
    nobody = server.resume("nobody")
    assert (nobody["found"], nobody["reason"]) == (False, "unavailable")
    listed = server.call("list_sessions")
    assert (ids(listed), listed["scope"]) == ({"s", "t"}, "this machine")
    status = server.blames(cause)
    assert status["redis"]["state"] != "answering"
    assert status["journal"]["pending"] == 3


def all_arrives(server: TimedServer, redis: RedisServer) -> None:
    """What was kept meanwhile gets to Redis by itself, once."""
    arrives(redis, {"s": ["one", "two"], "t": ["three"]})
    wait_until(lambda: server.pending() == 0, what="nothing to be pending")
    kept_in_redis(server.save("s", turns("four")))
    server.is_well()
    arrives(redis, {"s": ["one", "two", "four"], "t": ["three"]}, within=0)


def test_a_redis_that_is_down_at_the_start_gets_all_when_it_comes(moody: MoodyRedis, lonely_env: dict[str, str]):
    with TimedServer(timed(lonely_env, moody.url)) as server:
        nothing_is_reached(server, "refused|connect")
        moody.start()
        all_arrives(server, moody)


def test_a_redis_that_is_frozen_at_the_start_gets_all_when_it_thaws(moody: MoodyRedis, lonely_env: dict[str, str]):
    moody.start().freeze()
    with TimedServer(timed(lonely_env, moody.url)) as server:
        nothing_is_reached(server, "time|answer|broke off")
        moody.thaw()
        all_arrives(server, moody)


@pytest.mark.parametrize("given", ["", "something else"], ids=["no password", "a wrong password"])
def test_a_password_that_is_not_right_is_named_and_once_it_is_right_all_gets_there(
    given: str, tmp_path: Path, lonely_env: dict[str, str]
):
    redis = MoodyRedis(tmp_path / "redis", password=PASSWORD)
    try:
        redis.start()
        credentials = f":{given.replace(' ', '%20')}@" if given else ""
        with TimedServer(timed(lonely_env, f"redis://{credentials}127.0.0.1:{redis.port}/0")) as server:
            nothing_is_reached(server, "WRONGPASS|NOAUTH|password|auth")
            assert given not in str(server.status()) or not given, "no password is ever shown"
            with redis.client() as client:
                client.config_set("requirepass", given)
            redis.password = given
            all_arrives(server, redis)
    finally:
        redis.kill()


def test_a_user_without_the_right_to_look_for_keys_has_all_but_the_shared_list(
    moody: MoodyRedis, lonely_env: dict[str, str]
):
    moody.require(6, 0, "ACL")
    moody.start()
    with moody.client() as client:
        client.execute_command("ACL", "SETUSER", "ana", "on", ">hers", "~*", "&*", "+@all", "-scan")
    with TimedServer(timed(lonely_env, f"redis://ana:hers@127.0.0.1:{moody.port}/0")) as server:
        server.warm()
        kept_in_redis(server.save("s", turns("one")))
        kept_in_redis(server.save("t", turns("two")))
        assert (server.said("s"), server.resume("s")["source"]) == (["one"], "redis")
        assert server.resume("nobody")["reason"] == "not_found"
        listed = server.call("list_sessions")
        assert ids(listed) == {"s", "t"}
        if listed["scope"] == "this machine":
            assert re.search("permission|NOPERM", listed["message"], re.IGNORECASE), listed
        assert server.resume("")["session"]["id"] == "t", "the latest"
        assert server.status()["mode"] == "redis"
        assert server.call("delete_session", session_id="s")["deleted"] is True
        assert server.resume("s")["reason"] == "deleted"
        assert moody.get(moody.session_key("s")) is None


def test_a_user_without_the_right_to_delete_keeps_the_deletion_here_and_everything_else_in_redis(
    moody: MoodyRedis, lonely_env: dict[str, str]
):
    moody.require(6, 0, "ACL")
    moody.start()
    with moody.client() as client:
        client.execute_command("ACL", "SETUSER", "ana", "on", ">hers", "~*", "&*", "+@all", "-del", "-unlink")
        with TimedServer(timed(lonely_env, f"redis://ana:hers@127.0.0.1:{moody.port}/0")) as server:
            server.warm()
            kept_in_redis(server.save("s", turns("one")))
            kept_in_redis(server.save("t", turns("two")))
            assert server.call("delete_session", session_id="s")["deleted"] is True
            assert server.resume("s")["reason"] == "deleted"
            assert ids(server.call("list_sessions")) == {"t"}
            kept_in_redis(server.save("t", turns("three")))
            assert server.resume("t")["source"] == "redis"
            status = server.status()
            assert re.search("permission|NOPERM", str(status["redis"]["last_error"]), re.IGNORECASE), status
            assert status["journal"]["pending"] >= 1, "the deletion is still to be sent"
            client.execute_command("ACL", "SETUSER", "ana", "+del")
            wait_until(lambda: moody.get(moody.session_key("s")) is None, what="the deletion to get there")
            wait_until(lambda: server.pending() == 0, what="nothing to be pending")
            assert server.resume("s")["reason"] == "deleted"
            server.is_well()
    arrives(moody, {"t": ["two", "three"]}, within=0)


@pytest.mark.parametrize("authority", ["", f"?ssl_ca_certs={OTHER_CERTIFICATE}"], ids=["the usual", "another"])
def test_a_certificate_of_no_known_authority_is_refused_and_said_so(
    authority: str, moody: MoodyRedis, lonely_env: dict[str, str]
):
    moody.start()
    with Proxy(moody.port, tls=True) as proxy:
        env = timed(lonely_env, f"rediss://127.0.0.1:{proxy.port}/0{authority}")
        with TimedServer(env) as server:
            nothing_is_reached(server, "certificate")
        assert moody.all_keys() == set()
        right = {"REDIS_URL": f"rediss://127.0.0.1:{proxy.port}/0?ssl_ca_certs={OUR_CERTIFICATE}"}
        with TimedServer(env | right) as server:
            all_arrives(server.warm(), moody)


def test_a_redis_without_tls_is_not_spoken_to_with_it(moody: MoodyRedis, lonely_env: dict[str, str]):
    moody.start()
    with TimedServer(timed(lonely_env, moody.url.replace("redis:", "rediss:"))) as server:
        # Whether Redis answers a greeting of TLS depends on its random bytes: it waits for the end of a line.
        nothing_is_reached(server, "SSL|TLS|connect|broke off|in time")
    assert moody.all_keys() == set()


def test_a_revision_that_only_redis_may_have_is_no_conflict_while_it_cannot_be_reached(lonely_env: dict[str, str]):
    with TimedServer(timed(lonely_env, NOBODY_LISTENS)) as server:
        for name, here in (("elsewhere", 0), ("here", 1)):
            for number in range(here):
                kept_here(server.save(name, turns(f"turn {number}")))
            beyond = server.call("save_session", session_id=name, history=turns("new"), expected_revision=here + 3)
            assert (beyond["saved"], beyond["reason"]) == (False, "unavailable"), beyond
            assert "Redis cannot be reached" in beyond["message"]
            assert f"Revision {here + 3} may well be there" in beyond["message"]
        kept_here(server.save("here", turns("turn 1")))
        late = server.call("save_session", session_id="here", history=turns("new"), expected_revision=1)
        assert (late["reason"], late["revision"]) == ("conflict", 2), "what is here is newer than that"
