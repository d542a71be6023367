"""Transcripts of Codex of 2025 come in as what the person saw, whatever stood around their items then."""

import json
from pathlib import Path
from typing import Any

import pytest

from agentic_flywheel.cli.importers.files import recognise
from agentic_flywheel.cli.importers.following import read_tail, read_whole
from agentic_flywheel.cli.importers.found_files import sources

from .test_importers import bad, conversations, jsonl, written
from .test_importers_codex import asked, file, rollout, shown, words

OWN = "0badcafe-0000-4000-8000-000000000003"
HEAD = {"id": OWN, "timestamp": "2025-08-18T01:16:13.522Z", "instructions": None, "git": {"branch": "main"}}
STATE = {"record_type": "state"}


def said(role: str, text: str, kind: str = "") -> dict[str, Any]:
    kind = kind or ("input_text" if role == "user" else "output_text")
    return {"type": "message", "id": None, "role": role, "content": [{"type": kind, "text": text}]}


def thought(text: str) -> dict[str, Any]:
    return {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": text}],
        "encrypted_content": "x",
    }


ITEMS = [
    said("user", "<environment_context>\n  <cwd>/home/ada/ferns</cwd>\n</environment_context>"),
    said("user", "List."),
    thought("Which?"),
    {"type": "function_call", "id": "fc_1", "name": "shell", "arguments": '{"command":["ls"]}', "call_id": "c1"},
    {"type": "function_call_output", "call_id": "c1", "output": '{"output":"ferns.txt\\n","metadata":{"exit_code":0}}'},
    said("assistant", "Ferns."),
    said("user", "On."),
    {"type": "local_shell_call", "id": None, "call_id": "c2", "status": "completed", "action": {"command": ["pwd"]}},
    {"type": "local_shell_call_output", "call_id": "c2", "output": "/home"},
    said("assistant", "Done."),
]
SHOWN = [
    ("user", "List."),
    ("assistant", '(thinking) Which?\n(calls shell {"command":["ls"]})'),
    ("tool", "(result) ferns.txt"),
    ("assistant", "Ferns."),
    ("user", "On."),
    ("assistant", '(calls local_shell {"command":["pwd"]})'),
    ("tool", "(result) /home"),
    ("assistant", "Done."),
]


def bare(folder: Path, *items: dict[str, Any], **more: Any) -> Path:
    lines = [HEAD | more, *(line for item in items for line in (item, STATE))]
    return written(folder, jsonl(*lines), f"rollout-2025-08-18T01-16-13-{OWN}.jsonl")


def test_lines_that_are_bare_items_are_a_talk(tmp_path: Path):
    path = bare(tmp_path, *ITEMS)
    assert (recognise(path), bad(path)) == ("codex", [])
    [talk] = conversations(path)
    assert shown(talk) == SHOWN
    assert (talk.session_id, talk.title, talk.tags) == (f"codex-{OWN}", "List.", ("project:ferns",))
    assert str(talk.created_at) == "2025-08-18 01:16:13.522000+00:00"
    assert talk.context["git_branch"] == "main"
    earlier = said(
        "user", "<environment_context>\nCurrent working directory: /home/ada/oaks\nx\n</environment_context>"
    )
    [talk] = conversations(bare(tmp_path, earlier, *ITEMS[1:]))
    assert talk.context["cwd"] == "/home/ada/oaks"


@pytest.mark.parametrize("indent", [None, 2])
def test_a_talk_that_is_one_object_is_one_too(tmp_path: Path, indent: int | None):
    value = {"session": {"timestamp": HEAD["timestamp"], "id": OWN, "instructions": ""}, "items": ITEMS}
    path = tmp_path / f"rollout-2025-05-05-{OWN}.json"
    path.write_text(json.dumps(value, indent=indent), "utf-8")
    (tmp_path / "rollout-plan.json").write_text("{}", "utf-8")
    with sources(tmp_path) as found:
        assert found.files == [path]
    assert (recognise(path), bad(path)) == ("codex-object", [])
    [talk] = conversations(path)
    assert (shown(talk), talk.session_id) == (SHOWN, f"codex-{OWN}")


def test_a_file_that_both_wrote_has_each_turn_once(tmp_path: Path):
    today = rollout(*asked("q9", "Later."), first=0)[1:]
    path = written(tmp_path, jsonl(HEAD, *ITEMS, *today), f"rollout-2025-09-18T01-16-13-{OWN}.jsonl")
    [talk] = conversations(path)
    assert shown(talk) == [*SHOWN, ("user", "Later.")]


def test_what_is_added_to_a_file_of_2025_is_not_read_alone(tmp_path: Path):
    path = bare(tmp_path, *ITEMS[:6])
    place = read_whole(path, "codex", 1_000_000).place
    bare(tmp_path, *ITEMS)
    assert read_tail(path, "codex", 1_000_000, place) is None


def test_what_an_editor_put_before_the_words_is_not_the_persons(tmp_path: Path):
    typed = "# Context from my IDE setup:\n\n## Active file: a.py\n\n## My request for Codex:\nWhy?\n## And how?"
    seen = ("event_msg", {"type": "user_message", "message": typed, "kind": "plain"})
    told = ("event_msg", {"type": "user_message", "message": "<environment_context>x", "kind": "environment_context"})
    for lines in ([told, seen], asked("q1", typed), asked("q1", typed)[:1]):
        assert words(file(tmp_path, rollout(*lines))) == ["Why?\n## And how?"]
    assert words(file(tmp_path, rollout(*asked("q1", "What is ## My request for Codex:\n?")))) == [
        "What is ## My request for Codex:\n?"
    ]


def test_thoughts_that_only_the_model_is_given_count_where_nothing_else_tells_them(tmp_path: Path):
    given = [("response_item", each) for each in ITEMS[1:6]]
    [talk] = conversations(file(tmp_path, rollout(*given)))
    assert shown(talk) == SHOWN[:4]
    events = [
        ("event_msg", {"type": "user_message", "message": "List."}),
        ("event_msg", {"type": "agent_reasoning", "text": "Which?"}),
        *given[1:3],
        ("response_item", ITEMS[4]),
        ("event_msg", {"type": "agent_message", "message": "Ferns."}),
        ("response_item", ITEMS[5]),
    ]
    [talk] = conversations(file(tmp_path, rollout(*events)))
    assert shown(talk) == SHOWN[:4]
