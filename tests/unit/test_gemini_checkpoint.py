"""Talks saved in Gemini CLI with `/chat save` come in as what the person saw, under the tag that they gave."""

import json
from pathlib import Path
from typing import Any

import pytest

from agentic_flywheel.cli.importers.files import read, recognise
from agentic_flywheel.cli.importers.found_files import sources
from agentic_flywheel.cli.importers.json_entries import BadEntry
from agentic_flywheel.documents.turn_text import said_in

from .test_importers import bad, conversations

Content = dict[str, Any]


def content(role: str, *parts: Any) -> Content:
    return {"role": role, "parts": [{"text": part} if isinstance(part, str) else part for part in parts]}


def called(name: str, **more: Any) -> Content:
    return {"functionCall": {"name": name, "args": {"path": "."}} | more, "thoughtSignature": "EuED"}


def answered(name: str, output: str, **more: Any) -> Content:
    return {"functionResponse": {"name": name, "response": {"output": output}} | more}


CONTEXT = content(
    "user",
    "This is the Gemini CLI. We are setting up the context for our chat.\nToday's date is Monday.\n"
    "I'm currently working in the directory: /home/ada/ferns\nHere is the folder structure",
)
THANKS = content("model", "Got it. Thanks for the context!")
EDITOR = content("user", "Here is the user's editor context as a JSON object. This is for your information only.\n{}")
SAVED = [
    CONTEXT,
    THANKS,
    EDITOR,
    content("user", "Shade?", {"inlineData": {"mimeType": "image/png", "data": "iVBO"}}),
    content("model", {"text": "Hm.", "thought": True}, "I look.", called("ls"), called("ls"), called("cat", id="c9")),
    content("user", answered("ls", "one"), answered("cat", "three", id="c9"), answered("ls", "two")),
    content("model", "Ferns."),
    content("model", "And moss."),
    content("user", "Thanks."),
]
SHOWN = [
    ("user", "Shade?\n(attachment image/png)"),
    (
        "assistant",
        '(thinking) Hm.\nI look.\n(calls ls {"path":"."})\n(calls ls {"path":"."})\n(calls cat {"path":"."})',
    ),
    ("tool", "(result) one"),
    ("tool", "(result) three"),
    ("tool", "(result) two"),
    ("assistant", "Ferns.\n\nAnd moss."),
    ("user", "Thanks."),
]


def saved(folder: Path, value: Any, name: str = "checkpoint-fern%20talk.json") -> Path:
    (folder / name).write_text(json.dumps(value, indent=2), "utf-8")
    return folder / name


@pytest.mark.parametrize("value", [SAVED, {"history": SAVED, "authType": "oauth"}, {"authType": "x", "history": SAVED}])
def test_a_saved_talk_is_what_the_person_saw(tmp_path: Path, value: Any):
    path = saved(tmp_path, value)
    saved(tmp_path, {"epoch": 3}, "checkpoint-3.json")
    with sources(tmp_path) as found:
        assert found.files == [path]
    assert (recognise(path), bad(path)) == ("gemini-checkpoint", [])
    [talk] = conversations(path)
    assert [(turn["role"], said_in(turn, whole=False)[1]) for turn in talk.history] == SHOWN
    assert (talk.title, talk.tags, talk.context["imported_from"]) == ("fern talk", ("project:ferns",), "gemini-cli")
    assert "EuED" not in str(talk.history)


def test_a_talk_that_was_saved_again_is_the_same_and_another_tag_or_beginning_is_not(tmp_path: Path):
    def session(value: Any, name: str = "checkpoint-a.json") -> str:
        [talk] = conversations(saved(tmp_path, value, name))
        return talk.session_id

    first = session(SAVED[:4])
    tomorrow = content("user", CONTEXT["parts"][0]["text"].replace("Monday", "Tuesday"))
    assert session([tomorrow, *SAVED[1:]]) == first
    assert session(SAVED, "checkpoint-b.json") != first
    assert session([content("user", "Sun?"), content("model", "Thyme.")]) != first
    ids = [[turn["id"] for turn in conversations(saved(tmp_path, each, "checkpoint-a.json"))[0].history]
           for each in (SAVED[:7], SAVED)]  # fmt: skip
    assert ids[1][: len(ids[0])] == ids[0]


def test_a_compression_is_a_summary_and_named_files_are_none_of_the_words(tmp_path: Path):
    snapshot = content("user", "<state_snapshot>Ferns.</state_snapshot>")
    thanks = content("model", "Got it. Thanks for the additional context!")
    asked = content("user", "See @a", "\n--- Content from referenced files ---", "whole", "\n--- End of content ---")
    [talk] = conversations(saved(tmp_path, [CONTEXT, THANKS, snapshot, thanks, asked, content("model", "Yes.")]))
    assert [turn["content"] for turn in talk.history] == ["See @a", "Yes."]
    assert talk.summary == "<state_snapshot>Ferns.</state_snapshot>"
    assert conversations(saved(tmp_path, [CONTEXT, THANKS])) == []


def test_what_is_no_message_is_named_and_the_others_come_in(tmp_path: Path):
    path = saved(tmp_path, [*SAVED, {"role": "user"}, 7, content("model", 8, "Yes.", {"functionCall": {"name": 9}})])
    assert [each.reason for each in bad(path)] == [
        "is no message of Gemini CLI: it has no role or no parts", "is not a JSON object",
    ]  # fmt: skip
    assert len(conversations(path)[0].history) == 8


def test_a_file_with_nothing_of_a_talk_gives_none(tmp_path: Path):
    [told] = read(saved(tmp_path, {"history": [{"role": "user"}]}), "gemini-checkpoint")
    assert isinstance(told, BadEntry)
