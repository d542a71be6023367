"""Agent Framework over our sessions: history provider, session store, real runs, and what every adapter shows."""

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest
from agent_framework import AgentSession, Content, HistoryProvider, Message, SessionStore

from agentic_flywheel.documents.save_request import Save
from agentic_flywheel.errors import InvalidArgument, Unavailable
from agentic_flywheel.integrations.agent_framework import FlywheelHistoryProvider, FlywheelSessionStore
from agentic_flywheel.sessions.caller_view import CallerViews
from agentic_flywheel.sessions.history import RevisionHistory

from ..support.redis_server import RedisServer
from . import support

OPENED = """
import contextlib
from agent_framework import Message
from agentic_flywheel.integrations.agent_framework import FlywheelHistoryProvider

@contextlib.asynccontextmanager
async def opened(session_id):
    async with FlywheelHistoryProvider() as history:
        async def append(text):
            await history.save_messages(session_id, [Message("user", [text])])
        yield append
"""

TALK = """
import asyncio, json, sys
from agent_framework import Agent, AgentSession, BaseChatClient, ChatResponse, Content, FunctionInvocationLayer, Message
from agentic_flywheel.integrations.agent_framework import FlywheelHistoryProvider, FlywheelSessionStore

class Scripted(FunctionInvocationLayer, BaseChatClient):
    def __init__(self, answers):
        super().__init__()
        self.answers, self.heard = answers, []

    async def _inner_get_response(self, *, messages, stream, options, **kwargs):
        self.heard = [message.to_dict() for message in messages]
        return ChatResponse(messages=[Message("assistant", [self.answers.pop(0)])])

def weather(city: str) -> str:
    "The weather in a city."
    return f"It rains in {city}."

async def main():
    call = Content.from_function_call("call_1", "weather", arguments={"city": "Porto"})
    client = Scripted({"first": [call, "Take a coat."], "second": ["To Porto, in the rain."]}[sys.argv[1]])
    async with FlywheelHistoryProvider() as history, FlywheelSessionStore() as store:
        providers = [history] if sys.argv[3] == "provider" else []
        agent = Agent(client, tools=[weather], context_providers=providers)
        session = await store.get("trip") or AgentSession(session_id="trip")
        answer = await agent.run(sys.argv[2], session=session)
        await store.set("trip", session)
    print(json.dumps([answer.text, client.heard]))

asyncio.run(main())
"""


def said(*texts: str) -> list[Message]:
    return [Message("user" if n % 2 == 0 else "assistant", [text]) for n, text in enumerate(texts)]


def as_dicts(messages: list[Message]) -> list[dict[str, Any]]:
    return [message.to_dict() for message in messages]


async def test_messages_come_back_as_they_were(env: dict[str, str]):
    async with FlywheelHistoryProvider() as history:
        assert isinstance(history, HistoryProvider)
        assert (history.source_id, history.load_messages, history.store_outputs) == ("flywheel", True, True)
        assert await history.get_messages("s") == []
        messages = [
            *said("What is the weather?"),
            Message("assistant", [Content.from_function_call("1", "weather", arguments={"city": "Porto", "n": 1.5})]),
            Message("tool", [Content.from_function_result("1", result="naïve ✓ \U0001f33e")]),
            Message("assistant", ["Rain."], author_name="Guide", message_id="m1", additional_properties={"x": [None]}),
        ]
        await history.save_messages("s", messages)
        await history.save_messages("s", [])
        assert as_dicts(await history.get_messages("s")) == as_dicts(messages)
        assert await history.get_messages("t") == []
    with support.server(env) as mcp:
        session = mcp.call("resume_session", session_id="s")["session"]
        assert session["history"] == as_dicts(messages)


@pytest.mark.usefixtures("env")
async def test_equal_messages_are_all_kept_and_a_replay_adds_only_what_is_new():
    async with FlywheelHistoryProvider() as history:
        for _ in range(3):
            await history.save_messages("s", said("yes"))
        assert [each.text for each in await history.get_messages("s")] == ["yes"] * 3
        await history.save_messages("s", [*await history.get_messages("s"), *said("more")])
        assert [each.text for each in await history.get_messages("s")] == ["yes", "yes", "yes", "more"]


@pytest.mark.usefixtures("env")
async def test_what_a_compaction_excluded_may_be_left_out():
    async with FlywheelHistoryProvider("all") as every, FlywheelHistoryProvider("some", skip_excluded=True) as some:
        excluded = Message("user", ["old"], additional_properties={"_excluded": True})
        await every.save_messages("s", [excluded, *said("new")])
        assert [each.text for each in await every.get_messages("s")] == ["old", "new"]
        assert [each.text for each in await some.get_messages("s")] == ["new"]


@pytest.mark.usefixtures("env")
async def test_turns_of_other_programs_are_messages_too():
    async with FlywheelHistoryProvider() as history:
        store = (await history.stores()).sessions
        turns = [
            {"role": "user", "content": "Where were we?"},
            {"role": "assistant", "content": [{"type": "output_text", "text": "In Porto."}]},
        ]
        await store.save(Save(session_id="s", history=turns), CallerViews())
        await history.save_messages("s", said("And then?"))
        found = [(str(each.role), each.text) for each in await history.get_messages("s")]
        assert found == [("user", "Where were we?"), ("assistant", "In Porto."), ("user", "And then?")]


@pytest.mark.usefixtures("env")
async def test_of_messages_with_one_that_json_has_not_none_is_kept():
    async with FlywheelHistoryProvider() as history:
        wrong = Message("user", ["after"], additional_properties={"n": float("nan")})
        with pytest.raises((TypeError, ValueError, InvalidArgument)):
            await history.save_messages("s", [*said("before"), wrong])
        assert await history.get_messages("s") == []
        for asked in (history.get_messages(None), history.save_messages("", said("lost"))):
            with pytest.raises(ValueError, match="session"):
                await asked


@pytest.mark.usefixtures("env")
async def test_what_is_kept_nowhere_raises(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("FLYWHEEL_JOURNAL", "false")
    monkeypatch.setenv("FLYWHEEL_TIMEOUT_SECONDS", "0.5")
    async with FlywheelHistoryProvider() as history, FlywheelSessionStore() as store:
        for asked in (
            history.get_messages("s"),
            history.save_messages("s", said("lost")),
            store.get("s"),
            store.set("s", AgentSession(session_id="s")),
            store.delete("s"),
        ):
            with pytest.raises(Unavailable):
                await asked


def in_memory(*texts: str, **more: Any) -> AgentSession:
    session = AgentSession(session_id="of the framework", service_session_id={"conversation": "c1"})
    session.state["in_memory"] = {"messages": said(*texts), "other": [1.5, None, {"a": []}]}
    session.state |= more
    return session


@pytest.mark.usefixtures("env")
async def test_a_session_comes_back_whole_in_an_object_of_its_own():
    async with FlywheelSessionStore() as store:
        assert isinstance(store, SessionStore)
        assert await store.get("s") is None
        session = in_memory("one", "two", counter={"n": 1})
        await store.set("s", session)
        found = await store.get("s")
        assert found is not None
        assert found.to_dict() == session.to_dict()
        found.state["counter"]["n"] = 2
        found.state["in_memory"]["messages"].append(Message("user", ["three"]))
        assert (again := await store.get("s"))
        assert again.to_dict() == session.to_dict()
        await store.set("s", found)
        assert (again := await store.get("s"))
        assert again.to_dict() == found.to_dict()
        await store.set("s", in_memory("two"))
        assert (again := await store.get("s"))
        assert again.to_dict() == in_memory("two").to_dict()
        for asked in (store.get(""), store.set("", session), store.delete("")):
            with pytest.raises(ValueError, match="session_id"):
                await asked


@pytest.mark.usefixtures("env")
async def test_a_session_is_undone_and_deleted_as_any_other():
    async with FlywheelSessionStore() as store:
        await store.set("s", in_memory("one", n=1))
        await store.set("s", in_memory("one", "two", n=2))
        history = RevisionHistory((await store.stores()).sessions)
        assert (await history.restore(CallerViews(), "s", 1)).restored
        found = await store.get("s")
        assert found is not None
        assert found.to_dict() == in_memory("one", n=1).to_dict()
        await store.delete("s")
        await store.delete("s")
        assert await store.get("s") is None
        assert not (await history.list_revisions("s")).found


@pytest.mark.usefixtures("env")
async def test_the_store_and_the_provider_share_a_session():
    async with FlywheelSessionStore() as store, FlywheelHistoryProvider() as history:
        session = AgentSession(session_id="s")
        session.state["todo"] = ["pack"]
        await history.save_messages("s", said("one", "two"))
        await store.set("s", session)
        await history.save_messages("s", said("three"))
        found = await store.get("s")
        assert found is not None
        assert found.to_dict() == session.to_dict()
        assert [each.text for each in await history.get_messages("s")] == ["one", "two", "three"]


@pytest.mark.parametrize("kept_by", ["provider", "store"])
def test_a_talk_with_a_tool_goes_on_in_another_process(env: dict[str, str], kept_by: str):
    def talk(which: str, words: str) -> Any:
        command = [sys.executable, "-c", TALK, which, words, kept_by]
        done = subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=100)
        return json.loads(done.stdout)

    output, _ = talk("first", "What shall I pack for Porto?")
    assert output == "Take a coat."
    output, heard = talk("second", "Where was I going?")
    assert output == "To Porto, in the rain."
    kinds = [each["contents"][0]["type"] for each in heard]
    assert kinds == ["text", "function_call", "function_result", "text", "text"]
    assert "It rains in Porto." in json.dumps(heard[2])
    with support.server(env) as mcp:
        assert mcp.call("resume_session", query="pack for Porto")["session"]["id"] == "trip"
        assert mcp.call("resume_session", session_id="trip")["total_turns"] == 6


def test_eight_processes_lose_nothing(env: dict[str, str]):
    support.eight_processes_append_fifty_each(OPENED, env, "talk")


def test_an_outage_in_the_middle_loses_nothing(failing_env: dict[str, str], own_redis: RedisServer):
    support.redis_is_away_in_the_middle(OPENED, failing_env, "talk", own_redis)


def test_a_killed_process_loses_nothing_that_it_was_told_is_kept(env: dict[str, str]):
    support.one_is_killed(OPENED, env, "talk")


@pytest.mark.usefixtures("env")
async def test_a_session_expires():
    async with FlywheelSessionStore(ttl_seconds=1) as store, FlywheelHistoryProvider(ttl_seconds=1) as history:
        await store.set("s", in_memory("gone soon"))
        await history.save_messages("t", said("gone soon"))

        async def absent() -> bool:
            return await store.get("s") is None and await history.get_messages("t") == []

        await support.it_expires(absent)


def test_its_sessions_are_ordinary_sessions(env: dict[str, str]):
    async def talk() -> None:
        async with FlywheelHistoryProvider() as history:
            await history.save_messages("talk", said("Tell me of the zeppelin."))
            await history.save_messages("talk", said("And of the airship?", "It flew."))

    asyncio.run(talk())
    support.it_is_an_ordinary_session(env, "talk", "zeppelin", 1)


@pytest.mark.usefixtures("env")
async def test_what_other_programs_said_is_given_as_messages_that_the_model_takes():
    await support.said_elsewhere("s", *range(7), 8, 9)  # the eighth is of this framework
    async with FlywheelHistoryProvider() as history:
        given = [(str(message.role), message.text) for message in await history.get_messages("s")]
    assert given == support.SAID_PLAINLY[:7] + support.SAID_PLAINLY[8:]
