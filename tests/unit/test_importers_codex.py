"""Of Codex's transcripts comes in what the person saw: each item once, a fork behind its origin."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentic_flywheel.cli.importers.conversation import Imported
from agentic_flywheel.cli.importers.files import read, recognise
from agentic_flywheel.cli.importers.found_files import sources
from agentic_flywheel.cli.importers.json_entries import BadEntry
from agentic_flywheel.cli.importers.related import in_order
from agentic_flywheel.documents.turn_text import said_in

from .test_importers import JSON, bad, conversations, held, jsonl, places, written

Line = dict[str, Any]

THREAD = "01a22459-a6a3-77d2-af58-7cc6ee7afce7"
FORK = "01a22960-0f26-7922-8b44-2720f921ea48"


def rollout(*lines: tuple[str, Any], first: int = 0, **meta: Any) -> list[Line]:
    """A transcript of these types and payloads, behind its head."""
    head = {"id": THREAD, "cwd": "/home/ada/ferns", "cli_version": "0.171.0", "source": "exec"} | meta
    whole = [("session_meta", head), *lines]
    time = "2026-11-28T22:49:45.000Z"
    return [
        {"timestamp": time, "ordinal": number, "type": kind, "payload": payload}
        for number, (kind, payload) in enumerate(whole, first)
    ]


def item(kind: str, own: str, **more: Any) -> tuple[str, Line]:
    completed = {"type": "item_completed", "item": {"type": kind, "id": own} | more, "completed_at_ms": 1795906185015}
    return "event_msg", completed


def asked(own: str, words: str) -> list[tuple[str, Line]]:
    """What a person said, as the model is given it and as they saw it."""
    given = {
        "type": "message",
        "id": f"given-{own}",
        "role": "user",
        "content": [{"type": "input_text", "text": words}],
    }
    seen = item("UserMessage", own, content=[{"type": "text", "text": words, "text_elements": []}])
    return [("response_item", given), seen]


def answered(own: str, words: str, thought: str = "") -> list[tuple[str, Line]]:
    """An answer, as they saw it and as the model is given it."""
    thoughts = [item("Reasoning", f"rs-{own}", summary_text=[thought])] if thought else []
    given = {"type": "message", "id": own, "role": "assistant", "content": [{"type": "output_text", "text": words}]}
    return [*thoughts, item("AgentMessage", own, content=[{"type": "Text", "text": words}]), ("response_item", given)]


def called(call: str, **given: Any) -> tuple[str, Line]:
    payload = {"type": "function_call", "id": f"fc-{call}", "name": "exec_command", "call_id": call}
    return "response_item", payload | {"arguments": json.dumps(given)}


def output(call: str, words: Any) -> tuple[str, Line]:
    return "response_item", {"type": "function_call_output", "id": f"fco-{call}", "call_id": call, "output": words}


def command(call: str, printed: str, **more: Any) -> tuple[str, Line]:
    return item("CommandExecution", call, command=["/bin/bash", "-lc", "ls"], aggregated_output=printed, **more)


ENDED = ("event_msg", {"type": "token_count", "info": {}})
BEGUN = ("event_msg", {"type": "task_started", "turn_id": "t"})
CONTEXT = ("turn_context", {"model": "gpt-5.4", "cwd": "/home/ada/ferns"})
NOBODY = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "<environment_context>x"}]}
SHADE = [BEGUN, CONTEXT, ("response_item", NOBODY), *asked("q1", "Shade?"), *answered("m1", "Ferns.", "Hm."), ENDED]


def file(folder: Path, lines: list[Line], own: str = THREAD) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return written(folder, jsonl(*lines), f"rollout-2026-11-28T22-49-44-{own}.jsonl")


def talk(path: Path) -> Imported:
    assert bad(path) == []
    [only] = conversations(path)
    return only


def shown(found: Imported) -> list[tuple[str, str]]:
    return [(turn["role"], said_in(turn, whole=False)[1]) for turn in found.history]


def words(path: Path) -> list[str]:
    return [said for _, said in shown(talk(path))]


def test_a_talk_comes_in_as_what_the_person_saw_each_item_once(tmp_path: Path):
    look = [*asked("q2", "List."), *answered("m2", "I look.", "Which?"), called("c1", cmd="ls"), ENDED]
    done = [command("c1", "ferns.txt\n", exit_code=0), output("c1", "Chunk ID: 1\nferns.txt"), *answered("m3", "Done.")]
    path = file(tmp_path, rollout(*SHADE, *look, *done, ENDED))
    assert recognise(path) == "codex"
    found = talk(path)
    assert shown(found) == [
        ("user", "Shade?"),
        ("assistant", "(thinking) Hm.\nFerns."),
        ("user", "List."),
        ("assistant", '(thinking) Which?\nI look.\n(calls exec_command {"cmd":"ls"})'),
        ("tool", "(result) ferns.txt"),
        ("assistant", "Done."),
    ]
    assert [turn["id"] for turn in found.history] == ["q1", "m1", "q2", "m2", "c1", "m3"]
    assert found.history[0]["created_at"] == "2026-11-28T22:49:45.015000+00:00"
    assert (found.session_id, found.title, found.tags) == (f"codex-{THREAD}", "Shade?", ("project:ferns",))
    assert found.context == {
        "imported_from": "codex", "cwd": "/home/ada/ferns", "program_version": "0.171.0", "model": "gpt-5.4",
    }  # fmt: skip


def test_tools_at_once_and_those_that_go_on_have_one_result_each(tmp_path: Path):
    calls = [*asked("q1", "Both."), called("c1", cmd="ls"), called("c2", cmd="make"), ENDED]
    early = [
        output("c1", '{"output": "one", "metadata": {}}'),
        output("c2", "still running"),
        ENDED,
        command("c2", "made"),
    ]
    seen = words(file(tmp_path, rollout(*calls, *early, command("c9", "by itself", exit_code=2))))
    assert seen[1] == '(calls exec_command {"cmd":"ls"})\n(calls exec_command {"cmd":"make"})'
    assert seen[2:4] == ["(result) one", "(result) made"]
    assert seen[5:] == ["(result) by itself\n[exit code 2]"]
    custom = {"type": "custom_tool_call", "id": "f", "call_id": "c1", "name": "apply_patch", "input": "*** Begin Patch"}
    given = {"type": "custom_tool_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "Done"}]}
    seen = words(file(tmp_path, rollout(*asked("q1", "Patch."), ("response_item", custom), ("response_item", given))))
    assert seen == ["Patch.", '(calls apply_patch {"input":"*** Begin Patch"})', "(result) Done"]
    typed = command("c1", "ferns.txt", source="user_shell")
    assert words(file(tmp_path, rollout(*SHADE, typed)))[2:] == ["! ls", "(result) ferns.txt"]


def test_older_transcripts_are_read_by_their_events(tmp_path: Path):
    events = [
        ("response_item", NOBODY),
        ("event_msg", {"type": "user_message", "message": "Shade?", "images": ["data:x"]}),
        ("event_msg", {"type": "agent_reasoning", "text": "Hm."}),
        ("event_msg", {"type": "agent_message", "message": "Ferns."}),
        ("response_item", answered("m1", "Ferns.")[-1][1]),
        called("c1", cmd="ls"),
        output("c1", "ferns.txt"),
        ("event_msg", {"type": "agent_message", "message": "Done."}),
    ]
    path = file(tmp_path, rollout(*events))
    assert words(path) == [
        "Shade?\n(attachment image)", '(thinking) Hm.\nFerns.\n(calls exec_command {"cmd":"ls"})', "(result) ferns.txt",
        "Done.",
    ]  # fmt: skip
    resumed = [*events, BEGUN, ("event_msg", {"type": "user_message", "message": "Sun?"}), *asked("q2", "Sun?")]
    assert words(file(tmp_path, rollout(*resumed))).count("Sun?") == 1, "by one that writes both"
    given = [("response_item", NOBODY), asked("q1", "Shade?")[0], answered("m1", "Ferns.")[-1]]
    assert words(file(tmp_path, rollout(*given))) == ["Shade?", "Ferns."]


def test_a_talk_that_a_newer_version_goes_on_with_keeps_what_the_older_one_wrote(tmp_path: Path):
    older = [("response_item", NOBODY), asked("q1", "Shade?")[0], answered("m1", "Ferns.")[-1]]
    newer = [BEGUN, *asked("q2", "Sun?"), *answered("m2", "Thyme.")]
    assert words(file(tmp_path, rollout(*older, *newer))) == ["Shade?", "Ferns.", "Sun?", "Thyme."]


def test_an_item_that_was_written_twice_is_said_once(tmp_path: Path):
    path = file(tmp_path, rollout(*SHADE, *SHADE, *asked("q2", "Shade?")))
    assert words(path) == ["Shade?", "(thinking) Hm.\nFerns.", "Shade?"]


def test_of_what_versions_of_2025_noted_by_events_the_person_saw_reviews_and_no_words_about_compactions(tmp_path: Path):
    review = {"overall_explanation": "Mostly fine.", "findings": [{"title": "A typo", "body": "It says frens."}]}
    events = [
        ("event_msg", {"type": "user_message", "message": "Shade?"}),
        ("event_msg", {"type": "agent_message", "message": "Ferns."}),
        ("compacted", {"message": "Ferns."}),
        ("event_msg", {"type": "agent_message", "message": "Compact task completed"}),
        ("event_msg", {"type": "exited_review_mode", "review_output": review}),
        ("event_msg", {"type": "exited_review_mode", "review_output": None}),
    ]
    found = words(file(tmp_path, rollout(*events)))
    assert found == ["Shade?", "Ferns.", "Mostly fine.\n\n- A typo\n  It says frens."]


def test_what_was_rolled_back_was_taken_back(tmp_path: Path):
    sun = [*asked("q2", "Sun?"), *answered("m2", "Thyme."), ENDED]
    back = ("event_msg", {"type": "thread_rolled_back", "num_turns": 1})
    path = file(tmp_path, rollout(*SHADE, *sun, back, *asked("q3", "Walls?"), *answered("m3", "Ivy.")))
    assert words(path) == ["Shade?", "(thinking) Hm.\nFerns.", "Walls?", "Ivy."]
    all_of_it = ("event_msg", {"type": "thread_rolled_back", "num_turns": 9})
    assert words(file(tmp_path, rollout(*SHADE, all_of_it, *asked("q3", "Walls?")))) == ["Walls?"]


def test_what_was_rolled_back_with_all_before_it_is_not_said_as_the_model_was_given_it(tmp_path: Path):
    back = ("event_msg", {"type": "thread_rolled_back", "num_turns": 1})
    lines = rollout(*SHADE, back, BEGUN, *asked("q2", "Walls?"), *answered("m2", "Ivy."))
    assert words(file(tmp_path, lines)) == ["Walls?", "Ivy."]


def test_calls_that_a_model_counts_anew_in_each_answer_keep_their_own_results(tmp_path: Path):
    first = [called("call_0", cmd="ls"), command("call_0", "ferns.txt"), output("call_0", "Output:\nferns.txt")]
    second = [called("call_0", cmd="pwd"), output("call_0", "/garden"), *answered("m2", "There.")]
    lines = rollout(*SHADE, BEGUN, *asked("q2", "Where?"), *first, ENDED, *second)
    said = words(file(tmp_path, lines))
    assert said[3:] == [
        '(calls exec_command {"cmd":"ls"})', "(result) ferns.txt",
        '(calls exec_command {"cmd":"pwd"})', "(result) /garden", "There.",
    ]  # fmt: skip


def test_interruptions_errors_and_cut_thoughts_are_not_the_models_words(tmp_path: Path):
    stopped = ("event_msg", {"type": "turn_aborted", "reason": "interrupted"})
    failed = ("event_msg", {"type": "task_complete", "error": {"message": "stream disconnected"}})
    lines = [*asked("q1", "Shade?"), item("Reasoning", "r1", summary_text=["Hm."]), ENDED, failed, failed,
             *asked("q2", "Again."), stopped]  # fmt: skip
    assert shown(talk(file(tmp_path, rollout(*lines)))) == [
        ("user", "Shade?"), ("system", "stream disconnected"), ("user", "Again."),
        ("system", "[Turn interrupted by user]"),
    ]  # fmt: skip


def test_a_summary_is_no_answer_and_has_no_preface(tmp_path: Path):
    words_of_it = "<summary>\n1. Ferns.\n</summary>"
    preface = "Another language model started. Here is the summary produced by the other language model, use the "
    preface += "information in this summary to assist with your own analysis:\n"
    lines = rollout(*SHADE, answered("m9", words_of_it)[-1], ("compacted", {"message": preface + words_of_it}))
    lines[-2]["metadata"] = {"compaction_output": True}
    found = talk(file(tmp_path, [*lines, *rollout(*asked("q2", "On."), item("ContextCompaction", "x"), first=50)[1:]]))
    assert found.summary == "1. Ferns."
    assert [said for _, said in shown(found)] == ["Shade?", "(thinking) Hm.\nFerns.", "On."]
    only_given = rollout(asked("q1", "Shade?")[0], answered("m9", words_of_it)[-1], answered("m1", "Ferns.")[-1])
    only_given[2]["metadata"] = {"compaction_output": True}
    assert words(file(tmp_path, only_given)) == ["Shade?", "Ferns."]
    plain = talk(file(tmp_path, rollout(*SHADE, ("compacted", {"message": "Ferns."}), ("compacted", {"message": ""}))))
    assert plain.summary == "Ferns."


def fork_of(end: int, thread: str = THREAD) -> list[Line]:
    base = {"thread_id": thread, "end_ordinal_exclusive": end, "end_byte_offset": 1}
    return rollout(*asked("q8", "A fork."), first=end, id=FORK, forked_from_id=thread, history_base=base)


def test_a_fork_goes_on_from_what_its_origin_had(tmp_path: Path):
    home = tmp_path / ".codex"
    origin = rollout(*SHADE, *asked("q2", "Said later."))
    file(home / "archived_sessions", origin)
    fork = file(home / "sessions" / "2026" / "11" / "29", fork_of(len(origin) - 2), FORK)
    assert words(fork) == ["Shade?", "(thinking) Hm.\nFerns.", "A fork."]
    found = talk(fork)
    assert (found.session_id, found.parent, found.relation) == (f"codex-{FORK}", f"codex-{THREAD}", "fork")
    assert {turn["id"] for turn in talk(file(tmp_path, origin)).history} >= {"q1", "m1"}, "the same ids in both"
    for lost in (fork_of(5, "gone"), fork_of(5, "../../x"), fork_of(5, FORK)):
        assert words(file(tmp_path / "alone", lost, FORK)) == ["A fork."]
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in home.rglob("*.jsonl"):
            archive.write(path, path.relative_to(home))
    with sources(tmp_path / "all.zip") as packed:
        ordered, related = in_order(packed.files)
        assert [len(conversations(each)[0].history) for each in ordered] == [3, 3]
        assert related == {*ordered}


def test_a_fork_comes_behind_its_origin(tmp_path: Path):
    fork, origin = file(tmp_path / "a", fork_of(3), FORK), file(tmp_path / "b", rollout(*SHADE))
    alone = file(tmp_path / "c", rollout(*SHADE, id="alone"), "alone")
    assert in_order([fork, origin, alone]) == ([origin, fork, alone], {origin, fork})


def test_a_sub_agents_talk_is_its_own_part_and_names_the_call_that_began_it(tmp_path: Path):
    spawn = {"thread_spawn": {"parent_thread_id": THREAD, "agent_path": "/main/ferns"}}
    two = [
        ("response_item", {"type": "function_call", "name": "spawn_agent", "call_id": call,
                           "arguments": json.dumps({"task_name": name, "message": f"Name {name}."})})
        for call, name in (("c1", "ferns"), ("c2", "oaks"))
    ]  # fmt: skip
    copied = [("session_meta", {"id": THREAD, "source": "exec"}), *SHADE, *two]
    task = ("response_item", {"type": "agent_message", "id": "t1", "content": [{"type": "encrypted_content"}]})
    own = [task, *answered("m9", "Sword fern.")]
    meta = {"id": FORK, "source": {"subagent": spawn}, "forked_from_id": THREAD, "agent_path": "/main/ferns",
            "subagent_history_start_ordinal": len(copied) + 1}  # fmt: skip
    path = file(tmp_path, rollout(*copied, *own, **meta), FORK)
    found = talk(path)
    assert shown(found) == [("user", "Name ferns."), ("assistant", "Sword fern.")]
    assert (found.parent, found.relation, found.title) == (f"codex-{THREAD}", "sub-agent", "ferns")
    assert found.context["spawned_by"] == "c1"
    assert found.tags == ("sub-agent", "project:ferns")
    for asked_by_the_program in ("compact", {"other": "memory"}):
        meta["source"] = {"subagent": asked_by_the_program}
        assert list(read(file(tmp_path, rollout(*copied, *own, **meta), FORK))) == []


def test_a_talk_has_the_name_that_it_was_given_last(tmp_path: Path):
    names = [{"id": THREAD, "thread_name": "In the shade"}, {"id": "other", "thread_name": "Oaks"}, 7,
             {"id": THREAD, "thread_name": "Fern talk"}, {"id": THREAD, "thread_name": 7}]  # fmt: skip
    path = file(tmp_path / "sessions" / "2026", rollout(*SHADE))
    assert talk(path).title == "Shade?"
    written(tmp_path, jsonl(*names), "session_index.jsonl")
    assert talk(path).title == "Fern talk"
    (tmp_path / "session_index.jsonl").write_bytes(b"\xff[")
    assert conversations(path)[0].title == "Shade?"


def test_a_packed_transcript_is_named_with_what_to_do(tmp_path: Path):
    packed = tmp_path / f"rollout-2025-01-01T00-00-00-{THREAD}.jsonl.zst"
    packed.write_bytes(b"\x28\xb5\x2f\xfd\x04\x00")
    file(tmp_path, rollout(*SHADE))
    with sources(tmp_path) as found:
        assert len(found.files) == 2
    [told] = bad(packed)
    assert (told.line, told.is_foreign) == (1, False)
    assert told.reason == "is packed by Codex, as old transcripts are. Unpack it (zstd -d), and import what comes of it"


def test_a_malformed_line_is_named_and_the_others_come_in(tmp_path: Path):
    lines = rollout(*SHADE)
    for odd, reason in (({"payload": {}}, "has no type"), ({"type": "event_msg", "payload": 7}, "has no payload"),
                        ({"type": "compacted", "payload": {"message": 7}}, "")):  # fmt: skip
        path = file(tmp_path, [*lines, odd, *rollout(*asked("q2", "On."))[1:]])
        assert [each.reason for each in bad(path)] == ([reason] if reason else [])
        assert all(each.is_message and "Shade?" in each.talk for each in bad(path))
        assert len(conversations(path)[0].history) == 3


SOUND = rollout(
    *SHADE,
    called("c1", cmd="ls"),
    command("c1", "x", exit_code=1),
    output("c1", [{"type": "input_text", "text": "x"}]),
    command("c2", "x", source="user_shell"),
    ("event_msg", {"type": "agent_message", "message": "x"}),
    ("event_msg", {"type": "thread_rolled_back", "num_turns": 1}),
    ("compacted", {"message": "x"}),
    *asked("q2", "On."),
    ("event_msg", {"type": "turn_aborted", "reason": "interrupted"}),
    history_base={"thread_id": THREAD},
    subagent_history_start_ordinal=1,
    source={"subagent": {"thread_spawn": {"parent_thread_id": "x"}}},
    git={"branch": "main"},
    agent_path="/main/x",
)


@pytest.mark.slow
@given(st.data())
def test_no_mutated_line_makes_reading_fail(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    lines = json.loads(json.dumps(SOUND))
    for _ in range(data.draw(st.integers(1, 4))):
        container, key = data.draw(st.sampled_from(list(places(lines))))
        if data.draw(st.booleans()):
            container[key] = data.draw(JSON)
        elif isinstance(container, dict):
            del container[key]
    raw = b"".join(json.dumps(each).encode() + b"\n" for each in lines)
    path = written(tmp_path_factory.getbasetemp(), raw[: data.draw(st.integers(0, len(raw)))], "rollout.jsonl")
    held(path, "codex")
    assert all(isinstance(each, BadEntry | Imported) for each in read(path))
