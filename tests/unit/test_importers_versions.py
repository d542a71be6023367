"""Of transcripts that another version wrote, with fields of another kind, comes in what the person saw all the same."""

from pathlib import Path
from typing import Any

import pytest

from .test_importers import bad, conversations, jsonl, written

Line = dict[str, Any]

HEAD: Line = {"sessionId": "ferns", "projectHash": "p", "startTime": "2026-11-28T22:49:45.000Z"}
CONTEXT = "<session_context>\nWorkspace Directories:\n  - /home/ada/ferns\n</session_context>"
TIME = "2026-11-28T22:49:45.000Z"


def said(folder: Path, lines: list[Line]) -> list[tuple[str, str]]:
    """Who says what in the one talk of a transcript of these lines, all of which can be read."""
    found = written(folder, jsonl(*lines))
    assert not bad(found)
    (talk,) = conversations(found)
    return [(turn["role"], turn["content"]) for turn in talk.history]


def gemini(own: str, kind: str, content: object) -> Line:
    return {"id": own, "timestamp": TIME, "type": kind, "content": content}


def test_what_the_person_said_beside_the_context_of_gemini_is_kept(tmp_path: Path) -> None:
    asked = gemini("a", "user", [{"text": CONTEXT}, {"text": "Do ferns have seeds?"}])

    assert said(tmp_path, [HEAD, asked, gemini("b", "gemini", "No.")]) == [
        ("user", "Do ferns have seeds?"),
        ("assistant", "No."),
    ]


def test_a_message_of_gemini_that_is_only_context_is_none(tmp_path: Path) -> None:
    context = gemini("a", "user", [{"text": CONTEXT}])

    assert said(tmp_path, [HEAD, context, gemini("b", "user", "Hello")]) == [("user", "Hello")]


@pytest.mark.parametrize("messages", [None, {}, "none"])
def test_a_patch_of_gemini_whose_messages_are_no_list_takes_none_back(tmp_path: Path, messages: object) -> None:
    lines = [HEAD, gemini("a", "user", "Hello"), {"$set": {"messages": messages}}, gemini("b", "gemini", "Good day")]

    assert said(tmp_path, lines) == [("user", "Hello"), ("assistant", "Good day")]


def test_a_result_of_copilot_that_is_plain_text_is_kept(tmp_path: Path) -> None:
    lines: list[Line] = [
        {"type": "session.start", "id": "0", "timestamp": TIME, "data": {"sessionId": "ferns"}},
        {"type": "user.message", "id": "1", "timestamp": TIME, "data": {"content": "List them"}},
        {
            "type": "assistant.message",
            "id": "2",
            "data": {"messageId": "x", "content": "", "toolRequests": [{"toolCallId": "t", "name": "bash"}]},
        },
        {"type": "tool.execution_complete", "id": "3", "data": {"toolCallId": "t", "result": "maidenhair"}},
    ]

    (talk,) = conversations(written(tmp_path, jsonl(*lines)))

    assert talk.history[-1]["role"] == "tool"
    assert "maidenhair" in str(talk.history[-1]["content"])


def given(role: str, *parts: Line) -> Line:
    payload = {"type": "message", "role": role, "content": list(parts)}
    return {"timestamp": TIME, "type": "response_item", "payload": payload}


CODEX: Line = {"timestamp": TIME, "type": "session_meta", "payload": {"id": "ferns", "cwd": "/home/ada/ferns"}}


@pytest.mark.parametrize("tag", ["user_shell_command", "skill", "subagent_notification"])
def test_what_codex_tells_the_model_in_the_persons_name_does_not_speak_as_the_person(tmp_path: Path, tag: str) -> None:
    lines = [
        CODEX,
        given("user", {"type": "input_text", "text": "Hello"}),
        given("user", {"type": "input_text", "text": f"<{tag}>\nls\n</{tag}>"}),
        given("assistant", {"type": "output_text", "text": "Good day"}),
    ]

    assert said(tmp_path, lines) == [("user", "Hello"), ("assistant", "Good day")]


@pytest.mark.parametrize("around", [(), ('<image name=[Image #1] path="fern.png">', "</image>")])
def test_a_picture_that_codex_only_gives_the_model_is_named_without_its_bytes(
    tmp_path: Path, around: tuple[str, ...]
) -> None:
    picture = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
    before, behind = ([{"type": "input_text", "text": each}] for each in around) if around else ([], [])
    asked = {"type": "input_text", "text": "What is it?"}
    lines = [CODEX, given("user", asked, *before, picture, *behind)]

    (talk,) = conversations(written(tmp_path, jsonl(*lines)))

    assert talk.history[0]["content"] == [
        {"type": "text", "text": "What is it?"},
        {"type": "image", "omitted_characters": len("data:image/png;base64,AAAA")},
    ]
