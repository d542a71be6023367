"""Answers fit the client: what is sent is what the model sees, whichever program shows it, in both eras."""

import json
from collections.abc import Callable
from typing import Any, Literal

import pytest
from mcp_types import Implementation

from agentic_flywheel.server.clients import CODEX_TURN, shown_by
from agentic_flywheel.sessions.budget import DEFAULT_TOKENS

from ..support.client import open_server, text_of

Mode = Literal["auto", "legacy"]
ERAS = pytest.mark.parametrize("mode", ["auto", "legacy"])
DEFAULT_BYTES = 4 * DEFAULT_TOKENS
TALKS = {
    "Latin": "lorem ipsum " * 40,
    "Chinese": "花园里的阴凉处适合种蕨类植物" * 12,
    "emoji": "🌱🌾" * 60,
    "quotes and lines": '"a"\n\\b\n' * 60,
}

Show = Callable[[str, dict[str, Any]], bool]


def compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def whole(text: str, structured: dict[str, Any]) -> str:
    return compact({"content": [{"type": "text", "text": text}], "structuredContent": structured})


def in_lines(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


SEEN_WHOLE: dict[tuple[str, str], Show] = {  # as measured with each program; see `server/clients.py`
    ("claude-code", ""): lambda _, json_: len(compact(json_)) <= 50_000,
    ("codex-mcp-client", "gpt-5.5"): lambda _, json_: len(compact(json_).encode()) <= 48_000 - 100,
    ("codex-mcp-client", "gpt-6"): lambda text, json_: len(text) + len(compact(json_)) <= 40_000,
    ("codex-mcp-client", "local-model"): lambda _, json_: len(compact(json_).encode()) <= 12_000 - 100,
    ("gemini-cli-mcp-client", ""): lambda text, _: len(text) <= 40_000 - 200,
    ("opencode", ""): lambda text, _: len(text.encode()) <= 50 * 1024,
    ("qwen-cli-mcp-client-flywheel-state", ""): lambda text, json_: len(compact(json_)) + len(text) <= 28_000 - 10,
    ("@cline/core", ""): lambda text, json_: len(whole(text, json_)) <= 8_000,
    ("pi", ""): lambda text, json_: len(text.encode()) <= 20 * 1024 and len(text) + len(compact(json_)) <= 40_000,
    ("kimi-code", ""): lambda text, _: len(text) <= 50_000 and all(len(line) <= 1_999 for line in text.split("\n")),
    ("openclaw-bundle-mcp", ""): lambda _, json_: len(json.dumps(in_lines(json_), ensure_ascii=False)) <= 19_500,
    ("nanocoder-mcp-client", ""): lambda text, _: len(text) <= 20_000,
    ("fast-agent-mcp", ""): lambda _, json_: len(compact(json_).encode()) <= 16_000,
    ("somebody", ""): lambda text, json_: max(len(text.encode()), len(compact(json_).encode())) <= DEFAULT_BYTES,
}


@ERAS
@pytest.mark.parametrize(("client", "model"), SEEN_WHOLE, ids=" ".join)
async def test_every_turn_that_is_sent_is_seen_by_the_client(
    client: str, model: str, mode: Mode, disabled_env: dict[str, str]
):
    named = Implementation(name=client, version="1")
    meta: Any = {CODEX_TURN: {"model": model, "turn_id": "t"}} if model else None
    async with open_server(disabled_env, mode=mode, client_info=named) as server:
        for name, words in TALKS.items():
            talk = [{"role": "assistant" if at % 2 else "user", "content": f"turn {at} {words}"} for at in range(400)]
            await server.call("save_session", session_id=name, history=talk, title="A long talk")
            for count in (4, 400):
                before = {} if count == 400 else {"before_turn": count}
                answer = await server.client.call_tool("resume_session", {"session_id": name, **before}, meta=meta)
                structured, text = answer.structured_content, text_of(answer.content[0])
                assert structured
                history = structured["session"]["history"]
                assert SEEN_WHOLE[client, model](text, structured), (name, len(text), len(compact(structured)))
                assert history == talk[count - len(history) : count]
                assert text.splitlines()[-1] == f"End of the transcript (turns {count - len(history)} to {count - 1})."
                shown = shown_by(client, model)
                room = min(DEFAULT_BYTES, shown.size if shown else DEFAULT_BYTES)
                if room < DEFAULT_BYTES:
                    assert max(len(text.encode()), len(compact(structured).encode())) <= room
                assert len(history) == count or len(compact(history).encode()) > 0.75 * room - 1500


def test_a_client_with_a_short_name_is_none_whose_name_only_has_it():
    assert shown_by("Pi")
    assert [shown_by(name) for name in ("pipeline", "happi", "")] == [None] * 3


@ERAS
async def test_a_session_that_fits_alone_fits_with_all_that_is_said_around_it(mode: Mode, disabled_env: dict[str, str]):
    async with open_server(disabled_env, mode=mode, client_info=Implementation(name="Cline", version="1")) as server:
        for room in range(3_000, 3_600, 20):
            history = [{"role": "user", "content": "x" * room}]
            await server.call("save_session", session_id="s", history=history, mode="replace")
            answer = await server.client.call_tool("resume_session", {"session_id": "s"})
            assert max(len(compact(answer.structured_content)), len(text_of(answer.content[0]))) <= 3_600


@ERAS
async def test_a_client_is_given_what_it_asks_for(mode: Mode, disabled_env: dict[str, str]):
    async with open_server(disabled_env, mode=mode, client_info=Implementation(name="Cline", version="1")) as server:
        talk = [{"role": "user", "content": f"{at} " + "word " * 100} for at in range(100)]
        await server.call("save_session", session_id="s", history=talk)
        assert 4 <= len((await server.call("resume_session", session_id="s"))["session"]["history"]) <= 6
        asked = await server.call("resume_session", session_id="s", max_tokens=5_000)
        assert 30 <= len(asked["session"]["history"]) <= 40


@pytest.mark.parametrize("name", ["Claude Code", "gemini_cli", "Qwen Code", "qwen-code", "Cline", "Codex", "OpenCode"])
def test_a_client_is_known_however_it_spells_its_name(name: str):
    assert shown_by(name)


@ERAS
@pytest.mark.parametrize("client", ["@cline/core", "qwen-cli-mcp-client-x", "somebody"])
async def test_a_page_of_a_list_ends_where_the_client_would_cut_it(
    client: str, mode: Mode, disabled_env: dict[str, str]
):
    async with open_server(disabled_env, mode=mode, client_info=Implementation(name=client, version="1")) as server:
        for number in range(45):
            await server.call("save_session", session_id=f"s {number}", summary="花" * 1000, history=[])
        shown, cursor, pages = [], "", 0
        while True:
            page = await server.call("list_sessions", **({"cursor": cursor} if cursor else {}))
            limit = shown_by(client)
            assert len(compact(page).encode()) <= (limit.size if limit else DEFAULT_BYTES)
            shown += [row["id"] for row in page["sessions"]]
            pages += 1
            if not (cursor := page.get("next_cursor", "")):
                break
        assert shown == [f"s {number}" for number in range(44, -1, -1)]
        assert pages > 4
        asked = await server.call("list_sessions", limit=40)
        assert len(asked["sessions"]) == 40 or client != "somebody"


@ERAS
async def test_no_line_is_longer_than_a_client_shows_and_no_word_is_missing(mode: Mode, disabled_env: dict[str, str]):
    named = Implementation(name="kimi-code", version="1")
    words = [f"word{number}" for number in range(2_000)] + ["🌱" * 3_000]
    async with open_server(disabled_env, mode=mode, client_info=named) as server:
        await server.call("save_session", session_id="s", summary="moss " * 300, history=[
            {"role": "user", "content": " ".join(words)}, {"role": "assistant", "content": "one\ntwo"},
        ])  # fmt: skip
        text = text_of((await server.client.call_tool("resume_session", {"session_id": "s"})).content[0])
        said = text.partition("[0] user: ")[2].partition("\n\n")[0]
        assert said.replace("\n  ", "") == " ".join(words)
        assert "\n\n[1] assistant: one\n  two\n\n" in text
        assert all(len(line.encode("utf-16-le")) // 2 <= 1_999 for line in text.split("\n"))


@ERAS
async def test_executions_are_cut_only_where_the_client_would_throw_the_rest_away(
    mode: Mode, disabled_env: dict[str, str]
):
    result = {"answer": "word " * 20_000, "score": 0.5}
    for client, is_cut in (("@cline/core", True), ("qwen-cli-mcp-client-x", False), ("somebody", False)):
        named = Implementation(name=client, version="1")
        async with open_server(disabled_env, mode=mode, client_info=named) as server:
            for number in range(3):
                await server.call("cache_result", result=result, session_id="s", flow_id="f", execution_id=f"e{number}")
            found = await server.call("get_result", execution_id="e1")
            flow = await server.call("get_flow_history", session_id="s", flow_id="f")
            read = json.loads(_text(await server.client.read_resource("execution://e1")))
            assert [each["id"] for each in flow["executions"]] == ["e0", "e1", "e2"]
            if not is_cut:
                assert found["execution"]["result"] == result == read["result"]
                assert not {"cut", "cut_executions"} & {*found, *flow}
                continue
            assert found["cut"] is True
            assert "cut" in found["message"]
            assert flow["cut_executions"] == [0, 1, 2]
            for execution in (found["execution"], read, *flow["executions"]):
                assert execution["result"]["score"] == 0.5
                assert execution["result"]["answer"].endswith("[100,000 characters, the rest left out]")
            assert max(len(compact(found)), len(compact(flow)), len(compact(read))) <= 3_600


@ERAS
async def test_of_many_executions_the_newest_are_shown_that_the_client_has_room_for(
    mode: Mode, disabled_env: dict[str, str]
):
    named = Implementation(name="@cline/core", version="1")
    async with open_server(disabled_env, mode=mode, client_info=named) as server:
        for flow, answer, count in (("large", "word " * 800, 20), ("small", "yes", 9), ("many", "yes", 40)):
            for number in range(count):
                await server.call(
                    "cache_result", result={"a": answer}, session_id="s", flow_id=flow, execution_id=f"{flow} {number}"
                )
        large = await server.call("get_flow_history", session_id="s", flow_id="large")
        small = await server.call("get_flow_history", session_id="s", flow_id="small")
        many = await server.call("get_flow_history", session_id="s", flow_id="many")
    assert max(len(compact(large)), len(compact(many))) <= 3_600
    assert many["executions"][-1]["id"] == "many 39"
    shown = [each["id"] for each in large["executions"]]
    assert shown == [f"large {number}" for number in range(20 - len(shown), 20)]
    assert 4 < len(shown) < 20
    assert f"no room for the {20 - len(shown)} before them: get_result has each" in large["message"]
    assert [each["id"] for each in small["executions"]] == [f"small {number}" for number in range(9)]
    assert "before them" not in small["message"]


def _text(read: Any) -> str:
    return read.contents[0].text


@ERAS
async def test_resources_are_as_small_as_answers_and_say_their_size(mode: Mode, disabled_env: dict[str, str]):
    async with open_server(disabled_env, mode=mode) as server:
        talk = [{"role": "user", "content": f"turn {at} " + "ä" * 200} for at in range(400)]
        await server.call("save_session", session_id="big", history=talk, title="All of it", summary="What was said.")
        await server.call("save_session", session_id="small", history=talk[:1])
        small, big = (await server.client.list_resources()).resources
        assert (big.title, small.title) == ("All of it", small.title)
        assert big.description
        assert big.description.startswith("All of it (400 turns, saved on ")
        assert big.description.endswith("): What was said.")
        assert small.description
        assert "(1 turn, saved on " in small.description
        for each in (small, big):
            read = _text(await server.client.read_resource(str(each.uri)))
            assert each.size == len(read.encode()) <= DEFAULT_BYTES
        document = json.loads(read)
        first = document["next_before_turn"]
        assert document["history"] == talk[first:]
        assert document["omitted_turns"] == first
        assert next(iter(document)) == "omitted_turns"
        page = _text(await server.client.read_resource("session://big/transcript"))
        assert len(page.encode()) <= DEFAULT_BYTES
        assert f"The turns before {first} are left out; resume_session shows them with before_turn={first}." in page
        assert f"\n## {first} user\n\n> turn {first} ä" in page
        assert page.endswith(f"End of the transcript (turns {first} to 399).\n")


async def test_tools_say_what_clients_honour(disabled_env: dict[str, str]):
    async with open_server(disabled_env) as server:
        meta = {tool.name: tool.meta or {} for tool in (await server.client.list_tools()).tools}
    long = {name for name, said in meta.items() if said.get("anthropic/maxResultSizeChars") == 500_000}
    assert long == {"resume_session", "list_sessions", "get_result", "get_flow_history"}
    assert {name for name, said in meta.items() if said.get("anthropic/alwaysLoad")} == {
        "save_session",
        "resume_session",
    }


@ERAS
async def test_structured_content_has_nothing_empty_and_says_expiry_once(mode: Mode, disabled_env: dict[str, str]):
    async with open_server(disabled_env, mode=mode) as server:  # which checks each answer against the output schema
        saved = await server.call("save_session", session_id="s", history=[{"role": "user", "content": "x"}])
        assert saved["expires_at"]
        kept = await server.call("save_session", session_id="for ever", title="T", ttl_seconds=0)
        assert kept["expires_at"] is None
        answer = await server.call("resume_session", session_id="s")
        session = answer["session"]
        assert [*answer][-1] == "session"
        empty = {name for name, value in session.items() if value in (None, "", 0, [], {})}
        assert empty <= {"title", "summary", "tags", "context"}
        assert [name for name, value in session.items() if value == saved["expires_at"]] == ["kept_until"]
        schema = next(t for t in (await server.client.list_tools()).tools if t.name == "save_session").output_schema
        assert schema
        assert schema["properties"]["expires_at"] == {"anyOf": [{"type": "string"}, {"type": "null"}]}
