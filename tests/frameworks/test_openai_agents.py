"""The OpenAI Agents `Session` of ours: the contract, a real run, and what every adapter must show."""

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest
from agents.memory import Session, SessionSettings

from agentic_flywheel.errors import DocumentError, InvalidArgument, Unavailable
from agentic_flywheel.integrations.openai_agents import FlywheelSession
from agentic_flywheel.json_text import canonical
from agentic_flywheel.sessions.caller_view import CallerViews
from agentic_flywheel.sessions.history import RevisionHistory

from ..support.redis_server import RedisServer
from ..support.waiting import eventually
from . import support

OPENED = """
import contextlib
from agentic_flywheel.integrations.openai_agents import FlywheelSession

@contextlib.asynccontextmanager
async def opened(session_id):
    async with FlywheelSession(session_id) as session:
        async def append(text):
            await session.add_items([{"role": "user", "content": text}])
        yield append
"""

TALK = """
import asyncio, json, sys
from agents import Agent, RunConfig, Runner, function_tool
from agents.testing import ScriptedModel, assistant_message, function_call
from agentic_flywheel.integrations.openai_agents import FlywheelSession

@function_tool
def weather(city: str) -> str:
    return f"It rains in {city}."

async def main():
    steps = {
        "first": [[function_call("weather", {"city": "Porto"}, call_id="call_1")], [assistant_message("Take a coat.")]],
        "second": [[assistant_message("To Porto, in the rain.")]],
    }[sys.argv[1]]
    model = ScriptedModel(steps)
    async with FlywheelSession("trip", title="Trip to Porto") as session:
        agent = Agent("Guide", model=model, tools=[weather])
        result = await Runner.run(agent, sys.argv[2], session=session, run_config=RunConfig(tracing_disabled=True))
        print(json.dumps([result.final_output, list(model.calls[-1].input)]))

asyncio.run(main())
"""


def said(text: str, role: str = "user") -> Any:
    return {"role": role, "content": text}


CALLS: list[Any] = [
    {"id": "__fake_id__", "type": "function_call", "call_id": "1", "name": "f", "arguments": '{"b": 1, "a": [2.50]}'},
    {"id": "__fake_id__", "type": "function_call", "call_id": "2", "name": "f", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "1", "output": "naïve ✓ \u2028 \U0001f33e"},
    {"id": "__fake_id__", "type": "message", "role": "assistant", "status": "completed", "content": [
        {"type": "output_text", "text": "Ja.", "annotations": [], "logprobs": []}]},
]  # fmt: skip


@pytest.mark.usefixtures("env")
async def test_it_is_a_session_of_the_sdk():
    async with FlywheelSession("s") as session:
        assert isinstance(session, Session)
        assert FlywheelSession.session_settings is None
        assert session.session_settings == SessionSettings()
        assert await session.get_items() == []
        assert await session.pop_item() is None
        await session.clear_session()
        await session.add_items([])
        assert await session.list_sessions() == []


@pytest.mark.usefixtures("env")
async def test_equal_items_and_items_of_one_id_are_all_kept_to_the_byte():
    async with FlywheelSession("s") as session:
        for _ in range(3):
            await session.add_items(CALLS)
        await session.add_items([said("again")])
        await session.add_items([said("again")])
        expected = [*CALLS * 3, said("again"), said("again")]
        assert list(map(canonical, await session.get_items())) == list(map(canonical, expected))
        assert [[*item] for item in await session.get_items()] == [[*item] for item in expected]


@pytest.mark.usefixtures("env")
async def test_a_limit_gives_the_newest_in_order():
    async with FlywheelSession("s", session_settings={"limit": 2}) as session:
        items = [said(str(n)) for n in range(5)]
        await session.add_items(items)
        assert await session.get_items() == items[-2:]
        assert await session.get_items(3) == items[-3:]
        assert await session.get_items(10) == items
        assert await session.get_items(0) == await session.get_items(-1) == []
    with pytest.raises(TypeError, match="Unknown session settings: limits"):
        FlywheelSession("s", session_settings={"limits": 2})


@pytest.mark.usefixtures("env")
@pytest.mark.parametrize("wrong", [{"role": "user", "content": object()}, "words", {"n": float("nan")}])
async def test_of_items_with_one_that_json_has_not_none_is_kept(wrong: Any):
    async with FlywheelSession("s") as session:
        with pytest.raises((TypeError, ValueError, InvalidArgument)):
            await session.add_items([said("before"), wrong, said("after")])
        assert await session.get_items() == []
        await session.add_items([said("next")])
        assert await session.get_items() == [said("next")]


@pytest.mark.usefixtures("env")
async def test_tuples_and_halves_of_characters_are_kept_as_json_has_them():
    async with FlywheelSession("s") as session:
        await session.add_items([{"role": "user", "content": ({"type": "input_text", "text": "a\ud800b"},)}])  # pyright: ignore[reportArgumentType]
        assert await session.get_items() == [{"role": "user", "content": [{"type": "input_text", "text": "a\ufffdb"}]}]


@pytest.mark.usefixtures("env")
async def test_a_mutation_finishes_although_its_caller_is_cancelled():
    async with FlywheelSession("s") as session, FlywheelSession("s") as other:
        await session.stores()
        for mutation, left in (
            (session.add_items([said("one"), said("two")]), [said("one"), said("two")]),
            (session.pop_item(), [said("one")]),
            (session.clear_session(), []),
        ):
            task = asyncio.create_task(mutation)
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await other.get_items() == left


@pytest.mark.usefixtures("env")
async def test_no_item_is_popped_twice():
    async with FlywheelSession("s") as session, FlywheelSession("s") as other:
        await session.add_items([said(str(n)) for n in range(12)])
        popped = await asyncio.gather(*(each.pop_item() for each in [session, other] * 7))
    words: list[Any] = [item for item in popped if item]
    assert sorted(int(item["content"]) for item in words) == list(range(12))
    assert popped.count(None) == 2


def test_no_item_is_popped_by_two_processes(env: dict[str, str]):
    program = """
import asyncio
from agentic_flywheel.integrations.openai_agents import FlywheelSession
async def main():
    async with FlywheelSession("s") as session:
        while item := await session.pop_item():
            print(item["content"])
asyncio.run(main())
"""

    async def fill() -> None:
        async with FlywheelSession("s") as session:
            await session.add_items([said(str(n)) for n in range(60)])

    asyncio.run(fill())
    command = [sys.executable, "-c", program]
    started = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    popped = [process.communicate(timeout=100)[0].split() for process in started]
    assert [process.returncode for process in started] == [0, 0, 0]
    assert sorted(int(word) for words in popped for word in words) == list(range(60))


@pytest.mark.usefixtures("env")
async def test_what_is_taken_away_can_be_restored_and_what_is_deleted_not():
    async with FlywheelSession("s", title="Kept", tags=["a"], user_id="ana") as session:
        store, views = (await session.stores()).sessions, CallerViews()
        items = [said("one"), said("two")]
        await session.add_items(items)
        await session.pop_item()
        await session.clear_session()
        [row] = await session.list_sessions()
        assert (row["title"], row["tags"], row["user_id"], row["turns"]) == ("Kept", ["a"], "ana", 0)
        revisions = await RevisionHistory(store).list_revisions("s")
        assert [each["revision"] for each in revisions.revisions] == [3, 2, 1]
        assert (await RevisionHistory(store).restore(views, "s", 1)).restored
        assert await session.get_items() == items
        assert await session.delete()
        assert not await session.delete()
        assert await session.get_items() == []
        assert not (await RevisionHistory(store).list_revisions("s")).found
        await session.add_items([said("anew")])
        assert await session.get_items() == [said("anew")]


@pytest.mark.usefixtures("env")
async def test_what_is_said_of_a_session_stays_until_it_is_said_otherwise():
    async with FlywheelSession("s", title="First", tags=["a"]) as session, FlywheelSession("s") as other:
        await session.add_items([said("about lighthouses")])
        await other.describe(title="Second", summary="What we said.", tags=["b", "c"])
        await session.add_items([said("more")])
        [row] = await session.list_sessions(query="lighthouses")
        assert (row["title"], row["summary"], row["tags"]) == ("Second", "What we said.", ["b", "c"])
        assert [row["id"] for row in await session.list_sessions(tags=["b"])] == ["s"]
        assert await session.list_sessions(tags=["a"]) == []
        assert await session.get_items() == [said("about lighthouses"), said("more")]


@pytest.mark.usefixtures("env")
async def test_a_session_that_somebody_deleted_is_begun_anew():
    async with FlywheelSession("s") as session, FlywheelSession("s") as other:
        await session.add_items([said("before")])
        await other.delete()
        await session.add_items([said("after")])
        assert await other.get_items() == [said("after")]


@pytest.mark.usefixtures("env")
async def test_credentials_are_kept_as_given_or_replaced():
    key = "sk-ant-api03-" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bD1fG3hJ5kL7nP9rT1vX3zB5dF7hJ9lN1pR3tV5xZ7" * 2
    async with FlywheelSession("plain") as plain, FlywheelSession("clean", redact=True) as clean:
        await plain.add_items([said(key)])
        await clean.add_items([said(key)])
        assert await plain.get_items() == [said(key)]
        assert key not in json.dumps(await clean.get_items())
        assert "[redacted" in json.dumps(await clean.get_items())


@pytest.mark.usefixtures("env")
async def test_what_is_kept_nowhere_raises(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("FLYWHEEL_JOURNAL", "false")
    monkeypatch.setenv("FLYWHEEL_TIMEOUT_SECONDS", "0.5")
    async with FlywheelSession("s", title="A") as session:
        for asked in (session.get_items, session.pop_item, session.clear_session):
            with pytest.raises(Unavailable):
                await asked()
        with pytest.raises(Unavailable):
            await session.add_items([said("lost")])


@pytest.mark.usefixtures("env")
async def test_items_too_large_for_a_session_raise_and_the_rest_stays(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FLYWHEEL_MAX_SESSION_BYTES", "4096")
    async with FlywheelSession("s") as session:
        await session.add_items([said("small")])
        with pytest.raises(DocumentError):
            await session.add_items([said("x" * 5000)])
        assert await session.get_items() == [said("small")]


def test_a_talk_with_a_tool_goes_on_in_another_process(env: dict[str, str]):
    def talk(which: str, words: str) -> Any:
        command = [sys.executable, "-c", TALK, which, words]
        return json.loads(
            subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=100).stdout
        )

    output, _ = talk("first", "What shall I pack for Porto?")
    assert output == "Take a coat."
    output, heard = talk("second", "Where was I going?")
    assert output == "To Porto, in the rain."
    kinds = [item.get("type") or item["role"] for item in heard]
    assert kinds == ["user", "function_call", "function_call_output", "message", "user"]
    assert heard[2]["output"] == "It rains in Porto."
    with support.server(env) as mcp:
        session = mcp.call("resume_session", session_id="trip")["session"]
        assert session["title"] == "Trip to Porto"
        assert session["history"][:4] == heard[:4]


def test_eight_processes_lose_nothing(env: dict[str, str]):
    support.eight_processes_append_fifty_each(OPENED, env, "talk")


def test_an_outage_in_the_middle_loses_nothing(failing_env: dict[str, str], own_redis: RedisServer):
    support.redis_is_away_in_the_middle(OPENED, failing_env, "talk", own_redis)


def test_a_killed_process_loses_nothing_that_it_was_told_is_kept(env: dict[str, str]):
    support.one_is_killed(OPENED, env, "talk")


@pytest.mark.usefixtures("env")
async def test_a_session_that_begins_anew_has_its_title_and_tags_again():
    async with FlywheelSession("s", title="Trip", tags=["2026"], user_id="ann", ttl_seconds=2) as session:
        await session.add_items([said("before")])

        async def absent() -> bool:
            return await session.get_items() == []

        await support.it_expires(absent)
        await session.add_items([said("after")])
        document = await session.read_session("s")
        assert document
        assert (document.title, document.tags, document.session.user_id) == ("Trip", ("2026",), "ann")
        await session.describe(title="The trip", tags=[])
        await session.clear_session()
        await session.add_items([said("later")])
        document = await session.read_session("s")
        assert document
        assert (document.title, document.tags) == ("The trip", ()), "what it was given since stays"
        assert document.session.history == [said("later")]


@pytest.mark.usefixtures("env")
async def test_a_session_expires():
    async with FlywheelSession("s", ttl_seconds=1) as session, FlywheelSession("t", ttl_seconds=0) as other:
        await session.add_items([said("gone soon")])
        await other.add_items([said("stays")])

        async def absent() -> bool:
            return await session.get_items() == []

        await support.it_expires(absent)
        [row] = await session.list_sessions()
        assert (row["id"], row["expires_at"]) == ("t", None)


def test_its_sessions_are_ordinary_sessions(env: dict[str, str]):
    async def talk() -> None:
        async with FlywheelSession("talk") as session:
            await session.add_items([said("Tell me of the zeppelin."), *CALLS])
            await session.add_items([said("And of the airship?"), said("It flew.", "assistant")])

    asyncio.run(talk())
    session = support.it_is_an_ordinary_session(env, "talk", "zeppelin", 1)
    assert session["history"] == [
        said("Tell me of the zeppelin."), *CALLS, said("And of the airship?"), said("It flew.", "assistant")
    ]  # fmt: skip


@pytest.mark.usefixtures("env")
async def test_several_event_loops_share_an_object():
    session = FlywheelSession("s")

    async def add(name: str) -> None:
        async with session:
            for n in range(5):
                await session.add_items([said(f"{name}{n}")])

    await asyncio.gather(*(asyncio.to_thread(asyncio.run, add(name)) for name in "abc"))

    async def all_there() -> bool:
        return len(await session.get_items()) == 15

    async with session:
        await eventually(all_there)


@pytest.mark.usefixtures("env")
async def test_what_other_programs_said_is_given_as_messages_that_the_model_takes():
    stored = await support.said_elsewhere("s")
    plain = [{"role": role, "content": text} for role, text in support.SAID_PLAINLY]
    async with FlywheelSession("s") as session:
        assert await session.get_items() == plain
        await session.add_items(CALLS)
        assert await session.get_items() == plain + CALLS
        document = await session.read_session("s")
        assert document
        assert document.session.history == stored + CALLS, "what is stored stays as it was"
        for item in reversed(CALLS):
            assert await session.pop_item() == item
        assert await session.pop_item() == plain[-1]
