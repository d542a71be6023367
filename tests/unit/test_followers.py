"""What is new in a growing transcript is read alone, and comes to what the whole file says."""

import json
from pathlib import Path
from typing import Any

import pytest

from agentic_flywheel.cli.importers.conversation import Imported
from agentic_flywheel.cli.importers.following import read_tail, read_whole
from agentic_flywheel.cli.importers.noted import Place

from .test_importers import jsonl
from .test_importers_claude_code import answer as part
from .test_importers_claude_code import call as tool
from .test_importers_claude_code import line as event
from .test_importers_claude_code import outcome as result
from .test_importers_claude_code import text as block
from .test_importers_codex import ENDED, SHADE, THREAD, answered, asked, called, command, item, output, rollout
from .test_importers_qwen_code import TALK, call, line, outcome, system, text

LIMIT = 1_000_000
DONE = ("event_msg", {"type": "task_complete"})
STOPPED = ("event_msg", {"type": "turn_aborted", "reason": "interrupted"})
BEGUN = ("event_msg", {"type": "task_started"})

CODEX = rollout(
    *SHADE, DONE,
    BEGUN, *asked("q2", "List."), *answered("m2", "I look.", "Which?"), called("c1", cmd="ls"), called("c2", cmd="ls"),
    ENDED, command("c1", "ferns.txt"), output("c1", "x"), output("c2", "y"), *answered("m3", "Done."), ENDED, DONE,
    BEGUN, *asked("q3", "Wait."), item("Reasoning", "r", summary_text=["Hm."]), STOPPED,
    BEGUN, *asked("q4", "On."), *answered("m4", "Yes."), ENDED, DONE,
)  # fmt: skip
QWEN = [
    *TALK,
    line("7", "6", "user", text("Both.")),
    line("8", "7", "assistant", call("c2"), call("c3")),
    line("9", "8", "tool_result", outcome("c2", output="x")),
    line("10", "9", "tool_result", outcome("c3", output="y")),
    system("11", "10", "ui_telemetry"),
    line("12", "11", "assistant", text("Done.")),
]

CLAUDE = [
    event("1", None, words="Both?"),
    part("2", "1", "m1", tool("c1")),
    part("3", "2", "m1", tool("c2")),
    event("4", "2", words=[*result("c1"), block("Quick.")]),
    event("5", "3", words=result("c2")),
    part("6", "5", "m2", block("Done.")),
    event("7", "6", words="Again."),
    part("8", "7", "m3", tool("c3")),
    event("9", "8", words=[*result("c3"), block("Only ferns.")]),
    part("a", "9", "m4", block("Fine.")),
]


def turns(entries: list[Any]) -> list[Any]:
    return [turn for each in entries if isinstance(each, Imported) for turn in each.history]


@pytest.mark.parametrize(("kind", "lines"), [("codex", CODEX), ("qwen-code", QWEN), ("claude-code", CLAUDE)])
def test_what_is_new_comes_to_what_the_whole_says_wherever_a_run_ended(tmp_path: Path, kind: str, lines: list[Any]):
    path, tails = tmp_path / "s.jsonl", 0
    path.write_text(jsonl(*lines), "utf-8")
    whole = read_whole(path, kind, LIMIT).entries
    for ended in range(1, len(lines)):
        path.write_text(jsonl(*lines[:ended]) + '{"cut', "utf-8")
        place = read_whole(path, kind, LIMIT).place
        path.write_text(jsonl(*lines[: place.line]), "utf-8")
        before = turns(read_whole(path, kind, LIMIT).entries) if place.line else []
        path.write_text(jsonl(*lines), "utf-8")
        grown = read_tail(path, kind, LIMIT, place)
        assert grown is not None
        assert before + turns(grown.entries) == turns(whole)
        assert {each.session_id for each in grown.entries if isinstance(each, Imported)} <= {
            each.session_id for each in whole if isinstance(each, Imported)
        }
        assert grown.place.line == len(lines)
        tails += place.line > 0
    assert tails > len(lines) / 2


@pytest.mark.parametrize(
    ("kind", "lines", "more"),
    [
        ("codex", CODEX, ("compacted", {"message": "Ferns."})),
        ("codex", CODEX, ("event_msg", {"type": "thread_rolled_back", "num_turns": 1})),
        ("codex", CODEX, command("c1", "printed later")),
        ("codex", CODEX, ("session_meta", {"id": "another"})),
        ("qwen-code", QWEN, line("13", "6", "user", text("Taken back."))),
        ("qwen-code", QWEN, system("13", "12", "rewind")),
        ("qwen-code", QWEN, system("13", "12", "chat_compression")),
        ("qwen-code", QWEN, system("13", "12", "custom_title", customTitle="Ferns")),
        ("qwen-code", QWEN, line("12", "11", "assistant", text("And more of it."))),
    ],
)
def test_what_changes_something_before_asks_for_the_whole(tmp_path: Path, kind: str, lines: list[Any], more: Any):
    path = tmp_path / "s.jsonl"
    path.write_text(jsonl(*lines), "utf-8")
    place = read_whole(path, kind, LIMIT).place
    assert place.line == len(lines)
    with path.open("a", encoding="utf-8") as file:
        file.write(jsonl(more if isinstance(more, dict) else {"type": more[0], "ordinal": 99, "payload": more[1]}))
    assert read_tail(path, kind, LIMIT, Place(place.offset, place.line, json.loads(json.dumps(place.state)))) is None


def test_a_title_that_is_told_again_is_no_other(tmp_path: Path):
    path = tmp_path / "s.jsonl"
    path.write_text(jsonl(*QWEN, system("13", "12", "custom_title", customTitle="Ferns")), "utf-8")
    place = read_whole(path, "qwen-code", LIMIT).place
    with path.open("a", encoding="utf-8") as file:
        file.write(
            jsonl(system("14", "13", "custom_title", customTitle="Ferns"), line("15", "14", "user", text("On.")))
        )
    grown = read_tail(path, "qwen-code", LIMIT, place)
    assert grown is not None
    assert [turn["content"] for turn in turns(grown.entries)] == ["On."]


def test_the_head_of_a_talk_is_read_for_what_is_new(tmp_path: Path):
    path = tmp_path / "s.jsonl"
    path.write_text(jsonl(*CODEX), "utf-8")
    place = read_whole(path, "codex", LIMIT).place
    given, seen = asked("q5", "And?")
    with path.open("a", encoding="utf-8") as file:  # the program has not said yet that the person saw it
        file.write(jsonl({"type": given[0], "ordinal": 99, "payload": given[1]}))
    first = read_tail(path, "codex", LIMIT, place)
    with path.open("a", encoding="utf-8") as file:
        file.write(jsonl({"type": seen[0], "ordinal": 100, "payload": seen[1]}))
    then = read_tail(path, "codex", LIMIT, place)
    assert first is not None
    assert then is not None
    assert turns(first.entries) == []
    [talk] = (each for each in then.entries if isinstance(each, Imported))
    assert [turn["id"] for turn in talk.history] == ["q5"]
    assert (talk.session_id, talk.context["program_version"]) == (f"codex-{THREAD}", "0.171.0")
