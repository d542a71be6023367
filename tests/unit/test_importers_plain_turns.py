"""Lists of turns as programs send them to models: each turn comes in, and each talk is one of its own."""

import json
from pathlib import Path
from typing import Any

import pytest

from agentic_flywheel.cli.importers.files import recognise

from .test_importers import bad, conversations, jsonl, said, written

Q, A = {"role": "user", "content": "Which ferns?"}, {"role": "assistant", "content": "Lady fern."}
CALLS = {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "look"}}]}
RESULT = {"role": "tool", "tool_call_id": "c", "content": "Found."}


@pytest.mark.parametrize(
    "turns",
    [
        [Q, CALLS, RESULT, A],
        [Q, {"role": "assistant", "function_call": {"name": "look", "arguments": "{}"}}, A],
        [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Which ferns?"}]},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Shade."}]},
            {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "Found."},
        ],
        [
            {"id": "1", "role": "user", "parts": [{"type": "text", "text": "Which ferns?"}]},
            {"id": "2", "role": "assistant", "parts": [{"type": "step-start"}, {"type": "text", "text": "Lady fern."}]},
        ],
        [
            {"role": "user", "additional_kwargs": {}, "blocks": [{"block_type": "text", "text": "Which ferns?"}]},
            {"role": "assistant", "additional_kwargs": {}, "blocks": [{"block_type": "text", "text": "Lady fern."}]},
        ],
    ],
    ids=["calls without words", "an old call", "Responses", "AI SDK", "LlamaIndex"],
)
def test_a_turn_comes_in_whose_words_stand_elsewhere_or_that_only_calls_a_tool(tmp_path: Path, turns: list[Any]):
    for file in (turns, {"messages": turns}):
        path = written(tmp_path, file, "talk.json")
        [talk] = conversations(path)
        assert (talk.history, talk.title, bad(path)) == (turns, "Which ferns?", [])


def test_turns_may_stand_a_line_each_and_grow(tmp_path: Path):
    one = conversations(written(tmp_path, jsonl(Q), "talk.jsonl"))
    more = conversations(written(tmp_path, jsonl(Q, A, Q), "talk.jsonl"))
    assert [talk.session_id for talk in one] == [talk.session_id for talk in more]
    assert more[0].history == [Q, A, Q]


@pytest.mark.parametrize("role", ["system", "developer"])
def test_talks_that_begin_with_the_same_instructions_are_not_taken_for_one(tmp_path: Path, role: str):
    told = {"role": role, "content": "Be brief."}
    first, other, grown = (
        conversations(written(tmp_path, turns, "messages.json"))[0].session_id
        for turns in ([told, Q, A], [told, {"role": "user", "content": "Moss?"}], [told, Q, A, Q])
    )
    assert first == grown != other


def test_a_talk_that_has_an_id_keeps_it_wherever_it_stands_in_its_file(tmp_path: Path):
    talks = [{"id": "a", "messages": [Q, A]}, {"id": "b", "messages": [Q]}]
    before = {talk.session_id: len(talk.history) for talk in conversations(written(tmp_path, talks, "talks.json"))}
    newer = [{"id": "c", "messages": [Q]}, *talks]
    after = {talk.session_id: len(talk.history) for talk in conversations(written(tmp_path, newer, "talks.json"))}
    assert (len(before), len(after), before.items() <= after.items()) == (2, 3, True)


def test_a_talk_has_the_title_and_the_time_that_stand_beside_its_turns(tmp_path: Path):
    talk = {"title": "Ferns", "created_at": "2026-01-02T03:04:05Z", "messages": [Q, A]}
    [found] = conversations(written(tmp_path, talk, "talk.json"))
    assert found.title == "Ferns"
    assert found.created_at
    assert found.created_at.isoformat() == "2026-01-02T03:04:05+00:00"


def test_what_a_model_of_gemini_is_given_is_still_told_from_these(tmp_path: Path):
    contents = [{"role": "user", "parts": [{"text": "Which ferns?"}]}, {"role": "model", "parts": [{"text": "Lady."}]}]
    path = written(tmp_path, contents, "checkpoint-a.json")
    assert recognise(path) == "gemini-checkpoint"
    assert said(conversations(path)[0]) == [("user", "Which ferns?"), ("assistant", "Lady.")]


@pytest.mark.parametrize(
    "foreign",
    [
        {"contents": [{"role": "user", "parts": [{"text": "Q"}]}]},
        [{"type": "human", "data": {"content": "Q"}}, {"type": "ai", "data": {"content": "A"}}],
        [{"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]}],
        [{"id": "u", "title": "T", "chat": {"history": {"messages": {}}, "messages": [Q]}}],
        {"conversationId": "c", "title": "T", "messages": [{"messageId": "a", "sender": "User", "text": "Q"}]},
        ["Q", "A"],
    ],
    ids=["Gemini's request", "LangChain", "ShareGPT", "Open WebUI", "LibreChat", "texts"],
)
def test_lists_of_other_stores_are_refused_and_not_kept_wrong(tmp_path: Path, foreign: Any):
    path = written(tmp_path, foreign, "talk.json")
    assert conversations(path) == []
    assert [each.is_foreign for each in bad(path)] == [True]


@pytest.mark.parametrize("empty", ["[]", "\ufeff[\n]\n", '{"conversations": []}'])
def test_a_part_of_an_export_without_talks_is_nothing_that_is_lost(tmp_path: Path, empty: str):
    assert bad(written(tmp_path, empty, "conversations-001.json")) == []


def test_a_list_of_turns_with_something_else_in_it_names_that(tmp_path: Path):
    path = written(tmp_path, json.dumps([Q, {"role": "assistant", "tool_calls": []}, A]), "talk.json")
    assert [each.reason for each in bad(path)] == ["is no turn: it has no role or no content"]
    assert conversations(path)[0].history == [Q, A]
