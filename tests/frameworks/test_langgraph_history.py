"""LangChain's chat history: what every adapter must show, and messages of its own and of others."""

import asyncio
import contextlib
import json

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage, messages_to_dict

from agentic_flywheel.documents.save_request import Save
from agentic_flywheel.integrations.langgraph import FlywheelChatMessageHistory
from agentic_flywheel.json_text import canonical
from agentic_flywheel.sessions.caller_view import CallerViews
from agentic_flywheel.sessions.wiring import open_store
from agentic_flywheel.settings import Settings

from ..support.redis_server import RedisServer
from . import support

OPENED = """
from contextlib import asynccontextmanager
from langchain_core.messages import HumanMessage
from agentic_flywheel.integrations.langgraph import FlywheelChatMessageHistory

@asynccontextmanager
async def opened(session_id):
    async with FlywheelChatMessageHistory(session_id) as history:
        async def append(text):
            await history.aadd_messages([HumanMessage(text)])
        yield append
"""

SAID: list[BaseMessage] = [
    HumanMessage("Which rose?", id="1"),
    AIMessage("", tool_calls=[{"name": "look", "args": {"n": 1}, "id": "c"}]),
    ToolMessage("seven", tool_call_id="c"),
    HumanMessage("Which rose?", id="1"),
]


def test_messages_come_back_in_another_process_as_they_were(env: dict[str, str]):
    with contextlib.closing(FlywheelChatMessageHistory("talk")) as history:
        assert history.messages == []
        history.add_messages(SAID[:3])
        history.add_messages(SAID[3:])
    with contextlib.closing(FlywheelChatMessageHistory("talk")) as another:
        assert another.messages == SAID
    document = support.stored(env, "talk")
    assert document
    assert canonical(document.session.history) == canonical(messages_to_dict(SAID))


@pytest.mark.usefixtures("env")
async def test_clearing_is_a_revision_and_what_others_said_is_read():
    async with FlywheelChatMessageHistory("talk") as history:
        await history.aclear()
        await history.aadd_messages(SAID)
        await history.aclear()
        assert await history.aget_messages() == []
        sessions, _ = open_store(Settings.of_this_process({}))
        async with sessions:
            await sessions.repository.wait_for_child(30)
            turns = [
                {"role": "user", "content": "hello"},
                {"role": "assistant", "content": "hi"},
                {"role": "tool", "content": "4 mm"},  # LangChain's has the id of its call: else a model takes none
                {"role": "model", "parts": [{"text": "rain"}]},
                {"role": "gardener", "content": "soon"},
                {"type": "ai", "data": {"content": 5}},
                {"note": 1},
            ]
            saved = await sessions.save(Save(session_id="talk", history=turns), CallerViews())
        assert saved.revision == 3
        found = await history.aget_messages()
    assert [(each.type, each.content) for each in found[:5]] == [
        ("human", "hello"),
        ("ai", "hi"),
        ("ai", "(result) 4 mm"),
        ("ai", "rain"),
        ("human", "soon"),
    ]
    assert [json.loads(str(each.content)) for each in found[5:]] == turns[5:]


@pytest.mark.slow
def test_eight_processes_add_fifty_messages_each(env: dict[str, str]):
    support.eight_processes_append_fifty_each(OPENED, env, "talk")


@pytest.mark.slow
def test_an_outage_of_redis_in_the_middle_loses_and_doubles_nothing(
    failing_env: dict[str, str], own_redis: RedisServer
):
    support.redis_is_away_in_the_middle(OPENED, failing_env, "talk", own_redis)


@pytest.mark.slow
def test_a_process_that_is_killed_loses_nothing_acknowledged(env: dict[str, str]):
    support.one_is_killed(OPENED, env, "talk")


@pytest.mark.slow
@pytest.mark.usefixtures("env")
async def test_it_expires():
    async with FlywheelChatMessageHistory("talk", ttl_seconds=1) as history:
        await history.aadd_messages(SAID)

        async def absent() -> bool:
            return not await history.aget_messages()

        await support.it_expires(absent)


@pytest.mark.slow
def test_it_is_an_ordinary_session(env: dict[str, str]):
    async def talk() -> None:
        async with FlywheelChatMessageHistory("talk") as history:
            for words in ("about a peony", "another", "more"):
                await history.aadd_messages([HumanMessage(words)])

    asyncio.run(talk())
    support.it_is_an_ordinary_session(env, "talk", "peony", earlier=1)


@pytest.mark.usefixtures("env")
async def test_what_other_programs_said_is_given_as_messages_that_the_model_takes():
    await support.said_elsewhere("s")
    async with FlywheelChatMessageHistory("s") as history:
        given = await history.aget_messages()
    kinds = {"human": "user", "ai": "assistant"}
    assert [(kinds[message.type], message.content) for message in given] == support.SAID_PLAINLY
