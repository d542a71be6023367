"""Our OpenAI Agents `Session` under the SDK's own wrappers: compacting, encrypting, both."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from agents import Agent, RunConfig, Runner
from agents.extensions.memory import EncryptedSession
from agents.memory import OpenAIResponsesCompactionSession
from agents.testing import ScriptedModel, assistant_message

from agentic_flywheel.integrations.openai_agents import FlywheelSession
from agentic_flywheel.sessions.caller_view import CallerViews
from agentic_flywheel.sessions.history import RevisionHistory

from .test_openai_agents import said


class Compactor:
    """A client whose `responses.compact` answers one item; `meanwhile` is awaited while it is asked."""

    def __init__(self, meanwhile: Any = None) -> None:
        self.asked = 0
        self.responses = self
        self._meanwhile = meanwhile

    async def compact(self, **_: object) -> Any:
        self.asked += 1
        if self._meanwhile:
            await self._meanwhile()
        return SimpleNamespace(output=[{"type": "compaction", "id": "c1", "encrypted_content": "short"}], usage=None)


def compacting(session: Any, client: Compactor) -> OpenAIResponsesCompactionSession:
    fake: Any = client
    return OpenAIResponsesCompactionSession(
        "s", session, client=fake, compaction_mode="input", should_trigger_compaction=lambda _: True
    )


async def run(session: Any, words: str, answer: str) -> None:
    agent = Agent("Guide", model=ScriptedModel([[assistant_message(answer)]]))
    await Runner.run(agent, words, session=session, run_config=RunConfig(tracing_disabled=True))


@pytest.mark.usefixtures("env")
async def test_a_compaction_is_one_revision_that_can_be_undone():
    async with FlywheelSession("s", title="Long") as session:
        await session.add_items([said("one"), said("Answer.", "assistant"), said("two")])
        client = Compactor()
        await compacting(session, client).run_compaction({"force": True})
        [item] = await session.get_items()
        assert (client.asked, item["type"]) == (1, "compaction")  # pyright: ignore[reportGeneralTypeIssues, reportTypedDictNotRequiredAccess]
        history = RevisionHistory((await session.stores()).sessions)
        revisions = (await history.list_revisions("s")).revisions
        assert [(each["revision"], each["turns"]) for each in revisions] == [(2, 1), (1, 3)]
        assert (await history.restore(CallerViews(), "s", 1)).restored
        assert len(await session.get_items()) == 3
        assert (await session.list_sessions())[0]["title"] == "Long"


@pytest.mark.usefixtures("env")
async def test_a_run_is_compacted_by_itself():
    async with FlywheelSession("s") as session:
        client = Compactor()
        await run(compacting(session, client), "Where were we?", "In Porto.")
        assert client.asked == 1
        assert [item.get("type") for item in await session.get_items()] == ["compaction"]


@pytest.mark.usefixtures("env")
async def test_what_another_adds_while_a_run_is_compacted_stays():
    async with FlywheelSession("s") as session, FlywheelSession("s") as other:

        async def meanwhile() -> None:
            await other.add_items([said("from another process")])

        await run(compacting(session, Compactor(meanwhile)), "Where were we?", "In Porto.")
        assert len(await session.get_items()) == 3
        assert (await session.get_items())[-1] == said("from another process")


@pytest.mark.usefixtures("env")
async def test_only_what_the_model_has_seen_is_compacted():
    async with FlywheelSession("s", session_settings={"limit": 1}) as session:
        await session.add_items([said("old"), said("Old answer.", "assistant")])
        await run(compacting(session, Compactor()), "Where were we?", "In Porto.")
        items = await session.get_items(100)
        assert items[0] == said("old")
        assert items[-1].get("type") == "compaction"


@pytest.mark.usefixtures("env")
async def test_it_works_under_the_encrypting_wrapper():
    key = "a high-entropy key, as far as this test goes"
    async with FlywheelSession("s") as session:
        sealed = EncryptedSession("s", session, key)
        await run(sealed, "The harbour is secret.", "I shall say nothing.")
        stored = json.dumps(await session.get_items())
        assert "harbour" not in stored
        assert "nothing" not in stored
        await run(EncryptedSession("s", session, key), "Still?", "Still.")
        assert len(await sealed.get_items()) == 4
        assert len(await sealed.get_items(2)) == 2
        popped: Any = await sealed.pop_item()
        assert popped["content"][0]["text"] == "Still."
        await sealed.clear_session()
        assert await sealed.get_items() == []


@pytest.mark.usefixtures("env")
async def test_it_works_under_both_wrappers_at_once():
    key = "a high-entropy key, as far as this test goes"
    async with FlywheelSession("outer") as one, FlywheelSession("inner") as two:
        for session, wrapped in (
            (one, EncryptedSession("s", compacting(one, Compactor()), key)),
            (two, compacting(EncryptedSession("s", two, key), Compactor())),
        ):
            await run(wrapped, "Where were we?", "In Porto.")
            assert [item.get("type") for item in await wrapped.get_items()] == ["compaction"]
            assert "compaction" not in json.dumps(await session.get_items())


@pytest.mark.usefixtures("env")
async def test_a_subclass_that_reads_otherwise_is_not_bypassed():
    class Shouting(FlywheelSession):
        async def get_items(self, limit: int | None = None) -> list[Any]:
            return [item | {"content": "!"} for item in await super().get_items(limit)]  # pyright: ignore[reportOperatorIssue]

    async with Shouting("s") as session:
        await session.add_items([said("one")])
        assert await session._atomic_replace_items([said("two")]) is False
        assert await session._get_compaction_snapshot(10) is None
        assert (await session.get_items()) == [said("!")]
