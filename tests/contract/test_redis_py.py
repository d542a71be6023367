"""Whatever redis-py the child runs on: nothing is tried twice, every wait is bounded, and refusals read alike.

Its defaults differ from version to version (`coaia/child/redis_client.py`), and so do the texts of its errors, by which
the parent tells what happened.
"""

import asyncio
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentic_flywheel.coaia.replies import understood
from agentic_flywheel.coaia.supervisor import Supervisor
from agentic_flywheel.errors import FlywheelError, StashRefused, StashSilent, StashUnavailable, StashUnreached
from agentic_flywheel.json_text import JSONObject

from ..support.own_time import OwnTime
from ..support.redis_server import NOBODY_LISTENS, RedisServer
from ..support.scripted_redis import ScriptedRedis
from .conftest import child

SILENT_SECONDS = 2.0  # the child's time-out, as `child` sets it
AT_ONCE = 1.0  # second, of what is its own time

WRITE = {"key": "k", "value": "v", "ttl_seconds": 60}


@pytest.fixture(params=["the installed redis-py", pytest.param("today's redis-py", marks=pytest.mark.slow)])
def python(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue("todays_python") if request.param == "today's redis-py" else ""


async def said(client: Supervisor, verb: str, arguments: JSONObject) -> JSONObject | FlywheelError:
    """What the parent makes of a reply."""
    deadline = asyncio.get_running_loop().time() + 20
    try:
        return understood(await client.call(verb, arguments, deadline), "k")
    except FlywheelError as exc:
        return exc


async def test_the_four_verbs_answer_alike(tmp_path: Path, worker_redis: RedisServer, python: str):
    key = f"alike-{tmp_path.name}"
    async with child(tmp_path, worker_redis.url, python=python) as client:
        assert await said(client, "coaia_tash", {"key": key, "value": "été 🌾"}) == {
            "success": True, "message": f"Stored '{key}' in Redis",
        }  # fmt: skip
        assert await said(client, "coaia_fetch", {"key": key}) == {"success": True, "value": "été 🌾"}
        assert worker_redis.ttl(key) == -1
        assert await said(client, "coaia_list", {"pattern": key}) == {"success": True, "keys": [key], "complete": True}
        assert await said(client, "coaia_drop", {"key": key}) == {"success": True, "dropped": True}
        assert await said(client, "coaia_fetch", {"key": "k"}) == {}


async def test_a_closed_port_is_told_at_once(tmp_path: Path, python: str):
    async with child(tmp_path, NOBODY_LISTENS, python=python) as client:
        own = OwnTime(client.state.pid or 0)
        assert isinstance(await said(client, "coaia_tash", WRITE), StashUnreached)
        assert own.seconds() < AT_ONCE


async def test_a_silent_server_is_waited_for_once(tmp_path: Path, python: str):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        async with child(tmp_path, url, python=python) as client:
            own, began = OwnTime(client.state.pid or 0), time.monotonic()
            assert isinstance(await said(client, "coaia_tash", WRITE), StashSilent)
            assert time.monotonic() - began > SILENT_SECONDS - 0.1
            assert own.seconds() < SILENT_SECONDS + AT_ONCE


async def test_a_write_whose_answer_is_cut_off_is_sent_once(tmp_path: Path, python: str):
    def answer(words: list[str]) -> bytes | None:
        return None if words[0] == "SET" else b"+OK\r\n"

    with ScriptedRedis(answer) as server:
        async with child(tmp_path, server.url, python=python) as client:
            told = await said(client, "coaia_tash", WRITE)
            assert isinstance(told, StashUnavailable)
            assert not isinstance(told, StashRefused | StashUnreached)
        assert server.times("SET") == 1


async def test_a_redis_before_6_is_asked_nothing_that_it_does_not_know(tmp_path: Path, python: str):
    def answer(words: list[str]) -> bytes:
        return b"+OK\r\n" if words[0] == "SET" else f"-ERR unknown command '{words[0]}'\r\n".encode()

    with ScriptedRedis(answer) as server:
        async with child(tmp_path, server.url, python=python) as client:
            assert (await said(client, "coaia_tash", WRITE)) == {"success": True, "message": "Stored 'k' in Redis"}
        assert [words[0] for words in server.heard] == ["SET"]


REFUSALS = [
    "OOM command not allowed when used memory > 'maxmemory'.",
    "READONLY You can't write against a read only replica.",
    "LOADING Redis is loading the dataset in memory",
    "MOVED 12539 127.0.0.1:7001",
    "ASK 12539 127.0.0.1:7001",
    "CLUSTERDOWN Hash slot not served",
    "CROSSSLOT Keys in request don't hash to the same slot",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "NOPERM this user has no permissions to run the 'set' command",
    "NOAUTH Authentication required.",
    "WRONGPASS invalid username-password pair or user is disabled.",
    "MISCONF Redis is configured to save RDB snapshots",
    "NOREPLICAS Not enough good replicas to write.",
]
CUT_BY_EVERY_VERSION = ("READONLY ", "LOADING ", "NOPERM ", "NOAUTH ")


@pytest.fixture
def refusing() -> Iterator[tuple[ScriptedRedis, list[str]]]:
    refusals: list[str] = []
    with ScriptedRedis(lambda words: f"-{refusals[-1]}\r\n".encode()) as server:  # noqa: ARG005
        yield server, refusals


async def test_refusals_read_alike(tmp_path: Path, python: str, refusing: tuple[ScriptedRedis, list[str]]):
    server, refusals = refusing
    async with child(tmp_path, server.url, python=python) as client:
        for refusal in REFUSALS:
            refusals.append(refusal)
            told = await said(client, "coaia_tash", WRITE)
            expected = re.sub(f"^({'|'.join(CUT_BY_EVERY_VERSION)})", "", refusal)
            assert isinstance(told, StashRefused), (refusal, told)
            assert expected.rstrip(".") in str(told), refusal
        assert server.times("SET") == len(REFUSALS)


async def test_a_wrong_password_is_told_as_such(tmp_path: Path, python: str):
    server = RedisServer(tmp_path / "redis", password="right").start()  # noqa: S106
    try:
        async with child(tmp_path, server.url.replace(":right@", ":wrong@"), python=python) as client:
            told = await said(client, "coaia_tash", WRITE)
            assert isinstance(told, StashRefused)
            assert re.search("WRONGPASS|password", str(told))
    finally:
        server.kill()


async def test_connections_may_come_and_go_as_often_as_they_like(tmp_path: Path, python: str):
    """Some versions count all that a pool ever made, a hundred at the most."""
    server = RedisServer(tmp_path / "redis").start()
    try:
        async with child(tmp_path, server.url, python=python) as client:
            for _ in range(130):
                with server.client() as admin:
                    admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                await said(client, "coaia_tash", WRITE)
            assert isinstance(await said(client, "coaia_tash", WRITE), dict)
    finally:
        server.kill()
