"""Talks with the flow backends come in with their flow, session and user; what is one execution is told from a talk."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentic_flywheel.cli.importers.files import recognise
from agentic_flywheel.documents.tool_calls import ToolCalls, tool_calls

from .test_importers import JSON, bad, conversations, said, written

FLOW = "0f1e2d3c-0000-4000-8000-000000000001"


def said_there(number: int, sender: str, text: str, session: str = "ferns", **fields: Any) -> dict[str, Any]:
    """A message as Langflow's API answers it."""
    return {
        "id": f"{number:08}-0000-4000-8000-000000000002",
        "flow_id": FLOW,
        "timestamp": f"2026-11-28 23:40:{number:02}.000887 UTC",
        "sender": sender,
        "sender_name": "AI",
        "session_id": session,
        "text": text,
        "files": "[]",
        "properties": {"state": "complete"},
        "category": "message",
        "content_blocks": [],
    } | fields


def row(number: int, role: str, content: str, **fields: Any) -> dict[str, Any]:
    """A row of Flowise's `ChatMessage`."""
    return {
        "id": f"row-{number}",
        "role": role,
        "chatflowid": "flow",
        "content": content,
        "chatId": "chat",
        "sessionId": None,
        "memoryType": None,
        "createdDate": f"2026-11-28T10:00:0{number}.000Z",
    } | fields


# --- Langflow


def test_messages_of_langflow_are_a_talk_for_each_flow_and_session(tmp_path: Path):
    messages = [
        said_there(3, "Machine", "Moss.", content_blocks=[]),
        said_there(1, "User", "Which ferns?"),
        said_there(2, "Machine", "Lady fern.", files='["flow/fern.png"]'),
        said_there(4, "Machine", "Lad", properties={"state": "partial"}),
        said_there(5, "User", "Alone.", session=FLOW),
        said_there(6, "Machine", "No model answered.", session=FLOW, category="error"),
    ]
    path = written(tmp_path, messages, "messages.json")
    assert recognise(path) == "langflow"
    assert not bad(path)
    ferns, alone = conversations(path)
    assert (ferns.session_id, alone.session_id) == (f"langflow-{FLOW}-ferns", f"langflow-{FLOW}-{FLOW}")
    assert said(ferns) == [("user", "Which ferns?"), ("assistant", "Lady fern."), ("assistant", "Moss.")]
    assert said(alone) == [("user", "Alone."), ("assistant", "No model answered.")]
    assert ferns.values == {"backend": "langflow", "backend_session_id": "ferns", "current_flow_id": FLOW}
    assert ferns.history[0]["id"] == "00000001-0000-4000-8000-000000000002"
    assert ferns.history[1]["files"] == [{"name": "flow/fern.png"}]
    assert ferns.created_at == datetime(2026, 11, 28, 23, 40, 1, 887, UTC)
    assert ferns.title == "Which ferns?"


def test_steps_of_langflow_are_thoughts_calls_and_results(tmp_path: Path):
    steps = [
        {"type": "text", "text": "Which ferns?", "header": {"title": "Input"}},
        {"type": "tool_use", "name": "look_up", "tool_input": {"plant": "fern"}, "output": [{"page": "F" * 3000}]},
        {"type": "tool_use", "name": "grow", "tool_input": '{"n": 2}', "error": "no soil"},
        {"type": "reasoning", "text": "Shade helps."},
    ]
    for blocks in ([{"title": "Agent Steps", "contents": steps}], json.dumps(steps)):
        path = written(tmp_path, [said_there(1, "Machine", "In shade.", content_blocks=blocks)])
        [turn] = conversations(path)[0].history
        kinds = [block["type"] for block in turn["content"]]
        assert kinds == ["tool_use", "tool_result", "tool_use", "tool_result", "thinking", "text"]
        assert "1,000 more characters of a page" in turn["content"][1]["content"]
        assert turn["content"][2]["input"] == {"n": 2}
        assert turn["content"][3]["is_error"]
        calls = tool_calls(turn)
        assert calls == ToolCalls(calls.made, calls.made)
        assert len(calls.made) == 2


def test_the_table_of_langflow_gives_the_same_talks_as_its_api(tmp_path: Path):
    messages = [
        said_there(1, "User", "Which ferns?", files='["a.png"]'),
        said_there(2, "Machine", "Lady fern.", content_blocks=[{"type": "reasoning", "text": "Shade."}]),
        said_there(3, "Machine", "La", properties={"state": "partial"}),
    ]
    path = tmp_path / "langflow.db"
    with closing(sqlite3.connect(path)) as made, made:
        made.execute(f"CREATE TABLE message (user_id, {', '.join(messages[0])})")
        for each in messages:
            plain = {name: json.dumps(value) if isinstance(value, list | dict) else value
                     for name, value in each.items()}  # fmt: skip
            plain |= {name: plain[name].replace("-", "") for name in ("id", "flow_id")}
            plain["timestamp"] = plain["timestamp"].removesuffix(" UTC")
            made.execute(f"INSERT INTO message VALUES (7{', ?' * len(plain)})", [*plain.values()])  # noqa: S608
    assert recognise(path) == "langflow"
    assert not bad(path)
    [table], [api] = conversations(path), conversations(written(tmp_path, messages, "messages.json"))
    assert replace(table, line=0) == replace(api, line=0)


@pytest.mark.parametrize("columns", ["id", "id, flow_id, timestamp, sender, session_id, text"])
def test_a_table_of_another_program_is_told(tmp_path: Path, columns: str):
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as made:
        made.execute(f"CREATE TABLE message ({columns})")
    [told] = bad(path)
    assert told.reason == "has not the columns that this version of its program is known to write"


@pytest.mark.parametrize(
    "value",
    [
        {"session_id": "s", "outputs": [{"inputs": {"input_value": "Hi"}, "outputs": [{"results": {}}]}]},
        {"text": "Hi", "question": "Hi?", "chatId": "c", "chatMessageId": "m", "isStreamValid": False},
    ],
)
def test_the_answer_of_a_run_is_no_talk(tmp_path: Path, value: Any):
    [told] = bad(written(tmp_path, value, "run.json"))
    assert "keep it with the tool cache_result" in told.reason
    assert not told.is_foreign


# --- Flowise


def test_the_download_of_flowise_has_its_flow_in_its_name(tmp_path: Path):
    talk = {
        "id": "chat-1",
        "source": "UI",
        "sessionId": None,
        "memoryType": None,
        "email": "ada@example.org",
        "messages": [
            {"content": "Ferns?", "role": "user", "time": "2026-11-28T10:00:00.000Z"},
            {
                "content": "Lady fern.",
                "role": "bot",
                "time": "2026-11-28T10:00:01.000Z",
                "usedTools": [{"tool": "books", "toolInput": {"q": "fern"}, "toolOutput": "p. 7"}],
                "sourceDocuments": [{"pageContent": "F" * 3000, "metadata": {"source": "ferns.pdf"}}],
            },
        ],
    }
    other = talk | {"id": "chat-2_buffer_s", "sessionId": "s", "email": None}
    path = written(tmp_path, [talk, other], f"{FLOW}-Message (1).json")
    assert recognise(path) == "flowise"
    assert not bad(path)
    first, second = conversations(path)
    assert (first.session_id, second.session_id) == (f"flowise-{FLOW}-chat-1", f"flowise-{FLOW}-s")
    assert first.values == {
        "backend": "flowise",
        "backend_session_id": "chat-1",
        "current_flow_id": FLOW,
        "user_id": "ada@example.org",
    }
    assert [turn["id"] for turn in first.history] == ["1", "2"]
    call, result, document, words = first.history[1]["content"]
    assert (call["name"], result["content"], words["text"]) == ("books", "p. 7", "Lady fern.")
    assert document["title"] == "ferns.pdf"
    assert document["text"].endswith("… [1,000 more characters of a page were left out at import]")
    elsewhere = written(tmp_path, [talk], "talks.json")
    assert conversations(elsewhere)[0].session_id == "flowise-chat-1"


@pytest.mark.parametrize("shape", ["workspace", "rows", "one row"])
def test_rows_of_flowise_are_a_talk_for_each_flow_and_chat(tmp_path: Path, shape: str):
    rows = [
        row(2, "apiMessage", "Lady fern.", reasonContent='{"thinking": "Shade."}', usedTools='[{"tool": "t"}]'),
        row(1, "userMessage", "Ferns?", leadEmail="ada@example.org", fileUploads='[{"name": "a.png", "data": "x"}]'),
        row(3, "userMessage", "Moss?", sessionId="s"),
    ]
    values = {"workspace": {"ChatFlow": [], "AgentFlowV2": [], "ChatMessage": rows}, "rows": rows, "one row": rows[:1]}
    path = written(tmp_path, values[shape], "ExportData.json")
    assert recognise(path) == "flowise"
    assert not bad(path)
    chat, *others = conversations(path)
    assert chat.session_id == "flowise-flow-chat"
    answer = chat.history[-1]
    assert answer["id"] == "row-2"
    assert [block["type"] for block in answer["content"]] == ["thinking", "tool_use", "text"]
    if shape != "one row":
        assert [turn["role"] for turn in chat.history] == ["user", "assistant"]
        assert chat.history[0]["files"] == [{"name": "a.png"}]
        assert chat.values["user_id"] == "ada@example.org"
        assert [each.session_id for each in others] == ["flowise-flow-s"]


def test_a_message_of_nobody_costs_only_itself(tmp_path: Path):
    path = written(tmp_path, [row(1, "userMessage", "a"), row(2, "critic", "b"), 7])
    assert [each.reason for each in bad(path)] == [
        "is not a JSON object",
        "has a message (2) left out: its role is none of userMessage, apiMessage, user and bot",
    ]
    assert said(conversations(path)[0]) == [("user", "a")]


@pytest.mark.slow
@given(JSON, JSON, st.sampled_from(["content_blocks", "properties", "files", "session_id", "flow_id", "text", "id",
                                    "usedTools", "sourceDocuments", "reasonContent", "agentReasoning", "chatflowid",
                                    "messages", "sessionId", "timestamp", "createdDate", "fileUploads"]))  # fmt: skip
def test_no_field_makes_reading_fail(tmp_path_factory: pytest.TempPathFactory, value: Any, more: Any, field: str):
    folder = tmp_path_factory.mktemp("odd")
    nested = [{"type": "tool_use", "name": value, "input": more, "output": value}, {"tool": more, "toolOutput": value}]
    for given_value in (value, json.dumps([more]), nested, json.dumps(nested)):
        odd = {field: given_value}
        talk = {"id": "c", "source": "UI", "sessionId": "s", "messages": [row(1, "user", "a") | odd]} | odd
        for entries in ([said_there(1, "User", "a") | odd], [row(1, "userMessage", "a") | odd], [talk]):
            path = written(folder, entries)
            recognise(path)
            for kind in ("langflow", "flowise"):
                conversations(path, kind)
