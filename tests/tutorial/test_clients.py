"""Whoever speaks MCP is served: both eras of SDK 2, SDK 1, and the Inspector's command line."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ..support.client import open_server
from ..support.conversations import CONTEXT, TALK, exact
from ..support.redis_server import RedisServer
from ..support.stock import StockEnvironment
from ..support.wire import SERVER

INSPECTOR = "@modelcontextprotocol/inspector@2.12.0"
TOOLS = {
    "save_session",
    "resume_session",
    "list_sessions",
    "delete_session",
    "list_revisions",
    "restore_session",
    "fork_session",
    "cache_result",
    "get_result",
    "get_flow_history",
    "persistence_status",
}
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


@pytest.mark.timeout(600)  # the first run of a clone builds the stock environment
def test_sdk_1(stock: StockEnvironment, server_env: dict[str, str], redis: RedisServer):
    seen = stock.sdk1(SERVER, server_env, JOB)
    assert set(seen["tools"]) == TOOLS
    assert seen["instructions"]
    assert not any(answer["is_error"] for answer in seen["answers"])
    check([answer["structured"] for answer in seen["answers"]], redis)


@pytest.mark.timeout(600)  # the first run of a clone fetches the Inspector
@pytest.mark.skipif(shutil.which("npx") is None, reason="npx is not on PATH")
def test_the_inspectors_command_line(
    server_env: dict[str, str], redis: RedisServer, request: pytest.FixtureRequest, tmp_path: Path
):
    npm = {
        "npm_config_cache": str(request.config.cache.mkdir("npm")),
        "npm_config_userconfig": str(Path.home() / ".npmrc"),  # where the registry is named, if anywhere
        "MCP_INSPECTOR_SECRET_STORE": "memory",
    }
    env = os.environ | npm | {"HOME": server_env["HOME"]}
    config = tmp_path / "mcp.json"  # what a Claude Desktop entry looks like
    # Each call starts a server: give its child time on a busy machine, so that saves reach Redis and not the journal.
    patient = server_env | {"FLYWHEEL_TIMEOUT_SECONDS": "20"}
    entry = {"type": "stdio", "command": SERVER[0], "args": list(SERVER[1:]), "env": patient}
    config.write_text(json.dumps({"mcpServers": {"agentic-flywheel-state": entry}}))

    def inspector(*arguments: str, code: int = 0) -> dict[str, Any]:
        command = ["npx", "-y", INSPECTOR, "--cli", "--config", str(config), "--server", "agentic-flywheel-state"]
        done = subprocess.run(
            [*command, *arguments],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout) if code == 0 else {"text": done.stdout + done.stderr}

    def call(name: str, arguments: dict[str, Any], code: int = 0) -> dict[str, Any]:
        return inspector(
            "--method", "tools/call", "--tool-name", name, "--tool-args-json", json.dumps(arguments), code=code
        )

    assert {tool["name"] for tool in inspector("--method", "tools/list", "--strict")["tools"]} == TOOLS
    check([call(name, arguments)["structuredContent"] for name, arguments in JOB], redis)
    assert "nonsense" in call("save_session", {"nonsense": 1}, code=5)["text"]

    prompts = inspector("--method", "prompts/list")["prompts"]
    assert {prompt["name"] for prompt in prompts} == {"save_conversation", "resume_conversation", "handoff"}
    resumed = inspector("--method", "prompts/get", "--prompt-name", "resume_conversation", "--prompt-args", "session=s")
    assert TALK[-1]["content"] in json.dumps(resumed, ensure_ascii=False)
    listed = inspector("--method", "resources/list")["resources"]
    assert [resource["uri"] for resource in listed] == ["session://s"]
    read = inspector("--method", "resources/read", "--uri", "session://s")["contents"]
    assert exact(json.loads(read[0]["text"])["history"]) == exact(TALK)
    templates = inspector("--method", "resources/templates/list")["resourceTemplates"]
    assert "session://{session_id}/transcript" in {template["uriTemplate"] for template in templates}
