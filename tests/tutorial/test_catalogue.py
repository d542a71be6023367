"""What a model reads before it does anything: small, complete, and as the README says."""

import json
from pathlib import Path

from ..support.wire import WireServer
from .test_arguments import GOOD

README = Path(__file__).parents[2] / "README.md"
HINTS = {  # (read-only, destructive, idempotent)
    "resume_session": (True, None, None),
    "list_sessions": (True, None, None),
    "list_revisions": (True, None, None),
    "save_session": (False, False, False),  # what a replace takes away stays; without an id each begins a session
    "restore_session": (False, False, True),
    "fork_session": (False, False, False),
    "cache_result": (False, False, False),
    "get_result": (True, None, None),
    "get_flow_history": (True, None, None),
    "persistence_status": (True, None, None),
    "delete_session": (False, True, True),
}


def catalogue(env: dict[str, str]) -> tuple[list[dict], str]:
    with WireServer(env) as server:
        return server.request("tools/list")["tools"], server.stderr


def test_the_model_facing_part_is_small_and_the_readme_has_its_figure(disabled_env: dict[str, str]):
    tools, _ = catalogue(disabled_env)
    seen = [{"name": t["name"], "description": t["description"], "inputSchema": t["inputSchema"]} for t in tools]
    size = sum(len(json.dumps(t, ensure_ascii=False, separators=(",", ":"))) for t in seen)
    assert 1_000 < size < 10_000
    text = README.read_text(encoding="utf-8")
    assert f"{size:,}" in text or str(size) in text, f"the README does not say {size:,}"


def test_every_tool_and_parameter_explains_itself(disabled_env: dict[str, str]):
    tools, _ = catalogue(disabled_env)
    assert {tool["name"] for tool in tools} == {*GOOD}, "each tool is tried with wrong arguments and nonsense"
    for tool in tools:
        assert tool.get("title") or tool["annotations"].get("title")
        assert len(tool["description"]) > 20
        assert tool["outputSchema"]["type"] == "object"
        assert "message" in tool["outputSchema"]["properties"]
        assert tool["inputSchema"].get("additionalProperties") is False, "unknown arguments are errors"
        for name, schema in tool["inputSchema"].get("properties", {}).items():
            assert schema.get("description"), f"{tool['name']}.{name}"


def test_every_tool_says_what_it_may_change(disabled_env: dict[str, str]):
    tools, _ = catalogue(disabled_env)
    for tool in tools:
        hints = tool["annotations"]
        assert isinstance(hints["readOnlyHint"], bool)
        for hint, wanted in zip(
            ("readOnlyHint", "destructiveHint", "idempotentHint"),
            HINTS.get(tool["name"], (False, None, None)),
            strict=True,
        ):
            assert wanted is None or hints[hint] is wanted, (tool["name"], hint)


def test_the_parameters_are_the_contracts(disabled_env: dict[str, str]):
    tools, _ = catalogue(disabled_env)
    parameters = {
        t["name"]: (set(t["inputSchema"].get("properties", {})), set(t["inputSchema"].get("required", [])))
        for t in tools
    }
    assert parameters == {
        "save_session": (
            {
                "session_id",
                "history",
                "context",
                "remove_context",
                "title",
                "summary",
                "tags",
                "status",
                "backend",
                "backend_session_id",
                "current_flow_id",
                "user_id",
                "ttl_seconds",
                "mode",
                "expected_revision",
            },
            set(),
        ),
        "resume_session": ({"session_id", "user_id", "max_tokens", "before_turn", "query", "revision"}, set()),
        "list_sessions": ({"pattern", "query", "tags", "status", "user_id", "limit", "cursor"}, set()),
        "delete_session": ({"session_id"}, {"session_id"}),
        "list_revisions": ({"session_id"}, {"session_id"}),
        "restore_session": ({"session_id", "revision"}, {"session_id", "revision"}),
        "fork_session": ({"session_id", "revision", "new_session_id"}, {"session_id"}),
        "cache_result": (
            {"result", "execution_id", "session_id", "flow_id", "input", "parameters", "metrics", "ttl_seconds"},
            {"result"},
        ),
        "get_result": ({"execution_id"}, {"execution_id"}),
        "get_flow_history": ({"session_id", "flow_id", "limit"}, {"session_id", "flow_id"}),
        "persistence_status": (set(), set()),
    }


def test_the_server_introduces_itself_and_teaches_when_to_save(disabled_env: dict[str, str]):
    server = WireServer(disabled_env).spawn()
    try:
        hello = server.initialize()
    finally:
        server.close()
    assert hello["serverInfo"]["name"] == "agentic-flywheel-state"
    assert hello["serverInfo"]["version"]
    assert "save_session" in hello["instructions"]
    assert "resume_session" in hello["instructions"]


def test_descriptions_say_when_for_models_that_see_no_instructions(disabled_env: dict[str, str]):
    tools = {tool["name"]: tool for tool in catalogue(disabled_env)[0]}
    for name, when in {
        "save_session": "after each exchange worth keeping, and before the talk ends",
        "resume_session": "when the user goes on from an earlier talk. It renews the session's life",
        "list_sessions": "when you do not know the id, or are asked what was said",
        "delete_session": "Only when the user asks for it",
        "persistence_status": "if an answer says journal",
    }.items():
        assert when in tools[name]["description"]
    assert "each form" in tools["resume_session"]["inputSchema"]["properties"]["max_tokens"]["description"]


def test_only_the_protocol_is_written_to_stdout(disabled_env: dict[str, str]):
    with WireServer(disabled_env) as server:
        server.call("save_session", title="x")
        server.refused("save_session", nonsense=1)
    assert server.junk == []
