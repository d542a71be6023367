"""LangGraph's messages as sessions, and real graphs: scripted models with tools, outages, deaths, other doors."""

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    ToolMessage,
    messages_from_dict,
    messages_to_dict,
)
from langchain_core.runnables import RunnableConfig
from langgraph.channels.delta import DeltaChannel
from langgraph.graph import MessagesState, StateGraph
from langgraph.types import Command, interrupt

from agentic_flywheel.documents.model import Document
from agentic_flywheel.documents.save_request import Save
from agentic_flywheel.errors import InvalidArgument, Unavailable
from agentic_flywheel.integrations.langgraph import FlywheelSaver
from agentic_flywheel.json_text import canonical
from agentic_flywheel.sessions.caller_view import CallerViews
from agentic_flywheel.sessions.history import RevisionHistory
from agentic_flywheel.sessions.wiring import open_store
from agentic_flywheel.settings import Settings

from ..support.redis_server import RedisServer
from . import support

OPENED = """
from contextlib import asynccontextmanager
from langchain_core.messages import HumanMessage
from langgraph.graph import MessagesState, StateGraph
from agentic_flywheel.integrations.langgraph import FlywheelSaver

@asynccontextmanager
async def opened(session_id):
    async with FlywheelSaver() as saver:
        builder = StateGraph(MessagesState)
        builder.add_node("nothing", lambda state: {})
        builder.set_entry_point("nothing")
        graph = builder.compile(checkpointer=saver)
        async def append(text):
            at = {"configurable": {"thread_id": session_id}}
            await graph.ainvoke({"messages": [HumanMessage(text)]}, at, durability="sync")
        yield append
"""

CHECKPOINTS = """
import asyncio, sys
from langgraph.checkpoint.base import empty_checkpoint
from agentic_flywheel.integrations.langgraph import FlywheelSaver
async def main():
    name, at = sys.argv[1], {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    async with FlywheelSaver() as saver:
        for step in range(50):
            values = {"messages": [("user", f"{name}-{step}")], "data": "x" * 3000}
            made = {**empty_checkpoint(), "channel_values": values}
            at = await saver.aput(at, made, {"step": step, "by": name}, {})
            await saver.aput_writes(at, [("log", step)], name)
asyncio.run(main())
"""

TOOL_TALK = """
import asyncio, json, sys
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.graph import END, MessagesState, StateGraph
from agentic_flywheel.integrations.langgraph import FlywheelSaver

def model(state):
    last, count = state["messages"][-1], len(state["messages"])
    if last.type == "tool":
        return {"messages": [AIMessage(f"There are {last.content}. You have asked {count // 3} before.")]}
    call = {"name": "count", "args": {"of": last.content}, "id": f"call-{count}"}
    return {"messages": [AIMessage("", tool_calls=[call])]}

def tool(state):
    call = state["messages"][-1].tool_calls[0]
    return {"messages": [ToolMessage("seven roses", tool_call_id=call["id"])]}

builder = StateGraph(MessagesState)
builder.add_node("model", model)
builder.add_node("tool", tool)
builder.set_entry_point("model")
builder.add_conditional_edges("model", lambda state: "tool" if state["messages"][-1].tool_calls else END)
builder.add_edge("tool", "model")

async def main():
    async with FlywheelSaver() as saver:
        graph = builder.compile(checkpointer=saver)
        at = {"configurable": {"thread_id": "garden"}}
        state = await graph.ainvoke({"messages": [HumanMessage(sys.argv[1])]}, at)
        print(json.dumps([state["messages"][-1].content, len(state["messages"])]))
asyncio.run(main())
"""


PLAIN_PROGRAM = """
import json, sys
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import MessagesState, StateGraph
from agentic_flywheel.integrations.langgraph import FlywheelSaver
builder = StateGraph(MessagesState)
builder.add_node("answer", lambda state: {"messages": [AIMessage("yes")]})
builder.set_entry_point("answer")
graph = builder.compile(checkpointer=FlywheelSaver())
at = {"configurable": {"thread_id": "garden"}}
graph.invoke({"messages": [HumanMessage(sys.argv[1])]}, at)
print(json.dumps([len(graph.get_state(at).values["messages"]), len(list(graph.get_state_history(at)))]))
"""


def ran(program: str, env: Mapping[str, str], *given: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", program, *given], env=dict(env), capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout) if done.stdout else None


async def session(thread_id: str) -> Document:
    """The session of a thread as any other door finds it."""
    sessions, _ = open_store(Settings.of_this_process({}))
    async with sessions:
        await sessions.repository.wait_for_child(30)
        document, _ = await sessions.load(thread_id)
    assert isinstance(document, Document)
    return document


def graph_of(saver: FlywheelSaver | None, state: Any = MessagesState, **nodes: Any) -> Any:
    """A graph of these nodes, one after another."""
    builder = StateGraph(state)
    for name, node in nodes.items():
        builder.add_node(name, node)
    names = list(nodes)
    builder.set_entry_point(names[0])
    for one, other in pairwise(names):
        builder.add_edge(one, other)
    return builder.compile(checkpointer=saver)


MARKER = "a-planted-marker-of-some-length"

AT: RunnableConfig = {"configurable": {"thread_id": "garden"}}


def answers(state: Any) -> Any:
    return {"messages": [AIMessage(f"answer {len(state['messages'])}")]}


@pytest.mark.usefixtures("env")
async def test_messages_are_turns_to_the_byte_of_their_canonical_json():
    said: list[BaseMessage] = [
        HumanMessage([{"type": "text", "text": "Which rose? ünïcødé"}], id="h1", name="Ada"),
        AIMessage("", tool_calls=[{"name": "look", "args": {"deep": [1, 2.5, None]}, "id": "c"}], usage_metadata=None),
        ToolMessage("found", tool_call_id="c", artifact={"n": 1}),
    ]
    async with FlywheelSaver() as saver:
        graph = graph_of(saver, answer=answers)
        state = await graph.ainvoke({"messages": said}, AT)
    stored = (await session("garden")).session.history

    assert canonical(stored) == canonical(messages_to_dict(state["messages"]))
    assert messages_from_dict(stored) == state["messages"]


@pytest.mark.usefixtures("env")
async def test_a_message_that_is_changed_or_removed_is_a_revision_that_can_be_undone():
    from langchain_core.messages import RemoveMessage

    async with FlywheelSaver() as saver:
        graph = graph_of(saver, answer=answers)
        await graph.ainvoke({"messages": [HumanMessage("first", id="1"), HumanMessage("second", id="2")]}, AT)
        before = await session("garden")
        changes = [RemoveMessage("1"), HumanMessage("second, put better", id="2")]
        await graph.aupdate_state(AT, {"messages": changes})
        after = await session("garden")

    assert [turn["data"]["content"] for turn in before.session.history] == ["first", "second", "answer 2"]
    assert [turn["data"]["content"] for turn in after.session.history] == ["second, put better", "answer 2"]
    assert after.revision == before.revision + 1


@pytest.mark.usefixtures("env")
async def test_what_others_said_of_the_session_stays_when_messages_are_replaced():
    from langchain_core.messages import RemoveMessage

    from agentic_flywheel.documents.save_request import Save
    from agentic_flywheel.sessions.caller_view import CallerViews

    async with FlywheelSaver() as saver:
        graph = graph_of(saver, answer=answers)
        await graph.ainvoke({"messages": [HumanMessage("first", id="1")]}, AT)
        sessions, _ = open_store(Settings.of_this_process({}))
        async with sessions:
            await sessions.repository.wait_for_child(30)
            more = Save(session_id="garden", title="Roses", tags=["langgraph", "mine"], context={"place": "here"})
            assert (await sessions.save(more, CallerViews())).saved
        await graph.aupdate_state(AT, {"messages": [RemoveMessage("1")]})
    document = await session("garden")

    assert (document.title, list(document.tags), document.session.context["place"]) == (
        "Roses", ["langgraph", "mine"], "here",
    )  # fmt: skip
    assert len(document.session.history) == 1


@pytest.mark.usefixtures("env")
async def test_a_thread_whose_tags_another_door_replaced_is_found_again_after_its_next_checkpoint():
    async with FlywheelSaver() as saver:
        graph = graph_of(saver, answers=answers)
        await graph.ainvoke({"messages": [HumanMessage("Which rose?")]}, AT)
        sessions, _ = open_store(Settings.of_this_process({}))
        async with sessions:
            await sessions.repository.wait_for_child(30)
            await sessions.save(Save(session_id="garden", tags=["roses"]), CallerViews())
        await graph.ainvoke({"messages": [HumanMessage("And when?")]}, AT)
        assert [each async for each in saver.alist(None)]
    assert list((await session("garden")).tags) == ["roses", "langgraph"]


@pytest.mark.usefixtures("env")
async def test_a_thread_that_begins_in_a_session_leaves_the_turns_that_are_there_before_its_own():
    sessions, _ = open_store(Settings.of_this_process({}))
    async with sessions:
        await sessions.repository.wait_for_child(30)
        there = [{"role": "user", "content": "Roses?"}, {"role": "assistant", "content": "Yes."}]
        await sessions.save(Save(session_id="garden", history=there), CallerViews())
    async with FlywheelSaver() as saver:
        graph = graph_of(saver, answers=answers)
        await graph.ainvoke({"messages": [HumanMessage("Which rose?", id="one")]}, AT)
        assert await said_in("garden") == ["Roses?", "Yes.", "Which rose?", "answer 1"]
    async with FlywheelSaver() as another:
        graph = graph_of(another, answers=answers)
        await graph.ainvoke({"messages": [HumanMessage("Which red rose?", id="one")]}, AT)
        assert await said_in("garden") == ["Roses?", "Yes.", "Which red rose?", "answer 1", "answer 2"]
        sessions, _ = open_store(Settings.of_this_process({}))
        async with sessions:
            await sessions.repository.wait_for_child(30)
            await RevisionHistory(sessions).restore(CallerViews(), "garden", 1)
        await graph.ainvoke({"messages": [HumanMessage("Which red rose?", id="one")]}, AT)
        assert (await said_in("garden"))[:3] == ["Roses?", "Yes.", "Which red rose?"]
        await another.aprune(["garden"], strategy="delete")
        await graph.ainvoke({"messages": [HumanMessage("And when?")]}, AT)
        assert (await said_in("garden"))[2:] == [
            "Which red rose?",
            *("answer 1", "answer 2", "answer 3"),
            *("And when?", "answer 1"),
        ]


async def said_in(thread_id: str) -> list[str]:
    return [turn.get("data", turn)["content"] for turn in (await session(thread_id)).session.history]


@pytest.mark.usefixtures("env")
async def test_a_thread_id_that_no_session_can_have_is_refused_by_its_name():
    async with FlywheelSaver() as saver:
        for name in ("", "a\nb", "half \ud800", "x" * 513):
            with pytest.raises(InvalidArgument, match="thread_id"):
                await saver.aget_tuple({"configurable": {"thread_id": name}})


@pytest.mark.usefixtures("env")
async def test_the_session_names_the_checkpoint_that_its_messages_are_of():
    async with FlywheelSaver() as saver:
        graph = graph_of(saver, answer=answers)
        for words in ("one", "two"):
            await graph.ainvoke({"messages": [HumanMessage(words)]}, AT)
        there = (await session("garden")).session.context["langgraph"]
        state = await graph.aget_state({"configurable": {"thread_id": "garden", **there}})

    assert [message.content for message in state.values["messages"]] == ["one", "answer 1", "two", "answer 3"]


@pytest.mark.usefixtures("env")
async def test_credentials_are_replaced_in_the_session_only_where_that_is_asked_for():
    secret = "sk-ant-api03-" + "Ab3" * 31 + "AA"
    for redact in (False, True):
        async with FlywheelSaver(redact=redact) as saver:
            at = {"configurable": {"thread_id": f"redact {redact}"}}
            await graph_of(saver, answer=answers).ainvoke({"messages": [HumanMessage(f"my key is {secret}")]}, at)
            again = await graph_of(saver, answer=answers).ainvoke({"messages": [HumanMessage("more")]}, at)
        stored = json.dumps((await session(f"redact {redact}")).session.history)

        assert (secret in stored) is not redact
        assert len(again["messages"]) == 4


@pytest.mark.usefixtures("env")
async def test_messages_in_a_channel_of_deltas_are_read_as_well():
    from typing import Annotated, TypedDict

    def added(state: Any, writes: Sequence[Any]) -> Any:
        return [*state, *(each for write in writes for each in (write if isinstance(write, list) else [write]))]

    class Deltas(TypedDict):
        messages: Annotated[list[Any], DeltaChannel(added, snapshot_frequency=4)]

    async with FlywheelSaver() as saver:
        graph = graph_of(saver, Deltas, answer=answers)
        for at in range(3):
            state = await graph.ainvoke({"messages": [HumanMessage(f"question {at}")]}, AT)
        await saver.aprune(["garden"])
        after = (await graph.aget_state(AT)).values
        turns = (await session("garden")).session.history

    assert [each.content for each in after["messages"]] == [each.content for each in state["messages"]]
    assert [turn["data"]["content"] for turn in turns] == [each.content for each in state["messages"]]


@pytest.mark.usefixtures("env")
async def test_an_interrupt_waits_in_the_store_for_another_process():
    def ask(_: Any) -> Any:
        return {"messages": [AIMessage(f"You said {interrupt('May I?')}")]}

    async with FlywheelSaver() as saver:
        await graph_of(saver, first=answers, ask=ask).ainvoke({"messages": [HumanMessage("go")]}, AT)
    async with FlywheelSaver() as another:
        state = await graph_of(another, first=answers, ask=ask).ainvoke(Command(resume="yes"), AT)

    assert [each.content for each in state["messages"]] == ["go", "answer 1", "You said yes"]


@pytest.mark.slow
def test_a_talk_with_a_tool_goes_on_in_another_process(env: dict[str, str]):
    assert ran(TOOL_TALK, env, "roses") == ["There are seven roses. You have asked 1 before.", 4]
    assert ran(TOOL_TALK, env, "more roses") == ["There are seven roses. You have asked 2 before.", 8]
    document = support.stored(env, "garden")
    assert document
    assert [turn["type"] for turn in document.session.history] == ["human", "ai", "tool", "ai"] * 2


@pytest.mark.slow
def test_a_program_that_awaits_nothing_and_closes_nothing_ends_and_is_gone_on_with(env: dict[str, str]):
    assert ran(PLAIN_PROGRAM, env, "first") == [2, 3]
    assert ran(PLAIN_PROGRAM, env, "second") == [4, 6]


@pytest.mark.slow
def test_it_is_an_ordinary_session(env: dict[str, str]):
    for words in ("alpha peony", "beta", "gamma"):
        ran(TOOL_TALK, env, words)
    shown = support.it_is_an_ordinary_session(env, "garden", "peony", earlier=4)
    assert shown["tags"] == ["langgraph"]


@pytest.mark.slow
def test_eight_processes_put_fifty_checkpoints_each_into_one_thread(env: dict[str, str]):
    processes = [
        subprocess.Popen([sys.executable, "-c", CHECKPOINTS, f"p{n}"], env=env, stderr=subprocess.PIPE, text=True)
        for n in range(8)
    ]
    for process in processes:
        _, stderr = process.communicate(timeout=support.WITHIN)
        assert process.returncode == 0, stderr[-3000:]

    async def look() -> tuple[list[Any], Any]:
        async with FlywheelSaver() as saver:
            found = [each async for each in saver.alist({"configurable": {"thread_id": "t", "checkpoint_ns": ""}})]
            return found, await saver.aget_tuple({"configurable": {"thread_id": "t"}})

    found, newest = asyncio.run(look())
    by = [(each.metadata["by"], each.metadata["step"], each.pending_writes) for each in found]
    assert len({(name, step) for name, step, _ in by}) == len(by) == 400
    assert all(writes == [(name, "log", step)] for name, step, writes in by)
    assert newest.config == found[0].config
    assert support.everything(env, "t") == [newest.checkpoint["channel_values"]["messages"][0][1]]


@pytest.mark.slow
def test_an_outage_of_redis_in_the_middle_loses_and_doubles_nothing(
    failing_env: dict[str, str], own_redis: RedisServer
):
    support.redis_is_away_in_the_middle(OPENED, failing_env, "garden", own_redis)

    async def words() -> list[str]:
        async with FlywheelSaver() as saver:
            found = await saver.aget_tuple({"configurable": {"thread_id": "garden"}})
            assert found
            return [message.content for message in found.checkpoint["channel_values"]["messages"]]

    assert asyncio.run(words()) == [f"one-{at}" for at in range(60)]


def garden_with_a_bed(saver: FlywheelSaver, looks: list[str]) -> Any:
    """A graph that asks before its subgraph, which looks and asks again."""

    def ask(_: Any) -> Any:
        return {"messages": [AIMessage(str(interrupt("Shall I look?")))]}

    def look(_: Any) -> Any:
        looks.append("looked")
        return {"messages": [AIMessage("moss")]}

    bed = graph_of(None, look=look, ask=ask)  # its parent's checkpointer
    return graph_of(saver, ask=ask, bed=bed)


async def test_a_subgraph_begins_and_the_history_is_shown_while_redis_is_away(
    failing_env: dict[str, str], own_redis: RedisServer
):
    looks: list[str] = []
    async with FlywheelSaver() as saver:
        await garden_with_a_bed(saver, looks).ainvoke({"messages": [HumanMessage("Look.")]}, AT)
        assert await saver.aget_tuple(AT)
    own_redis.freeze()
    async with FlywheelSaver() as saver:
        graph = garden_with_a_bed(saver, looks)
        assert (await graph.ainvoke(Command(resume="yes"), AT))["__interrupt__"][0].value == "Shall I look?"
        history = [state.metadata["step"] async for state in graph.aget_state_history(AT)]
        assert history == sorted(history, reverse=True)
        assert len(history) == 3
    own_redis.thaw()
    async with FlywheelSaver() as saver:
        ended = await garden_with_a_bed(saver, looks).ainvoke(Command(resume="thanks"), AT)
    assert [message.content for message in ended["messages"]] == ["Look.", "yes", "moss", "thanks"]
    assert looks == ["looked"]


async def test_a_subgraph_that_was_interrupted_on_another_machine_does_not_begin_again_while_redis_is_away(
    failing_env: dict[str, str], own_redis: RedisServer
):
    looks: list[str] = []
    async with FlywheelSaver() as saver:
        graph = garden_with_a_bed(saver, looks)
        await graph.ainvoke({"messages": [HumanMessage("Look.")]}, AT)
        await graph.ainvoke(Command(resume="yes"), AT)
    assert looks == ["looked"]
    elsewhere = Settings.from_env(support.another_machine(failing_env))
    async with FlywheelSaver(settings=elsewhere) as saver:
        assert (await garden_with_a_bed(saver, looks).aget_state(AT)).next == ("bed",)
    own_redis.freeze()
    async with FlywheelSaver(settings=elsewhere) as saver:
        with pytest.raises(Unavailable):
            await garden_with_a_bed(saver, looks).ainvoke(Command(resume="thanks"), AT)
    own_redis.thaw()
    assert looks == ["looked"]


@pytest.mark.slow
def test_a_process_that_is_killed_loses_nothing_acknowledged(env: dict[str, str]):
    support.one_is_killed(OPENED, env, "garden")


@pytest.mark.slow
def test_deletion_by_another_door_leaves_nothing_of_the_checkpoints(env: dict[str, str]):
    ran(TOOL_TALK, env, MARKER)
    with support.server(env) as mcp:
        assert mcp.call("delete_session", session_id="garden")["deleted"]

    async def found() -> object:
        async with FlywheelSaver() as saver:
            return await saver.aget_tuple({"configurable": {"thread_id": "garden"}})

    assert asyncio.run(found()) is None
    files = [file.read_bytes() for file in Path(env["FLYWHEEL_DATA_DIR"]).rglob("*") if file.is_file()]
    for shifted in range(3):  # a state is kept in base64
        encoded = base64.b64encode(b"-" * shifted + MARKER.encode())[4:-4]
        assert encoded not in b"".join(files)
    assert MARKER.encode() not in b"".join(files)
