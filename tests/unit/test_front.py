"""What is answered before the SDK is there is what the SDK's server answers; of what is doubtful nothing is said."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from agentic_flywheel.server.offered import offered
from agentic_flywheel.server.prepared_answers import CAPABILITIES, CLIENT, PREPARED, VERSION, Answers

from .. import prepared

MODERN = "2026-07-28"
NAMED = {"name": "x", "version": "1"}
SETTINGS = (
    {},
    {"FLYWHEEL_USER": "ann", "FLYWHEEL_USER_ONLY": "true", "FLYWHEEL_SECRETS": "off"},
    {"FLYWHEEL_JOURNAL": "false", "REDIS_TTL_SECONDS": "60", "FLYWHEEL_ASK": "never"},
    {"FLYWHEEL_TOOLS": "conversations"},
)


def request(method: str, params: object = None, **more: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}} | more).encode() + b"\n"


def meta(**more: Any) -> dict[str, Any]:
    return {"_meta": {VERSION: MODERN, CAPABILITIES: {}} | more}


def shake_hands(**params: Any) -> bytes:
    return request("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": NAMED} | params)


@pytest.mark.parametrize("environ", SETTINGS, ids=str)
async def test_the_file_holds_what_the_server_answers_whatever_the_settings(environ: dict[str, str], tmp_path: Path):
    file = json.loads(PREPARED.read_text("utf-8"))
    results = [offered(result, environ.get("FLYWHEEL_TOOLS", "all")) for result in file["results"]]
    held = {v: {method: results[at] for method, at in known.items()} for v, known in file["versions"].items()}
    live = await prepared.prepared(prepared.alone(tmp_path, **environ))
    assert held == live, "run `python -m tests.prepared`"


@pytest.mark.parametrize("version", [*HANDSHAKE_PROTOCOL_VERSIONS, MODERN, "2019-01-01"])
async def test_every_opening_is_answered_as_by_the_server(version: str, tmp_path: Path):
    lines = prepared.opening(version)
    live = {said["id"]: said for said in await prepared.answers(prepared.alone(tmp_path), *lines)}
    front = Answers()
    for line in lines:
        answer = front.answer(json.dumps(line).encode() + b"\n")
        if answer:
            assert json.loads(answer) == live[line["id"]]
        else:
            left = "id" not in line or line["id"] == "resources/list"
            assert left or "error" in live[line["id"]]


CAPABLE: list[object] = [
    {}, None, [], "all", {"roots": {}}, {"roots": {"listChanged": True}}, {"roots": {"listChanged": "yes"}},
    {"roots": True}, {"roots": {"more": {}}}, {"sampling": {"tools": {}, "context": {}}}, {"sampling": {"tools": True}},
    {"sampling": None}, {"elicitation": {"form": {"applyDefaults": True}, "url": {}}}, {"elicitation": {"form": 1}},
    {"elicitation": {"applyDefaults": True}}, {"experimental": {"a": {"b": 1}}}, {"experimental": {"a": 1}},
    {"extensions": {"io.example/x": {"mimeTypes": ["a"]}}}, {"extensions": {"io.example/x": None}},
    {"tasks": {"list": {}, "cancel": {}, "requests": {"sampling": {"createMessage": {}}}}},
    {"tasks": {"requests": {"elicitation": {"create": 1}}}}, {"tasks": {"requests": {"elicitation": 1}}},
    {"tasks": {"requests": []}}, {"of their own": 7},
]  # fmt: skip
CLIENTS: list[object] = [
    NAMED, {"name": "x"}, {"name": 1, "version": "1"}, {**NAMED, "title": "X", "description": "", "websiteUrl": "no"},
    {**NAMED, "icons": [{"src": "data:,"}]}, {**NAMED, "icons": 1}, {**NAMED, "title": 5}, "x", None,
]  # fmt: skip
OPENINGS = [
    *(shake_hands(capabilities=capable) for capable in CAPABLE),
    *(shake_hands(clientInfo=client) for client in CLIENTS),
    *(shake_hands(protocolVersion=version) for version in ("2024-11-05", "2019-01-01", MODERN, "", None, 1, ["a"])),
    *(shake_hands(_meta=of) for of in ({}, {"progressToken": 1}, {"progressToken": []}, 1)),
    *(request(method, meta(**{CAPABILITIES: capable})) for capable in CAPABLE for method in ("server/discover",)),
    *(request("tools/list", meta(**{CLIENT: client})) for client in CLIENTS),
    *(request("prompts/list", meta(progressToken=token)) for token in (1, "a", True, None, [], {})),
    *(request("server/discover", meta(**{VERSION: version})) for version in ("2099-01-01", "2025-11-25", "", None, 1)),
    request("server/discover", {"_meta": {VERSION: "2099-01-01"}}),
    *(request("tools/list", {"_meta": {VERSION: version, CAPABILITIES: {}}}) for version in ("1", 1, None)),
    *(request("tools/list", meta() | {"cursor": cursor}) for cursor in (None, "a", 1)),
    *(request(method, meta()) for method in ("ping", "initialize", "server/discover", "no/such", "")),
    *(request("tools/list", meta(), id=identity) for identity in (0, -1, "", "é", "a b", 2**53, 2**70)),
    request("tools/list"), request("ping"), request("server/discover"), request("tools/list", {"_meta": 1}),
    request("server/discover", meta(**{"io.modelcontextprotocol/logLevel": "loud"})),
    request("tools/list", meta(**{"io.modelcontextprotocol/logLevel": "info", "other": {"a": 1}})),
    request("tools/list", meta(), extra=1),
]  # fmt: skip


@pytest.mark.parametrize("line", OPENINGS, ids=[str(at) for at in range(len(OPENINGS))])
async def test_what_is_answered_is_what_the_server_would_have_said(line: bytes, tmp_path: Path):
    front = Answers().answer(line)
    if front is not None:
        (live,) = await prepared.answers(prepared.alone(tmp_path), line)
        assert json.loads(front) == live


@pytest.mark.parametrize(
    "line",
    [
        b"\n", b"{\n", b"[]\n", b"1\n", b'"a"\n', b"\xff\n", b"[" * 100_000 + b"\n", b"\xef\xbb\xbf" + shake_hands(),
        b"[" + shake_hands().strip() + b"]\n",
        shake_hands(clientInfo={"name": "\ud800", "version": "1"}),
        *(request("tools/list", meta(), id=identity) for identity in (None, True, 1.0, [], {})),
        request("tools/list", meta(), jsonrpc="1.0"), request("tools/list", [1]), request("tools/list", "a"),
        request("tools/list", meta(padding="x" * 70_000)),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_plain_question_is_left_to_the_server(line: bytes):
    front = Answers()
    assert front.answer(line) is None
    assert front.answer(shake_hands()) is None, "the server may have chosen its protocol by that line"


def test_a_question_before_the_handshake_or_behind_another_protocol_is_the_servers():
    front = Answers()
    assert front.answer(request("tools/list")) is None
    assert front.answer(request("tools/list", meta())) is None
    front = Answers()
    assert front.answer(request("tools/call", meta())) is None
    assert front.answer(request("tools/list", meta())), "the same protocol"
    assert front.answer(shake_hands()) is None
    front = Answers()
    assert front.answer(shake_hands())
    assert front.answer(request("tools/list"))
    assert front.answer(request("tools/list", meta())) is None
    assert front.answer(shake_hands()) is None


def test_after_discover_a_client_may_shake_hands():
    front = Answers()
    assert front.answer(request("server/discover", meta()))
    newer = front.answer(request("server/discover", meta(**{VERSION: "2099-01-01"})))
    assert newer
    assert json.loads(newer)["error"]["data"]["supported"] == [MODERN]
    assert not front.opened
    assert front.answer(shake_hands())


def listen(*, identity: object = 1, **notifications: object) -> bytes:
    return request("subscriptions/listen", meta() | {"notifications": notifications}, id=identity)


ALL_LISTS = {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True}


@pytest.mark.parametrize(
    "notifications",
    [{}, ALL_LISTS, {"toolsListChanged": False, "resourcesListChanged": True}, {"resourceSubscriptions": ["session://a"]}],
    ids=str,
)  # fmt: skip
async def test_a_client_that_listens_is_told_what_the_server_would_tell(notifications: dict[str, Any], tmp_path: Path):
    acknowledged = Answers().acknowledgement(listen(**notifications))
    if acknowledged is not None:
        live, *_ = await prepared.answers(prepared.alone(tmp_path), listen(**notifications))
        assert json.loads(acknowledged) == live
    else:
        assert "resourceSubscriptions" in notifications, "left to the server"


@pytest.mark.parametrize(
    "line",
    [
        listen(toolsListChanged=1), listen(toolsListChanged=None), listen(other=True), listen(identity=None),
        request("subscriptions/listen", meta()), request("subscriptions/listen", meta() | {"notifications": []}),
        request("subscriptions/listen", meta() | {"notifications": {}, "more": 1}),
        request("subscriptions/listen", {"notifications": {}}), request("tools/list", meta()),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_plain_wish_to_listen_is_left_to_the_server(line: bytes):
    assert Answers().acknowledgement(line) is None


def test_only_who_hears_of_changes_is_given_an_empty_list_at_first():
    front, asked = Answers(), request("resources/list", meta())
    assert front.acknowledgement(listen(toolsListChanged=True))
    assert front.answer(asked) is None
    assert not front.owes_list
    assert front.acknowledgement(listen(identity=2, resourcesListChanged=True))
    answer = front.answer(asked)
    assert answer
    assert json.loads(answer)["result"]["resources"] == []
    assert front.owes_list
    assert front.acknowledged == {1, 2}
    shaken = Answers()
    shaken.answer(shake_hands())
    assert shaken.answer(request("resources/list")) is None


LIGHT = {
    "agentic_flywheel.integrations": ("mcp", "mcp_types", "pydantic", "sqlite3"),
    "agentic_flywheel.integrations.redis_state": ("mcp", "mcp_types", "pydantic", "sqlite3"),
    "agentic_flywheel.server.front": ("mcp", "mcp_types", "pydantic", "pydantic_core", "sqlite3", "asyncio", "anyio"),
    "agentic_flywheel.cli.main": ("mcp", "mcp_types", "pydantic", "pydantic_core", "sqlite3", "asyncio", "anyio"),
    "agentic_flywheel.coaia.stash": ("mcp", "mcp_types"),
    "agentic_flywheel.sessions.wiring": ("mcp", "mcp_types"),
    ", ".join(  # all at once: what none of them may import is not there after the last
        f"agentic_flywheel.cli.{path.stem}"
        for path in sorted((PREPARED.parents[1] / "cli").glob("*.py"))
        if path.stem not in ("__init__", "demo", "main")  # the demo is a client, as a person's own would be
    ): ("mcp", "mcp_types"),
    "agentic_flywheel.cli.list_command": ("mcp", "mcp_types", "pydantic", "pydantic_core", "asyncio", "anyio"),
}


@pytest.mark.parametrize("modules", LIGHT, ids=lambda modules: modules[:60])
def test_what_starts_often_imports_nothing_heavy(modules: str):
    heavy = f"{{name for name in {LIGHT[modules]!r} if name in sys.modules}}"
    code = f"import sys, {modules}; sys.exit(', '.join({heavy}) or 0)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
