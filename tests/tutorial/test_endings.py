"""However a client ends the server, at whatever moment: nothing acknowledged is lost, and nothing is left behind.

The table of `rispecs/reliability.md`: each ending of `tests/support/endings.py` at each moment, with Redis and without.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..conftest import AS_USUAL
from ..support import preloaded
from ..support.conversations import turns, words
from ..support.endings import ENDINGS, EXIT_WITHIN, Ending, nothing_is_left, with_temporary
from ..support.proxy import Proxy
from ..support.redis_server import RedisServer
from ..support.waiting import wait_until
from ..support.wire import WireServer

pytestmark = pytest.mark.slow

each_ending = pytest.mark.parametrize("name", ENDINGS)
with_and_without = pytest.mark.parametrize("with_redis", [False, True], ids=["no Redis", "Redis"])

LONG = [f"{number} " + "x" * 1000 for number in range(300)]
"""A save of which most endings see the middle."""

SAVES = 12
NEXT_SAVE_WITHIN = 20.0  # a lock that was left would be waited for until it is broken by hand
IMPORT_SECONDS = 20.0
"""From letting a process go on that stands before its imports to its end, on a busy machine."""


@pytest.fixture
def env(server_env: dict[str, str], with_redis: bool) -> dict[str, str]:  # noqa: FBT001
    if not with_redis:
        del server_env["REDIS_URL"]
    return with_temporary(server_env)


def ended(server: WireServer, ending: Ending, within: float = EXIT_WITHIN) -> int:
    """End it; its exit code."""
    ending.does(server.running)
    code = server.wait(within)
    assert code in ending.codes, (code, server.stderr)
    return code


def save(server: WireServer, session_id: str, *said: str) -> int:
    return server.send_call("save_session", {"session_id": session_id, "history": turns(*said)})


def acknowledged(server: WireServer, saves: dict[int, str]) -> set[str]:
    """The sessions whose save was answered, by the time at which the server was gone."""
    answers = {message.get("id"): message for message in server._messages}
    return {
        session_id
        for request, session_id in saves.items()
        if request in answers and answers[request]["result"]["structuredContent"]["saved"]
    }


def check_next_start(env: dict[str, str], kept: set[str], begun: set[str], redis: RedisServer | None = None) -> None:
    """What was acknowledged is there, what was only begun is there, whole, or not; the next server saves at once."""
    with WireServer(env) as server:
        assert server.call("save_session", session_id="next", history=turns("x"), within=NEXT_SAVE_WITHIN)["saved"]
        for session_id in kept | begun:
            found = server.call("resume_session", session_id=session_id, max_tokens=1_000_000)
            assert found["found"] or session_id not in kept, (session_id, found)
            if found["found"]:
                assert words(found["session"]["history"]) == (LONG if session_id == "long" else ["x"])
        if redis:
            wanted = {redis.session_key(session_id) for session_id in kept}
            wait_until(lambda: wanted <= redis.all_keys(f"{redis.prefix}:*"), what="all of it in Redis")


@each_ending
@with_and_without
def test_idle(name: str, env: dict[str, str], redis: RedisServer, with_redis: bool):  # noqa: FBT001
    with WireServer(env) as server:
        if with_redis:
            server.warm()
        assert server.call("save_session", session_id="a", history=turns("x"))["saved"]
        below = server.children
        assert bool(below) == with_redis
        ended(server, ENDINGS[name])
        nothing_is_left(env, below, server.stderr)
    check_next_start(env, {"a"}, set(), redis if with_redis else None)


def end_in_mid_save(
    name: str, env: dict[str, str], before: Callable[[], object] = lambda: None
) -> tuple[set[str], set[str]]:
    """What was acknowledged of saves under way while a server was ended, and all that was begun."""
    with WireServer(env) as server:
        if "REDIS_URL" in env:
            server.warm()
        below = server.children
        assert server.call("save_session", session_id="a", history=turns("x"))["saved"]
        before()
        saves = {save(server, "long", *LONG): "long"} | {save(server, f"s{i}", "x"): f"s{i}" for i in range(SAVES)}
        ended(server, ENDINGS[name])
        nothing_is_left(env, below, server.stderr)
        kept = acknowledged(server, saves)
        if name == "EOF":
            assert kept == set(saves.values()), "what was asked before the end of input is answered"
    return kept | {"a"}, set(saves.values())


@each_ending
@with_and_without
def test_mid_save(name: str, env: dict[str, str], redis: RedisServer, with_redis: bool):  # noqa: FBT001
    kept, begun = end_in_mid_save(name, env)
    check_next_start(env, kept, begun, redis if with_redis else None)


@pytest.mark.parametrize("with_redis", [True], ids=["Redis"])
@each_ending
def test_mid_save_while_redis_is_frozen(name: str, env: dict[str, str], own_redis: RedisServer):
    own_redis.start()
    env |= AS_USUAL | {"REDIS_URL": own_redis.url, "FLYWHEEL_KEY_PREFIX": own_redis.prefix}
    kept, begun = end_in_mid_save(name, env, own_redis.freeze)
    own_redis.thaw()
    check_next_start(env, kept, begun, own_redis)


@pytest.mark.parametrize("with_redis", [True], ids=["Redis"])
@each_ending
def test_mid_save_while_the_network_stands_still(name: str, env: dict[str, str], redis: RedisServer):
    with Proxy(redis.port) as proxy:
        env |= AS_USUAL | {"REDIS_URL": f"redis://127.0.0.1:{proxy.port}/0"}
        kept, begun = end_in_mid_save(name, env, lambda: setattr(proxy, "delay", 60.0))
        proxy.delay = 0.0
        proxy.cut()
        check_next_start(env, kept, begun, redis)


# the start, with an interpreter of its own


@contextmanager
def stuck(env: dict[str, str], folder: Path, module: str) -> Iterator[tuple[WireServer, Callable[[], None]]]:
    """A server that stands where it imports `module`, once it was waited for, and what lets it go on."""
    go, here, late = folder / "go", folder / "here", folder / "late"
    os.mkfifo(go)
    late.mkdir()
    (late / "sitecustomize.py").write_text(
        "import sys\n"
        "class Late:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}:\n"
        f"            sys.meta_path.remove(self); open({str(here)!r}, 'w').close(); open({str(go)!r}).close()\n"
        "sys.meta_path.insert(0, Late())\n"
    )
    path = os.pathsep.join([str(late), *filter(None, [env.get("PYTHONPATH")])])  # `tests.mutations` sets one
    with preloaded.cold():
        server = WireServer(env | {"PYTHONPATH": path}).spawn()
    try:
        wait_until(here.exists, what="the server to come that far")
        yield server, lambda: os.close(os.open(go, os.O_WRONLY))
    finally:
        server.kill()


@each_ending
@with_and_without
def test_before_the_first_answer(name: str, env: dict[str, str], tmp_path: Path):
    with stuck(env, tmp_path, "agentic_flywheel.settings") as (server, go):
        ending = ENDINGS[name]
        ending.does(server.running)
        if ending.silent:
            go()
        within = IMPORT_SECONDS if ending.silent else EXIT_WITHIN
        if name == "stdout closed":
            server.send("tools/list")  # nobody hears of it
        assert server.wait(within) in ending.codes, server.stderr
        nothing_is_left(env, [], server.stderr)
        assert not server.stderr
    check_next_start(env, set(), set())


@each_ending
@with_and_without
def test_mid_start(name: str, env: dict[str, str], tmp_path: Path):
    with stuck(env, tmp_path, "agentic_flywheel.server.app") as (server, go):
        server.initialize()
        saves = {save(server, "a", "x"): "a"}
        server.ping()  # the save has been read, and waits for the SDK
        ending = ENDINGS[name]
        ending.does(server.running)
        if ending.silent:
            go()
        within = IMPORT_SECONDS if ending.silent else EXIT_WITHIN
        assert server.wait(within) in ending.codes, server.stderr
        nothing_is_left(env, [], server.stderr)
        kept = acknowledged(server, saves)
        assert bool(kept) == (name == "EOF")
    check_next_start(env, kept, {"a"})
