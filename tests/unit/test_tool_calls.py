"""What a turn calls and answers, in the shapes in which programs keep it; and where a window may begin."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentic_flywheel.documents.tool_calls import LOOKED_BACK, last_unit, next_start, tool_calls
from agentic_flywheel.json_text import dumps
from agentic_flywheel.sessions.budget import ANSWER_OVERHEAD, BYTES_PER_TOKEN, MIN_IN_UNIT, cut_turn, token_window

from .test_window import document

Turn = dict[str, Any]

PAIRS: dict[str, tuple[Turn, Turn]] = {
    "OpenAI chat": (
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "sun"},
    ),
    "OpenAI functions": (
        {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": "{}"}},
        {"role": "function", "name": "look", "content": "sun"},
    ),
    "Ollama": (
        {"role": "assistant", "tool_calls": [{"function": {"name": "look", "arguments": {}}}]},
        {"role": "tool", "name": "look", "content": "sun"},
    ),
    "OpenAI Responses": (
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "sun"},
    ),
    "Responses, custom": (
        {"type": "custom_tool_call", "id": "ct_1", "call_id": "c1", "name": "look", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "sun"},
    ),
    "Anthropic": (
        {"role": "assistant", "content": [{"type": "text", "text": "I look."}, {"type": "tool_use", "id": "c1"}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "sun"}]},
    ),
    "Gemini": (
        {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {"result": "sun"}}}]},
    ),
    "Google ADK": (
        {"author": "a", "id": "e1", "content": {"parts": [{"function_call": {"id": "c1", "name": "look"}}]}},
        {"author": "a", "id": "e2", "content": {"parts": [{"function_response": {"id": "c1", "name": "look"}}]}},
    ),
    "Qwen Code": (
        {"type": "assistant", "message": {"role": "model", "parts": [{"functionCall": {"id": "c1", "name": "look"}}]}},
        {"type": "tool_result", "uuid": "u", "message": {"parts": [{"functionResponse": {"id": "c1"}}]}},
    ),
    "pydantic-ai": (
        {"kind": "response", "parts": [{"part_kind": "tool-call", "tool_name": "look", "tool_call_id": "c1"}]},
        {"kind": "request", "parts": [{"part_kind": "tool-return", "tool_name": "look", "tool_call_id": "c1"}]},
    ),
    "pydantic-ai, once more": (
        {"kind": "response", "parts": [{"part_kind": "tool-call", "tool_name": "look", "tool_call_id": "c1"}]},
        {"kind": "request", "parts": [{"part_kind": "retry-prompt", "tool_name": "look", "tool_call_id": "c1"}]},
    ),
    "LangChain": (
        {"type": "ai", "data": {"id": "run-1", "tool_calls": [{"name": "look", "args": {}, "id": "c1"}]}},
        {"type": "tool", "data": {"type": "tool", "id": "m2", "content": "sun", "tool_call_id": "c1"}},
    ),
    "LangChain, dumpd": (
        {"lc": 1, "type": "constructor", "id": ["AIMessage"], "kwargs": {"tool_calls": [{"name": "look", "id": "c1"}]}},
        {"lc": 1, "type": "constructor", "id": ["ToolMessage"], "kwargs": {"type": "tool", "tool_call_id": "c1"}},
    ),
    "AI SDK": (
        {"role": "assistant", "content": [{"type": "tool-call", "toolCallId": "c1", "toolName": "look"}]},
        {"role": "tool", "content": [{"type": "tool-result", "toolCallId": "c1", "toolName": "look"}]},
    ),
    "Bedrock and Strands": (
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "c1", "name": "look", "input": {}}}]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "c1", "content": [{"text": "sun"}]}}]},
    ),
    "Semantic Kernel": (
        {"role": "assistant", "items": [{"content_type": "function_call", "id": "c1", "name": "look"}]},
        {"role": "tool", "items": [{"content_type": "function_result", "id": "c1", "result": "sun"}]},
    ),
    "Haystack": (
        {"role": "assistant", "content": [{"tool_call": {"tool_name": "look", "arguments": {}, "id": "c1"}}]},
        {"role": "tool", "content": [{"tool_call_result": {"result": "sun", "origin": {"id": "c1"}}}]},
    ),
    "LlamaIndex": (
        {"role": "assistant", "blocks": [], "additional_kwargs": {"tool_calls": [{"id": "c1", "function": {}}]}},
        {"role": "tool", "blocks": [], "additional_kwargs": {"tool_call_id": "c1", "name": "look"}},
    ),
    "AutoGen": (
        {"type": "ToolCallRequestEvent", "id": "e1", "content": [{"id": "c1", "name": "look", "arguments": "{}"}]},
        {"type": "ToolCallExecutionEvent", "id": "e2", "content": [{"call_id": "c1", "content": "sun"}]},
    ),
    "Agent Framework": (
        {"role": "assistant", "contents": [{"type": "function_call", "call_id": "c1", "name": "look"}]},
        {"role": "tool", "contents": [{"type": "function_result", "call_id": "c1", "result": "sun"}]},
    ),
    "Copilot CLI": (
        {"type": "assistant.message", "data": {"toolRequests": [{"toolCallId": "c1", "name": "look"}]}},
        {"type": "tool.execution_complete", "data": {"toolCallId": "c1", "success": True}},
    ),
}
BOTH: dict[str, Turn] = {
    "a UI message": {"role": "assistant", "parts": [{"type": "tool-look", "toolCallId": "c1", "state": "done"}]},
    "opencode": {"role": "assistant", "parts": [{"type": "tool", "callID": "c1", "state": {"output": "sun"}}]},
    "Anthropic's own tools": {
        "role": "assistant",
        "content": [
            {"type": "server_tool_use", "id": "c1"},
            {"type": "web_search_tool_result", "tool_use_id": "c1", "content": []},
        ],
    },
}
NEITHER: list[Turn] = [
    {"role": "user", "content": "look at c1", "id": "c1", "name": "Ada"},
    {"role": "assistant", "content": [{"type": "output_text", "text": "x"}], "id": "msg_1", "type": "message"},
    {"type": "reasoning", "id": "rs_1", "summary": []},
    {"metadata": {"tool_call_id": "c1"}},
    {},
]


@pytest.mark.parametrize(("call", "result"), [pytest.param(*pair, id=name) for name, pair in PAIRS.items()])
def test_a_call_and_its_result_are_known_in_each_programs_shape(call: Turn, result: Turn):
    made, answered = tool_calls(call), tool_calls(result)
    assert (len(made.made), made.answered) == (1, set())
    assert (answered.made, answered.answered) == (set(), made.made)
    talk = [{"role": "user", "content": "a"}, call, {"role": "user", "content": "meanwhile"}, result]
    assert [next_start([*talk, {"content": "b"}], start, 5) for start in range(5)] == [0, 1, 4, 4, 4]
    assert (last_unit(talk, 4), last_unit(talk, 3)) == (1, 2)


@pytest.mark.parametrize("turn", [pytest.param(turn, id=name) for name, turn in BOTH.items()])
def test_what_is_answered_where_it_is_called_holds_nothing_together(turn: Turn):
    found = tool_calls(turn)
    assert found.made == found.answered == {"c1"}
    assert next_start([turn, turn], 1, 2) == 1


@pytest.mark.parametrize("turn", NEITHER, ids=dumps)
def test_other_turns_call_and_answer_nothing(turn: Turn):
    found = tool_calls(turn)
    assert not found.made | found.answered


def test_a_result_without_its_call_is_a_turn_like_any_other():
    lone = {"role": "tool", "tool_call_id": "gone", "content": "x"}
    assert next_start([{"content": "a"}, lone, lone], 1, 3) == 1
    assert last_unit([{"content": "a"}, lone], 2) == 1
    call, result = PAIRS["OpenAI chat"]
    assert next_start([call, *[{"content": "x"}] * LOOKED_BACK, result], 1 + LOOKED_BACK, 2 + LOOKED_BACK) == 1001


def test_an_id_that_is_used_again_belongs_to_the_nearest_call():
    call, result = PAIRS["Gemini"]
    talk = [call, result, call, result]
    assert [next_start(talk, start, 4) for start in range(4)] == [0, 2, 2, 4]
    assert last_unit(talk, 4) == 2
    others = PAIRS["OpenAI chat"]
    assert next_start([others[0], call, result, others[1], call, result], 1, 6) == 4


KINDS = st.sampled_from([*PAIRS.values()])


@st.composite
def talks(draw: st.DrawFn) -> list[Turn]:
    """Talks with several calls under way at once, answered later, among other turns, small and large."""
    talk: list[Turn] = []
    waiting: list[Turn] = []
    for number in range(draw(st.integers(1, 30))):
        what = draw(st.sampled_from(["say", "call", "answer"]))
        if what == "call":
            call, result = draw(KINDS)
            renamed = [{**turn, "n": number} for turn in (call, result)]
            talk.append(renamed[0])
            waiting.append(renamed[1] | {"text": "r" * draw(st.sampled_from([1, 300, 9000]))})
        elif what == "answer" and waiting:
            talk.append(waiting.pop(draw(st.integers(0, len(waiting) - 1))))
        else:
            talk.append({"role": "user", "content": f"{number} " + "w" * draw(st.sampled_from([1, 200, 9000]))})
    return talk


def splits(history: list[Turn], start: int) -> bool:
    """Whether there is a result from `start` on whose call is before it."""
    made: dict[str, int] = {}
    for position, turn in enumerate(history):
        calls = tool_calls(turn)
        if any(made.get(identity, start) < start <= position for identity in calls.answered - calls.made):
            return True
        made |= dict.fromkeys(calls.made, position)
    return False


def held_together() -> list[Turn]:
    """Two calls under way at once, among other turns: all from the first call to the last result is one unit."""
    call, result = PAIRS["OpenAI Responses"]
    small, large = ({"role": "user", "content": "w" * size} for size in (3, 202))
    calls = [call | {"n": number} for number in range(2)]
    first, second = (result | {"n": number, "text": "r" * 300} for number in range(2))
    return [*calls, *[small] * 3, PAIRS["OpenAI chat"][0], first, *[large] * 5, second, *[small] * 4]


@pytest.mark.slow
@settings(max_examples=400)
@given(talks(), st.integers(600, 4000))
@example(held_together(), 676)
def test_no_window_begins_between_a_call_and_its_result_and_pages_are_the_whole(talk: list[Turn], tokens: int):
    whole, before, seen = document(talk), len(talk), 0
    while before:
        window = token_window(whole, None, tokens, before)
        in_the_unit = before - last_unit(talk, before)
        assert not splits(talk[:before], window.start) or in_the_unit * MIN_IN_UNIT > tokens * BYTES_PER_TOKEN - 1500
        assert window.end == before
        size = len(dumps(window.session).encode())
        assert size <= tokens * BYTES_PER_TOKEN - (ANSWER_OVERHEAD if window.cut or window.start else 0)
        shown = window.session["history"]
        assert [turn for n, turn in enumerate(shown, window.start) if n not in window.cut] == [
            turn for n, turn in enumerate(talk[window.start : before], window.start) if n not in window.cut
        ]
        seen += len(shown)
        before = window.start
    assert seen == len(talk)


def test_a_result_that_is_too_large_is_cut_in_its_own_shape_beside_its_whole_call():
    call, result = PAIRS["Anthropic"]
    page = {"role": "user", "content": [result["content"][0] | {"content": "page " * 40_000}]}
    window = token_window(document([{"role": "user", "content": "look"}, call, page]), None, 9_500)
    assert (window.start, window.cut) == (1, [2])
    shown = window.session["history"]
    assert shown[0] == call
    (part,) = shown[1]["content"]
    assert (part["type"], part["tool_use_id"]) == ("tool_result", "c1")
    assert part["content"].startswith("page page")
    assert part["content"].endswith("… [200,000 characters, the rest left out]")
    assert len(dumps(window.session).encode()) > 30_000


@pytest.mark.parametrize("program", PAIRS)
def test_a_call_and_its_result_stay_together_beside_a_title_tags_and_a_summary(program: str):
    call, result = PAIRS[program]
    large = {"role": "assistant", "content": "fern " * 400}
    talk = document([large, call, result, large])
    state = replace(talk, title="A bed in deep shade " * 4, tags=("garden", "shade"), summary="Hostas, slugs. " * 200)
    for tokens in range(500, 900, 20):
        window = token_window(state, None, tokens, 3)
        assert (window.start, window.end) == (1, 3), tokens
        assert len(dumps(window.session).encode()) <= tokens * BYTES_PER_TOKEN - ANSWER_OVERHEAD


@pytest.mark.parametrize("turn", [{"role": "user", "parts": [{"text": "é\n" * 5000}] * 40}, {"x": [*range(50_000)]}])
def test_a_turn_of_many_parts_is_cut_too(turn: Turn):
    assert len(dumps(cut_turn(turn, 5000)).encode()) <= 5000
