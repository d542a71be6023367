"""Every way to name a Redis leads to exactly that one: its database, its user, its socket."""

import tempfile
from collections.abc import Iterator

import pytest

from ..support.conversations import TALK, turns
from ..support.redis_server import RedisServer
from ..support.wire import WireServer

PASSWORD = "hush-hush-9"  # noqa: S105


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis with a password, another user with one of her own, and a unix socket."""
    with tempfile.TemporaryDirectory(prefix="fly-") as short:  # a socket's path may have 100 characters
        server = RedisServer(tmp_path_factory.mktemp("guarded"), password=PASSWORD)
        server.arguments = ["--unixsocket", f"{short}/s"]
        server.require(6, 0, "ACL")
        server.start()
        with server.client() as client:
            client.execute_command("ACL", "SETUSER", "ana", "on", ">ana's own", "~*", "&*", "+@all")
        yield server
        server.kill()


WAYS = {
    "host, port and password": {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": "PORT", "REDIS_PASSWORD": PASSWORD},
    "a database number": {
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": "PORT",
        "REDIS_PASSWORD": PASSWORD,
        "REDIS_DB": "3",
    },
    "a user": {
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": "PORT",
        "REDIS_USERNAME": "ana",
        "REDIS_PASSWORD": "ana's own",
    },
    "a URL": {"REDIS_URL": f"redis://:{PASSWORD}@127.0.0.1:PORT"},
    "a URL with a database": {"REDIS_URL": f"redis://:{PASSWORD}@127.0.0.1:PORT/5"},
    "a URL with a user": {"REDIS_URL": "redis://ana:ana%27s%20own@127.0.0.1:PORT/2"},
    "a URL that wins whole": {"REDIS_URL": f"redis://:{PASSWORD}@127.0.0.1:PORT/1", "REDIS_DB": "9", "REDIS_PORT": "1"},
    "a unix socket": {"REDIS_URL": f"unix://:{PASSWORD}@SOCKET?db=4"},
}
DATABASE = {
    "a database number": 3,
    "a URL with a database": 5,
    "a URL with a user": 2,
    "a URL that wins whole": 1,
    "a unix socket": 4,
}


@pytest.mark.parametrize("way", WAYS)
def test_data_goes_to_the_named_database_and_no_other(way: str, guarded: RedisServer, lonely_env: dict[str, str]):
    guarded.flush()
    env = {name: value for name, value in lonely_env.items() if name != "REDIS_URL"}
    env["FLYWHEEL_TIMEOUT_SECONDS"] = "15"  # the first save waits for the child, however slow this machine is
    for name, value in WAYS[way].items():
        env[name] = value.replace("PORT", str(guarded.port)).replace("SOCKET", guarded.arguments[1])
    with WireServer(env) as server:
        saved = server.call("save_session", session_id="s", history=TALK)
        assert saved["stored_in"] == "redis", server.call("persistence_status")
    with guarded.client() as client:
        filled = {int(name[2:]) for name in client.info("keyspace")}
    assert filled == {DATABASE.get(way, 0)}


@pytest.mark.parametrize("url", ["redis://ana:wrong@127.0.0.1:PORT/0", "redis://127.0.0.1:PORT/0"])
def test_a_wrong_password_falls_back_to_nobody_else(url: str, guarded: RedisServer, lonely_env: dict[str, str]):
    guarded.flush()
    with WireServer(lonely_env | {"REDIS_URL": url.replace("PORT", str(guarded.port))}) as server:
        assert server.call("save_session", session_id="s", history=TALK)["stored_in"] == "journal"
        assert server.call("resume_session", session_id="nobody")["reason"] == "unavailable"
    assert guarded.all_keys() == set()


def test_a_database_that_is_not_there_falls_back_to_no_other(redis: RedisServer, server_env: dict[str, str]):
    with WireServer(server_env | {"REDIS_URL": f"redis://127.0.0.1:{redis.port}/99"}) as server:
        assert server.call("save_session", session_id="s", history=TALK)["stored_in"] == "journal"
        assert server.call("resume_session", session_id="nobody")["reason"] == "unavailable"
    assert redis.all_keys(f"{redis.prefix}:*") == set()


def test_the_default_user_is_the_environments(server_env: dict[str, str]):
    with WireServer(server_env | {"FLYWHEEL_USER": "ana"}) as server:
        server.warm()
        server.call("save_session", session_id="hers", history=turns("a"))
        server.call("save_session", session_id="his", history=turns("b"), user_id="bo")
        assert server.call("resume_session", session_id="hers")["session"]["user_id"] == "ana"
        assert server.call("resume_session")["session"]["id"] == "hers", "the latest of hers"
