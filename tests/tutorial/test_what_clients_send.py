"""What real clients send is taken for what it can only mean, or refused in words that say what to send instead.

The requests are written after those that each client, driven against this server, was seen to send.
"""

import json
from collections.abc import Iterator
from typing import Any, Literal

import jsonschema
import pytest

from agentic_flywheel.backends.base import BackendType, FlowStatus

from ..conftest import clean_env
from ..support.client import open_server
from ..support.conversations import TALK, exact, turns
from ..support.fuzz import ERAS, META, Era
from ..support.redis_server import NOBODY_LISTENS
from ..support.wire import WireServer, error_text
from .test_arguments import GOOD

NOTHING = {"string": "", "object": {}, "array": []}
"""What a client sends that must send every parameter and cannot send null."""

TURN = '{"role": "user", "content": "Ferns?"}'
TURNS = f"[{TURN}]"
IN_TEXT = json.dumps(TURNS)
ONE = {"turns": 1, "added_turns": 1}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WireServer]:
    env = clean_env(tmp_path_factory.mktemp("clients"), NOBODY_LISTENS, "p") | {"REDIS_ENABLED": "false"}
    with WireServer(env) as running:
        running.call("save_session", session_id="garden", history=TALK, title="Garden", tags=["shade"])
        running.call("cache_result", execution_id="e-1", session_id="garden", flow_id="f", result={"answer": 1})
        yield running


@pytest.fixture(scope="module")
def tools(server: WireServer) -> dict[str, dict[str, Any]]:
    return {tool["name"]: tool["inputSchema"] for tool in server.request("tools/list")["tools"]}


def kind_of(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter's schema without the null beside it."""
    return schema["anyOf"][0] if "anyOf" in schema else schema


def reply_to(server: WireServer, tool: str, raw: str, meta: str = "") -> dict[str, Any]:
    return server.reply(server.send("tools/call", raw_params=f'{{"name":"{tool}","arguments":{raw}{meta}}}'))


def answer_to(server: WireServer, tool: str, raw: str | dict[str, Any]) -> dict[str, Any]:
    """The structured answer to a call with these arguments, or as they stand on the wire."""
    result = reply_to(server, tool, raw if isinstance(raw, str) else json.dumps(raw))["result"]
    assert not result.get("isError"), result
    return result["structuredContent"]


def kept(server: WireServer, session_id: str) -> dict[str, Any]:
    """The session as it is stored, without what each save moves."""
    session = server.call("resume_session", session_id=session_id)["session"]
    moved = ("saved_at", "updated_at", "expires_at", "kept_until")
    return {name: value for name, value in session.items() if name not in moved}


# client, fault, tool, its arguments on the wire, what the answer has

TAKEN: list[tuple[str, str, str, str, dict[str, Any]]] = [
    *(
        (client, f"null for {name}", tool, f'{{{has}"{name}": null}}', has_it)
        for client in ("CrewAI, strict", "mcp-use", "Codex", "AI SDK")
        for tool, name, has, has_it in (
            ("save_session", "mode", f'"session_id": "SID", "history": {TURNS}, ', ONE),
            ("save_session", "tags", '"session_id": "SID", ', {"saved": True}),
            ("resume_session", "max_tokens", '"session_id": "garden", ', {"found": True, "total_turns": 4}),
            ("list_sessions", "limit", '"pattern": "garden", ', {"next_cursor": None}),
        )
    ),
    ("a model", "an empty mode", "save_session", f'{{"session_id":"SID","history":{TURNS},"mode":""}}', ONE),
    ("a model", "empty lists and numbers", "save_session",
     '{"session_id":"SID","history":"","context":"","tags":"","ttl_seconds":"","status":""}', {"saved": True}),
    ("a PHP client", "[] for an object", "save_session", '{"session_id":"SID","context":[]}', {"saved": True}),
    ("OpenAI Agents, strict", "0 for every number", "resume_session",
     '{"session_id":"garden","user_id":"","max_tokens":0,"before_turn":0,"revision":0,"query":""}',
     {"found": True, "total_turns": 4, "omitted_turns": 0}),
    ("Haystack, tools_strict", "0 for the limit", "list_sessions", '{"pattern":"garden","limit":0}', {}),
    ("LangChain, strict", "0 for the revision", "fork_session",
     '{"session_id":"garden","revision":0,"new_session_id":"SID"}', {"forked": True}),
    ("smolagents", "0 for the limit", "get_flow_history", '{"session_id":"garden","flow_id":"f","limit":0}',
     {"found": True}),
    ("smolagents", "text for what is anything but text", "resume_session",
     '{"session_id":"garden","user_id":"","max_tokens":"0","before_turn":"","revision":"null","query":""}',
     {"found": True, "total_turns": 4}),
    ("LangChain, strict", "0 for the expected revision", "save_session",
     '{"session_id":"garden","expected_revision":0,"history":[]}', {"saved": True}),
    ("vmlx", "a whole float", "resume_session",
     '{"session_id":"garden","max_tokens":1000.0,"revision":1.0}', {"found": True}),
    ("github-mcp-server", "a number as text", "list_sessions", '{"pattern":"garden","limit":"5"}', {}),
    ("a model", "a number as text", "save_session", '{"session_id":"SID","ttl_seconds":"86400"}', {"saved": True}),
    ("Inspector", "a history as text", "save_session", f'{{"session_id":"SID","history":{IN_TEXT}}}', ONE),
    ("Continue", "objects as text", "save_session", '{"session_id":"SID","context":"{\\"a\\": 1}"}', {"saved": True}),
    ("CrewAI", "turns as text", "save_session",
     f'{{"session_id":"SID","history":[{json.dumps(TURN)}, {TURN}]}}', {"turns": 2}),
    ("a model", "one turn for a list", "save_session", f'{{"session_id":"SID","history":{TURN}}}', ONE),
    ("a model", "one turn as text", "save_session", f'{{"session_id":"SID","history":{json.dumps(TURN)}}}', ONE),
    ("a model", "a history as text of text", "save_session",
     f'{{"session_id":"SID","history":{json.dumps(IN_TEXT)}}}', ONE),
    ("a model", "choices in capitals", "save_session",
     f'{{"session_id":"SID","history":{TURNS},"status":"Completed","mode":" APPEND"}}', ONE),
    ("a model", "tags as a bare text", "save_session", '{"session_id":"SID","tags":"shade, ferns"}', {"saved": True}),
    ("n8n", "toolCallId", "save_session",
     f'{{"session_id":"SID","history":{TURNS},"toolCallId":"call_7","tool":{{"name":"save_session"}}}}', ONE),
    ("Gemini CLI", "wait_for_previous", "resume_session", '{"session_id":"garden","wait_for_previous":true}',
     {"found": True}),
    ("Cline", "task_progress", "list_sessions", '{"task_progress":"- [x] look","pattern":"garden"}', {}),
    ("Cursor", "a dummy parameter", "persistence_status", '{"random_string":"x"}', {}),
    ("Inspector CLI", "a number for an id", "save_session", f'{{"session_id":34,"title":7,"history":{TURNS}}}',
     {"session_id": "34"}),
    ("a bridge", "_meta among them", "resume_session", '{"session_id":"garden","_meta":{"progressToken":1}}',
     {"found": True}),
]  # fmt: skip

WRONG: list[tuple[str, str, str, str, list[str]]] = [
    ("CrewAI, strict", "no fields in a turn", "save_session", '{"history":[{},{}]}',
     ["history[0] is {}", "strict schema allows no fields", "send history as JSON text", "turn strict off"]),
    ("Haystack, tools_strict", "no fields in the one turn", "save_session", '{"history":{}}', ["history[0] is {}"]),
    ("a model", "text for a history", "save_session", '{"history":"User: hi"}',
     ["history must be a list of turns", '[{"role": "user", "content": "Hello"}]', "text came"]),
    ("a model", "text for a turn", "save_session", '{"history":[{"role":"user","content":"a"},"just text"]}',
     ["history[1] must be an object", '{"role": "user", "content": "Hello"}', "text came"]),
    ("a model", "null for a turn", "save_session", '{"history":[null]}', ["history[0] must be an object", "null came"]),
    ("a model", "a list for an object", "save_session", '{"context":[1]}',
     ["context must be an object", '{"place": "garden"}', "a list came"]),
    ("a model", "an object for a list of tags", "save_session", '{"tags":{"a":1}}',
     ["tags must be a list of texts", '["garden", "plan"]', "an object came"]),
    ("a model", "a number for a tag", "save_session", '{"tags":["a",1]}', ["tags[1] must be text", "a number came"]),
    ("a model", "half a number for an id", "resume_session", '{"session_id":3.5}',
     ["session_id must be text", 'such as "3.5"', "a number came"]),
    ("a model", "half a number", "resume_session", '{"max_tokens":1.5}',
     ["max_tokens must be a whole number", "such as 20", "1.5 came"]),
    ("a model", "a word for a number", "save_session", '{"ttl_seconds":"soon"}',
     ["ttl_seconds must be a whole number", "'soon' came"]),
    ("a model", "true for a number", "list_sessions", '{"limit":true}', ["limit must be a whole number", "true came"]),
    ("a model", "too large a number", "list_sessions", '{"limit":5000}', ["limit must be from 1 to 1000", "5000 came"]),
    ("a model", "too small a number", "get_flow_history", '{"session_id":"g","flow_id":"f","limit":-1}',
     ["limit must be at least 1", "-1 came"]),
    ("a model", "no budget", "resume_session", '{"max_tokens":-5}', ["max_tokens must be at least 1", "-5 came"]),
    ("a model", "a place before the first", "resume_session", '{"before_turn":-1}',
     ["before_turn must be the position", "next_before_turn", "-1 came"]),
    ("a model", "a life below nothing", "cache_result", '{"result":{"a":1},"ttl_seconds":-1}',
     ["ttl_seconds must be from 0 (never expires) to", "-1 came"]),
    ("a model", "a revision that never is", "save_session", '{"expected_revision":-1}',
     ["expected_revision must be the revision of an earlier answer", "-1 came"]),
    ("a model", "too many tags", "save_session", json.dumps({"tags": ["a"] * 101}),
     ["tags must be at most 100", "101 came"]),
    ("a model", "too long a tag", "save_session", json.dumps({"tags": ["a", "b" * 600]}),
     ["tags[1] must be at most 512 characters", "it has 600"]),
    ("a model", "a status of its own", "save_session", '{"status":"active"}',
     ["status must be one of pending, running, completed, failed, cancelled", "'active' came"]),
    ("a model", "a backend of its own", "save_session", '{"backend":"openai"}',
     ["backend must be one of flowise, langflow, custom", "'openai' came"]),
    ("a model", "a status to look for", "list_sessions", '{"status":"open"}', ["status must be one of", "'open' came"]),
    ("a model", "a mode of its own", "save_session", '{"mode":"merge"}',
     ["mode must be one of append, replace", "'merge' came"]),
    ("mcp-use's model", "id", "resume_session", '{"id":"garden"}', ["'id'", "Did you mean session_id?"]),
    ("a model", "sessionId", "resume_session", '{"sessionId":"garden"}', ["'sessionId'", "Did you mean session_id?"]),
    ("a model", "messages", "save_session", '{"messages":[]}', ["'messages'", "Did you mean history?"]),
    ("a model", "maxTokens", "resume_session", '{"maxTokens":5}', ["'maxTokens'", "Did you mean max_tokens?"]),
    ("a model", "tag", "list_sessions", '{"tag":"x"}', ["'tag'", "Did you mean tags?"]),
    ("a model", "an id of the wrong kind", "get_result", '{"id":"e-1"}', ["'id'", "Did you mean execution_id?"]),
    ("a strict client", "null where something is needed", "delete_session", '{"session_id":null}',
     ["delete_session needs session_id", 'such as "session-1"']),
    ("OpenAI Agents, strict", "0 where a revision is needed", "restore_session", '{"session_id":"g","revision":0}',
     ["restore_session needs revision", "such as 3"]),
    ("a model", "no result", "cache_result", '{"result":""}', ["cache_result needs result", 'such as {"answer"']),
    ("a model", "text for a result", "cache_result", '{"result":"done"}', ["result must be an object", "text came"]),
]  # fmt: skip


@pytest.mark.parametrize(("client", "fault", "tool", "raw", "wanted"), TAKEN, ids=lambda each: str(each)[:40])
def test_what_can_only_mean_one_thing_is_taken(
    client: str, fault: str, tool: str, raw: str, wanted: dict[str, Any], server: WireServer, sid: str
):
    if tool == "save_session":  # one of nothing else begins no session
        server.call("save_session", session_id=sid, summary="There")
    answer = answer_to(server, tool, raw.replace("SID", sid))
    assert {name: answer.get(name) for name in wanted} == wanted, (client, fault)


@pytest.mark.parametrize(("client", "fault", "tool", "raw", "words"), WRONG, ids=lambda each: str(each)[:40])
def test_anything_else_is_refused_with_what_came_and_what_to_send(
    client: str, fault: str, tool: str, raw: str, words: list[str], server: WireServer
):
    text = error_text(reply_to(server, tool, raw))
    for word in words:
        assert word in text, (client, fault, text)
    for word in ("Input should", "valid", "type=", "Error executing", "Traceback"):
        assert word not in text, "a validator's words"


# null, and nothing


@pytest.mark.parametrize("tool", GOOD)
def test_null_for_any_optional_parameter_is_absent(tool: str, server: WireServer, tools: dict[str, Any]):
    if tool == "delete_session":
        return  # it has no optional parameter
    known = {**GOOD[tool]} | ({"session_id": "garden"} if "session_id" in GOOD[tool] else {})
    optional = tools[tool]["properties"].keys() - known.keys()
    for nulls in (*({name: None} for name in optional), dict.fromkeys(optional)):
        assert answer_to(server, tool, known | nulls)["message"]


def test_nothing_stored_is_wiped_by_null_or_by_nothing(server: WireServer, tools: dict[str, Any], sid: str):
    full = {"title": "Shade", "summary": "Ferns.", "tags": ["a"], "status": "running", "backend": "flowise",
            "backend_session_id": "b", "current_flow_id": "f", "context": {"a": 1}, "ttl_seconds": 86_400}  # fmt: skip
    answer_to(server, "save_session", full | {"session_id": sid, "history": TALK, "user_id": "u"})
    before = kept(server, sid)
    assert (before["title"], before["tags"], before["ttl_seconds"]) == ("Shade", ["a"], 86_400)
    properties = tools["save_session"]["properties"]
    nothing = {name: None if "anyOf" in kind else NOTHING[kind["type"]] for name, kind in properties.items()}
    for sent in (dict.fromkeys(properties), nothing):
        assert answer_to(server, "save_session", sent | {"session_id": sid})["saved"] is True
        assert kept(server, sid) == before


@pytest.mark.parametrize("tool", GOOD)
def test_each_schema_admits_what_says_nothing_and_is_one_that_every_client_reads(tool: str, tools: dict[str, Any]):
    schema = tools[tool]
    nothing = {
        name: None if "anyOf" in kind else NOTHING[kind["type"]]
        for name, kind in schema["properties"].items()
        if name not in schema.get("required", ())
    }
    jsonschema.validate(GOOD[tool] | nothing, schema)
    for name, kind in schema["properties"].items():
        inner = kind_of(kind)
        assert isinstance(inner["type"], str), "a list of types breaks three clients"
        assert None not in inner.get("enum", ()), "which breaks another"
        if name in schema.get("required", ()):
            assert "anyOf" not in kind
        for free in (inner, inner.get("items", {})):
            assert free.get("type") != "object" or free["additionalProperties"] is True, f"{name} is open"


def test_the_choices_are_those_that_there_are(tools: dict[str, Any]):
    saves = tools["save_session"]["properties"]
    assert kind_of(saves["status"])["enum"] == [each.value for each in FlowStatus]
    assert kind_of(tools["list_sessions"]["properties"]["status"])["enum"] == [each.value for each in FlowStatus]
    assert kind_of(saves["backend"])["enum"] == [each.value for each in BackendType]


# what is taken is taken for the right thing


@pytest.mark.parametrize("two", ["2", "2.0", '"2"', '" 2 "', '"2.0"', "2e0"])
def test_whole_numbers_however_they_are_written(two: str, server: WireServer, sid: str):
    server.call("save_session", session_id=sid, history=turns("a"), title="One")
    server.call("save_session", session_id=sid, history=turns("b"), title="Two")
    server.call("save_session", session_id=sid, history=turns("c"), title="Three")
    resumed = answer_to(server, "resume_session", f'{{"session_id":"{sid}","revision":{two}}}')
    assert (resumed["revision"], resumed["session"]["title"]) == (2, "Two")
    paged = answer_to(server, "resume_session", f'{{"session_id":"{sid}","before_turn":{two}}}')
    assert [turn["content"] for turn in paged["session"]["history"]] == ["a", "b"]
    assert len(answer_to(server, "list_sessions", f'{{"limit":{two}}}')["sessions"]) == 2
    refused = answer_to(server, "save_session", f'{{"session_id":"{sid}","expected_revision":{two}}}')
    assert (refused["saved"], refused["reason"]) == (False, "conflict")
    assert answer_to(server, "restore_session", f'{{"session_id":"{sid}","revision":{two}}}')["restored"] is True


@pytest.mark.parametrize("zero", ["0", "0.0", "-0.0", '"0"'])
def test_0_says_nothing_where_it_means_nothing(zero: str, server: WireServer, sid: str):
    server.call("save_session", session_id=sid, history=turns("a"))
    saved = answer_to(server, "save_session", f'{{"session_id":"{sid}","history":{TURNS},"expected_revision":{zero}}}')
    assert (saved["saved"], saved["turns"]) == (True, 2)
    zeros = ",".join(f'"{name}":{zero}' for name in ("max_tokens", "before_turn", "revision"))
    resumed = answer_to(server, "resume_session", f'{{"session_id":"{sid}",{zeros}}}')
    assert (resumed["revision"], len(resumed["session"]["history"])) == (2, 2)
    never = answer_to(server, "save_session", f'{{"session_id":"{sid}","ttl_seconds":{zero}}}')
    assert never["expires_at"] is None, "there it means: never"


@pytest.mark.parametrize(
    ("sent", "wanted"),
    [
        ("shade", ["shade"]),
        ("shade, ferns,hostas ,", ["shade", "ferns", "hostas"]),
        ('"shade"', ["shade"]),
        ('["shade", "ferns, hostas"]', ["shade", "ferns, hostas"]),
        (["shade, ferns"], ["shade, ferns"]),
        ("5", ["5"]),
        (" , ", ["before"]),
        ([], []),
    ],
)
def test_a_text_for_a_list_of_tags_is_one_or_several(sent: Any, wanted: list[str], server: WireServer, sid: str):
    server.call("save_session", session_id=sid, tags=["before"])
    server.call("save_session", session_id=sid, tags=sent)
    assert server.call("resume_session", session_id=sid)["session"]["tags"] == wanted
    if wanted:
        assert [row["id"] for row in server.call("list_sessions", pattern=sid, tags=sent)["sessions"]] == [sid]


def test_turns_come_back_as_they_were_meant_however_they_are_wrapped(server: WireServer, sid: str):
    wrapped: list[Any] = [TALK, json.dumps(TALK), [json.dumps(turn) for turn in TALK], TALK[0], json.dumps(TALK[0])]
    for number, history in enumerate(wrapped):
        server.call("save_session", session_id=f"{sid}-{number}", history=history)
        session = server.call("resume_session", session_id=f"{sid}-{number}")["session"]
        assert exact(session["history"]) == exact(TALK if number < 3 else TALK[:1])


def test_text_that_looks_like_json_stays_text_where_text_is_wanted(server: WireServer, sid: str):
    for title in ("null", "5", "[1]", '{"a": 1}', '"quoted"'):
        server.call("save_session", session_id=sid, title=title)
        assert server.call("resume_session", session_id=sid)["session"]["title"] == title


# half an emoji


@pytest.mark.parametrize("era", ERAS)
def test_half_an_emoji_costs_itself_alone_and_is_named(era: Era, disabled_env: dict[str, str]):
    history = '[{"role":"user","content":"Make videos \\ud83c …"},{"role":"user","content":[{"text":"\\udf3e"}]}]'
    meta = f',"_meta":{json.dumps(META)}' if era == "per request" else ""
    server = WireServer(disabled_env).spawn()
    try:
        if era == "handshake":
            server.initialize()
        saved = reply_to(server, "save_session", f'{{"session_id":"s","history":{history},"title":"🌾"}}', meta)
        message = saved["result"]["structuredContent"]["message"]
        assert "U+FFFD" in message
        assert "history[0].content, position 12" in message
        assert "history[1].content[0].text, position 0" in message
        resumed = reply_to(server, "resume_session", '{"session_id":"s"}', meta)["result"]["structuredContent"]
        said = [turn["content"] for turn in resumed["session"]["history"]]
        assert said == ["Make videos \ufffd …", [{"text": "\ufffd"}]]
        assert "U+FFFD" not in resumed["message"], "that call had none"
        again = reply_to(server, "save_session", f'{{"session_id":"s","history":{history}}}', meta)
        assert again["result"]["structuredContent"]["added_turns"] == 0, "the retry of a client that has it in its talk"
    finally:
        server.close()


@pytest.mark.parametrize("written", ['{"a":"\\udc00"}', '{"a":"\udc00"}', json.dumps('{"a":"\\udc00"}')], ids=ascii)
def test_half_an_emoji_escaped_raw_or_in_json_text(written: str, server: WireServer, sid: str):
    answer = answer_to(server, "save_session", f'{{"session_id":"{sid}","context":{written}}}')
    assert "context.a, position 0" in answer["message"]
    assert server.call("resume_session", session_id=sid)["session"]["context"] == {"a": "\ufffd"}


def test_keys_and_many_places(server: WireServer, sid: str):
    many = ",".join(f'"k{number}":"\\ud800"' for number in range(8))
    answer = answer_to(server, "save_session", f'{{"session_id":"{sid}","context":{{"\\ud800":1,{many}}}}}')
    assert "a key of context, position 0" in answer["message"]
    assert "context.k0, position 0" in answer["message"]
    assert "and 6 more" in answer["message"]
    whole = answer_to(server, "save_session", f'{{"session_id":"{sid}","context":{{"whole":"\\ud83c\\udf3e"}}}}')
    assert "U+FFFD" not in whole["message"]
    assert server.call("resume_session", session_id=sid)["session"]["context"]["whole"] == "🌾"


@pytest.mark.parametrize("tool", GOOD)
def test_half_an_emoji_in_any_text_of_any_tool_is_no_error_of_the_protocol(
    tool: str, server: WireServer, tools: dict[str, Any]
):
    for name, schema in tools[tool]["properties"].items():
        if kind_of(schema)["type"] != "string":
            continue
        sent = GOOD[tool] | {name: "cut \ud83c"}
        result = reply_to(server, tool, json.dumps(sent))["result"]
        if result.get("isError"):
            assert name in ("cursor", "status", "backend", "mode"), "which have values of their own"
            assert name in error_text({"result": result})
        else:
            assert f"({name}, position 4)" in result["structuredContent"]["message"]


@pytest.mark.parametrize("sent", [None, "garden", 34], ids=["null", "text", "a number"])
def test_an_argument_of_a_prompt_is_text_a_number_or_absent(sent: str | int | None, server: WireServer):
    server.call("save_session", session_id="34", history=TALK)
    wanted = "garden" if sent == "garden" else "34"  # without one: the latest
    got = server.request("prompts/get", {"name": "resume_conversation", "arguments": {"session": sent}})
    assert f"session://{wanted}/" in json.dumps(got)


def test_who_asks_for_an_id_such_as_latest_is_told_how_to_have_the_latest(server: WireServer):
    missed = server.call("resume_session", session_id="latest")
    assert (missed["found"], missed["reason"]) == (False, "not_found")
    assert missed["message"].endswith("Next: list_sessions(query=words of it), or resume_session() for the latest.")


# a real client


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_sdks_client_in_both_eras(mode: Literal["legacy", "auto"], disabled_env: dict[str, str]):
    async with open_server(disabled_env, mode=mode) as session:
        schema = next(tool for tool in (await session.client.list_tools()).tools if tool.name == "save_session")
        nulls = dict.fromkeys(schema.input_schema["properties"])
        saved = await session.call("save_session", **(nulls | {"session_id": "s", "history": [json.dumps(TALK[0])]}))
        assert (saved["saved"], saved["turns"]) == (True, 1)
        resumed = await session.call("resume_session", session_id="s", max_tokens="2000", revision=1.0, before_turn=0)
        assert exact(resumed["session"]["history"]) == exact(TALK[:1])
        refused = await session.client.call_tool("save_session", {"session_id": "s", "status": "active"})
        assert refused.is_error
