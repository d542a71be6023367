"""What the child answers without the MCP SDK is what the SDK would answer, and at anything else the SDK takes over."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from agentic_flywheel.coaia.child.front import VERSIONS, Front
from agentic_flywheel.coaia.child.sdk_server import SdkServer
from agentic_flywheel.coaia.launch import CHILD_FOLDER, ChildFolder, child_command, child_environment

from ..support.redis_server import NOBODY_LISTENS, RedisServer
from ..support.waiting import eventually

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": [], "additionalProperties": False}
CALL = {"name": "echo", "arguments": {"a": "été 🌾\u2028"}}


class Calls:
    """One verb, which repeats what it is given."""

    def listed(self) -> dict[str, Any]:
        return {"tools": [{"name": "echo", "description": "Repeat.", "inputSchema": SCHEMA}]}

    async def answer(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        content = {"name": name, "a": arguments.get("a"), "nothing": None}
        return {"content": [], "structuredContent": content, "isError": False}


def request(identity: Any, method: str, params: Any = None) -> bytes:
    message = {"jsonrpc": "2.0", "id": identity, "method": method}
    return json.dumps(message if params is None else message | {"params": params}).encode()


def handshake(version: str, identity: Any = 0) -> bytes:
    client = {"name": "test", "version": "1"}
    return request(identity, "initialize", {"protocolVersion": version, "capabilities": {}, "clientInfo": client})


INITIALIZED = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'


class Heard:
    """What was written, message by message."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    async def write(self, line: bytes) -> None:
        assert line.endswith(b"\n")
        self.messages.append(json.loads(line))

    async def answers(self, count: int) -> list[Any]:
        await eventually(lambda: len(self.messages) >= count, what=f"{count} answers")
        return sorted(self.messages, key=lambda message: str(message.get("id")))


async def by_front(lines: list[bytes], count: int) -> tuple[list[Any], bool]:
    """Its answers, and whether the SDK took over."""
    heard = Heard()
    async with Front(Calls(), heard.write) as front:
        for line in lines:
            await front.take(line)
        answers = await heard.answers(count)
        return answers, front._sdk is not None


async def by_sdk(lines: list[bytes], count: int) -> list[Any]:
    heard = Heard()
    server = SdkServer(Calls(), heard.write)
    for line in lines:
        await server.take(line)
    try:
        return await heard.answers(count)
    finally:
        await server.aclose()


def test_the_versions_are_those_of_the_sdk():
    assert VERSIONS == HANDSHAKE_PROTOCOL_VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
async def test_both_answer_the_same(version: str):
    lines = [
        handshake(version), INITIALIZED, request("1", "ping"), request("2", "tools/list"),
        request("3", "tools/list", {"_meta": {"progressToken": 1}}), request(4, "tools/call", CALL),
    ]  # fmt: skip
    answers, taken_over = await by_front(lines, 5)
    assert answers == await by_sdk(lines, 5)
    assert not taken_over


OTHERS = [
    request(9, "resources/list"), request(9, "no/such"), request(9, "tools/list", {"cursor": "x"}),
    request(9, "tools/call", {"name": "echo"}), request(9, "tools/call", {"name": 1, "arguments": {}}),
    request(9, "initialize", {"protocolVersion": "2025-11-25"}), request(9, "ping", [1]),
    request(9, "tools/list", {"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}}),
]  # fmt: skip


@pytest.mark.parametrize("other", OTHERS)
async def test_anything_else_is_answered_by_the_sdk_which_goes_on_from_there(other: bytes):
    lines = [handshake("2025-11-25"), INITIALIZED, request(1, "tools/call", CALL), other, request(2, "tools/list")]
    count = 3 if b"[1]" in other else 4  # which is no message to the SDK
    answers, taken_over = await by_front(lines, count)
    assert taken_over
    assert answers == await by_sdk(lines, count)


@pytest.mark.parametrize("first", [request(1, "tools/list"), handshake("1999-01-01"), request(1, "server/discover")])
async def test_who_begins_otherwise_is_the_sdks_from_the_start(first: bytes):
    answers, taken_over = await by_front([first], 1)
    assert taken_over
    assert answers == await by_sdk([first], 1)


@pytest.mark.parametrize("junk", [b"", b"no json", b"[" * 100_000, b'"\xff"', b"\x00"])
async def test_what_is_no_message_is_left_aside(junk: bytes):
    answers, taken_over = await by_front([junk, handshake("2025-11-25"), junk], 1)
    assert (len(answers), taken_over) == (1, False)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_of_any_era_is_served(mode: Any, tmp_path: Path, worker_redis: RedisServer):
    home = ChildFolder(tmp_path)
    env = child_environment({}, home.path, redis_url=worker_redis.url, cluster=False, socket_timeout=2.0)
    command, *arguments = child_command([], "")
    parameters = StdioServerParameters(command=command, args=arguments, env=env, cwd=home.path)
    async with Client(stdio_client(parameters), mode=mode) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert {"coaia_tash", "coaia_fetch", "coaia_list", "coaia_drop"} <= names
        found = await client.call_tool("coaia_read", {"key": "no", "tombstone_key": "nor"})
        assert found.structured_content == {"success": True, "current": None}


@pytest.mark.usefixtures("cold")
def test_a_child_that_answers_its_own_server_imports_neither_the_sdk_nor_coaiapy(tmp_path: Path):
    code = f"""
import json, sys
sys.path.insert(0, {str(CHILD_FOLDER)!r})
import calls, front, redis_client
calls.Calls(redis_client.connect({NOBODY_LISTENS!r}, 1.0, cluster=False))
print(json.dumps(sorted(name for name in sys.modules if name.partition('.')[0] in {{'mcp', 'mcp_types', 'pydantic',
      'pydantic_core', 'anyio', 'coaiapy', 'coaiapy_mcp', 'langfuse', 'requests', 'agentic_flywheel'}})))
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert json.loads(done.stdout) == []
