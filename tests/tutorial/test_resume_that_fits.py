"""Resume that fits: the newest turns within the budget, and a way back to all the others."""

import json
import random
from typing import Any, Literal

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from ..bench.corpus import history_of, turn
from ..conftest import Place
from ..support.client import text_of
from ..support.wire import SERVER, WireServer

DEFAULT_TOKENS = 9_500
PER_TOKEN = 4
MOST = 1.15  # times the turns that an answer carries


def compact(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def resume(server: WireServer, session_id: str, **more: Any) -> tuple[dict[str, Any], str]:
    """Structured content and text of a resume."""
    arguments = {"session_id": session_id, **more}
    result = server.request("tools/call", {"name": "resume_session", "arguments": arguments}, within=60)
    return result["structuredContent"], result["content"][0]["text"]


def test_a_megabyte_of_two_thousand_turns_comes_back_in_pages_within_the_default_budget(place: Place, sid: str):
    rng = random.Random(6)
    talk = [turn(rng, number) for number in range(2000)]
    assert len(compact(talk)) > 900_000
    with place.server() as server:
        if place.shared:
            server.warm()
        server.call("save_session", session_id=sid, history=talk, summary="All about the harvest.", within=60)
        shown: list[dict[str, Any]] = []
        before: dict[str, int] = {}
        while True:
            structured, text = resume(server, sid, **before)
            assert len(compact(structured)) <= DEFAULT_TOKENS * PER_TOKEN
            assert len(text.encode()) <= DEFAULT_TOKENS * PER_TOKEN
            assert structured["session"]["summary"] == "All about the harvest."
            assert "All about the harvest." in text
            page = structured["session"]["history"]
            assert len(compact(page)) > 0.8 * DEFAULT_TOKENS * PER_TOKEN or not structured.get("next_before_turn")
            shown = page + shown
            if "next_before_turn" not in structured:
                break
            before = {"before_turn": structured["next_before_turn"]}
        assert shown == talk
        newest, text = resume(server, sid)
        assert newest["session"]["history"][-1] == talk[-1]
        assert newest["omitted_turns"] == 2000 - len(newest["session"]["history"])
        assert f"[1999] assistant: {talk[-1]['content'][:40]}" in text.splitlines()[-3]
        assert text.splitlines()[-1] == f"End of the transcript (turns {newest['next_before_turn']} to 1999)."


def test_a_turn_larger_than_the_budget_is_cut_in_both_and_named(disabled_env: dict[str, str], sid: str):
    with WireServer(disabled_env) as server:
        server.call("save_session", session_id=sid, history=[{"role": "user", "content": "word " * 30_000}])
        structured, text = resume(server, sid)
        assert structured["cut_turn"] == 0
        assert "turn 0 is larger than the budget" in structured["message"]
        assert len(compact(structured)) <= DEFAULT_TOKENS * PER_TOKEN
        assert len(text.encode()) <= DEFAULT_TOKENS * PER_TOKEN
        assert "the rest left out" in text


def test_a_state_larger_than_the_budget_is_left_out_and_named(disabled_env: dict[str, str], sid: str):
    with WireServer(disabled_env) as server:
        talk = [{"role": "user", "content": f"turn {number}"} for number in range(50)]
        server.call("save_session", session_id=sid, history=talk, context={"state": "x" * 100_000})
        structured, text = resume(server, sid)
        assert structured["left_out_fields"] == ["context"]
        assert structured["session"]["history"] == talk
        assert len(compact(structured)) <= DEFAULT_TOKENS * PER_TOKEN
        assert len(text.encode()) <= DEFAULT_TOKENS * PER_TOKEN
        whole, _ = resume(server, sid, max_tokens=100_000)
        assert whole["session"]["context"] == {"state": "x" * 100_000}


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("size", [10_000, 100_000, 1_000_000])
async def test_text_and_structured_content_are_each_little_more_than_the_turns(
    disabled_env: dict[str, str], sid: str, size: int, mode: Literal["auto", "legacy"]
):
    talk = history_of(size, random.Random(size))
    command = StdioServerParameters(command=SERVER[0], args=[*SERVER[1:]], env=disabled_env, cwd=disabled_env["HOME"])
    async with Client(stdio_client(command), mode=mode) as client:
        await client.call_tool("save_session", {"session_id": sid, "history": talk})
        for tokens in (DEFAULT_TOKENS, 10**6):
            answer = await client.call_tool("resume_session", {"session_id": sid, "max_tokens": tokens})
            structured = answer.structured_content
            assert structured
            carried = len(compact(structured["session"]["history"]))
            assert len(compact(structured)) <= MOST * carried
            assert len(text_of(answer.content[0]).encode()) <= MOST * carried
            assert len(answer.content) == 1
