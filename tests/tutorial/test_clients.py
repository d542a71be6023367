"""Whoever speaks MCP is served: both eras of SDK 2, and SDK 1. The Inspector has a file of its own."""

import json
from typing import Any

import pytest

from ..support.client import open_server
from ..support.conversations import CONTEXT, TALK, exact
from ..support.redis_server import RedisServer
from ..support.stock import StockEnvironment
from ..support.wire import SERVER
from .test_arguments import GOOD

TOOLS = {*GOOD}
JOB: list[tuple[str, dict[str, Any]]] = [
    ("resume_session", {"session_id": "nobody"}),  # waits until Redis can be asked
    ("save_session", {"session_id": "s", "history": TALK, "context": CONTEXT, "ttl_seconds": 3600}),
    ("resume_session", {"session_id": "s"}),
    ("list_sessions", {}),
    ("cache_result", {"execution_id": "e", "result": {"answer": 42}}),
]


def check(answers: list[dict[str, Any]], redis: RedisServer) -> None:
    """Every client got the same, and it is in Redis."""
    nobody, saved, resumed, listed, cached = answers
    assert nobody["found"] is False
    assert (saved["saved"], saved["stored_in"], saved["revision"], saved["turns"]) == (True, "redis", 1, 4)
    assert exact(resumed["session"]["history"]) == exact(TALK)
    assert exact(resumed["session"]["context"]) == exact(CONTEXT)
    assert [row["id"] for row in listed["sessions"]] == ["s"]
    assert (cached["cached"], cached["execution_id"], cached["stored_in"]) == (True, "e", "redis")
    assert exact(json.loads(redis.get(redis.session_key("s")) or "")["history"]) == exact(TALK)


@pytest.mark.parametrize(("mode", "protocol"), [("legacy", "2025-"), ("auto", "2026-07-28")])
async def test_sdk_2_in_both_eras(mode: str, protocol: str, server_env: dict[str, str], redis: RedisServer):
    async with open_server(server_env, mode=mode) as server:
        assert server.client.protocol_version.startswith(protocol)
        assert {tool.name for tool in (await server.client.list_tools()).tools} == TOOLS
        check([await server.call(name, **arguments) for name, arguments in JOB], redis)


@pytest.mark.slow
@pytest.mark.timeout(600)  # the first run of a clone builds the stock environment
def test_sdk_1(stock: StockEnvironment, server_env: dict[str, str], redis: RedisServer):
    seen = stock.sdk1(SERVER, server_env, JOB)
    assert set(seen["tools"]) == TOOLS
    assert seen["instructions"]
    assert not any(answer["is_error"] for answer in seen["answers"])
    check([answer["structured"] for answer in seen["answers"]], redis)
