"""The MCP Inspector as a person uses it: one command at a time, and with a connection that stays open, in both eras."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..support.conversations import TALK, exact
from ..support.npm import WITHIN, commands_of
from ..support.processes import wait_gone
from ..support.redis_server import RedisServer
from ..support.waiting import wait_until
from ..support.wire import SERVER
from .test_clients import JOB, TOOLS, check

INSPECTOR = "@modelcontextprotocol/inspector@2.12.0"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("npx") is None, reason="npx is not on PATH"),
]
Run = Callable[..., Any]


@pytest.fixture(scope="session")
def inspector(request: pytest.FixtureRequest) -> Path:
    """The folder of the Inspector's commands, kept in pytest's cache folder."""
    return commands_of(INSPECTOR, "mcpdo", request.config)


def run(command: list[str], env: dict[str, str], code: int = 0) -> str:
    done = subprocess.run(
        command, env=env, cwd=env["HOME"], capture_output=True, text=True, timeout=WITHIN, stdin=subprocess.DEVNULL,
        check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert "Warning: tool" not in done.stderr, "what --strict finds in a schema"
    return done.stdout if code == 0 else done.stdout + done.stderr


@pytest.fixture
def patient(server_env: dict[str, str]) -> dict[str, str]:
    """Each command starts a server: its child has time on a busy machine, so that saves reach Redis."""
    return server_env | {"FLYWHEEL_TIMEOUT_SECONDS": "20"}


def test_one_command_at_a_time(inspector: Path, patient: dict[str, str], redis: RedisServer, tmp_path: Path):
    env = os.environ | {"HOME": patient["HOME"], "MCP_INSPECTOR_SECRET_STORE": "memory"}
    config = tmp_path / "mcp.json"  # what a Claude Desktop entry looks like
    entry = {"type": "stdio", "command": SERVER[0], "args": list(SERVER[1:]), "env": patient}
    config.write_text(json.dumps({"mcpServers": {"agentic-flywheel-state": entry}}))
    command = [str(inspector / "mcp-inspector"), "--cli", "--config", str(config), "--server", "agentic-flywheel-state"]

    def ask(*arguments: str) -> dict[str, Any]:
        return json.loads(run([*command, "--method", *arguments], env))

    def call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        return ask("tools/call", "--tool-name", name, "--tool-args-json", json.dumps(arguments))["structuredContent"]

    assert {tool["name"] for tool in ask("tools/list", "--strict")["tools"]} == TOOLS
    check([call(name, arguments) for name, arguments in JOB], redis)
    wrong = ["--method", "tools/call", "--tool-name", "save_session", "--tool-args-json", '{"nonsense": 1}']
    assert "nonsense" in run([*command, *wrong], env, code=5)

    prompts = ask("prompts/list")["prompts"]
    assert {prompt["name"] for prompt in prompts} == {"save_conversation", "resume_conversation", "handoff"}
    resumed = ask("prompts/get", "--prompt-name", "resume_conversation", "--prompt-args", "session=s")
    assert TALK[-1]["content"] in json.dumps(resumed, ensure_ascii=False)
    assert [resource["uri"] for resource in ask("resources/list")["resources"]] == ["session://s"]
    read = ask("resources/read", "--uri", "session://s")["contents"]
    assert exact(json.loads(read[0]["text"])["history"]) == exact(TALK)
    templates = ask("resources/templates/list")["resourceTemplates"]
    assert "session://{session_id}/transcript" in {template["uriTemplate"] for template in templates}


@pytest.fixture
def connected(inspector: Path, disabled_env: dict[str, str], request: pytest.FixtureRequest) -> Iterator[Run]:
    """Commands over a connection that stays open, which a daemon of this test's own holds."""
    folder = Path(tempfile.mkdtemp(prefix="mcpdo-"))  # a short path, for its socket
    env = os.environ | {
        "HOME": disabled_env["HOME"], "MCP_INSPECTOR_DAEMON_DIR": str(folder), "MCP_INSPECTOR_DAEMON_TOKEN": "t" * 43,
    }  # fmt: skip
    command = [str(inspector / "mcpdo"), "--plain", "--format", "json", "--connection", "ours"]

    def do(*arguments: str, stream: Path | None = None) -> Any:
        if stream is None:
            return json.loads(run([*command, *arguments], env))
        with stream.open("w") as out:
            return subprocess.Popen([*command, *arguments], env=env, cwd=env["HOME"], stdout=out)

    variables = [part for name, value in disabled_env.items() for part in ("-e", f"{name}={value}")]
    do("connect", "--era", request.param, *variables, "--", *SERVER)
    pid = do("daemon", "status")["pid"]
    try:
        yield do
    finally:
        do("daemon", "stop")
        wait_gone([pid])
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("connected", ["legacy", "modern"], indirect=True)
def test_over_a_connection_ids_complete_changes_are_told_and_a_deletion_is_asked_for(connected: Run, tmp_path: Path):
    def call(name: str, **arguments: Any) -> dict[str, Any]:
        return connected("tools/call", name, json.dumps(arguments))

    assert call("save_session", session_id="garden", history=TALK)["structuredContent"]["saved"] is True
    prompt = ["--complete-ref-type", "ref/prompt", "--complete-ref", "resume_conversation"]
    typed = ["--complete-arg-name", "session", "--complete-arg-value", "gar"]
    assert connected("prompts/complete", *prompt, *typed)["values"] == ["garden"]

    told = tmp_path / "told"
    stream = connected("resources/subscribe", "session://garden", stream=told)
    try:
        wait_until(lambda: "subscribed" in told.read_text(), what="the subscription")
        call("save_session", session_id="garden", title="The garden")
        wait_until(lambda: "resources/updated" in told.read_text(), what="the news")
    finally:
        stream.terminate()
        stream.wait(30)

    asked = call("delete_session", session_id="garden")["elicitationPending"]
    assert "'garden'" in asked["message"]
    answered = connected("elicitation/respond", asked["elicitationId"], "--decline")
    assert "declined" in json.dumps(answered)
    assert call("resume_session", session_id="garden")["structuredContent"]["found"] is True
