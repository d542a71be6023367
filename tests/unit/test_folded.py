"""Sub-agents' sessions: folded into the row of the one that asked, named by its resume, found when asked for."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agentic_flywheel.cli.export_command import export
from agentic_flywheel.documents.save_request import Save
from agentic_flywheel.json_text import dumps, load_object
from agentic_flywheel.sessions.caller_view import CallerViews
from agentic_flywheel.sessions.journal_list import newest
from agentic_flywheel.sessions.secrets_scan import SecretsScan
from agentic_flywheel.sessions.session_filter import SessionFilter
from agentic_flywheel.sessions.store import SessionStore
from agentic_flywheel.sessions.wiring import open_store
from agentic_flywheel.settings import Settings

TITLE = "Counts ferns in the whole of the garden, and names each of them with the place where it stands. 蕨" * 3


def told(folder: Path, ask: Any) -> Any:
    settings = Settings.from_env({"FLYWHEEL_DATA_DIR": str(folder), "HOME": str(folder)})

    async def run() -> Any:
        sessions, _ = open_store(settings)
        async with sessions:
            memory = CallerViews()
            for name, parent in (("garden", ""), ("agent-1", "garden"), ("agent-2", "garden"), ("agent-3", "gone")):
                context = {"parent_session": parent, "relation": "sub-agent"} if parent else {}
                turn = {"role": "user", "content": f"ferns of {name}"}
                save = Save(session_id=name, history=[turn], context=context, title=TITLE if parent else "Garden")
                await sessions.save(save, memory)
            return await ask(sessions, memory)

    return asyncio.run(run())


async def listed(sessions: SessionStore, **asked: Any) -> dict[str, Any]:
    rows = (await sessions.list_sessions(SessionFilter(**asked))).sessions
    return {row["id"]: row.get("children") for row in rows}


def test_a_list_folds_them_into_the_row_of_the_one_that_asked(tmp_path: Path):
    rows = told(tmp_path, lambda sessions, _: listed(sessions))
    assert rows == {"agent-3": None, "garden": 2}  # whose parent is not there stands for itself


@pytest.mark.parametrize("asked", [{"pattern": "agent-*"}, {"query": "ferns agent"}, {"pattern": "agent-1"}])
def test_they_are_listed_where_they_are_asked_for(tmp_path: Path, asked: dict[str, str]):
    assert "agent-1" in told(tmp_path, lambda sessions, _: listed(sessions, **asked))


def test_they_are_exported_and_looked_through_for_secrets_as_all_others(tmp_path: Path):
    ids = told(tmp_path, lambda sessions, _: SecretsScan(sessions, shared=False).session_ids())
    settings = Settings.from_env({"FLYWHEEL_DATA_DIR": str(tmp_path), "HOME": str(tmp_path)})
    assert export(settings, str(tmp_path / "talks.jsonl")) == 0
    written = [load_object(line, "a line")["id"] for line in (tmp_path / "talks.jsonl").read_text().splitlines()]
    assert sorted(ids) == sorted(written) == ["agent-1", "agent-2", "agent-3", "garden"]


def test_the_command_lists_as_the_tool_does(tmp_path: Path):
    async def ask(sessions: SessionStore, _: CallerViews) -> Any:
        rows, more = newest(sessions.repository.journal, sessions._keys.index, SessionFilter(), 2, sessions._clock())
        return [(row["id"], row.get("children")) for row in rows], more

    assert told(tmp_path, ask) == ([("agent-3", None), ("garden", 2)], False)


def test_a_resume_names_each_in_less_than_40_tokens(tmp_path: Path):
    result = told(tmp_path, lambda sessions, memory: sessions.resume(memory, "garden"))
    assert [child["id"] for child in result.children] == ["agent-1", "agent-2"]
    assert all(len(dumps(child).encode()) < 160 for child in result.children)


def test_the_latest_session_is_none_of_them(tmp_path: Path):
    async def ask(sessions: SessionStore, memory: CallerViews) -> Any:
        await sessions.delete("agent-3", memory)
        return await sessions.resume(memory)

    assert told(tmp_path, ask).session["id"] == "garden"


def test_a_deleted_one_is_named_no_more(tmp_path: Path):
    async def ask(sessions: SessionStore, memory: CallerViews) -> Any:
        await sessions.delete("agent-1", memory)
        return await sessions.resume(memory, "garden")

    assert [child["id"] for child in told(tmp_path, ask).children] == ["agent-2"]
