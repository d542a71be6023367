"""However the server is ended: what it had taken in is kept, its child ends, and it is quick."""

import signal
import time
from collections.abc import Callable

import pytest

from ..conftest import AS_USUAL
from ..support.conversations import TALK, exact, turns
from ..support.processes import kill, wait_gone
from ..support.redis_server import RedisServer
from ..support.waiting import wait_until
from ..support.wire import WireServer

pytestmark = pytest.mark.slow

EXIT_WITHIN = 20.0
CONTRACT_SECONDS, TRIES = 2.0, 5
"""What an end takes at most; of so many tries one, since a busy machine may take its time."""

ENDINGS: dict[str, Callable[[WireServer], None]] = {
    "EOF": lambda server: server.close_stdin(),
    "SIGTERM": lambda server: kill(server.pid, signal.SIGTERM),
    "SIGINT": lambda server: kill(server.pid, signal.SIGINT),
}

each_ending = pytest.mark.parametrize("ending", ENDINGS)


def resumed_history(env: dict[str, str], session_id: str) -> str:
    with WireServer(env) as server:
        return exact(server.call("resume_session", session_id=session_id, max_tokens=1_000_000)["session"]["history"])


@each_ending
def test_an_idle_server_ends_within_its_time_and_its_child_with_it(ending: str, server_env: dict[str, str]):
    for _ in range(TRIES):
        with WireServer(server_env) as server:
            server.warm()
            below = server.children
            assert below
            began = time.monotonic()
            ENDINGS[ending](server)
            code = server.wait(EXIT_WITHIN)
            wait_gone(below, within=EXIT_WITHIN)
            took = time.monotonic() - began
        assert code in {"EOF": (0,), "SIGTERM": (0, 143, -15), "SIGINT": (0, 130, -2)}[ending]
        assert "Traceback" not in server.stderr
        if took < CONTRACT_SECONDS:
            return
    raise AssertionError(f"it took {took:.1f} s, {TRIES} times")


@pytest.mark.usefixtures("cold")
@each_ending
def test_a_save_in_flight_is_finished(ending: str, server_env: dict[str, str], sid: str):
    history = turns(*(f"{i} " + "x" * 1000 for i in range(1000)))
    with WireServer(server_env) as server:
        server.warm()
        below = server.children
        server.send_call("save_session", {"session_id": sid, "history": history})
        server.ping()  # now the save has been read; it may or may not be done
        ENDINGS[ending](server)
        server.wait(EXIT_WITHIN)
        wait_gone(below, within=EXIT_WITHIN)
    assert resumed_history(server_env, sid) == exact(history)


@each_ending
def test_a_save_that_waits_for_a_frozen_redis_is_kept(
    ending: str, lonely_env: dict[str, str], own_redis: RedisServer, sid: str
):
    own_redis.start()
    env = lonely_env | AS_USUAL | {"REDIS_URL": own_redis.url}
    with WireServer(env) as server:
        server.warm()
        below = server.children
        own_redis.freeze()
        server.send_call("save_session", {"session_id": sid, "history": TALK})
        server.ping()
        ENDINGS[ending](server)
        server.wait(EXIT_WITHIN)
        wait_gone(below, within=EXIT_WITHIN)
    own_redis.thaw()
    assert resumed_history(env, sid) == exact(TALK)


@pytest.mark.usefixtures("cold")
@each_ending
def test_a_server_that_is_still_starting_its_child_ends_with_it(ending: str, server_env: dict[str, str]):
    with WireServer(server_env) as server:
        below = wait_until(lambda: server.children, what="a child")
        ENDINGS[ending](server)
        server.wait(EXIT_WITHIN)
        wait_gone(below, within=EXIT_WITHIN)


@each_ending
def test_a_child_that_ignores_everything_ends_with_its_server(ending: str, lonely_env: dict[str, str]):
    stubborn = """/bin/sh -c 'trap "" TERM INT HUP; while :; do sleep 1000; done'"""
    with WireServer(lonely_env | AS_USUAL | {"FLYWHEEL_COAIA_COMMAND": stubborn}) as server:
        below = wait_until(lambda: server.children, what="a child")
        server.ping()
        ENDINGS[ending](server)
        server.wait(EXIT_WITHIN)
        wait_gone(below, within=EXIT_WITHIN)


@pytest.mark.parametrize("frozen", [False, True], ids=["Redis answers", "Redis is frozen"])
def test_a_killed_server_leaves_no_child(
    frozen: bool,  # noqa: FBT001
    lonely_env: dict[str, str],
    own_redis: RedisServer,
    sid: str,
):
    own_redis.start()
    with WireServer(lonely_env | AS_USUAL | {"REDIS_URL": own_redis.url}) as server:
        server.warm()
        below = server.children
        assert below
        if frozen:
            own_redis.freeze()
            server.send_call("save_session", {"session_id": sid, "history": TALK})
            server.ping()
        kill(server.pid)
        server.running.wait(EXIT_WITHIN)
        wait_gone(below, within=EXIT_WITHIN)


@pytest.mark.usefixtures("cold")
def test_an_end_before_the_handshake_is_an_end(server_env: dict[str, str]):
    server = WireServer(server_env).spawn()
    try:
        server.close_stdin()
        assert server.wait(EXIT_WITHIN) == 0
    finally:
        server.close()
