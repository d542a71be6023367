"""Talks of Kimi Code: what the person typed, an answer a step, prompts taken back, sub-agents and forks linked."""

import json
from pathlib import Path
from typing import Any

from agentic_flywheel.cli.importers.conversation import Imported

from .test_importers import bad, conversations, jsonl, said

OWN, FORK = "session_00", "session_01"
STATE: dict[str, Any] = {"id": OWN, "cwd": "/home/ann/heron", "title": "Made up", "isCustomTitle": False}
HEAD = {"type": "metadata", "protocol_version": "1.5", "created_at": 1772352000000}
USER = {"kind": "user"}


def told(own: str, words: str, **origin: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": words}]
    message = {"role": "user", "content": content, "id": own, "toolCalls": [], "origin": origin or USER}
    return {"type": "context.append_message", "agentId": "main", "message": message, "time": 1772352001000}


def event(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": "context.append_loop_event", "event": {"type": kind, **more}, "time": 1772352002000}


def part(step: str, **of_it: str) -> dict[str, Any]:
    return event("content.part", uuid="x", stepUuid=step, part=of_it)


def answer(step: str, words: str) -> dict[str, Any]:
    return part(step, type="text", text=words)


LINES = [
    HEAD,
    told("u1", "What is here?"),
    told("i1", "<system-reminder>Be quick.</system-reminder>", kind="injection", variant="mode"),
    {"type": "llm.request", "model": "m-1"},
    event("step.begin", uuid="s1"),
    part("s1", type="think", think="Look."),
    answer("s1", "I look."),
    event("tool.call", stepUuid="s1", toolCallId="c1", name="Bash", args={"command": "ls"}),
    event("tool.result", toolCallId="c1", result={"output": "reeds.txt\n"}),
    answer("s2", "Reeds."),
    {"type": "context.apply_compaction", "summary": "<summary>\nAbout reeds.\n</summary>"},
    told("u2", "Sun?"),
    answer("s3", "No."),
]


def talks(folder: Path, *lines: Any, agent: str = "main", **state: Any) -> list[Imported]:
    session = folder / "wd_heron_0" / "session"
    (session / "agents" / agent).mkdir(parents=True, exist_ok=True)
    (session / "state.json").write_text(json.dumps(STATE | state))
    path = session / "agents" / agent / "wire.jsonl"
    path.write_text(jsonl(*lines))
    assert not bad(path)
    return conversations(path)


def test_a_talk_has_what_was_typed_and_an_answer_a_step(tmp_path: Path):
    (talk,) = talks(tmp_path, *LINES)
    assert [(turn["id"], turn["role"]) for turn in talk.history] == [
        ("u1", "user"), ("s1", "assistant"), ("s1/c1", "tool"), ("s2", "assistant"),
        ("u2", "user"), ("s3", "assistant"),
    ]  # fmt: skip
    assert [block["type"] for block in talk.history[1]["content"]] == ["thinking", "text", "tool_use"]
    assert talk.history[2]["content"][0]["content"] == "reeds.txt\n"
    assert talk.history[0]["created_at"] == "2026-03-01T08:00:01+00:00"
    assert (talk.session_id, talk.title, talk.summary) == (f"kimi-code-{OWN}", "What is here?", "About reeds.")
    assert (talk.tags, talk.context["model"]) == (("project:heron",), "m-1")
    assert talks(tmp_path, *LINES, isCustomTitle=True)[0].title == "Made up"


def test_prompts_that_were_taken_back_are_not_in_it_and_what_a_compaction_closed_stays(tmp_path: Path):
    back = {"type": "context.undo", "agentId": "main", "count": 1}
    (talk,) = talks(tmp_path, *LINES, back, told("u3", "Walls?"))
    assert [turn["id"] for turn in talk.history][-2:] == ["s2", "u3"]
    (talk,) = talks(tmp_path, *LINES, back | {"count": 2})
    assert [turn["id"] for turn in talk.history][-1] == "s2"
    (talk,) = talks(tmp_path, *LINES, {"type": "context.clear"}, told("u3", "Walls?"), answer("s4", "Yes."), back)
    assert [turn["id"] for turn in talk.history][-1] == "s3"


def test_what_the_person_called_is_as_they_typed_it_and_the_programs_own_words_are_not_theirs(tmp_path: Path):
    (talk,) = talks(
        tmp_path, HEAD,
        told("k", "Long text", kind="skill_activation", trigger="user-slash", skillName="pond", skillArgs="deep"),
        told("p", "Long text", kind="plugin_command", trigger="user-slash", commandName="tidy"),
        told("m", "Long text", kind="skill_activation", trigger="model-tool", skillName="pond"),
        told("t", "The helper is done.", kind="task", taskId="x"),
        told("b", "<bash-input>ls &gt; x</bash-input>", kind="shell_command", phase="input"),
        told("o", "<bash-stdout>a</bash-stdout><bash-stderr>b</bash-stderr>", kind="shell_command", phase="output"),
    )  # fmt: skip
    assert said(talk) == [("user", "/skill:pond deep"), ("user", "/tidy"), ("system", "! ls > x"), ("system", "a\nb")]


def test_a_sub_agent_and_a_fork_are_talks_of_their_own_with_their_origin(tmp_path: Path):
    agents = {"agent-0": {"type": "sub", "parentAgentId": "main"}, "agent-1": {"parentAgentId": "agent-0"}}
    task = told("u1", "Name one bird", kind="system_trigger", name="subagent")
    (agent,) = talks(tmp_path, HEAD, task, agent="agent-0", agents=agents)
    assert (agent.session_id, agent.parent, agent.relation) == (
        f"kimi-code-{OWN}-agent-0", f"kimi-code-{OWN}", "sub-agent",
    )  # fmt: skip
    assert said(agent) == [("user", "Name one bird")]
    assert talks(tmp_path, HEAD, task, agent="agent-1", agents=agents)[0].parent == agent.session_id
    (fork,) = talks(tmp_path, *LINES, id=FORK, forkedFrom=OWN)
    assert (fork.session_id, fork.parent, fork.relation) == (f"kimi-code-{FORK}", f"kimi-code-{OWN}", "fork")


def test_a_file_without_its_session_is_told(tmp_path: Path):
    path = tmp_path / "wire.jsonl"
    path.write_text(jsonl(*LINES))
    assert [each.reason for each in bad(path)] == ["begins a talk whose session is named in no state.json above it"]
