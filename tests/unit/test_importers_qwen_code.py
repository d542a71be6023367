"""Of Qwen Code's transcripts comes in what the person saw, though their envelope is Claude Code's."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentic_flywheel.cli.importers.conversation import Imported
from agentic_flywheel.cli.importers.files import read, recognise
from agentic_flywheel.cli.importers.json_entries import BadEntry
from agentic_flywheel.documents.turn_text import said_in

from .test_importers import JSON, bad, conversations, held, jsonl, places, written

Line = dict[str, Any]


def line(uuid: str, parent: str | None, kind: str = "user", *parts: Line, **more: Any) -> Line:
    role = "model" if kind == "assistant" else "user"
    told = {"user": "real_user", "assistant": "assistant_output"}.get(kind, kind)
    message = {"message": {"role": role, "parts": [*parts]}} if parts else {}
    return {
        "uuid": uuid, "parentUuid": parent, "sessionId": "s", "timestamp": "2026-11-28T23:41:36.940Z", "type": kind,
        "provenance": told, "cwd": "/home/ada/ferns", "version": "0.24.4", **message,
    } | more  # fmt: skip


def text(words: str, **more: Any) -> Line:
    return {"text": words} | more


def call(own: str, name: str = "run_shell_command", **given: Any) -> Line:
    return {"functionCall": {"id": own, "name": name, "args": given}}


def outcome(own: str, **response: Any) -> Line:
    return {"functionResponse": {"id": own, "name": "run_shell_command", "response": response}}


def system(uuid: str, parent: str | None, subtype: str, **payload: Any) -> Line:
    return line(uuid, parent, "system", subtype=subtype, systemPayload=payload)


def talk(folder: Path, *lines: Line, name: str = "s.jsonl") -> Imported:
    path = written(folder, jsonl(*lines), name)
    assert bad(path) == []
    assert recognise(path) == "qwen-code"
    [only] = conversations(path)
    return only


def shown(folder: Path, *lines: Line) -> list[tuple[str, str]]:
    return [(turn["role"], said_in(turn, whole=False)[1]) for turn in talk(folder, *lines).history]


TALK = [
    line("1", None, "user", text("Shade?")),
    system("2", "1", "attribution_snapshot", snapshot={}),
    line("3", "2", "assistant", text("Hm.", thought=True), text("I look."), call("c1", command="ls"), model="qwen3"),
    system("4", "3", "ui_telemetry", uiEvent={}),
    line("5", "4", "tool_result", outcome("c1", output="ferns.txt")),
    line("6", "5", "assistant", text("Ferns."), model="qwen3"),
]


def test_a_talk_comes_in_as_what_the_person_saw(tmp_path: Path):
    found = talk(tmp_path, *TALK)
    assert shown(tmp_path, *TALK, TALK[0], TALK[-1]) == [
        ("user", "Shade?"),
        ("assistant", '(thinking) Hm.\nI look.\n(calls run_shell_command {"command":"ls"})'),
        ("tool", "(result) ferns.txt"),
        ("assistant", "Ferns."),
    ]
    assert (found.session_id, found.title, found.tags) == ("qwen-code-s", "Shade?", ("project:ferns",))
    assert found.context == {
        "imported_from": "qwen-code", "cwd": "/home/ada/ferns", "model": "qwen3", "program_version": "0.24.4",
    }  # fmt: skip
    assert found.history[1]["content"][2] == {
        "type": "tool_use", "id": "c1", "name": "run_shell_command", "input": {"command": "ls"},
    }  # fmt: skip


def test_two_tools_errors_pictures_and_parts_of_one_line(tmp_path: Path):
    picture = {"inlineData": {"mimeType": "image/png", "data": "iVBO"}}
    lines = [
        line("1", None, "user", text("Both."), picture),
        line("2", "1", "assistant", text("Two.")),
        line("2", "1", "assistant", call("c1"), call("c2", "web_fetch")),  # one record in two lines
        line("3", "2", "tool_result", outcome("c1", error="No such file.")),
        line("4", "3", "tool_result", outcome("c2", output="p" * 5000)),
    ]
    found = talk(tmp_path, *lines)
    assert found.history[0]["content"][1] == {"type": "file", "mimeType": "image/png", "omitted_characters": 4}
    assert [block["type"] for block in found.history[1]["content"]] == ["text", "tool_use", "tool_use"]
    [failed] = found.history[2]["content"]
    assert (failed["content"], failed["is_error"]) == ("No such file.", True)
    assert found.history[3]["content"][0]["content"].endswith(
        "… [3,000 more characters of a page were left out at import]"
    )


NOTICE = (
    "<task-notification>\n<tool-use-id>c1</tool-use-id>\n<summary>Ended</summary>\n<result>Oak</result>\n"
    "</task-notification>"
)
REMINDER = "<system-reminder>\n1 background agent was restored.\n</system-reminder>\n\n"


@pytest.mark.parametrize(
    ("said", "role", "seen"),
    [
        (line("7", "6", "user", text(REMINDER), text("On.")), "user", "On."),
        (line("7", "6", "user", text(REMINDER)), "", ""),
        (line("7", "6", "user", text(NOTICE), subtype="notification", provenance="system"), "tool", "(result) Oak"),
        (line("7", "6", "user", text("Daily."), subtype="cron", systemPayload={"displayText": "Cron: daily"}), "system",
         "Cron: daily"),
        (line("7", "6", "user", text("Goal: go on."), subtype="goal_runtime", provenance="goal_runtime"), "", ""),
        (line("7", "6", "user", text("<x>And this.</x>"), subtype="mid_turn_user_message",
              systemPayload={"displayText": "And this."}), "user", "And this."),
        (line("7", "6", "user", text("On."), text("<qwen:user-prompt-submit-context>\nh\n"
                                                  "</qwen:user-prompt-submit-context>")), "user", "On."),
        (line("7", "6", "user", text("Made up."), provenance="system"), "system", "Made up."),
        (line("7", "6", "assistant", text("Spoken."), subtype="realtime_message"), "assistant", "Spoken."),
        (line("7", "6", "tool_result", outcome("c9", output="Background agent launched successfully.\ntask_id: x")),
         "tool", "(result) Background agent launched successfully."),
        (system("7", "6", "slash_command", phase="invocation", rawCommand="/rename x"), "system", "/rename x"),
        (system("7", "6", "slash_command", phase="result", rawCommand="/rename x"), "", ""),
        (system("7", "6", "slash_command", phase="invocation", rawCommand="/x", hiddenInvocation=True), "", ""),
        (line("7", "6", "user", text("See @a.txt"), text("\n--- Content from referenced files ---"), text("whole"),
              text("\n--- End of content ---")), "user", "See @a.txt"),
    ],
)  # fmt: skip
def test_the_programs_own_lines_never_speak_as_the_person(tmp_path: Path, said: Line, role: str, seen: str):
    assert shown(tmp_path, *TALK, said)[4:] == ([(role, seen)] if role else [])


def test_a_prompt_that_was_interrupted_stays_once_with_what_came_of_its_answer(tmp_path: Path):
    asked = [*TALK, line("7", "6", "user", text("Now wait."))]  # nothing came, as when the program is killed
    cut = line("8", "7", "assistant", text("Hm.", thought=True), text("I wa"))
    on = line("9", "8", "user", text("Now wait.")), line("a", "9", "assistant", text("I did."))
    assert shown(tmp_path, *asked)[4:] == [("user", "Now wait.")]
    expected = [("user", "Now wait."), ("assistant", "(thinking) Hm.\nI wa")]
    assert shown(tmp_path, *asked, cut)[4:] == expected
    assert shown(tmp_path, *asked, cut, *on)[4:] == [*expected, ("user", "Now wait."), ("assistant", "I did.")]


def test_what_the_person_took_back_is_not_in_the_talk(tmp_path: Path):
    sun = [line("7", "6", "user", text("Sun?")), line("8", "7", "assistant", text("Thyme."))]
    back = system("9", "6", "rewind", truncatedCount=1)
    assert [said for _, said in shown(tmp_path, *TALK, *sun, back)][3:] == ["Ferns."], "also with no word since"
    walls = [back, line("10", "9", "user", text("Walls?"))]
    assert [said for _, said in shown(tmp_path, *TALK, *sun, *walls)][3:] == ["Ferns.", "Walls?"]
    beside = system("11", None, "session_artifact_event")
    assert len(shown(tmp_path, *TALK, beside)) == 4
    assert len(shown(tmp_path, *TALK, line("12", "gone", "user", text("On.")))) == 5
    assert len(shown(tmp_path, *TALK, line("12", "12", "user", text("On.")))) == 5


def test_a_compression_is_the_summary_and_no_turn(tmp_path: Path):
    orders = "\n\nResume the prior task using the summary above. Continue from the last in-flight step."
    for words, summary in (("<state_snapshot>\nFerns.\n</state_snapshot>", "Ferns."), ("Ferns.", "Ferns.")):
        history = [
            {"role": "user", "parts": [{"text": words + orders}]},
            {"role": "model", "parts": [{"text": "Got it."}]},
        ]
        compressed = system("7", "6", "chat_compression", compressedHistory=history)
        found = talk(tmp_path, *TALK, compressed, line("8", "7", "user", text("On.")))
        assert (found.summary, len(found.history)) == (summary, 5)


def test_titles_forks_and_sub_agents_are_told(tmp_path: Path):
    assert talk(tmp_path, *TALK, system("7", "6", "custom_title", customTitle="Ferns")).title == "Ferns"
    forked = [each | {"forkedFrom": {"sessionId": "first", "messageUuid": each["uuid"]}} for each in TALK]
    assert (talk(tmp_path, *forked).parent, talk(tmp_path, *forked).relation) == ("qwen-code-first", "fork")
    spawned = talk(tmp_path, system("0", None, "parent_session", parentSessionId="above"), *TALK)
    assert (spawned.parent, spawned.relation) == ("qwen-code-above", "background")
    own = [each | {"agentId": "general-c1", "isSidechain": True} for each in TALK]
    described = {"description": "Look around", "toolUseId": "c1", "parentAgentId": None}
    (tmp_path / "agent-general-c1.meta.json").write_text(json.dumps(described), "utf-8")
    agent = talk(tmp_path, *own, name="agent-general-c1.jsonl")
    assert (agent.session_id, agent.parent, agent.relation) == (
        "qwen-code-agent-general-c1",
        "qwen-code-s",
        "sub-agent",
    )
    assert (agent.title, agent.context["spawned_by"]) == ("Look around", "c1")


def test_a_malformed_line_is_named_and_the_others_come_in(tmp_path: Path):
    for odd, reason in (
        ({"type": "user", "uuid": "7", "message": 7}, "its message is not an object"),
        ({"type": "user", "uuid": "7", "message": {"parts": 7}}, "its message has no list of parts"),
        ({"type": "user", "uuid": "7", "message": {"parts": [7]}}, "a part of its message is not an object"),
        ({"uuid": "7"}, "has no type"),
    ):
        path = written(tmp_path, jsonl(*TALK, odd), "s.jsonl")
        assert [(each.line, each.reason, each.is_message) for each in bad(path)] == [(7, reason, True)]
        assert len(conversations(path)[0].history) == 4


SOUND = [
    *TALK,
    line("7", "6", "user", text(NOTICE), {"inlineData": {"data": "x"}}, subtype="notification"),
    system("8", "7", "chat_compression", compressedHistory=[{"parts": [{"text": "x"}]}]),
    system("9", "8", "custom_title", customTitle="x"),
    line("10", "9", "user", text("x"), systemPayload={"displayText": "x"}, isSidechain=True, agentId="a"),
]


@pytest.mark.slow
@given(st.data())
def test_no_mutated_line_makes_reading_fail(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    lines = json.loads(json.dumps(SOUND))
    for _ in range(data.draw(st.integers(1, 4))):
        container, key = data.draw(st.sampled_from(list(places(lines))))
        if data.draw(st.booleans()):
            container[key] = data.draw(JSON | st.sampled_from([str(n) for n in range(11)]))
        elif isinstance(container, dict):
            del container[key]
    raw = b"".join(json.dumps(each).encode() + b"\n" for each in lines)
    path = written(tmp_path_factory.getbasetemp(), raw[: data.draw(st.integers(0, len(raw)))], "s.jsonl")
    held(path, "qwen-code")
    assert all(isinstance(each, BadEntry | Imported) for each in read(path))
