"""Of Claude Code's transcripts comes in what the person saw: the current branch, and an answer as one turn."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentic_flywheel.cli.importers.conversation import Imported
from agentic_flywheel.cli.importers.files import read, recognise
from agentic_flywheel.cli.importers.json_entries import BadEntry
from agentic_flywheel.cli.shown_as import lines as handed_over
from agentic_flywheel.documents.turn_text import said_in

from .test_importers import JSON, bad, conversations, held, jsonl, places, written

Line = dict[str, Any]


def line(uuid: str, parent: str | None, kind: str = "user", words: Any = "", **more: Any) -> Line:
    return {
        "type": kind, "uuid": uuid, "parentUuid": parent, "isSidechain": False, "sessionId": "s", "version": "2.1.332",
        "cwd": "/home/ada/ferns", "timestamp": f"2026-11-28T10:00:{int(uuid, 36) % 60:02}Z",
        "message": {"role": kind, "content": words},
    } | more  # fmt: skip


def answer(uuid: str, parent: str | None, own: str, *blocks: Line, **more: Any) -> Line:
    """A line of the answer with that `message.id`, which has one block each."""
    message = {"id": own, "role": "assistant", "model": "claude-opus-5-5", "content": [*blocks]}
    return line(uuid, parent, "assistant", requestRef=own) | {"message": message} | more


def text(words: str) -> Line:
    return {"type": "text", "text": words}


def call(own: str, name: str = "Bash", **given: Any) -> Line:
    return {"type": "tool_use", "id": own, "name": name, "input": given}


def outcome(own: str, words: Any = "ferns.txt") -> list[Line]:
    return [{"type": "tool_result", "tool_use_id": own, "content": words, "is_error": False}]


def talk(folder: Path, *lines: Line, name: str = "s.jsonl") -> list[Imported]:
    path = written(folder, jsonl(*lines), name)
    assert bad(path) == []
    return conversations(path)


def shown(folder: Path, *lines: Line) -> list[tuple[str, str]]:
    """Who says what in the only session of these lines."""
    [only] = talk(folder, *lines)
    return [(turn["role"], said_in(turn, whole=False)[1]) for turn in only.history]


def words(folder: Path, *lines: Line) -> list[str]:
    return [said for _, said in shown(folder, *lines)]


# --- The branch that is current


def test_what_the_person_took_back_is_not_in_the_talk(tmp_path: Path):
    asked = [line("1", None, words="Shade?"), answer("2", "1", "m1", text("Ferns."))]
    taken_back = [line("3", "2", words="Sun?"), answer("4", "3", "m2", text("Thyme."))]
    instead = [line("5", "2", words="Walls?"), answer("6", "5", "m3", text("Ivy."))]
    assert words(tmp_path, *asked, *taken_back, *instead) == ["Shade?", "Ferns.", "Walls?", "Ivy."]
    anew = [line("7", None, words="Moss?"), {"type": "last-prompt", "leafUuid": "0000", "explicit": True}]
    assert words(tmp_path, *asked, *taken_back, *anew) == ["Moss?"], "back to before the first of all"
    typed_again = [line("8", "4", words="Now wa"), line("9", "4", words="Now wait.")]  # Esc, and on
    assert words(tmp_path, *asked, *taken_back, *typed_again)[-2:] == ["Thyme.", "Now wait."]


def test_tools_that_ran_at_once_are_all_kept(tmp_path: Path):
    lines = [
        line("1", None, words="Both?"),
        answer("2", "1", "m1", text("Two looks.")),
        answer("3", "2", "m1", call("c1", command="ls")),
        answer("4", "3", "m1", call("c2", command="ls -a")),
        line("5", "3", words=outcome("c1", "one")),
        line("6", "4", words=outcome("c2", "two")),
        line("7", "5", "attachment", attachment={"type": "date"}),
        answer("8", "7", "m2", text("Done.")),
    ]
    expected = [
        ("user", "Both?"),
        ("assistant", 'Two looks.\n(calls Bash {"command":"ls"})\n(calls Bash {"command":"ls -a"})'),
        ("tool", "(result) one"),
        ("tool", "(result) two"),
        ("assistant", "Done."),
    ]
    assert shown(tmp_path, *lines) == expected
    early = [*lines[:3], lines[4], lines[3], *lines[5:]]  # the first had answered before the second was called
    assert shown(tmp_path, *early) == expected
    assert len(shown(tmp_path, *lines[:6])) == 4, "interrupted, with the second as the last line"


def test_a_result_on_a_branch_that_was_left_stays_there_though_a_call_of_its_id_came_again(tmp_path: Path):
    left = [
        line("1", None, words="Shade?"),
        answer("2", "1", "m1", call("call_0", command="ls")),
        line("3", "2", words=outcome("call_0", "left")),
    ]
    here = [
        line("4", None, words="Sun?"),
        answer("5", "4", "m2", call("call_0", command="pwd")),
        line("6", "5", words=outcome("call_0", "here")),
        answer("7", "6", "m3", text("Done.")),
    ]
    assert words(tmp_path, *left, *here) == ["Sun?", '(calls Bash {"command":"pwd"})', "(result) here", "Done."]


def test_what_was_written_out_of_order_comes_in_in_order(tmp_path: Path):
    early = answer("3", "2", "m1", text("Ferns."))  # as 2.1.197 writes the first answer at a terminal
    question = [line("1", None, words="Shade?"), line("2", "1", "attachment", attachment={"type": "skill_listing"})]
    assert words(tmp_path, early, *question) == ["Shade?", "Ferns."]
    on = [line("4", "3", words="Sun?"), answer("5", "4", "m2", text("Thyme.")), line("6", "3", words="Walls?")]
    assert words(tmp_path, early, *question, *on) == ["Shade?", "Ferns.", "Walls?"]


def compaction(uuid: str, before: str | None, summary: str = "\nSummary:\nFerns.") -> list[Line]:
    boundary = line(uuid, None, "system", subtype="compact_boundary", logicalParentUuid=before, content="Compacted")
    frame = f"This session is being continued from a previous conversation that ran out of context. {summary}"
    return [boundary, line(f"{uuid}a", uuid, words=frame, isCompactSummary=True, isVisibleInTranscriptOnly=True)]


def test_a_talk_goes_on_over_compactions_each_turn_once(tmp_path: Path):
    lines = [
        line("1", None, words="Shade?"),
        answer("2", "1", "m1", text("Ferns.")),
        *compaction("3", "2"),
        line("4", "3a", words="More."),
        answer("5", "4", "m2", text("Moss.")),
    ]
    assert words(tmp_path, *lines) == ["Shade?", "Ferns.", "More.", "Moss."]
    assert talk(tmp_path, *lines)[0].summary == "Ferns."
    before = [*lines, line("6", "2", words="Back before the compaction.")]
    assert words(tmp_path, *before) == ["Shade?", "Ferns.", "Back before the compaction."]
    assert talk(tmp_path, *before)[0].summary == "", "that one is of the other branch"


@pytest.mark.parametrize(
    "summary",
    [
        "Summary: Ferns.\nContinue with the task without asking the user any further questions.",
        "\nSummary:\nFerns.\n\nFor more, read the full transcript at: /home/ada/x.jsonl\nGo on as before.",
        "\nSummary:\nFerns.\n\nIf you need specific details, read the full transcript at: /home/ada/x.jsonl",
        "\nSummary:\nFerns.\nResume directly — do not acknowledge the summary.",
    ],
)
def test_a_summary_gives_no_orders_whatever_the_release_calls_them(tmp_path: Path, summary: str):
    lines = [line("1", None, words="Shade?"), *compaction("2", "1", summary), line("3", "2a", words="More.")]
    assert talk(tmp_path, *lines)[0].summary == "Ferns."


def test_a_fork_behind_a_compaction_goes_in_no_circle(tmp_path: Path):
    kept = answer("2", "3a", "m1", text("Ferns."), requestSessionId="first")
    lines = [*compaction("3", "2"), kept, line("4", "2", words="A fork.")]
    [fork] = talk(tmp_path, *lines)
    assert [turn["content"] for turn in fork.history] == ["Ferns.", "A fork."]
    assert (fork.parent, fork.relation) == ("claude-code-first", "fork")
    circle = [line("1", "3", words="a"), line("2", "1", words="b"), line("3", "2", words="c")]
    assert words(tmp_path, *circle) == ["a", "b", "c"]


def test_a_parent_that_was_never_written_loses_nothing(tmp_path: Path):
    lines = [line("1", None, words="a"), line("2", "gone", words="b"), line("3", "2", words="c")]
    assert words(tmp_path, *lines) == ["a", "b", "c"]
    cut = written(tmp_path, jsonl(lines[0]) + '{"type":"user","uuid":"2"\n' + jsonl(lines[2]), "s.jsonl")
    assert [turn["content"] for turn in conversations(cut)[0].history] == ["a", "c"]
    odd = line("2", "1") | {"message": 7}
    path = written(tmp_path, jsonl(lines[0], odd, lines[2]), "s.jsonl")
    assert [turn["content"] for turn in conversations(path)[0].history] == ["a", "c"]
    no_parent = [lines[0], line("2", None, "system", subtype="informational", content="x"), line("3", "2", words="c")]
    assert words(tmp_path, *no_parent) == ["a", "c"], "only what a person says begins a talk anew"


# --- Who speaks


NOTICE = (
    "<task-notification>\n<task-id>a1</task-id>\n<tool-use-id>c1</tool-use-id>\n<status>completed</status>\n"
    "<summary>Done</summary>\n<result>Sword fern</result>\n</task-notification>"
)


@pytest.mark.parametrize(
    ("said", "more", "role", "seen"),
    [
        (NOTICE, {"origin": {"kind": "task-notification"}, "promptSource": "system"}, "tool", "(result) Sword fern"),
        (NOTICE, {}, "tool", "(result) Sword fern"),
        ("<task-notification><summary>Ended</summary></task-notification>", {}, "tool", "Ended"),
        (NOTICE, {"origin": {"kind": "human"}, "promptSource": "typed"}, "user", NOTICE),
        ("<command-name>/compact</command-name>\n<command-args>keep ferns</command-args>", {}, "system",
         "/compact keep ferns"),
        ("<command-message>x</command-message><command-name>/x</command-name>", {"promptSource": "typed"}, "system",
         "/x"),
        ("<local-command-stdout>\u001b[2mCompacted\u001b[22m</local-command-stdout>", {}, "", ""),
        ("<local-command-caveat>Caveat: …</local-command-caveat>", {}, "", ""),
        ("Caveat: The messages below were generated by the user while running local commands.", {}, "", ""),
        ("<bash-input>ls -1</bash-input>", {}, "system", "! ls -1"),
        ("<bash-stdout>\u001b[1ma\u001b[0m</bash-stdout><bash-stderr>no b</bash-stderr>", {}, "tool", "a\nno b"),
        ("<bash-stdout></bash-stdout><bash-stderr></bash-stderr>", {}, "", ""),
        ("[Request interrupted by user]", {"rowSource": "harness"}, "system", "[Request interrupted by user]"),
        ([text("[Request interrupted by user for tool use]")], {}, "system",
         "[Request interrupted by user for tool use]"),
        ("<system-reminder>\nBe brief.\n</system-reminder>", {}, "", ""),
        ("Why?\n<system-reminder>\nBe brief.\n</system-reminder>", {}, "user", "Why?"),
        ("<system-reminder>\nBe brief.\n</system-reminder>\n\nWhy?", {}, "user", "Why?"),
        ("What is <system-reminder>x</system-reminder>?", {}, "user", "What is <system-reminder>x</system-reminder>?"),
        ([text("<user-prompt-submit-hook>x</user-prompt-submit-hook>"), text("Why?")], {}, "user", "Why?"),
        ([text("<ide_opened_file>a.py</ide_opened_file>"), text("Why?")], {}, "user", "Why?"),
        ("Go on where you stopped.", {"isMeta": True, "turnCompanion": True}, "", ""),
        ("From another agent", {"origin": {"kind": "peer"}}, "system", "From another agent"),
        ('<teammate-message teammate_id="a" summary="b">Done</teammate-message>', {}, "system",
         '<teammate-message teammate_id="a" summary="b">Done</teammate-message>'),
        ("For the transcript.", {"isVisibleInTranscriptOnly": True}, "", ""),
        ("<div> is not closed. Why?", {}, "user", "<div> is not closed. Why?"),
        ("Why?", {"origin": {"kind": "human"}, "promptSource": "queued"}, "user", "Why?"),
    ],
)  # fmt: skip
def test_the_programs_own_lines_never_speak_as_the_person(tmp_path: Path, said: Any, more: Line, role: str, seen: str):
    around = line("1", None, words="First."), line("3", "2", words="Last.")
    found = shown(tmp_path, around[0], line("2", "1", words=said, **more), around[1])
    assert found == [("user", "First."), *([(role, seen)] if role else []), ("user", "Last.")]


def test_an_error_is_the_programs_and_what_was_cut_off_is_nothing(tmp_path: Path):
    cut = answer("2", "1", "m1", {"type": "thinking", "thinking": "Hm.", "signature": "EuED"})
    error = answer("4", "3", "m2", text("API Error: Connection lost."), isApiErrorMessage=True)
    nothing = answer("5", "4", "m3", text("No response requested."))
    nothing["message"]["model"] = "<synthetic>"
    lines = [line("1", None, words="Shade?"), cut, line("3", "2", words="Go on.", isMeta=True), error, nothing]
    assert shown(tmp_path, *lines) == [("user", "Shade?"), ("system", "API Error: Connection lost.")]


def test_a_talk_that_was_handed_over_comes_in_as_it_was_said(tmp_path: Path):
    said = [("user", "Shade?"), ("assistant", "Ferns."), ("user", "Sun?"), ("assistant", "Thyme.")]
    session: Line = {"id": "garden", "context": {}, "saved_at": "2026-11-28T10:00:00+00:00", "title": "Beds"}
    session["history"] = [{"role": role, "content": words} for role, words in said]
    for program in ("claude-code", "codex"):
        [found] = conversations(written(tmp_path, handed_over(session, program).encode(), f"rollout-{program}.jsonl"))
        assert [(turn["role"], turn["content"]) for turn in found.history] == said


def test_a_session_of_only_a_command_is_none(tmp_path: Path):
    usage = line("2", "1", words="<command-name>/usage</command-name>")
    printed = line(
        "3", "2", "system", subtype="local_command", content="<local-command-stdout>0</local-command-stdout>"
    )
    assert talk(tmp_path, usage, printed) == []
    renamed = line("4", "3", "system", subtype="local_command",
                   content="<command-name>/rename</command-name><command-args>x</command-args>")  # fmt: skip
    reviewed = [line("1", None, words="<command-name>/review</command-name><command-args>a.py</command-args>"),
                answer("2", "1", "m1", text("Fine."))]  # fmt: skip
    assert talk(tmp_path, usage, printed, renamed) == []
    [review] = talk(tmp_path, *reviewed)
    assert (review.title, len(review.history)) == ("/review a.py", 2)


def test_words_that_waited_stand_where_the_model_was_given_them(tmp_path: Path):
    waiting = {"type": "queued_command", "prompt": "And this.", "commandMode": "prompt"}
    noticed = waiting | {"prompt": NOTICE, "commandMode": "task-notification"}
    lines = [
        line("1", None, words="List them."),
        {"type": "queue-operation", "operation": "enqueue", "content": "And this.", "sessionId": "s"},
        answer("2", "1", "m1", call("c1")),
        line("9", "2", words=outcome("c1")),
        line("4", "9", "attachment", attachment=waiting),  # its time is before that of the result
        line("5", "4", "attachment", attachment=noticed),
        answer("6", "5", "m2", text("Done.")),
    ]
    roles = [role for role, _ in shown(tmp_path, *lines)]
    assert roles == ["user", "assistant", "tool", "user", "tool", "assistant"]
    peers = waiting | {"origin": {"kind": "channel"}}
    assert [role for role, _ in shown(tmp_path, *lines[:4], line("4", "9", "attachment", attachment=peers))][
        -1
    ] == "tool"


def typed_meanwhile(uuid: str, parent: str, call_id: str, *beside: Line) -> Line:
    return line(uuid, parent, words=[*outcome(call_id, "one"), *beside])


def queue(operation: str, at: int, **more: Any) -> Line:
    time = f"2026-11-28T10:00:{at:02}Z"
    return {"type": "queue-operation", "operation": operation, "timestamp": time, "sessionId": "s"} | more


@pytest.mark.parametrize(
    ("between", "is_kept"),
    [
        ([queue("dequeue", 4)], True),
        ([], True),
        ([queue("dequeue", 4), line("3", "2", words="Sun?\nAnd walls?")], False),
        ([queue("remove", 4)], False),
        ([queue("popAll", 4)], False),
    ],
    ids=["killed as it was sent", "killed before", "sent", "taken back", "all taken back"],
)
def test_a_prompt_that_was_lost_in_the_queue_stands_where_it_was_typed(
    tmp_path: Path, between: list[Line], *, is_kept: bool
):
    """The program was killed, and the talk was gone on with."""
    before = [queue("enqueue", 1, content="Shade?"), queue("dequeue", 1), line("1", None, words="Shade?"),
              answer("2", "1", "m1", text("Ferns."))]  # fmt: skip
    lost = [queue("enqueue", 3, content="Sun?"), *between]
    tip = str(between[-1].get("uuid", "2")) if between else "2"
    then = [queue("enqueue", 5, content="Walls?"), queue("dequeue", 5), line("5", tip, words="Walls?")]
    found = words(tmp_path, *before, *lost, *then)
    assert [each for each in found if each == "Sun?"] == (["Sun?"] if is_kept else [])
    assert found[:2] + found[-1:] == ["Shade?", "Ferns.", "Walls?"]
    assert not is_kept or found == ["Shade?", "Ferns.", "Sun?", "Walls?"]


@pytest.mark.parametrize(
    "content", ["/compact", "[Pasted text #1 +9 lines]", "<task-notification>x</task-notification>"]
)
def test_what_waits_under_another_name_than_it_is_sent_under_is_not_taken_for_lost(tmp_path: Path, content: str):
    lines = [queue("enqueue", 1, content=content), queue("dequeue", 2), queue("enqueue", 3, content="Walls?"),
             line("5", None, words="Walls?")]  # fmt: skip
    assert words(tmp_path, *lines) == ["Walls?"]


def test_what_the_person_typed_beside_results_is_a_turn_of_their_own(tmp_path: Path):
    asked = [line("1", None, words="Both?"), answer("2", "1", "m1", call("c1"), call("c2"))]
    reminder = text("<system-reminder>Be brief.</system-reminder>")
    results = [*outcome("c1", "one"), *outcome("c2", "two")]
    mixed = line("3", "2", words=[*results, reminder, text("Only ferns."), text("No oaks.")])
    [only] = talk(tmp_path, *asked, mixed, answer("4", "3", "m2", text("Fine.")))
    assert [(turn["role"], said_in(turn, whole=False)[1]) for turn in only.history[2:]] == [
        ("tool", "(result) one\n(result) two"), ("user", "Only ferns.\n\nNo oaks."), ("assistant", "Fine."),
    ]  # fmt: skip
    assert [turn["id"] for turn in only.history] == ["1", "m1", "3", "3:typed", "m2"]
    beside = [  # the second of two tools at once, which hangs beside the chain
        line("1", None, words="Both?"), answer("2", "1", "m1", call("c1")), answer("3", "2", "m1", call("c2")),
        typed_meanwhile("4", "2", "c1", text("Quick.")), line("5", "3", words=outcome("c2", "two")),
        answer("6", "4", "m2", text("Done.")),
    ]  # fmt: skip
    assert sorted(words(tmp_path, *beside)[2:]) == ["(result) one", "(result) two", "Done.", "Quick."]


@pytest.mark.parametrize(
    ("beside", "role", "seen"),
    [
        ([text("[Request interrupted by user for tool use]")], "system", "[Request interrupted by user for tool use]"),
        ([text("<task-notification><summary>Ended</summary></task-notification>")], "tool", "Ended"),
        ([text("See."), {"type": "image", "source": {"data": "iVBO"}}], "user", "See.\n(attachment image)"),
    ],
)  # fmt: skip
def test_what_the_program_put_beside_results_does_not_speak_as_the_person(
    tmp_path: Path, beside: list[Line], role: str, seen: str
):
    asked = [line("1", None, words="One?"), answer("2", "1", "m1", call("c1"))]
    found = shown(tmp_path, *asked, typed_meanwhile("3", "2", "c1", *beside))
    assert found[2:] == [("tool", "(result) one"), (role, seen)]
    picture = {"type": "image", "source": {"data": "iVBO"}}
    assert len(shown(tmp_path, *asked, typed_meanwhile("3", "2", "c1", picture))) == 3, (
        "a tool's, where nothing is said"
    )


# --- Turns


def test_a_line_of_one_block_says_what_it_would_beside_others(tmp_path: Path):
    blocks = [{"type": "thinking", "thinking": "Hm."}, call("c1") | {"caller": "x"}, {"type": "image", "text": 1}]
    [whole] = talk(tmp_path, line("1", None, words="One?"), answer("2", "1", "m1", *blocks))
    parts = [answer(f"{2 + at}", f"{1 + at}", "m1", block) for at, block in enumerate(blocks)]
    [apart] = talk(tmp_path, line("1", None, words="One?"), *parts)
    assert apart.history == whole.history
    asked = [line("1", None, words="One?"), answer("2", "1", "m1", call("c1"))]
    reminder = outcome("c1")[0] | {"text": "<system-reminder>x</system-reminder>"}
    assert shown(tmp_path, *asked, line("3", "2", words=[reminder])) == shown(tmp_path, *asked)


def test_an_answer_is_one_turn_without_sealed_and_empty_thoughts(tmp_path: Path):
    blocks = [
        {"type": "thinking", "thinking": "", "signature": "EuED" * 200},
        {"type": "redacted_thinking", "data": "sealed"},
        {"type": "thinking", "thinking": "Shade.", "signature": "EuED" * 200},
        text(" "),
        text("Let me look."),
        call("c1", command="ls"),
    ]
    lines = [answer(f"{n}", f"{n - 1}", "m1", block) for n, block in enumerate(blocks, 2)]
    [only] = talk(tmp_path, line("1", None, words="Which?"), *lines, line("8", "7", words=outcome("c1")))
    _, turn, result = only.history
    assert turn["id"] == "m1"
    assert turn["content"] == [{"type": "thinking", "thinking": "Shade."}, text("Let me look."), blocks[-1]]
    assert turn["created_at"] == "2026-11-28T10:00:04+00:00"
    assert result["content"] == [{"type": "tool_result", "tool_use_id": "c1", "content": "ferns.txt"}]
    assert "EuED" not in json.dumps(only.history)


def test_one_id_for_two_answers_makes_two_turns(tmp_path: Path):
    def part(uuid: str, parent: str, *blocks: Line) -> Line:
        return {name: each for name, each in answer(uuid, parent, "same", *blocks).items() if name != "requestRef"}

    lines = [
        line("1", None, words="List."),
        part("2", "1", text("I look.")),
        part("3", "2", call("c1")),
        line("4", "3", words=outcome("c1")),
        part("5", "4", text("Done.")),
        line("6", "5", words="Again."),
        part("7", "6", text("Done.")),
    ]
    [only] = talk(tmp_path, *lines)
    assert [turn["id"] for turn in only.history] == ["1", "same", "4", "5", "6", "7"]


def test_whole_web_pages_are_shortened_and_it_is_said(tmp_path: Path):
    page = "p" * 50_000
    lines = [
        line("1", None, words="Look it up."),
        answer("2", "1", "m1", call("c1", "WebFetch"), call("c2", "Read"), call("c3", "mcp__fetch__fetch")),
        line("3", "2", words=[*outcome("c1", page), *outcome("c2", page), *outcome("c3", [text(page)])]),
        answer(
            "4", "3", "m2", {"type": "web_search_tool_result", "content": [{"url": "u", "encrypted_content": page}]}
        ),
    ]
    [only] = talk(tmp_path, *lines)
    first, second, third = (block["content"] for block in only.history[2]["content"])
    assert first == "p" * 2000 + "… [48,000 more characters of a page were left out at import]"
    assert second == page
    assert third == [text(first)]
    assert only.history[3]["content"][0]["content"] == [{"url": "u"}]


# --- Title, summary, tags, sub-agents


def test_a_summary_gives_no_orders(tmp_path: Path):
    summary = (
        "<system-reminder>\n<tools-used-before-summary>Bash</tools-used-before-summary>\n</system-reminder>\nSummary:\n"
        "1. Ferns.\n\nIf you need specific details from before compaction (like exact code snippets), read the full "
        "transcript at: /home/ada/.claude/x.jsonl\nContinue the conversation from where it left off without asking the "
        "user any further questions.\n\nThe messages after this summary are the most recent messages."
    )
    older = (
        "The conversation is summarized below:\nAnalysis:\nFerns.\nPlease continue the conversation from where we left "
        "it off without asking the user any further questions."
    )
    bare = "The summary below covers the earlier portion of the conversation.\n\nOnly ferns."
    for framed, kept in ((summary, "1. Ferns."), (older, "Analysis:\nFerns."), (bare, "Only ferns.")):
        lines = [line("1", None, words="Shade?"), *compaction("2", "1", framed), line("4", "2a", words="On.")]
        assert talk(tmp_path, *lines)[0].summary == kept
        assert words(tmp_path, *lines) == ["Shade?", "On."]


def test_a_compaction_that_is_not_marked_is_a_summary_too(tmp_path: Path):
    frame = "This session is being continued from a previous conversation that ran out of context.\nSummary:\nFerns."
    lines = [line("1", None, words=frame), line("2", "1", words="On.")]
    assert (words(tmp_path, *lines), talk(tmp_path, *lines)[0].summary) == (["On."], "Ferns.")
    typed = line("1", None, words=frame, origin={"kind": "human"}, promptSource="typed")
    assert words(tmp_path, typed, lines[1]) == [frame, "On."]


def test_a_talk_that_begins_with_a_picture_has_its_words_as_title(tmp_path: Path):
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}
    source = line("2", "1", words=[text("[Image: source: /tmp/1.png]")], isMeta=True)
    [only] = talk(
        tmp_path, line("1", None, words=[text("What is it?"), picture]), source, line("3", "2", words="Well?")
    )
    assert only.title == "What is it?"
    assert len(only.history) == 2
    [only] = talk(tmp_path, line("1", None, words=[picture, text("What is it?")]))
    assert only.title == "What is it?"


@pytest.mark.parametrize("folder", ["/home/ada/ferns", "C:\\Users\\ada\\ferns"])
def test_a_talk_has_its_project_as_a_tag(tmp_path: Path, folder: str):
    lines = [line("1", None, words="a", cwd=folder), line("2", "1", words="b", cwd=f"{folder}/leaf")]
    [only] = talk(tmp_path, *lines)
    assert only.tags == ("project:ferns",)
    assert only.context == {"imported_from": "claude-code", "cwd": folder, "program_version": "2.1.332"}
    [nowhere] = talk(tmp_path, line("1", None, words="a", cwd=None))
    assert nowhere.tags == ()


def test_a_sub_agents_talk_names_the_call_that_began_it(tmp_path: Path):
    own = [line("1", None, words="Name one.", isSidechain=True, agentId="a1"),
           answer("2", "1", "m1", text("Sword fern."), isSidechain=True, agentId="a1")]  # fmt: skip
    [alone] = talk(tmp_path, *own, name="agent-a1.jsonl")
    assert (alone.title, "spawned_by" in alone.context) == ("Name one.", False)
    described = {"description": "Look around", "toolUseId": "c1"}
    (tmp_path / "agent-a1.meta.json").write_text(json.dumps(described), "utf-8")
    [agent] = talk(tmp_path, *own, name="agent-a1.jsonl")
    assert (agent.session_id, agent.parent, agent.relation) == ("claude-code-agent-a1", "claude-code-s", "sub-agent")
    assert (agent.title, agent.context["spawned_by"]) == ("Look around", "c1")
    (tmp_path / "agent-a1.meta.json").write_text(json.dumps(described | {"parentAgentId": "a0"}), "utf-8")
    assert talk(tmp_path, *own, name="agent-a1.jsonl")[0].parent == "claude-code-agent-a0"
    (tmp_path / "agent-a1.meta.json").write_text("[", "utf-8")
    assert talk(tmp_path, *own, name="agent-a1.jsonl") == [alone]


def test_what_the_program_asked_sub_agents_to_warm_up_is_no_talk(tmp_path: Path):
    asked = [line("1", None, words="Warmup"), answer("2", "1", "m1", text("Ready."))]
    aside = [each | {"isSidechain": True, "agentId": "a1"} for each in asked]
    assert talk(tmp_path, *aside, name="agent-a1.jsonl") == []
    assert words(tmp_path, *asked) == ["Warmup", "Ready."], "the person said it"


def test_old_sidechains_name_the_call_that_began_them(tmp_path: Path):
    main = [
        line("1", None, words="Ask two."),
        answer("2", "1", "m1", call("c1", "Task", prompt="Name one."), call("c2", "Task", prompt="Name two.")),
        line("7", "2", words=outcome("c1", "Sword fern."), toolUseResult={"agentId": "a1"}),
    ]
    agents = [
        line("3", None, words="Name one.", isSidechain=True, agentId="a1"),
        line("4", None, words="Name two.", isSidechain=True),  # before agents had ids
        answer("5", "4", "m2", text("Oak."), isSidechain=True),
    ]
    _, one, two = talk(tmp_path, *main, *agents)
    assert [each.context["spawned_by"] for each in (one, two)] == ["c1", "c2"]
    assert len(two.history) == 2


def test_what_began_in_the_background_is_a_result_without_orders(tmp_path: Path):
    launched = (
        "Async agent launched successfully. (This tool result is internal metadata — never quote it.)\nagentId: a1"
    )
    begun = line("3", "2", words=outcome("c1", [text(launched)]), toolUseResult={"isAsync": True, "agentId": "a1"})
    noticed = line("4", "3", words=NOTICE, origin={"kind": "task-notification"})
    found = shown(tmp_path, line("1", None, words="Ask."), answer("2", "1", "m1", call("c1", "Agent")), begun, noticed)
    for_the_model = text("agentId: a1 (use SendMessage with to: 'a1' to continue this agent)")
    waited = line("3", "2", words=outcome("c1", [text("Oak."), for_the_model]), toolUseResult={"agentId": "a1"})
    asked = line("1", None, words="Ask."), answer("2", "1", "m1", call("c1", "Agent"))
    assert shown(tmp_path, *asked, waited)[2:] == [("tool", "(result) Oak.")]
    assert found[2:] == [("tool", "(result) Async agent launched successfully."), ("tool", "(result) Sword fern")]


def test_a_transcript_is_known_behind_many_lines_that_say_nothing(tmp_path: Path):
    noise = [{"type": "request-log", "hash": str(number)} for number in range(300)]
    path = written(tmp_path, jsonl(*noise, line("1", None, words="Shade?")), "s.jsonl")
    assert recognise(path) == "claude-code"
    assert len(conversations(path)) == 1


# --- Whatever is in the lines


SOUND = [
    line("1", None, words=[text("Shade?")], origin={"kind": "human"}),
    answer("2", "1", "m1", {"type": "thinking", "thinking": "Hm."}),
    answer("3", "2", "m1", call("c1", "WebFetch", prompt="x")),
    line("4", "3", words=outcome("c1", [text("p")]), toolUseResult={"isAsync": True, "agentId": "a1"}),
    line("5", "4", "attachment", attachment={"type": "queued_command", "commandMode": "prompt", "prompt": "And?"}),
    *compaction("6", "5"),
    line("b", "6a", words=[*outcome("c1"), text("And?")]),
    line("8", "b", words="<command-name>/x</command-name>"),
    line("9", "8", words=NOTICE, origin={"kind": "task-notification"}),
    line("a", None, words="Name one.", isSidechain=True, agentId="a1"),
    {"type": "ai-title", "aiTitle": "T"},
]


@pytest.mark.slow
@given(st.data())
def test_no_mutated_line_makes_reading_fail(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    lines = json.loads(json.dumps(SOUND))
    for _ in range(data.draw(st.integers(1, 4))):
        container, key = data.draw(st.sampled_from(list(places(lines))))
        if data.draw(st.booleans()):
            container[key] = data.draw(JSON | st.sampled_from([str(n) for n in range(10)]))
        elif isinstance(container, dict):
            del container[key]
    raw = b"".join(json.dumps(each).encode() + b"\n" for each in lines)
    path = written(tmp_path_factory.getbasetemp(), raw[: data.draw(st.integers(0, len(raw)))], "s.jsonl")
    held(path, "claude-code")
    assert all(isinstance(each, BadEntry | Imported) for each in read(path))
