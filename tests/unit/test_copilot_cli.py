"""Talks of Copilot CLI: the words as they were typed, results behind their calls, sub-agents as talks of their own."""

import asyncio
import zipfile
from pathlib import Path
from typing import Any

from agentic_flywheel.cli.import_command import import_from
from agentic_flywheel.cli.importers.conversation import Imported
from agentic_flywheel.cli.importers.files import read
from agentic_flywheel.cli.importers.found_files import sources
from agentic_flywheel.documents.model import Document
from agentic_flywheel.sessions.wiring import open_store
from agentic_flywheel.settings import Settings

from .test_importers import bad, conversations, jsonl, said, written

OWN, AGENT = "feedf00d-0000-4000-8000-000000000001", "feedf00d-0000-4000-8000-000000000002"


def event(kind: str, second: int, agent: str = "", **data: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": kind,
        "data": data,
        "id": f"e{second}",
        "timestamp": f"2026-03-01T08:00:{second:02}Z",
    }
    return made | ({"agentId": agent} if agent else {})


START = event(
    "session.start", 0, sessionId=OWN, copilotVersion="1.0.102", selectedModel="m-0", context={"cwd": "/home/ann/heron"}
)
CALLS = [{"toolCallId": call, "name": "bash", "arguments": {"command": "ls"}} for call in ("c1", "c2")]
LINES = [
    START,
    event("user.message", 1, messageId="u1", content="What is here?", transformedContent="<now>x</now>What is here?"),
    event("system.message", 2, role="system", content="You are a helper."),
    event("assistant.message", 3, messageId="a1", content="I look.", reasoningText="Look.", toolRequests=CALLS),
    event("tool.execution_complete", 4, toolCallId="c2", success=True, result={"content": "two"}),
    event("user.message", 5, messageId="n1", content="The helper is done.", source="system"),
    event("subagent.started", 6, AGENT, toolCallId="c1"),
    event("user.message", 7, AGENT, messageId="s1", content="Name one bird", source=f"agent-{OWN}"),
    event("assistant.message", 8, AGENT, messageId="s2", content="A heron", toolRequests=[], model="m-1"),
    event("tool.execution_complete", 9, toolCallId="c1", success=False, error={"message": "No such file"}),
    event("assistant.message", 10, messageId="a2", content="Two.", toolRequests=[]),
    event("session.compaction_complete", 11, summaryContent="<summary>\nAbout reeds.\n</summary>"),
    event("model.message", 12, message={"role": "assistant", "content": "<summary>"}),
]


def test_a_talk_has_what_was_typed_and_answered_and_its_sub_agents_are_talks_of_their_own(tmp_path: Path):
    path = written(tmp_path, jsonl(*LINES), "events.jsonl")
    assert bad(path) == []
    main, agent = conversations(path)
    assert [(turn["id"], turn["role"]) for turn in main.history] == [
        ("u1", "user"), ("a1", "assistant"), ("a1/c2", "tool"), ("a1/c1", "tool"), ("a2", "assistant"),
    ]  # fmt: skip
    assert main.history[0]["content"] == "What is here?"
    assert main.history[1]["content"][0] == {"type": "thinking", "thinking": "Look."}
    assert main.history[3]["content"][0]["content"] == "No such file"
    assert (main.session_id, main.summary, main.tags) == (f"copilot-cli-{OWN}", "About reeds.", ("project:heron",))
    assert main.context["program_version"] == "1.0.102"
    assert said(agent) == [("user", "Name one bird"), ("assistant", "A heron")]
    assert (agent.parent, agent.relation, agent.context["spawned_by"]) == (main.session_id, "sub-agent", "c1")
    assert (agent.context["cwd"], agent.context["model"]) == ("/home/ann/heron", "m-1")


def test_the_name_that_the_person_gave_is_the_title_and_the_programs_own_is_not(tmp_path: Path):
    path = written(tmp_path, jsonl(*LINES), "events.jsonl")
    written(tmp_path, "id: x\nname: Made up\nuser_named: false\n", "workspace.yaml")
    assert conversations(path)[0].title == "What is here?"
    written(tmp_path, 'id: x\nname: "Reeds"\nuser_named: true\n', "workspace.yaml")
    assert conversations(path)[0].title == "Reeds"
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(path, "state/x/events.jsonl")
        archive.write(tmp_path / "workspace.yaml", "state/x/workspace.yaml")
    with sources(tmp_path / "all.zip") as found:
        [main, _] = [each for each in read(found.files[0]) if isinstance(each, Imported)]
    assert main.title == "Reeds"


def test_of_what_has_a_source_only_what_the_person_typed_is_theirs(tmp_path: Path):
    sources = ("user", "command-review", "system", "schedule-1", f"agent-{AGENT}", "skill-pdf")
    asked = [event("user.message", n, messageId=f"u{n}", content=each, source=each) for n, each in enumerate(sources)]
    goes_on = event("user.message", 20, messageId="u20", content="Continue.", isAutopilotContinuation=True)
    [talk] = conversations(written(tmp_path, jsonl(LINES[0], *asked, goes_on), "events.jsonl"))
    assert said(talk) == [("user", "user"), ("user", "command-review")]


def test_a_command_of_the_person_stands_before_its_result(tmp_path: Path):
    asked = event("tool.user_requested", 3, toolCallId="c9", toolName="local_shell", arguments={"command": "ls -1"})
    done = event("tool.execution_complete", 4, toolCallId="c9", success=True, result={"content": "reeds.txt"})
    [talk] = conversations(written(tmp_path, jsonl(*LINES[:2], asked, done), "events.jsonl"))
    result = {"type": "tool_result", "tool_use_id": "c9", "content": "reeds.txt"}
    assert said(talk)[1:] == [("system", "! ls -1"), ("tool", [result])]


def test_an_answer_that_is_written_in_parts_is_one_turn(tmp_path: Path):
    parts = [
        event("assistant.message", 3, messageId="a1", content="I look.", apiCallId="m1", chunkIndex=0, chunkCount=2),
        event("assistant.message", 4, messageId="a2", content="", reasoningText="Look.", apiCallId="m1", chunkIndex=1,
              chunkCount=2, toolRequests=CALLS),
        event("tool.execution_complete", 5, toolCallId="c2", success=True, result={"content": "two"}),
        event("assistant.message", 6, messageId="a3", content="Two.", apiCallId="m2", chunkIndex=0, chunkCount=1),
    ]  # fmt: skip
    [talk] = conversations(written(tmp_path, jsonl(*LINES[:2], *parts), "events.jsonl"))
    assert [(turn["id"], turn["role"]) for turn in talk.history[1:]] == [
        ("a1", "assistant"), ("a1/c2", "tool"), ("a3", "assistant"),
    ]  # fmt: skip
    assert [block["type"] for block in talk.history[1]["content"]] == ["text", "thinking", "tool_use", "tool_use"]


def test_an_answer_that_broke_off_while_the_model_thought_is_no_turn(tmp_path: Path):
    thinking = event("assistant.message", 3, messageId="a1", content="", reasoningText="Look.", toolRequests=[])
    [talk] = conversations(written(tmp_path, jsonl(*LINES[:2], thinking), "events.jsonl"))
    assert said(talk) == [("user", "What is here?")]


def test_what_is_written_again_stands_where_and_when_it_stood_first(tmp_path: Path):
    again = event("user.message", 20, messageId="u1", content="What is there?")
    main, _ = conversations(written(tmp_path, jsonl(*LINES, again), "events.jsonl"))
    assert said(main)[0] == ("user", "What is there?")
    assert (main.history[0]["created_at"], main.line) == ("2026-03-01T08:00:01+00:00", 2)


def test_what_a_rewind_took_from_the_file_leaves_the_session(tmp_path: Path):
    asked = event("user.message", 1, messageId="u1", content="What is here?")
    answered = event("assistant.message", 2, messageId="a1", content="Reeds.", toolRequests=[])
    again = event("user.message", 3, messageId="u2", content="And ducks?")
    settings = Settings.from_env({"FLYWHEEL_DATA_DIR": str(tmp_path / "data")})

    async def stored() -> int:
        sessions, _ = open_store(settings)
        async with sessions:
            found, _ = await sessions.load(f"copilot-cli-{OWN}")
        return len(found.session.history) if isinstance(found, Document) else 0

    counts = list[int]()
    for lines in ([asked, answered, again], [asked, answered], [asked, answered, event("session.shutdown", 4)]):
        assert import_from(settings, str(written(tmp_path, jsonl(START, *lines), "events.jsonl"))) == 0
        counts.append(asyncio.run(stored()))
    assert counts == [3, 3, 2], "a copy that ends before may be an older one"
