"""The released coaiapy-mcp as the child: two verbs, so the journal rules and Redis gets a copy."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ..conftest import Place
from ..support.client import Session, open_server
from ..support.conversations import CONTEXT, TALK, exact, turns
from ..support.redis_server import RedisServer
from ..support.stock import StockEnvironment
from ..support.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # the first run of a clone builds the stock environment


@pytest.fixture
def stock_env(server_env: dict[str, str], stock: StockEnvironment) -> dict[str, str]:
    return server_env | {"FLYWHEEL_COAIA_COMMAND": stock.child_command}


async def saved_and_copied(server: Session, redis: RedisServer, session_id: str, **fields) -> dict:
    """Save, and wait for the copy; the copy."""
    answer = await server.call("save_session", session_id=session_id, **fields)
    assert answer["saved"] is True
    key = redis.session_key(session_id)

    def copied() -> bool:
        return json.loads(redis.get(key) or "{}").get("revision") == answer["revision"]

    await eventually(copied, what="the copy in Redis")
    return json.loads(redis.get(key) or "")


async def test_a_session_survives_a_restart_and_has_a_copy_in_redis(stock_env, redis: RedisServer, sid: str):
    async with open_server(stock_env) as server:
        document = await saved_and_copied(server, redis, sid, context=CONTEXT, history=TALK, title="T")
        server.kill()
    assert exact(document["context"]) == exact(CONTEXT)
    assert exact(document["history"]) == exact(TALK)
    async with open_server(stock_env) as server:
        resumed = await server.call("resume_session", session_id=sid)
        assert resumed["found"] is True
        assert exact(resumed["session"]["history"]) == exact(TALK)
        assert exact(resumed["session"]["context"]) == exact(CONTEXT)
        assert resumed["session"]["title"] == "T"
        listed = await server.call("list_sessions")
        assert [row["id"] for row in listed["sessions"]] == [sid]
        assert listed["scope"] == "this machine"


async def test_a_replace_can_be_undone_after_many_appends(stock_env, redis: RedisServer, sid: str):
    async with open_server(stock_env) as server:
        await server.call("save_session", session_id=sid, history=TALK)
        await server.call("save_session", session_id=sid, history=turns("only"), mode="replace", remove_context=["a"])
        for number in range(15):
            await server.call("save_session", session_id=sid, history=turns(f"later {number}"))
        await saved_and_copied(server, redis, sid, history=turns("last"))
        assert (await server.call("restore_session", session_id=sid, revision=1))["restored"] is True
        restored = await server.call("resume_session", session_id=sid)
        assert exact(restored["session"]["history"]) == exact(TALK)


async def test_another_machine_resumes_from_the_copy(stock_env, redis: RedisServer, sid: str, tmp_path: Path):
    async with open_server(stock_env) as server:
        await saved_and_copied(server, redis, sid, context=CONTEXT, history=TALK)
    async with open_server(Place(stock_env, "redis", shared=True).elsewhere(tmp_path / "there").env) as server:
        resumed = await server.call("resume_session", session_id=sid)
        assert resumed["found"] is True
        assert exact(resumed["session"]["history"]) == exact(TALK)
        assert (await server.call("resume_session", session_id="nobody"))["reason"] == "not_found"


async def test_deleting_overwrites_the_copy(stock_env, redis: RedisServer, sid: str, tmp_path: Path):
    async with open_server(stock_env) as server:
        await saved_and_copied(server, redis, sid, history=turns("the secret word is kumquat"))
        assert (await server.call("delete_session", session_id=sid))["deleted"] is True
        await eventually(lambda: "kumquat" not in (redis.get(redis.session_key(sid)) or ""), what="the copy's end")
        assert (await server.call("resume_session", session_id=sid))["reason"] == "deleted"
        assert (await server.call("list_sessions"))["sessions"] == []
    async with open_server(Place(stock_env, "redis", shared=True).elsewhere(tmp_path / "there").env) as server:
        assert (await server.call("resume_session", session_id=sid))["found"] is False


async def test_deleting_overwrites_what_goes_with_it(stock_env, redis: RedisServer, sid: str):
    def kumquats() -> list[str]:
        with redis.client() as client:
            keys = client.keys(f"{stock_env['FLYWHEEL_KEY_PREFIX']}:*")
            return [key for key in keys if "kumquat" in str(client.get(key) if client.type(key) == "string" else "")]

    async with open_server(stock_env) as server:
        await saved_and_copied(server, redis, sid, history=turns("the secret word is kumquat"))
        await saved_and_copied(server, redis, sid, history=turns("it was kumquat " + "x" * 5000), mode="replace")
        await saved_and_copied(server, redis, sid, history=turns("it is kumquat no more"), mode="replace")
        await server.call("cache_result", session_id=sid, flow_id="f", result={"fruit": "kumquat"})
        await eventually(lambda: len(kumquats()) >= 4, what="the copies in Redis")
        assert (await server.call("delete_session", session_id=sid))["deleted"] is True
        await eventually(lambda: not kumquats(), what=f"the end of {kumquats()}")


async def test_an_expired_session_is_not_resumed_from_the_copy_which_is_overwritten(
    stock_env, redis: RedisServer, sid: str, tmp_path: Path
):
    async with open_server(stock_env) as server:
        document = await saved_and_copied(server, redis, sid, history=turns("kumquat"), ttl_seconds=5)
    kept_until = datetime.fromisoformat(document["kept_until"])
    await eventually(lambda: datetime.now(UTC) > kept_until, what="the session's end")
    assert redis.ttl(redis.session_key(sid)) == -1, "this child has no expiry"
    async with open_server(Place(stock_env, "redis", shared=True).elsewhere(tmp_path / "there").env) as server:
        gone = await server.call("resume_session", session_id=sid)
        assert (gone["found"], gone["reason"]) == (False, "expired")
        await eventually(lambda: "kumquat" not in (redis.get(redis.session_key(sid)) or ""), what="the copy's end")
    async with open_server(stock_env) as server:
        assert (await server.call("list_sessions"))["sessions"] == []


async def test_a_document_over_four_mib_stays_in_the_journal(stock_env, redis: RedisServer, sid: str):
    async with open_server(stock_env) as server:
        await saved_and_copied(server, redis, "small", history=TALK)
        big = await server.call("save_session", session_id=sid, history=turns("x" * 5_000_000))
        assert (big["saved"], big["stored_in"]) == (True, "journal")
        await saved_and_copied(server, redis, "after", history=TALK)
        assert redis.get(redis.session_key(sid)) is None
        resumed = await server.call("resume_session", session_id=sid, max_tokens=2_000_000)
        assert exact(resumed["session"]["history"]) == exact(turns("x" * 5_000_000))


async def test_the_status_says_what_this_child_can_do(stock_env):
    async with open_server(stock_env) as server:
        await server.warm()
        status = await server.call("persistence_status")
    assert "mirror" in json.dumps(status)
    assert "coaia_tash" in json.dumps(status["child"]["verbs"])


async def test_what_the_child_logs_is_not_passed_on(stock_env, redis: RedisServer, sid: str):
    async with open_server(stock_env) as server:
        await saved_and_copied(server, redis, sid, history=turns("kumquat " * 1000))
        for i in range(60):  # FACTS: an undrained pipe stalls this child after 47 calls of 1 KB
            await server.call(
                "save_session", session_id=sid, history=turns(f"kumquat {i} " + "x" * 1000), mode="replace"
            )
        await saved_and_copied(server, redis, sid, history=turns("kumquat, the end"), mode="replace")
    assert "kumquat" not in server.stderr
