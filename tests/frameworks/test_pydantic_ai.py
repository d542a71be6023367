"""Pydantic AI's `ConversationStore`: revisions, conflicts, branches, forks and scopes, and what every adapter shows."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent, BinaryContent
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
    InMemoryConversationStore,
)
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel

from agentic_flywheel.integrations.pydantic_ai import FlywheelConversationStore

from ..support.redis_server import RedisServer
from . import support

SECRET = "sk-proj-" + "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5bC7dE9fG1h"

OPENED = """
import asyncio, random
from contextlib import asynccontextmanager
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import ConversationConflict
from pydantic_ai.messages import ModelRequest, UserPromptPart
from agentic_flywheel.integrations.pydantic_ai import FlywheelConversationStore

@asynccontextmanager
async def opened(session_id):
    async with FlywheelConversationStore() as store:
        async def append(text):
            while True:
                conversation = await store.load(session_id) or Conversation(conversation_id=session_id)
                conversation.messages.append(ModelRequest(parts=[UserPromptPart(content=text)]))
                try:
                    await store.save(conversation)
                    return
                except ConversationConflict:  # as its owner says: load it again and retry
                    await asyncio.sleep(random.random() * 0.2)
        yield append
"""


def asked(text: Any) -> ModelRequest:
    return ModelRequest(parts=[UserPromptPart(content=text)])


def answered(text: str) -> ModelResponse:
    return ModelResponse(parts=[TextPart(content=text)])


async def begun(store: ConversationStore, name: str = "s", *words: str, **more: Any) -> Conversation:
    conversation = Conversation(conversation_id=name, messages=[asked(word) for word in words or ("a", "b", "c")])
    await store.save(conversation, **more)
    return conversation


def words(messages: Sequence[ModelMessage]) -> list[Any]:
    return [getattr(message.parts[0], "content", None) for message in messages]


async def loaded(store: ConversationStore, name: str = "s", **more: Any) -> list[Any] | None:
    found = await store.load(name, **more)
    return None if found is None else words(found.messages)


@pytest.fixture(params=["the owner's", "ours"])
async def store(request: pytest.FixtureRequest, env: dict[str, str]):
    """Both must do the same: what the tests below say is the contract, and none of our own habits."""
    if request.param == "ours":
        async with FlywheelConversationStore() as ours:
            yield ours
    else:
        yield InMemoryConversationStore()


# the contract


async def test_a_conversation_comes_back_equal(store: ConversationStore):
    assert await store.load("s") is None
    messages = [
        asked(["What is this?", BinaryContent(data=b"\x00\xff", media_type="application/pdf")]),
        answered("é\u2028"),
    ]
    conversation = Conversation(conversation_id="s", messages=[*messages])
    conversation.usage.requests = 3
    entries = await store.save(conversation)
    found = await store.load("s")
    assert found
    assert (found.messages, found.usage, found.revision) == (messages, conversation.usage, conversation.revision)
    assert await store.load_entries("s") == entries
    assert [entry.parent_id for entry in entries] == [None, entries[0].id]
    assert [await store.read_entry(entry.id) for entry in entries] == entries


async def test_only_the_last_messages_are_loaded_and_go_on(store: ConversationStore):
    await begun(store, "s", "a", "b", "c", "d")
    window = await store.load("s", limit=2)
    assert window
    assert words(window.messages) == ["c", "d"]
    window.messages.append(asked("e"))
    await store.save(window)
    assert await loaded(store) == ["a", "b", "c", "d", "e"]
    assert await loaded(store, limit=0) == []
    assert await loaded(store, limit=9) == ["a", "b", "c", "d", "e"]


async def test_who_has_not_seen_what_another_saved_is_told(store: ConversationStore):
    mine = await begun(store)
    theirs = await store.load("s")
    assert theirs
    theirs.messages.append(asked("theirs"))
    await store.save(theirs)
    mine.messages.append(asked("mine"))
    with pytest.raises(ConversationConflict):
        await store.save(mine)
    with pytest.raises(ConversationConflict):
        await begun(store)
    assert await loaded(store) == ["a", "b", "c", "theirs"]


async def test_a_branch_is_left_and_taken_up_again(store: ConversationStore):
    conversation = await begun(store)
    branched = await store.branch("s", at=1, expected_revision=conversation.revision)
    branched.messages.append(asked("other"))
    await store.save(branched)
    assert await loaded(store) == ["a", "other"]
    record = await store.read_record("s")
    assert record
    [tip] = record.branches
    assert words([entry.message for entry in await store.read_history(tip)]) == ["a", "b", "c"]
    assert words([entry.message for entry in await store.read_history(tip, limit=2)]) == ["b", "c"]
    back = await store.branch("s", from_entry=tip, expected_revision=branched.revision)
    assert words(back.messages) == ["a", "b", "c"]
    back.messages.append(asked("d"))
    await store.save(back)
    assert await loaded(store) == ["a", "b", "c", "d"]
    record = await store.read_record("s")
    assert record
    assert words([entry.message for entry in await store.read_history(record.branches[-1])]) == ["a", "other"]


async def test_a_rewritten_history_branches_off_where_both_agree(store: ConversationStore):
    conversation = await begun(store)
    rewritten = Conversation(
        conversation_id="s", messages=[asked("a"), asked("summary")], revision=conversation.revision
    )
    await store.save(rewritten)
    assert await loaded(store) == ["a", "summary"]
    record = await store.read_record("s")
    assert record
    assert words([entry.message for entry in await store.read_history(record.branches[0])]) == ["a", "b", "c"]


async def test_a_fork_goes_its_own_way_and_outlives_what_it_came_from(store: ConversationStore):
    await begun(store)
    fork = await store.fork("s", at=2, new_conversation_id="f")
    fork.messages.append(asked("fork"))
    await store.save(fork)
    assert await loaded(store) == ["a", "b", "c"]
    with pytest.raises(ConversationConflict):
        await store.fork("s", new_conversation_id="f")
    await store.delete("s")
    assert await loaded(store) is None
    assert await loaded(store, "f") == ["a", "b", "fork"]
    record = await store.read_record("f")
    assert record
    assert record.forked_from == "s"


async def test_a_conversation_is_its_scopes_own(store: ConversationStore):
    await begun(store, "s", scope="ana")
    await begun(store, "t", scope="ben")
    assert await loaded(store, scope="ben") is None
    await store.delete("s", scope="ben")
    assert [record.conversation_id for record in await store.list_conversations(scope="ana")] == ["s"]
    assert [record.conversation_id for record in await store.list_conversations()] == ["t", "s"]
    assert [record.conversation_id for record in await store.list_conversations(limit=1)] == ["t"]
    with pytest.raises(ConversationConflict):
        await begun(store, "s", scope="ben")


async def test_what_is_deleted_is_gone_and_may_begin_anew(store: ConversationStore):
    old = await begun(store)
    [first, *_] = await store.load_entries("s") or []
    await store.delete("s")
    assert await store.load("s") is None
    with pytest.raises(LookupError):
        await store.read_entry(first.id)
    old.messages.append(asked("late"))
    with pytest.raises(ConversationConflict):
        await store.save(old)
    await begun(store, "s", "anew")
    assert await loaded(store) == ["anew"]


async def test_a_head_that_nobody_knows_is_a_conflict_and_leaves_nothing(store: ConversationStore):
    with pytest.raises(LookupError):
        await store.read_entry("unknown")
    with pytest.raises(ConversationConflict):
        await store.write_record(ConversationRecord(conversation_id="s", head_id="unknown"), expected_revision=None)
    entry = ConversationEntry(parent_id=None, message=asked("a"))
    record = ConversationRecord(conversation_id="s", head_id=entry.id)
    with pytest.raises(ConversationConflict):
        await store.write_record(record, new_entries=[entry], expected_revision="another")
    assert await store.read_record("s") is None
    with pytest.raises(LookupError):
        await store.read_entry(entry.id)
    with pytest.raises(ConversationConflict):
        await store.delete_record("s", expected_revision="another")


async def test_one_of_many_that_save_at_once_succeeds(store: ConversationStore):
    await begun(store)
    copies = [await store.load("s") for _ in range(8)]

    async def save(copy: Conversation | None, word: str) -> bool:
        assert copy
        copy.messages.append(asked(word))
        try:
            await store.save(copy)
        except ConversationConflict:
            return False
        return True

    saved = await asyncio.gather(*(save(copy, f"w{n}") for n, copy in enumerate(copies)))
    assert sum(saved) == 1
    assert await loaded(store) == ["a", "b", "c", f"w{saved.index(True)}"]


# ours


async def test_another_process_finds_entries_by_their_ids_alone(env: dict[str, str]):
    async with FlywheelConversationStore() as store:
        conversation = await begun(store)
        entries = await store.load_entries("s") or []
        await store.branch("s", at=1, expected_revision=conversation.revision)
    async with FlywheelConversationStore() as other:
        assert [await other.read_entry(entry.id) for entry in entries] == entries
        assert await other.read_history(entries[-1].id) == entries
        assert await loaded(other) == ["a"]


async def test_a_tool_using_talk_goes_on_in_another_process(env: dict[str, str]):
    program = Path(env["HOME"]) / "talk.py"
    program.write_text(TALK)
    command = [sys.executable, str(program)]
    done = await asyncio.to_thread(subprocess.run, command, env=env, timeout=100, check=False)
    assert done.returncode == 9
    agent = Agent(TestModel(custom_output_text="In October."))
    async with FlywheelConversationStore() as store:
        conversation = await store.load("farm")
        assert conversation
        assert len(conversation.messages) == 4
        result = await agent.run("And the quinces?", conversation=conversation)
        assert len(await store.save(result)) == 2
        document = await store.read_session("farm")
    assert document
    assert [turn["kind"] for turn in document.session.history] == ["request", "response"] * 3
    with support.server(env) as mcp:
        shown = mcp.call("resume_session", session_id="farm")
        [row] = mcp.call("list_sessions")["sessions"]
    assert "weather" in json.dumps(shown["session"]["history"])
    assert (row["title"], row["turns"]) == ("When do we harvest?", 6)


TALK = """
import asyncio, os
from pydantic_ai import Agent
from pydantic_ai.conversation import Conversation
from pydantic_ai.models.test import TestModel
from agentic_flywheel.integrations.pydantic_ai import FlywheelConversationStore

agent = Agent(TestModel(custom_output_text="In September."))

@agent.tool_plain
def weather(place: str) -> str:
    return "sun"

async def main():
    store = FlywheelConversationStore()
    result = await agent.run("When do we harvest?", conversation=Conversation(conversation_id="farm"))
    await store.save(result)
    os._exit(9)

asyncio.run(main())
"""


async def test_credentials_are_replaced_where_that_is_asked_for(env: dict[str, str]):
    async with FlywheelConversationStore() as keeps, FlywheelConversationStore(redact=True) as replaces:
        await begun(keeps, "keeps", SECRET)
        await begun(replaces, "replaces", SECRET)
        assert await loaded(keeps, "keeps") == [SECRET]
        assert SECRET not in repr(await loaded(replaces, "replaces"))


async def test_it_expires(env: dict[str, str]):
    async with FlywheelConversationStore(ttl_seconds=1) as store:
        await begun(store)

        async def absent() -> bool:
            return await store.load("s") is None and not await store.list_conversations()

        await support.it_expires(absent)


async def test_it_is_an_ordinary_session_and_taken_back_by_another_door_it_goes_on_from_there(env: dict[str, str]):
    async with FlywheelConversationStore() as store:
        conversation = await begun(store, "s", "When do we harvest?")
        for word in ("And the quinces?", "Good."):
            conversation.messages += [answered("Soon."), asked(word)]
            await store.save(conversation)
    await asyncio.to_thread(support.it_is_an_ordinary_session, env, "s", "quinces", 1)
    with support.server(env) as mcp:
        mcp.call("restore_session", session_id="s", revision=2)
        mcp.call("save_session", session_id="s", history=[{"role": "user", "content": "by another door"}])
    async with FlywheelConversationStore() as store:
        assert await loaded(store) == ["When do we harvest?", "Soon.", "And the quinces?"]
        back = await store.load("s")
        assert back
        back.messages.append(answered("In October."))
        await store.save(back)
        assert await loaded(store) == ["When do we harvest?", "Soon.", "And the quinces?", "In October."]


async def test_a_conversation_whose_tags_another_door_replaced_is_listed_again_once_it_is_saved(env: dict[str, str]):
    async with FlywheelConversationStore() as store:
        conversation = await begun(store, "s")
        with support.server(env) as mcp:
            mcp.call("save_session", session_id="s", tags=["quinces"])
        conversation.messages.append(answered("In October."))
        await store.save(conversation)
        assert [record.conversation_id for record in await store.list_conversations()] == ["s"]
        document = await store.read_session("s")
    assert document
    assert list(document.tags) == ["quinces", "pydantic-ai"]


async def test_conversations_of_every_scope_are_found_where_the_environment_names_a_user(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FLYWHEEL_USER", "ann")
    async with FlywheelConversationStore() as store:
        await begun(store, "s", scope="ben")
        await begun(store, "t")
        [entry, *_] = await store.load_entries("s") or []
        assert {record.conversation_id for record in await store.list_conversations()} == {"s", "t"}
    async with FlywheelConversationStore() as another:
        assert (await another.read_entry(entry.id)).id == entry.id
        owners = [await another.read_session(name) for name in ("s", "t")]
    assert [each and each.session.user_id for each in owners] == ["ben", "ann"]


def test_eight_processes_append_fifty_each(env: dict[str, str]):
    support.eight_processes_append_fifty_each(OPENED, env, "s")


def test_redis_is_away_in_the_middle(failing_env: dict[str, str], own_redis: RedisServer):
    support.redis_is_away_in_the_middle(OPENED, failing_env, "s", own_redis)


def test_one_is_killed(env: dict[str, str]):
    support.one_is_killed(OPENED, env, "s")


@pytest.mark.usefixtures("env")
async def test_a_session_that_other_programs_began_goes_on_as_a_conversation():
    stored = await support.said_elsewhere("s", *range(5), *range(6, 10))  # the sixth is of this framework
    plain = support.SAID_PLAINLY[:5] + support.SAID_PLAINLY[6:]
    heard: list[tuple[str, str]] = []

    def answer(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
        parts = [(message, part) for message in messages for part in message.parts]
        roles = {"request": "user", "response": "assistant"}
        heard[:] = [(roles[message.kind], str(getattr(part, "content", ""))) for message, part in parts]
        return ModelResponse(parts=[TextPart(f"You said {len(parts)} things.")])

    agent = Agent(FunctionModel(answer))
    async with FlywheelConversationStore() as store:
        for asked in ("And now?", "And then?"):
            conversation = await store.load("s")
            assert conversation
            await store.save(await agent.run(asked, conversation=conversation))
        assert heard == [
            *plain, ("user", "And now?"), ("assistant", "You said 10 things."), ("user", "And then?")
        ]  # fmt: skip
        document = await store.read_session("s")
        assert document
        assert document.session.history[: len(stored)] == stored, "what is stored stays as it was"
        assert len(document.session.history) == len(stored) + 4
        entries = await store.load_entries("s")
        assert entries
        await store.fork("s", from_entry=entries[8].id, new_conversation_id="elsewhere")
        forked = await store.load("elsewhere")
        assert forked
        assert len(forked.messages) == 9
        await store.delete("s")
        assert await store.load("elsewhere")
