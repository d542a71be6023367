"""Tasks of Cline's editor extension come in as what the person saw, of what the model was given."""

import json
from pathlib import Path
from typing import Any

from agentic_flywheel.cli.importers.files import recognise
from agentic_flywheel.cli.importers.found_files import sources
from agentic_flywheel.documents.turn_text import said_in

from .test_importers import bad, conversations

Message = dict[str, Any]
OWN = "1754000000123"
NATIVE = {"type": "tool_use", "id": "t1", "name": "read_file", "input": {"path": "a.txt"}}


def details() -> Message:
    said = "<environment_details>\n# Current Working Directory (/home/ada/ferns) Files\na.txt\n</environment_details>"
    return {"type": "text", "text": said}


def user(*texts: str, **more: Any) -> Message:
    return {"role": "user", "content": [*({"type": "text", "text": each} for each in texts), details()]} | more


def model(*texts: str) -> Message:
    return {"role": "assistant", "content": [{"type": "text", "text": each} for each in texts]}


TASK = [
    user("<task>\nWhich of 'a.txt' (see below for file content)?\n</task>\n\n<file_content path=\"a.txt\">\nwhole\n"
         "</file_content>", ts=1754000000123),
    model("<thinking>Hm.</thinking>\nI look.\n<read_file>\n<path>a.txt</path>\n</read_file>"),
    user("[read_file for 'a.txt'] Result:", "1 | <answer>no</answer>\n2 | Ferns."),
    model("<ask_followup_question>\n<question>Shade?</question>\n</ask_followup_question>"),
    user("[ask_followup_question for 'Shade?'] Result:\n<answer>\nYes, shade.\n</answer>"),
    model("<write_to_file><path>b.html</path><content>\n<p>Use <read_file>.</p>\n</content></write_to_file>"),
    user("[write_to_file for 'b.html'] Result:",
         "The user denied this operation and provided the following feedback:\n<feedback>\nNot there.\n</feedback>"),
    model("Cut o\n\n[Response interrupted by user]"),
    user("[TASK RESUMPTION] This task was interrupted. It may or may not be complete.",
         "New instructions for task continuation:\n<user_message>\nGo on.\n</user_message>"),
    model("I have nothing to do."),
    user("[ERROR] You did not use a tool in your previous response! Please retry with a tool use."),
    {"role": "assistant", "content": [NATIVE]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "Ferns."}, details()]},
    model("<attempt_completion>\n<result>\nIt is ferns.\n</result>\n<command>ls</command>\n</attempt_completion>"),
]  # fmt: skip
SHOWN = [
    ("user", "Which of @/a.txt?"),
    ("assistant", '(thinking) Hm.\nI look.\n(calls read_file {"path":"a.txt"})'),
    ("tool", "(result) 1 | <answer>no</answer>\n2 | Ferns."),
    ("assistant", "Shade?"),
    ("user", "Yes, shade."),
    ("assistant", '(calls write_to_file {"path":"b.html","content":"<p>Use <read_file>.</p>"})'),
    ("tool", "(result) The user denied this operation and provided the following feedback:"),
    ("user", "Not there."),
    ("assistant", "Cut o"),
    ("user", "Go on."),
    ("assistant", "I have nothing to do."),
    ("assistant", '(calls read_file {"path":"a.txt"})'),
    ("tool", "(result) Ferns."),
    ("assistant", "It is ferns."),
]


def task(folder: Path, value: Any = TASK, own: str = OWN) -> Path:
    (folder / own).mkdir(parents=True, exist_ok=True)
    path = folder / own / "api_conversation_history.json"
    path.write_text(json.dumps(value), "utf-8")
    (folder / own / "ui_messages.json").write_text('[{"ts": 1, "type": "say", "say": "text", "text": "x"}]', "utf-8")
    return path


def shown(path: Path) -> list[tuple[str, str]]:
    assert bad(path) == []
    [talk] = conversations(path)
    return [(turn["role"], said_in(turn, whole=False)[1]) for turn in talk.history]


def test_a_task_is_what_the_person_saw(tmp_path: Path):
    path = task(tmp_path)
    with sources(tmp_path) as found:
        assert found.files == [path]
    assert recognise(path) == "cline-task"
    assert shown(path) == SHOWN
    [talk] = conversations(path)
    assert (talk.session_id, talk.title, talk.tags) == (f"cline-{OWN}", "Which of @/a.txt?", ("project:ferns",))
    assert talk.history[0]["created_at"].startswith("2025-07-31")


def test_a_task_that_grew_is_the_same_wherever_its_file_lies(tmp_path: Path):
    ids = [
        [turn["id"] for turn in conversations(task(tmp_path, each, "copied"))[0].history] for each in (TASK[:4], TASK)
    ]
    assert ids[1][: len(ids[0])] == ids[0]
    first, then = (conversations(task(tmp_path, each, "copied"))[0].session_id for each in (TASK[:4], TASK))
    assert first == then


def test_a_call_that_was_cut_off_and_two_in_one_answer_are_kept(tmp_path: Path):
    two = "<read_file><path>a</path></read_file>\nAnd\n<read_file><path>b</path></read_file>"
    results = user("[read_file for 'a'] Result:\none", "[read_file for 'b'] Result:\ntwo")
    lines = [TASK[0], model(two), results, model("<execute_command><command>ls -")]
    assert shown(task(tmp_path, lines))[1:] == [
        ("assistant", '(calls read_file {"path":"a"})\nAnd\n(calls read_file {"path":"b"})'),
        ("tool", "(result) one"),
        ("tool", "(result) two"),
        ("assistant", '(calls execute_command {"command":"ls -"})'),
    ]


def test_a_list_of_turns_with_such_a_mark_stays_one(tmp_path: Path):
    path = task(
        tmp_path, [{"role": "user", "content": "<task>Sum up</task>"}, {"role": "assistant", "content": "Yes."}]
    )
    assert recognise(path) == "turns"
    assert [turn["content"] for turn in conversations(path)[0].history] == ["<task>Sum up</task>", "Yes."]


def test_what_is_no_message_is_named_and_the_others_come_in(tmp_path: Path):
    path = task(tmp_path, [*TASK, {"role": "user", "content": 7}, {"role": "judge", "content": "x"}])
    assert [each.reason for each in bad(path)] == [
        "has a message (15) left out: its content is neither text nor a list",
        "has a message (16) left out: its role is neither user nor assistant",
    ]
    assert len(conversations(path)[0].history) == len(SHOWN)


def test_many_marks_take_no_long_time(tmp_path: Path):
    marks = "<read_file><br><task>" * 100_000
    assert len(shown(task(tmp_path, [TASK[0], model(marks), user(marks)]))) == 2
