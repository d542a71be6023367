"""Talks of Cline's CLI: who says what in a message, and the talks of its sub-agents."""

from pathlib import Path
from typing import Any

from agentic_flywheel.cli.importers.conversation import Imported

from .test_importers import bad, conversations, said, written
from .test_smaller_terminals import cline


def user(*texts: str, **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": each} for each in texts]} | more


def model(words: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "text", "text": words}]} | more


def typed(words: str) -> str:
    return f'<user_input mode="act">{words}</user_input>'


def read_from(folder: Path, *messages: Any, **more: Any) -> Imported:
    path = written(folder, cline(*messages) | more, "17_ab.messages.json")
    assert bad(path) == []
    [talk] = conversations(path)
    return talk


def test_what_cline_tells_the_model_as_a_user_is_not_the_persons(tmp_path: Path):
    talk = read_from(
        tmp_path,
        user(typed("What is here?")),
        model("I look."),
        user("You called run_commands twice with the same arguments. Try something else."),
        user(typed("System-delivered teammate async run updates:\n- r1 (owl) -> done")),
        user(typed("[TASK RESUMPTION] Go on.")),
        user("Go on, please.", metadata={"displayRole": "system", "kind": "recovery_notice"}),
        model("Reeds."),
    )
    assert said(talk) == [("user", "What is here?"), ("assistant", "I look."), ("assistant", "Reeds.")]


def test_an_error_that_cline_shows_is_not_the_models_and_a_summary_is_that_of_the_talk(tmp_path: Path):
    summary = {"kind": "compaction_summary", "displayRole": "system", "summary": "About reeds."}
    talk = read_from(
        tmp_path,
        user("Context summary:\n\nAbout reeds.", metadata=summary),
        user(typed("What is here?")),
        model("Too many requests", metadata={"displayOnly": True, "displayRole": "error"}),
    )
    assert said(talk) == [("user", "What is here?"), ("system", "Too many requests")]
    assert talk.summary == "About reeds."


def test_a_command_is_as_it_was_typed_and_what_cline_notes_beside_it_goes(tmp_path: Path):
    notice = "<mode_notice>The user switched from plan mode to act mode before sending this message.</mode_notice>"
    team = "spawn a team of agents for the following task: Count reeds"
    talk = read_from(
        tmp_path,
        user(typed(f"{notice}\nWhat is here?")),
        user(typed(f'<user_command slash="team">{team}</user_command>')),
        user(typed('<user_command slash="review">the pond</user_command>')),
    )
    assert [words for _, words in said(talk)] == ["What is here?", "/team Count reeds", "/review the pond"]


def test_a_sub_agent_of_cline_names_its_parent_and_lies_in_its_folder(tmp_path: Path):
    written(tmp_path, {"session_id": "17_ab", "cwd": "/home/ann/heron", "metadata": {"title": "Reeds"}}, "17_ab.json")
    origin = {"version": "3.0.65", "parentThreadId": "17_ab", "subagent": "owl"}
    value = cline(user("Name one bird"), model("A heron")) | {"sessionId": "17_ab__owl", "agent": "subagent"}
    [talk] = conversations(written(tmp_path, value | {"origin": origin}, "owl.messages.json"))
    assert said(talk) == [("user", "Name one bird"), ("assistant", "A heron")]
    assert (talk.session_id, talk.parent, talk.relation) == ("cline-17_ab__owl", "cline-17_ab", "sub-agent")
    assert (talk.title, talk.tags) == ("Name one bird", ("sub-agent", "project:heron"))
