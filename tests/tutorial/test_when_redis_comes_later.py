"""Redis and its child come, go and are slow; nobody restarts anything by hand, and missing never looks like empty."""

import asyncio
import json
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from ..conftest import AS_USUAL, Place
from ..support.client import open_server
from ..support.conversations import TALK, exact, turns, words
from ..support.redis_server import RedisServer
from ..support.waiting import eventually, wait_until
from ..support.wire import WireServer

pytestmark = pytest.mark.slow


async def test_saves_reach_a_redis_that_was_started_after_the_server(
    own_redis: RedisServer, lonely_env: dict[str, str], sid: str
):
    async with open_server(lonely_env | {"REDIS_URL": own_redis.url}) as server:
        early = await server.call("save_session", session_id="early", history=turns("kept meanwhile"))
        assert early["stored_in"] == "journal"
        own_redis.start()

        async def reached() -> bool:
            return (await server.call("save_session", session_id=sid, history=TALK))["stored_in"] == "redis"

        await eventually(reached, what="a save to reach Redis")
        assert own_redis.session_key(sid) in own_redis.all_keys()
        await eventually(
            lambda: own_redis.session_key("early") in own_redis.all_keys(), what="what was pending to be sent"
        )

        async def nothing_pending() -> bool:
            return (await server.call("persistence_status"))["journal"]["pending"] == 0

        await eventually(nothing_pending, what="nothing to be pending")


async def test_what_was_saved_without_redis_is_sent_by_the_next_process(
    own_redis: RedisServer, lonely_env: dict[str, str]
):
    env = lonely_env | {"REDIS_URL": own_redis.url}
    async with open_server(env) as server:
        assert (await server.call("save_session", session_id="s", history=TALK))["stored_in"] == "journal"
        server.kill()
    own_redis.start()
    async with open_server(env) as server:
        await eventually(lambda: own_redis.session_key("s") in own_redis.all_keys(), what="what was pending to be sent")
        resumed = await server.call("resume_session", session_id="s")
        assert exact(resumed["session"]["history"]) == exact(TALK)


async def test_eight_servers_starting_at_once_never_call_a_session_of_redis_missing(
    server_env: dict[str, str], tmp_path: Path, sid: str
):
    place = Place(server_env, "redis", shared=True)
    async with open_server(server_env) as first:
        await first.warm()
        await first.call("save_session", session_id=sid, history=TALK)

    async def resume(i: int) -> dict:
        async with open_server(place.elsewhere(tmp_path / f"machine-{i}").env) as server:
            return await server.call("resume_session", session_id=sid)

    answers = await asyncio.gather(*(resume(i) for i in range(8)))
    reasons = {answer.get("reason") for answer in answers if not answer["found"]}
    assert reasons <= {"unavailable"}
    found = [answer for answer in answers if answer["found"]]
    assert found, "at least one had the time to ask"
    assert all(exact(answer["session"]["history"]) == exact(TALK) for answer in found)


@pytest.mark.parametrize("mood", ["silent", "dying", "missing"])
def test_the_handshake_and_the_journal_never_wait_for_the_child(mood: str, lonely_env: dict[str, str], sid: str):
    command = {"silent": "/bin/sleep 1000", "dying": "/bin/false", "missing": "no-such-program-anywhere"}[mood]
    with WireServer(lonely_env | AS_USUAL | {"FLYWHEEL_COAIA_COMMAND": command}) as server:
        saved = server.call(
            "save_session", session_id=sid, history=TALK, within=12
        )  # the bound is 2; a child has 15 to be ready
        assert (saved["saved"], saved["stored_in"]) == (True, "journal")
        assert exact(server.call("resume_session", session_id=sid)["session"]["history"]) == exact(TALK)
        assert server.call("resume_session", session_id="nobody")["reason"] == "unavailable"
        assert server.call("persistence_status")["reason"]


async def test_a_deaf_child_is_replaced(own_redis: RedisServer, lonely_env: dict[str, str], sid: str):
    own_redis.start()
    async with open_server(lonely_env | AS_USUAL | {"REDIS_URL": own_redis.url}) as server:
        await server.warm()
        deaf = server.children
        for pid in deaf:
            os.kill(pid, signal.SIGSTOP)
        first = await server.call("save_session", session_id=sid, history=TALK)
        assert first["saved"] is True
        await eventually(lambda: not set(deaf) & set(server.children), what="the deaf child to be ended")
        await eventually(lambda: own_redis.session_key(sid) in own_redis.all_keys(), what="the save to reach Redis")


async def test_two_servers_on_one_journal_keep_out_of_each_others_way(lonely_env: dict[str, str]):
    env = lonely_env | {"REDIS_ENABLED": "false"}
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(open_server(env))
        two = await stack.enter_async_context(open_server(env))
        await asyncio.gather(
            *(
                server.call("save_session", session_id=f"{i}-{name}", history=TALK)
                for i in range(20)
                for name, server in (("one", one), ("two", two))
            )
        )
        listed = await one.call("list_sessions", limit=100)
        assert len(listed["sessions"]) == 40
        assert exact(listed["sessions"]) == exact((await two.call("list_sessions", limit=100))["sessions"])


def test_what_was_changed_while_redis_was_switched_off_gets_there_when_it_is_used_again(
    server_env: dict[str, str], redis: RedisServer
):
    with WireServer(server_env) as server:
        server.warm()
        for session_id in ("s", "goes"):
            server.call("save_session", session_id=session_id, history=turns("one"))
    with WireServer(server_env | {"REDIS_ENABLED": "false"}) as server:
        server.call("save_session", session_id="s", history=turns("two"))
        server.call("save_session", session_id="new", history=turns("begun meanwhile"))
        server.call("delete_session", session_id="goes")
    with WireServer(server_env) as server:
        server.warm()
        answer = server.call("resume_session", session_id="s")
        assert words(answer["session"]["history"]) == ["one", "two"]
        wait_until(lambda: server.call("persistence_status")["journal"]["pending"] == 0, what="nothing to be pending")
        assert words(json.loads(redis.get(redis.session_key("s")) or "")["history"]) == ["one", "two"]
        assert redis.get(redis.session_key("new"))
        assert redis.get(redis.session_key("goes")) is None
        assert server.call("resume_session", session_id="goes")["reason"] == "deleted"
