"""A client has its first answers before the SDK is imported, and then a server that knows what was said."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from ..support.processes import alive
from ..support.waiting import wait_until
from ..support.wire import WireServer

pytestmark = pytest.mark.usefixtures("cold")

VERSION, CAPABILITIES = "io.modelcontextprotocol/protocolVersion", "io.modelcontextprotocol/clientCapabilities"
ENVELOPE = {"_meta": {VERSION: "2026-07-28", CAPABILITIES: {}}}
NAMED = {"name": "x", "version": "1"}
SHAKE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": NAMED}
TURN = {"role": "user", "content": "hello"}
BEGUN = '{"jsonrpc":"2.0","method":"notifications/initialized"}'
EXIT_WITHIN = 20.0


@pytest.fixture
def quiet_env(lonely_env: dict[str, str]) -> dict[str, str]:
    return lonely_env | {"REDIS_ENABLED": "false"}


@pytest.fixture
def stuck_env(quiet_env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """A server whose SDK is not imported until the file `go` is opened for writing."""
    return quiet_env | stuck(tmp_path)


@pytest.fixture
def stuck_redis_env(server_env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The same, with a Redis."""
    return server_env | stuck(tmp_path)


def stuck(tmp_path: Path) -> dict[str, str]:
    """The variables of such a server."""
    go, late = tmp_path / "go", tmp_path / "late"
    os.mkfifo(go)
    late.mkdir()
    (late / "sitecustomize.py").write_text(
        "import sys\n"
        "class Late:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'agentic_flywheel.server.app':\n"
        f"            sys.meta_path.remove(self); open({str(go)!r}).close()\n"
        "sys.meta_path.insert(0, Late())\n"
    )
    path = os.pathsep.join([str(late), *filter(None, [os.environ.get("PYTHONPATH")])])  # `tests.mutations` sets it
    return {"PYTHONPATH": path, "GO": str(go)}


def go(env: dict[str, str]) -> None:
    os.close(os.open(env["GO"], os.O_WRONLY))


def test_the_first_answers_do_not_wait_for_the_sdk(stuck_env: dict[str, str]):
    with WireServer(stuck_env) as server:
        assert len(server.request("tools/list")["tools"]) >= 11
        assert server.request("prompts/list")["prompts"]
        server.ping()
        saving = server.send_call("save_session", {"session_id": "a", "history": [TURN]})
        assert server.request("resources/templates/list")["resourceTemplates"], "while a save waits"
        unknown = server.send("no/such")
        server.send_line("{ not JSON")
        server.send_line("")
        go(stuck_env)
        assert server.reply(saving)["result"]["structuredContent"]["saved"]
        assert server.reply(unknown)["error"]["code"] == -32601
        assert len(server.request("tools/list")["tools"]) >= 11
        server.ping()
        refused = [message for message in server._messages if message.get("id") is None]
        assert [message["error"]["code"] for message in refused] == [-32700]
        assert not [message for message in server._messages if message.get("id") == 1], "it was answered twice"
        assert not server.junk


def test_a_newer_client_is_answered_as_soon(stuck_env: dict[str, str]):
    server = WireServer(stuck_env).spawn()
    try:
        assert server.request("server/discover", ENVELOPE)["supportedVersions"] == ["2026-07-28"]
        listening = server.send("subscriptions/listen", ENVELOPE | {"notifications": {"toolsListChanged": True}})
        assert server.request("tools/list", ENVELOPE)["tools"]
        call = {"name": "save_session", "arguments": {"session_id": "a", "history": [TURN]}} | ENVELOPE
        saving = server.send("tools/call", call)
        go(stuck_env)
        assert server.reply(saving)["result"]["structuredContent"]["saved"]
        assert server.reply(server.send("initialize", SHAKE))["error"]["code"] == -32022
        assert listening
    finally:
        server.close()


def test_a_client_that_listens_is_told_at_once_and_of_the_list_when_there_is_one(stuck_env: dict[str, str]):
    """Some clients offer a model no tools until they were told that they listen, and have the list of resources."""
    saving = WireServer(stuck_env)
    with saving:
        go(stuck_env)
        saving.call("save_session", session_id="a", history=[TURN])
    server = WireServer(stuck_env).spawn()
    try:
        heard = {"resourcesListChanged": True}
        listening = server.send("subscriptions/listen", ENVELOPE | {"notifications": heard})
        assert server.request("resources/list", ENVELOPE)["resources"] == []
        assert len(wait_until(lambda: server.heard("notifications/subscriptions/acknowledged"))) == 1
        go(stuck_env)
        wait_until(lambda: server.heard("notifications/resources/list_changed"), what="news of the list")
        assert [found["uri"] for found in server.request("resources/list", ENVELOPE)["resources"]] == ["session://a"]
        (told,) = server.heard("notifications/subscriptions/acknowledged")
        assert told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == listening
    finally:
        server.close()


def test_a_client_that_was_told_that_it_listens_hears_of_what_changed_before_there_was_a_server(
    stuck_env: dict[str, str],
):
    with WireServer(stuck_env) as saving:
        go(stuck_env)
        saving.call("save_session", session_id="a", history=[TURN])
        server = WireServer(stuck_env).spawn()
        try:
            server.send("subscriptions/listen", ENVELOPE | {"notifications": {"resourcesListChanged": True}})
            wait_until(lambda: server.heard("notifications/subscriptions/acknowledged"), what="that it listens")
            saving.call("save_session", session_id="b", history=[TURN])
            go(stuck_env)
            wait_until(lambda: server.heard("notifications/resources/list_changed"), what="news of the list")
        finally:
            server.close()


@pytest.mark.parametrize("late", [False, True], ids=["before the SDK is there", "afterwards"])
def test_a_client_that_falls_back_from_discover_to_the_handshake_is_served(
    late: bool,  # noqa: FBT001
    stuck_env: dict[str, str],
):
    server = WireServer(stuck_env).spawn()
    try:
        if late:
            go(stuck_env)
            journal = Path(stuck_env["FLYWHEEL_DATA_DIR"], "journal.sqlite3")
            wait_until(journal.exists, what="the store to be opened, which is after the front has ended")
        assert server.request("server/discover", ENVELOPE)["capabilities"]
        assert server.initialize()["protocolVersion"] == "2025-06-18"
        if not late:
            go(stuck_env)
        assert server.call("save_session", session_id="a", history=[TURN])["saved"]
        assert server.request("tools/list")["tools"]
    finally:
        server.close()


def test_what_a_client_can_do_is_known_to_the_server(stuck_env: dict[str, str]):
    with WireServer(stuck_env, capabilities={"elicitation": {"form": {}}}) as server:
        go(stuck_env)
        server.call("save_session", session_id="a", history=[TURN])
        server.send_call("delete_session", {"session_id": "a"})
        server.ping()
        (asked,) = wait_until(lambda: server.heard("elicitation/create"), what="the question")
        assert asked["params"]["requestedSchema"]


def test_input_that_ends_in_mid_start_is_answered_first(stuck_env: dict[str, str]):
    with WireServer(stuck_env) as server:
        saving = server.send_call("save_session", {"session_id": "a", "history": [TURN]})
        server.close_stdin()
        go(stuck_env)
        assert server.reply(saving)["result"]["structuredContent"]["saved"]
        assert server.wait(EXIT_WITHIN) == 0
        assert "Traceback" not in server.stderr


def test_input_that_ends_with_everything_answered_is_an_end_at_once(stuck_env: dict[str, str]):
    with WireServer(stuck_env) as server:
        server.request("tools/list")
        server.close_stdin()
        assert server.wait(EXIT_WITHIN) == 0
        assert not server.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "with a save that waits"])
def test_a_signal_in_mid_start_is_an_end_without_a_traceback(
    number: signal.Signals,
    busy: bool,  # noqa: FBT001
    stuck_env: dict[str, str],
):
    with WireServer(stuck_env) as server:
        if busy:
            server.send_call("save_session", {"session_id": "a", "history": [TURN]})
            server.ping()
        os.kill(server.pid, number)
        assert server.wait(EXIT_WITHIN) == 128 + number
        assert not server.stderr


def test_a_large_save_in_mid_start_is_whole(stuck_env: dict[str, str]):
    history: list[dict[str, Any]] = [TURN | {"content": f"{i} é " + "x" * 1000} for i in range(4000)]
    server = WireServer(stuck_env).spawn()
    try:
        server.initialize()
        line = {"name": "save_session", "arguments": {"session_id": "a", "history": history}}
        data = json.dumps({"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": line}).encode()
        assert server.running.stdin
        cut = os.write(server.running.stdin.fileno(), data)  # what the pipe takes while nobody imports
        go(stuck_env)
        server.send_bytes(data[cut:])
        assert server.reply(9)["result"]["structuredContent"]["turns"] == len(history)
    finally:
        server.close()


def test_settings_that_are_wrong_are_said_before_anything_is_answered(quiet_env: dict[str, str]):
    server = WireServer(quiet_env | {"REDIS_TTL_SECONDS": "never"}).spawn()
    try:
        assert server.wait(EXIT_WITHIN) == 2
        assert not server.junk
        assert "REDIS_TTL_SECONDS" in server.stderr
    finally:
        server.close()


HTTP_ALONE = ("click", "h11", "httpcore2", "python_multipart", "multiprocessing")
"""What is imported by what a server over HTTP needs, and by nothing else."""


@pytest.mark.parametrize("envelope", [{}, ENVELOPE], ids=["handshake", "2026-07-28"])
def test_a_server_at_work_has_imported_nothing_that_http_alone_needs(
    quiet_env: dict[str, str], envelope: dict[str, Any]
):
    server = WireServer(quiet_env | {"PYTHONPROFILEIMPORTTIME": "1"}).spawn()
    if not envelope:
        server.initialize()
    for method, params in (
        ("tools/call", {"name": "save_session", "arguments": {"session_id": "s", "history": [TURN]}}),
        ("tools/call", {"name": "delete_session", "arguments": {"session_id": "s"}}),
        ("resources/list", {}),
        ("prompts/get", {"name": "handoff", "arguments": {"session": "s"}}),
    ):
        server.request(method, params | envelope)
    server.close()
    imported = {line.rpartition("|")[2].strip() for line in server.stderr.splitlines()}
    assert "mcp.server.mcpserver" in imported
    assert not imported & {*HTTP_ALONE}


def test_the_child_starts_while_the_sdk_is_imported(stuck_redis_env: dict[str, str]):
    with WireServer(stuck_redis_env) as server:
        (child,) = wait_until(lambda: server.children, what="the child, before the SDK is there")
        go(stuck_redis_env)
        saved = server.call("save_session", session_id="a", history=[TURN])
        assert saved["stored_in"] == "redis"
        assert server.children == [child]
    wait_until(lambda: not alive(child), what="its end")


@pytest.mark.parametrize("end", ["EOF", "SIGTERM", "SIGINT", "SIGHUP", "SIGKILL"])
@pytest.mark.parametrize("folder", ["data", "temporary"])
def test_a_child_that_was_started_early_ends_with_a_server_that_ends_then(
    stuck_redis_env: dict[str, str], tmp_path: Path, end: str, folder: str
):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    env = stuck_redis_env | {"TMPDIR": str(temporary), "FLYWHEEL_JOURNAL": str(folder == "data").lower()}
    server = WireServer(env).spawn()
    server.initialize()
    (child,) = wait_until(lambda: server.children, what="the child, before the SDK is there")
    if end == "EOF":
        server.close_stdin()
    else:
        os.kill(server.pid, getattr(signal, end))
    server.wait(EXIT_WITHIN)
    wait_until(lambda: not alive(child), within=EXIT_WITHIN, what="its end")
    assert end == "SIGKILL" or not [*temporary.iterdir()], "its folder"
    assert "Traceback" not in server.stderr
    server.close()
