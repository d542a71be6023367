"""Transcripts of Claude Code, Codex and Qwen Code, through the real command: what a person saw, once, and findable."""

import json
from pathlib import Path

import pytest

from ..support.wire import WireServer
from ..unit.test_importers_claude_code import NOTICE, answer, call, line, outcome, text
from ..unit.test_importers_codex import FORK, SHADE, THREAD, asked, file, fork_of, rollout
from ..unit.test_importers_qwen_code import TALK
from .test_imports import history, link, rows, told
from .test_moving_house import run

pytestmark = pytest.mark.slow


def written(path: Path, *lines: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(each) + "\n" for each in lines), "utf-8")


def test_talks_of_a_folder_come_in_once_and_are_found_by_their_project(disabled_env: dict[str, str], tmp_path: Path):
    home = tmp_path / "home"
    origin = rollout(*SHADE, *asked("q2", "Said later."))
    file(home / "b", fork_of(len(origin) - 2), FORK)
    file(home / "c", origin)
    written(home / "qwen" / "s.jsonl", *TALK)
    launched = line("3", "2", words=outcome("c1", "Begun."), toolUseResult={"agentId": "a1", "isAsync": True})
    talk = [
        line("1", None, words="Ask one."),
        answer("2", "1", "m1", text("I ask."), call("c1", "Agent", prompt="Name one.")),
        launched,
        line("4", "3", words=NOTICE, origin={"kind": "task-notification"}),
        answer("5", "4", "m2", text("A fern.")),
    ]
    written(home / "claude" / "s.jsonl", *talk)
    helper = home / "claude" / "s" / "subagents" / "agent-a1.jsonl"
    written(helper, line("6", None, words="Name one.", isSidechain=True, agentId="a1"))
    written(helper.with_suffix(".meta.json"), {"description": "Look around", "toolUseId": "c1"})
    assert "Took in 5 sessions; 0 were there already, 0 could not" in told(disabled_env, home)
    with WireServer(disabled_env) as server:
        agent = server.call("resume_session", session_id="claude-code-agent-a1")["session"]
        assert (agent["title"], agent["context"]["spawned_by"]) == ("Look around", "c1")
        assert link(server, "claude-code-agent-a1") == ("claude-code-s", "sub-agent")
        roles = [
            turn["role"] for turn in server.call("resume_session", session_id="claude-code-s")["session"]["history"]
        ]
        assert roles == ["user", "assistant", "tool", "tool", "assistant"]
        assert history(server, f"codex-{FORK}") == ["A fork."]
        assert link(server, f"codex-{FORK}") == (f"codex-{THREAD}", "fork")
        found = server.call("list_sessions", tags=["project:ferns"])["sessions"]
        assert {row["id"] for row in found} == {*rows(server)}
        assert len(found) == 4, "the sub-agent's is folded into the one that asked"
    assert "Took in 0 sessions; 5 were there already" in told(disabled_env, home)
    seen = run(disabled_env, "sessions", "show", "claude-code-s").stdout
    assert '> I ask.\n> (calls Agent {"prompt":"Name one."})' in seen
    assert "(result) Sword fern" in seen
