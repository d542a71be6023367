"""Talks of pi: the way to where the person is, commands of their own, names, summaries, forks with their origin."""

from pathlib import Path
from typing import Any

from .test_importers import bad, conversations, jsonl, said, written

OWN, FORK = "01a2feed-0000-7000-8000-000000000001", "01a2feed-0000-7000-8000-000000000002"
HEAD: dict[str, Any] = {
    "type": "session",
    "version": 3,
    "id": OWN,
    "timestamp": "2026-03-01T08:00:00.000Z",
    "cwd": "/home/ann/heron",
}


def entry(own: str, parent: str | None, kind: str, **more: Any) -> dict[str, Any]:
    time = f"2026-03-01T08:00:{int(own, 16) % 60:02}.000Z"
    return {"type": kind, "id": own, "parentId": parent, "timestamp": time, **more}


def message(own: str, parent: str | None, role: str, content: object, **more: Any) -> dict[str, Any]:
    return entry(own, parent, "message", message={"role": role, "content": content, "timestamp": 1, **more})


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


CALLS = [{"type": "toolCall", "id": call, "name": "bash", "arguments": {"command": "ls"}} for call in ("c1", "c2")]
PICTURE = {"type": "image", "data": "QUJD" * 99, "mimeType": "image/png"}
THOUGHT = {"type": "thinking", "thinking": "Look.", "thinkingSignature": "QUJD"}
LINES = [
    HEAD,
    entry("01", None, "model_change", provider="p", modelId="m-0"),
    message("02", "01", "system", "", sections={"preamble": "You are a helper."}),
    message("03", "02", "user", [text("What is here?"), PICTURE]),
    message("04", "03", "assistant", [THOUGHT, text("I look."), *CALLS], model="m-1"),
    message("05", "04", "toolResult", [text("two"), PICTURE], toolCallId="c2", toolName="bash"),
    message("06", "05", "toolResult", [text("one")], toolCallId="c1", toolName="bash"),
    message("07", "06", "assistant", [text("Two.")], model="m-1", stopReason="stop"),
    entry("08", "07", "message", message={"role": "bashExecution", "command": "date", "output": "March"}),
    message("09", "08", "user", "Sun?"),
    message("0a", "09", "assistant", [text("No.")]),
    entry("0b", "0a", "session_info", name="Herons"),
    entry("0c", "08", "compaction", summary="<summary>\nAbout reeds.\n</summary>", firstKeptEntryId="08"),
    message("0d", "0c", "user", "Walls?"),
    message("0e", "0d", "assistant", [], stopReason="aborted"),
    entry("0f", "0e", "custom_message", customType="x", content="A hint.", display=True),
    entry("10", "0f", "custom_message", customType="x", content="Not shown.", display=False),
]  # fmt: skip


def test_a_talk_is_the_way_to_where_the_person_is(tmp_path: Path):
    path = written(tmp_path, jsonl(*LINES), f"2026-03-01T08-00-00-000Z_{OWN}.jsonl")
    assert bad(path) == []
    (talk,) = conversations(path)
    assert [(turn["id"], turn["role"]) for turn in talk.history] == [
        ("03", "user"), ("04", "assistant"), ("04/c2", "tool"), ("04/c1", "tool"), ("07", "assistant"),
        ("08", "system"), ("/08", "tool"), ("0d", "user"), ("0f", "system"),
    ]  # fmt: skip
    assert talk.history[0]["content"] == [text("What is here?"), {"type": "image", "mimeType": "image/png"}]
    assert talk.history[1]["content"][0] == {"type": "thinking", "thinking": "Look."}
    assert talk.history[2]["content"][0]["content"] == "two"
    assert [talk.history[5]["content"], talk.history[6]["content"][0]["content"]] == ["! date", "March"]
    assert talk.history[7]["content"] == "Walls?"
    assert (talk.session_id, talk.summary, talk.tags) == (f"pi-{OWN}", "About reeds.", ("project:heron",))
    assert (talk.context["model"], talk.context["cwd"]) == ("m-1", "/home/ann/heron")


def test_the_last_name_is_the_title_wherever_it_stands_and_an_empty_one_is_none(tmp_path: Path):
    assert conversations(written(tmp_path, jsonl(*LINES)))[0].title == "Herons"
    cleared = entry("11", "10", "session_info", name="")
    assert conversations(written(tmp_path, jsonl(*LINES, cleared)))[0].title == "What is here?"


def test_a_long_result_is_whole(tmp_path: Path):
    call = message("04", "03", "assistant", CALLS[:1])
    result = message("05", "04", "toolResult", [text("x" * 200_000)], toolCallId="c1")
    (talk,) = conversations(written(tmp_path, jsonl(HEAD, message("03", None, "user", "List."), call, result)))
    assert talk.history[2]["content"][0]["content"] == "x" * 200_000


def test_a_skill_and_a_file_are_what_the_person_typed(tmp_path: Path):
    skill = '<skill name="pond" location="/s/pond.md">\nReferences are relative to /s.\n\nDig.\n</skill>\n\nHow deep?'
    files = '<file name="/a.md">\nSecret plan\n</file>\n<file name="/b.png"></file>\nCompare them.'
    lines = [HEAD, message("01", None, "user", [text(skill)]), message("02", "01", "user", [text(files)])]
    (talk,) = conversations(written(tmp_path, jsonl(*lines)))
    assert said(talk) == [("user", "/skill:pond How deep?"), ("user", "@/a.md\n@/b.png\nCompare them.")]


def test_a_fork_is_linked_to_the_talk_that_its_first_line_names(tmp_path: Path):
    head = HEAD | {"id": FORK, "parentSession": f"C:\\s\\2026-03-01T08-00-00-000Z_{OWN}.jsonl"}
    (talk,) = conversations(written(tmp_path, jsonl(head, message("03", None, "user", "Reeds?"))))
    assert (talk.session_id, talk.parent, talk.relation) == (f"pi-{FORK}", f"pi-{OWN}", "fork")


def test_lines_of_the_first_version_follow_each_other(tmp_path: Path):
    head = {name: value for name, value in HEAD.items() if name != "version"} | {"provider": "p", "modelId": "m"}
    said_then = [("user", "Reeds?"), ("assistant", [text("Yes.")]), ("user", "And rushes?")]
    lines = [
        {"type": "message", "timestamp": HEAD["timestamp"], "message": {"role": role, "content": words}}
        for role, words in said_then
    ]
    (talk,) = conversations(written(tmp_path, jsonl(head, *lines)))
    assert said(talk) == [("user", "Reeds?"), ("assistant", "Yes."), ("user", "And rushes?")]


def test_what_is_no_entry_is_told_and_the_rest_comes_in(tmp_path: Path):
    path = written(tmp_path, jsonl(*LINES[:2], {"id": "zz"}, LINES[3], entry("04", "03", "message", message=7)))
    assert [(each.line, each.reason) for each in bad(path)] == [(3, "has no type")]
    assert len(conversations(path)[0].history) == 1
