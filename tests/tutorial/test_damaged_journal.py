"""A journal file that was damaged: it is moved aside and said so, what can be read of it is there, and work goes on."""

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..conftest import clean_env
from ..support.conversations import turns
from ..support.moods import TimedServer, data_folder, ids, kept_in_redis, timed, words_in_redis
from ..support.ports import HeldPort
from ..support.redis_server import NOBODY_LISTENS, RedisServer
from ..support.waiting import wait_until
from ..support.wire import WireServer

pytestmark = pytest.mark.slow

SESSIONS = 200
SECRET = "what-was-said-in-confidence"  # noqa: S105  must not be in a log
PAGE = 4096
JOURNAL = "journal.sqlite3"
WAITED_FOR = HeldPort()


def name(i: int) -> str:
    return f"s-{i:03}"


def word(i: int) -> str:
    return f"{i} {SECRET} " + random.Random(i).randbytes(300).hex()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A journal with 200 sessions that wait for their Redis."""
    url = f"redis://127.0.0.1:{WAITED_FOR.number}/0"
    env = timed(clean_env(tmp_path_factory.mktemp("whole"), url, "agentic_flywheel"), url)
    with TimedServer(env) as server:
        server.settled()
        for i in range(SESSIONS):
            assert server.save(name(i), turns(word(i)))["stored_in"] == "journal"
    return (data_folder(env) / JOURNAL).read_bytes()


def garbage(data: bytes, first: int, size: int) -> bytes:
    return data[:first] + random.Random(7).randbytes(size) + data[first + size :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "its header overwritten": lambda data: garbage(data, 0, 100),
    "its first page overwritten": lambda data: garbage(data, 0, PAGE),
    "garbage in its middle": lambda data: garbage(data, len(data) // 2 // PAGE * PAGE, 4 * PAGE),
    "cut in the middle of a page": lambda data: data[: len(data) // 2 + 123],
    "another kind of file": lambda _: b"this is no database at all " * 10_000,
}
READABLE = {
    "its header overwritten": SESSIONS,  # every table is whole, and the header is the same in all journals
    "its first page overwritten": SESSIONS,
    "garbage in its middle": 150,
    "cut in the middle of a page": 60,
}
"""How many of the sessions must be there again, at least."""


def put(env: dict[str, str], data: bytes) -> None:
    data_folder(env).mkdir(parents=True, exist_ok=True)
    (data_folder(env) / JOURNAL).write_bytes(data)


def moved_aside(env: dict[str, str]) -> list[Path]:
    """The damaged journals that were kept, without what SQLite had beside them."""
    found = data_folder(env).glob(f"{JOURNAL}.damaged-*")
    return sorted(path for path in found if not path.name.endswith(("-wal", "-shm", "-journal")))


def told(server: WireServer, env: dict[str, str]) -> None:
    """Log and status name the file that was moved aside, and nothing of what was in it."""
    (aside,) = moved_aside(env)
    assert aside.name in json.dumps(server.call("persistence_status")), "the status names it"
    assert aside.name in server.stderr, "the log names it"
    assert SECRET not in server.stderr
    assert "Traceback" not in server.stderr


def readable(server: TimedServer) -> dict[str, str]:
    """The sessions that are there again; each as it was. The others are not said to have never been."""
    there: dict[str, str] = {}
    for i in range(SESSIONS):
        resumed = server.resume(name(i))
        if resumed["found"]:
            there[name(i)] = resumed["session"]["history"][0]["content"]
            assert there[name(i)] == word(i), "whole or not at all"
        else:
            assert resumed["reason"] in ("unavailable", "damaged"), resumed
    return there


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_journal_is_moved_aside_and_what_can_be_read_of_it_gets_to_redis_once(
    damage: str, whole: bytes, own_redis: RedisServer, lonely_env: dict[str, str]
):
    own_redis.held = WAITED_FOR  # of the Redis that it waits for
    env = timed(lonely_env, own_redis.url)
    damaged = DAMAGES[damage](whole)
    put(env, damaged)
    with TimedServer(env) as server:
        server.settled()
        saved = server.save("new", turns("work goes on"))
        assert (saved["saved"], saved["stored_in"]) == (True, "journal"), saved
        if not moved_aside(env):
            readable(server)  # whoever looks everywhere meets the damage
        there = readable(server)
        assert len(there) >= READABLE.get(damage, 0), f"{len(there)} of {SESSIONS} sessions are there again"
        assert server.said("new") == ["work goes on"], "what was acknowledged before the damage was met as well"
        assert ids(server.call("list_sessions", limit=1000)) == {*there, "new"}
        told(server, env)
        if damage != "garbage in its middle":  # which may be met only after the first save
            assert moved_aside(env)[0].read_bytes() == damaged, "kept to the byte"

        own_redis.start()
        wait_until(lambda: server.pending() == 0, what="nothing to be pending")
        wait_until(
            lambda: all(words_in_redis(own_redis, i) for i in there), what="all that could be read to be in Redis"
        )
        assert {i: words_in_redis(own_redis, i) for i in there} == {i: [said] for i, said in there.items()}
        assert words_in_redis(own_redis, "new") == ["work goes on"]
        kept_in_redis(server.save("new", turns("and on")))
    with TimedServer(env) as server:
        server.warm()
        assert server.said("new") == ["work goes on", "and on"]
    assert len(moved_aside(env)) == 1, "the new one is well"


@pytest.mark.parametrize("damage", ["garbage in its middle"])
def test_a_damaged_journal_costs_nothing_that_redis_has(
    damage: str, whole: bytes, redis: RedisServer, server_env: dict[str, str], tmp_path: Path
):
    env = timed(server_env, redis.url)
    with TimedServer(timed(clean_env(tmp_path / "another machine", redis.url, redis.prefix), redis.url)) as server:
        kept_in_redis(server.warm().save("s", turns("one")))
    put(env, DAMAGES[damage](whole))
    with TimedServer(env) as server:
        server.warm()
        assert (server.said("s"), server.resume("s")["source"]) == (["one"], "redis")
        kept_in_redis(server.save("s", turns("two")))
        assert server.said("s") == ["one", "two"]
        assert server.status()["mode"] == "redis"


def test_servers_that_meet_a_damaged_journal_at_once_move_it_aside_once_and_lose_nothing(
    whole: bytes, lonely_env: dict[str, str]
):
    env = timed(lonely_env, NOBODY_LISTENS)
    damaged = DAMAGES["its header overwritten"](whole)
    put(env, damaged)
    servers = [WireServer(env).spawn() for _ in range(4)]
    try:
        for server in servers:
            server.initialize()
        requests: list[tuple[WireServer, int, str]] = []
        for round_number in range(3):
            for i, server in enumerate(servers):
                session_id = f"new-{i}-{round_number}"
                arguments: dict[str, Any] = {"session_id": session_id, "history": turns(session_id)}
                requests.append((server, server.send_call("save_session", arguments), session_id))
        for server, request, session_id in requests:
            saved = server.reply(request)["result"]["structuredContent"]
            assert (saved["saved"], saved["stored_in"]) == (True, "journal"), (session_id, saved)
    finally:
        for server in servers:
            server.kill()
    (aside,) = moved_aside(env)
    assert aside.read_bytes() == damaged
    with WireServer(env) as server:
        listed = server.call("list_sessions", limit=1000)
        assert {session_id for *_, session_id in requests} <= ids(listed)


def test_a_log_that_is_cut_while_it_is_open_is_said_so_and_work_goes_on(disabled_env: dict[str, str]):
    folder = Path(disabled_env["FLYWHEEL_DATA_DIR"])
    with WireServer(disabled_env) as server:
        for i in range(30):
            assert server.call("save_session", session_id=name(i), history=turns(word(i)))["saved"]
        os.truncate(folder / f"{JOURNAL}-wal", 100)
        assert server.call("save_session", session_id="new", history=turns("work goes on"))["saved"] is True
        told(server, disabled_env)
        assert server.call("resume_session", session_id="new")["found"] is True
    with WireServer(disabled_env) as server:
        assert server.call("resume_session", session_id="new")["found"] is True
