"""Talks of Gemini CLI: a log of patches becomes what the person saw, each turn once and at the time it had first."""

import zipfile
from pathlib import Path
from typing import Any

from agentic_flywheel.cli.importers.files import recognise
from agentic_flywheel.cli.importers.found_files import sources

from .test_importers import bad, conversations, jsonl, said, written

OWN = "0badcafe-0000-4000-8000-000000000001"


def header(own: str = OWN, kind: str = "main", **more: Any) -> dict[str, Any]:
    return {"sessionId": own, "projectHash": "00ff", "startTime": "2026-03-01T08:00:00Z", "kind": kind} | more


def user(own: str, text: str, at: str = "08:00:01") -> dict[str, Any]:
    return {"id": own, "timestamp": f"2026-03-01T{at}Z", "type": "user", "content": [{"text": text}]}


def answer(own: str, text: Any, at: str = "08:00:02", **more: Any) -> dict[str, Any]:
    return {"id": own, "timestamp": f"2026-03-01T{at}Z", "type": "gemini", "content": text, "model": "gem-0"} | more


def context() -> dict[str, Any]:
    told = "<session_context>\nSet up.\n- **Workspace Directories:**\n  - /home/ann/heron\n</session_context>"
    return user("ctx", told)


def tool(own: str, output: str | None = None, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"id": own, "name": "list_directory", "args": {"dir_path": "."}, "status": "success"}
    if output is not None:
        response = {"id": own, "name": "list_directory", "response": {"output": output}}
        made["result"] = [{"functionResponse": response}]
    return made | more


def test_the_last_line_of_an_id_is_the_answer_and_its_results_stand_behind_it(tmp_path: Path):
    thoughts = [{"subject": "Plan", "description": "Look first."}]
    response = {"functionResponse": {"id": "t1", "name": "list_directory", "response": {"output": "reeds.txt"}}}
    lines = jsonl(
        header(),
        {"$set": {"messages": [context()]}},
        user("u1", "What is here?"),
        {"$set": {"lastUpdated": "2026-03-01T08:00:01Z"}},
        answer("a1", "I look.", thoughts=thoughts),
        answer("a1", "I look.", thoughts=thoughts, toolCalls=[tool("t1", "reeds.txt")]),
        {"id": "r1", "type": "user", "content": [response]},
        {"id": "i1", "type": "info", "content": "Update available."},
        answer("a2", "Reeds.", "08:00:04"),
    )
    [talk] = conversations(written(tmp_path, lines, "session-1.jsonl"))
    assert said(talk) == [
        ("user", "What is here?"),
        (
            "assistant",
            [
                {"type": "thinking", "thinking": "**Plan** Look first."},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "t1", "name": "list_directory", "input": {"dir_path": "."}},
            ],
        ),
        ("tool", [{"type": "tool_result", "tool_use_id": "t1", "content": "reeds.txt"}]),
        ("assistant", "Reeds."),
    ]
    assert [turn["id"] for turn in talk.history] == ["u1", "a1", "a1/t1", "a2"]
    assert (talk.session_id, talk.tags, talk.title) == (f"gemini-cli-{OWN}", ("project:heron",), "What is here?")
    assert talk.context == {"imported_from": "gemini-cli", "cwd": "/home/ann/heron", "model": "gem-0"}


def test_a_result_without_an_id_of_its_own_is_that_of_the_call_that_has_it(tmp_path: Path):
    nameless = tool("t1") | {
        "result": [{"functionResponse": {"name": "list_directory", "response": {"output": "reeds"}}}]
    }
    lines = jsonl(header(), user("u1", "What is here?"), answer("a1", "I look.", toolCalls=[nameless]))
    [talk] = conversations(written(tmp_path, lines, "session-1.jsonl"))
    assert talk.history[-1]["role"] == "tool"
    assert talk.history[-1]["content"] == [{"type": "tool_result", "tool_use_id": "t1", "content": "reeds"}]


def test_a_resume_repeats_the_talk_in_another_shape_and_at_other_times_and_it_stays_the_same(tmp_path: Path):
    first = [
        header(),
        user("u1", "What is here?"),
        answer("a1", "Reeds.", thoughts=[{"subject": "Plan", "description": "Look first."}], toolCalls=[
            tool("t1", "reeds.txt", timestamp="2026-03-01T08:00:03Z")]),
    ]  # fmt: skip
    calls = [tool("t1", "reeds.txt", timestamp="2026-03-01T09:00:00Z")]
    parts = [{"text": "**Plan** Look first.", "thought": True}, {"text": "Reeds."}]
    parts.append({"functionCall": {"id": "t1", "name": "list_directory", "args": {"dir_path": "."}}})
    again = answer("a1", parts, "09:00:00", toolCalls=calls)
    repeated = [context(), user("u1", "What is here?", "09:00:00"), again]
    lines = [*first, header(startTime="2026-03-01T09:00:00Z"), {"$set": {"messages": repeated}}]
    [before] = conversations(written(tmp_path, jsonl(*first), "a.jsonl"))
    [after] = conversations(written(tmp_path, jsonl(*lines), "b.jsonl"))
    assert after.history == before.history
    assert after.history[1]["created_at"].startswith("2026-03-01T08:00:02")


def test_what_a_patch_leaves_out_and_what_was_taken_back_is_not_in_the_talk(tmp_path: Path):
    lines = [header(), user("u1", "Reeds?"), answer("a1", "Yes."), user("u2", "Herons?"), answer("a2", "Two.")]
    [talk] = conversations(written(tmp_path, jsonl(*lines, {"$rewindTo": "u2"}, user("u3", "Ducks?")), "a.jsonl"))
    assert said(talk) == [("user", "Reeds?"), ("assistant", "Yes."), ("user", "Ducks?")]
    patch = {"$set": {"messages": [user("u9", "Only this?")], "summary": "About reeds"}}
    [talk] = conversations(written(tmp_path, jsonl(*lines, patch), "b.jsonl"))
    assert (said(talk), talk.title) == ([("user", "Only this?")], "About reeds")
    assert conversations(written(tmp_path, jsonl(*lines, {"$rewindTo": "gone"}), "c.jsonl")) == []


def test_what_was_said_before_a_compression_stays_and_the_programs_words_to_the_model_are_a_summary(tmp_path: Path):
    thanks = answer("t1", [{"text": "Got it. Thanks for the additional context!"}])
    left = [context(), user("s1", "<state_snapshot>Reeds.</state_snapshot>"), thanks, answer("a2", [{"text": "Tw…"}])]
    lines = [
        *(header(), user("u1", "Reeds?"), answer("a1", "Yes."), user("u2", "Herons?"), answer("a2", "Two.")),
        {"$set": {"messages": left}},
        *(header(), {"$set": {"messages": [context()]}}, {"$set": {"messages": left}}),  # a resume
        *(user("u3", "Yes?"), answer("a3", "Yes.")),
    ]
    [talk] = conversations(written(tmp_path, jsonl(*lines), "a.jsonl"))
    assert [content for _, content in said(talk)] == ["Reeds?", "Yes.", "Herons?", "Two.", "Yes?", "Yes."]
    assert talk.summary == "<state_snapshot>Reeds.</state_snapshot>"


def test_a_twin_of_headers_gives_nothing_and_no_error(tmp_path: Path):
    twin = written(tmp_path, jsonl(header(), {"$set": {"messages": [context()]}}, header()), "twin.jsonl")
    assert (recognise(twin), conversations(twin), bad(twin)) == ("gemini-cli", [], [])


def test_a_sub_agent_is_a_session_that_names_its_parent_and_the_call(tmp_path: Path):
    agent = "0badcafe-0000-4000-8000-000000000002"
    (tmp_path / "chats" / OWN).mkdir(parents=True)
    calls = [tool("t1", "A heron", agentId=agent)]
    parent = jsonl(header(), user("u1", "Ask."), answer("a1", "", toolCalls=calls))
    written(tmp_path / "chats", parent, "session-2026-03-01T08-00-0badcafe.jsonl")
    hurry = user("h", "You have stopped calling tools without finishing. You have one final chance.")
    lines = jsonl(header(agent, "subagent", directories=["/home/ann/heron"]), user("u", "Name one bird"), hurry,
                  answer("a", "A heron"))  # fmt: skip
    [talk] = conversations(written(tmp_path / "chats" / OWN, lines, f"{agent}.jsonl"))
    assert (talk.parent, talk.relation, talk.context["spawned_by"]) == (f"gemini-cli-{OWN}", "sub-agent", "t1")
    assert said(talk) == [("user", "Name one bird"), ("assistant", "A heron")]
    assert talk.tags == ("sub-agent", "project:heron")


def test_the_folder_is_that_of_the_list_of_projects_where_the_talk_does_not_say_it(tmp_path: Path):
    kept, lines = tmp_path / ".gemini" / "tmp" / "heron" / "chats", jsonl(header(), user("u1", "Reeds?"))
    kept.mkdir(parents=True)
    listed = {"/home/ann/bogs": "bogs", "/home/ann/heron-2": "heron"}
    for given in ({"projects": listed}, listed):
        written(tmp_path / ".gemini", given, "projects.json")
        [talk] = conversations(written(kept, lines, "session-1.jsonl"))
        assert talk.tags == ("project:heron-2",)
    with zipfile.ZipFile(tmp_path / "home.zip", "w") as packed:
        for each in ("projects.json", "tmp/heron/chats/session-1.jsonl"):
            packed.write(tmp_path / ".gemini" / each, each)
    with sources(tmp_path / "home.zip") as found:
        [talk] = [talk for source in found.files for talk in conversations(source)]
    assert talk.context["cwd"] == "/home/ann/heron-2"
    (tmp_path / ".gemini" / "projects.json").unlink()
    written(tmp_path / ".gemini" / "tmp", {"projects": {"/nowhere": "chats"}}, "projects.json")
    assert conversations(kept / "session-1.jsonl")[0].tags == ()


def test_an_old_file_that_is_one_object_is_read_too(tmp_path: Path):
    old = header(messages=[user("u1", "Reeds?"), answer("a1", "Yes.")])
    [talk] = conversations(written(tmp_path, old, "session-old.json"))
    assert said(talk) == [("user", "Reeds?"), ("assistant", "Yes.")]


def named_file(*more: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts of a prompt in which a file was named, as 0.61.0 sends them."""
    texts = [
        "Which @a.txt grow?",
        "\n--- Content from referenced files ---",
        "\nContent from @a.txt:\n",
        "A whole file",
    ]
    return [*({"text": each} for each in texts), *more, {"text": "\n--- End of content ---"}]


def test_the_files_that_a_person_named_are_none_of_their_words(tmp_path: Path):
    displayed = user("u1", "") | {"content": named_file(), "displayContent": [{"text": "Which @a.txt grow?"}]}
    first = [header(), {"$set": {"messages": [context()]}}, displayed, answer("a1", "Reeds.")]
    again = [context(), user("u1", "") | {"content": named_file()}, answer("a1", [{"text": "Reeds."}])]
    for lines in (first, [*first, header(), {"$set": {"messages": again}}]):
        [talk] = conversations(written(tmp_path, jsonl(*lines), "a.jsonl"))
        assert said(talk) == [("user", "Which @a.txt grow?"), ("assistant", "Reeds.")]
    picture = {"inlineData": {"mimeType": "image/png", "data": "iVBO"}}
    for content in (named_file(picture), "".join(part["text"] for part in named_file())):
        older = [header(), user("u1", "") | {"content": content}, answer("a1", "Reeds.")]
        [talk] = conversations(written(tmp_path, jsonl(*older), "b.jsonl"))
        assert talk.title == "Which @a.txt grow?"
        assert "whole file" not in str(talk.history)
        assert ("image/png" in str(talk.history)) == isinstance(content, list)


def test_a_prompt_that_was_interrupted_stays_once_however_the_talk_goes_on(tmp_path: Path):
    first = [header(), {"$set": {"messages": [context()]}}, user("u1", "Reeds?"), answer("a1", "Yes.")]
    cut = [user("u2", "Now wait."), {"$set": {"lastUpdated": "2026-03-01T08:00:09Z"}}]
    left = [context(), user("u1", "Reeds?"), answer("a1", [{"text": "Yes."}]), user("u2", "Now wait.")]
    resumed = [header(), {"$set": {"messages": [context()]}}, {"$set": {"messages": left}}]
    then = [user("u3", "Now wait."), answer("a3", "I did.")]
    shown = [("user", "Reeds?"), ("assistant", "Yes."), ("user", "Now wait.")]
    for lines, more in ((cut, []), ([*cut, *resumed], []), ([*cut, *resumed, *then], ["Now wait.", "I did."])):
        [talk] = conversations(written(tmp_path, jsonl(*first, *lines), "a.jsonl"))
        assert said(talk)[:3] == shown
        assert [content for _, content in said(talk)[3:]] == more
