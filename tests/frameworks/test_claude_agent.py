"""The Claude Agent SDK's `SessionStore`: its owner's kit, what that leaves open, and what every adapter shows."""

import asyncio
import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any, cast

import pytest
from claude_agent_sdk import (
    SessionKey,
    fork_session_via_store,
    get_session_messages_from_store,
    list_sessions_from_store,
    rename_session_via_store,
)
from claude_agent_sdk.testing import run_session_store_conformance

from agentic_flywheel.integrations.claude_agent import FlywheelStore

from ..support.redis_server import RedisServer
from . import support

KEY: SessionKey = {"project_key": "p", "session_id": "s"}
OURS = "claude-agent:p:s"
SECRET = "sk-proj-" + "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5bC7dE9fG1h"

OPENED = """
import asyncio, uuid
from contextlib import asynccontextmanager
from agentic_flywheel.errors import Unavailable
from agentic_flywheel.integrations.claude_agent import FlywheelStore

@asynccontextmanager
async def opened(session_id):
    project, session = session_id.split(":")[1:]
    async with FlywheelStore() as store:
        async def append(text):
            entry = {"type": "user", "uuid": str(uuid.uuid4()), "message": {"role": "user", "content": text}}
            for attempt in range(3):  # as the SDK does
                try:
                    return await store.append({"project_key": project, "session_id": session}, [entry])
                except Unavailable:
                    if attempt == 2:
                        raise
                    await asyncio.sleep(0.2)
        yield append
"""


def user(text: Any, **more: Any) -> Any:
    return {"type": "user", "uuid": str(uuid.uuid4()), "message": {"role": "user", "content": text}, **more}


def answer(*blocks: dict[str, Any], **more: Any) -> Any:
    message = {"role": "assistant", "content": [*blocks]}
    return {"type": "assistant", "uuid": str(uuid.uuid4()), "message": message, **more}


def said(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def other(kind: str, **more: Any) -> Any:
    return {"type": kind, **more}


async def test_the_owners_kit_passes_with_every_optional_method(env: dict[str, str]):
    stores: list[FlywheelStore] = []

    def fresh() -> FlywheelStore:
        stores.append(FlywheelStore(key_prefix=f"{env['FLYWHEEL_KEY_PREFIX']}-{len(stores)}"))
        return stores[-1]

    await run_session_store_conformance(fresh)
    for store in stores:
        await store.aclose()


async def test_entries_come_back_equal_whatever_is_in_them(env: dict[str, str]):
    odd = [
        other("x", kept_until="1999-01-01", id="i", schema_version=99, n=2**70, f=1e300, e={}),
        other("x", half="\ud83d", text="é\u2028\x00", nested=[[[{"a": None}]]]),
        user("\udc00 half"),
    ]
    async with FlywheelStore() as store:
        await store.append(KEY, odd)
        await store.append(KEY, odd[:1])
    async with FlywheelStore() as store:
        assert await store.load(KEY) == [*odd, odd[0]]


async def test_an_entry_with_an_uuid_is_kept_once_and_one_without_each_time(env: dict[str, str]):
    async with FlywheelStore() as store:
        first, mode = user("one"), other("mode", mode="plan")
        await store.append(KEY, [first, mode])
        await store.append(KEY, [first, mode])
        assert await store.load(KEY) == [first, mode, mode]
        document = await store.read_session(OURS)
    assert document
    assert [turn["content"] for turn in document.session.history] == ["one"]


async def test_a_batch_that_failed_and_comes_again_is_kept_once(env: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    async with FlywheelStore() as store:
        attached = (await store.stores()).attached
        append = attached.append

        async def taken_and_then_failed(session_id: str, log: str, records: Any, **more: Any) -> None:
            await append(session_id, log, records, **more)
            raise ConnectionError("the answer was lost")

        batch = [user("one"), other("mode", mode="plan")]
        with monkeypatch.context() as patched:
            patched.setattr(attached, "append", taken_and_then_failed)
            with pytest.raises(ConnectionError):
                await store.append(KEY, batch)
        await store.append(KEY, batch)
        assert await store.load(KEY) == batch


async def test_the_readable_session_has_what_was_said_and_no_line_of_the_machinery(env: dict[str, str]):
    call = {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "fields"}
    entries = [
        other("queue-operation", operation="enqueue"),
        user("What is here?", timestamp="2026-11-01T10:00:00.000Z", cwd="/home/ana/farm"),
        user("hidden", isMeta=True),
        user("<local-command-stdout>nothing</local-command-stdout>"),
        user("<command-name>/clear</command-name>\n<command-args>now</command-args>"),
        answer({"type": "thinking", "thinking": "I look.", "signature": "c2ln"}),
        answer(call),
        user([result]),
        answer(said("Fields.")),
        other("ai-title", aiTitle="Made by the program"),
        other("custom-title", customTitle="The farm"),
    ]
    async with FlywheelStore() as store:
        await store.append(KEY, entries)
        await store.append({**KEY, "subpath": "subagents/agent-1"}, [user("a sub-agent's")])
        document = await store.read_session(OURS)
        assert await store.load(KEY) == entries
    assert document
    turns = [(turn["role"], turn["content"]) for turn in document.session.history]
    assert turns == [
        ("user", "What is here?"),
        ("system", "/clear now"),
        ("assistant", [{"type": "thinking", "thinking": "I look."}]),
        ("assistant", [call]),
        ("tool", [result]),
        ("assistant", [said("Fields.")]),
    ]
    assert (document.title, document.session.context["cwd"]) == ("The farm", "/home/ana/farm")


async def test_the_person_sets_the_project_so_that_another_folder_is_the_same(env: dict[str, str]):
    async with FlywheelStore(project_key="farm") as here, FlywheelStore(project_key="farm") as there:
        await here.append({"project_key": "-home-ana-farm", "session_id": "s"}, [user("one")])
        assert await there.load({"project_key": "-srv-farm", "session_id": "s"})
        assert [each["session_id"] for each in await there.list_sessions("-srv-farm")] == ["s"]


async def test_what_a_sub_agent_writes_makes_no_summary_of_its_session_look_old(env: dict[str, str]):
    async with FlywheelStore() as store:
        await store.append(KEY, [user("one")])
        await store.append({**KEY, "subpath": "subagents/agent-1"}, [user("two")])
        [listed] = await store.list_sessions(KEY["project_key"])
        [summary] = await store.list_session_summaries(KEY["project_key"])
    assert summary["mtime"] >= listed["mtime"]


async def test_what_a_sub_agent_writes_is_no_session_before_its_transcript_begins(env: dict[str, str]):
    async with FlywheelStore() as store:
        await store.append({**KEY, "subpath": "subagents/agent-1"}, [user("two")])
        assert await store.list_sessions(KEY["project_key"]) == []
        await store.append(KEY, [other("mode", mode="plan")])
        assert [each["session_id"] for each in await store.list_sessions(KEY["project_key"])] == [KEY["session_id"]]
        assert await store.list_subkeys(KEY) == ["subagents/agent-1"]


async def test_the_sdks_own_functions_work_over_it(env: dict[str, str], tmp_path: Path):
    own, folder = str(uuid.uuid4()), str(tmp_path / "farm")
    async with FlywheelStore(project_key="farm") as store:
        first = user("What is here?", sessionId=own, parentUuid=None, timestamp="2026-11-01T10:00:00.000Z", cwd=folder)
        second = answer(said("Fields."), sessionId=own, parentUuid=first["uuid"], timestamp="2026-11-01T10:00:01.000Z")
        await store.append({"project_key": "any", "session_id": own}, [first, second])
        [listed] = await list_sessions_from_store(store, directory=folder)
        assert (listed.session_id, listed.first_prompt) == (own, "What is here?")
        assert len(await get_session_messages_from_store(store, own, directory=folder)) == 2
        await rename_session_via_store(store, own, "The farm", directory=folder)
        [listed] = await list_sessions_from_store(store, directory=folder)
        assert listed.summary == "The farm"
        forked = await fork_session_via_store(store, own, directory=folder)
        assert len(await get_session_messages_from_store(store, forked.session_id, directory=folder)) == 2


async def test_credentials_are_replaced_where_that_is_asked_for(env: dict[str, str]):
    async with FlywheelStore() as keeps, FlywheelStore(redact=True, project_key="other") as replaces:
        entry = user(f"the key is {SECRET}")
        await keeps.append(KEY, [entry])
        await replaces.append(KEY, [entry])
        assert await keeps.load(KEY) == [entry]
        [replaced] = await replaces.load(KEY) or []
    assert SECRET not in json.dumps(replaced)
    assert (replaced["type"], replaced.get("uuid")) == ("user", entry["uuid"])


async def test_it_expires_with_all_that_is_beside_it(env: dict[str, str]):
    async with FlywheelStore(ttl_seconds=1) as store:
        await store.append(KEY, [user("one")])

        async def absent() -> bool:
            return await store.load(KEY) is None and await store.list_sessions("p") == []

        await support.it_expires(absent)


async def test_it_is_deleted_by_every_door_with_all_that_is_beside_it(env: dict[str, str]):
    async with FlywheelStore() as store:
        await store.append(KEY, [user("one")])
        await store.append({**KEY, "subpath": "subagents/agent-1"}, [user("two")])
    with support.server(env) as mcp:
        assert mcp.call("delete_session", session_id=OURS)["deleted"]
    async with FlywheelStore() as store:
        assert await store.load(KEY) is None
        assert await store.load({**KEY, "subpath": "subagents/agent-1"}) is None
        assert await store.list_subkeys({"project_key": "p", "session_id": "s"}) == []
        assert await store.list_session_summaries("p") == []


async def test_it_is_an_ordinary_session(env: dict[str, str]):
    async with FlywheelStore() as store:
        await store.append(KEY, [user("When do we harvest?"), answer(said("In September."))])
        await store.append(KEY, [user("And the quinces?"), answer(said("Quinces in October."))])
        await store.append(KEY, [user("Good."), answer(said("Good."))])
    resumed = await asyncio.to_thread(support.it_is_an_ordinary_session, env, OURS, "Quinces", 1)
    assert len(resumed["history"]) == 6


def test_eight_processes_append_fifty_each(env: dict[str, str]):
    support.eight_processes_append_fifty_each(OPENED, env, OURS)

    async def entries() -> Any:
        async with FlywheelStore() as store:
            return await store.load(KEY)

    assert len(support.words_in(cast("Any", asyncio.run(entries())))) == 400


def test_redis_is_away_in_the_middle(failing_env: dict[str, str], own_redis: RedisServer):
    support.redis_is_away_in_the_middle(OPENED, failing_env, OURS, own_redis)


def test_one_is_killed(env: dict[str, str]):
    support.one_is_killed(OPENED, env, OURS)


BEGIN = """
import asyncio, os
from agentic_flywheel.integrations.claude_agent import FlywheelStore

async def main():
    store = FlywheelStore(project_key="farm")
    entry = {"type": "user", "uuid": "u1", "message": {"role": "user", "content": "What is here?"}}
    call = {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}}
    answer = {"type": "assistant", "uuid": "u2", "message": {"role": "assistant", "content": [call]}}
    await store.append({"project_key": "x", "session_id": "s"}, [entry, answer])
    os._exit(9)

asyncio.run(main())
"""


async def test_another_process_goes_on_where_one_ended_in_the_middle(env: dict[str, str]):
    done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", BEGIN], env=env, timeout=60, check=False)
    assert done.returncode == 9
    key: SessionKey = {"project_key": "y", "session_id": "s"}
    async with FlywheelStore(project_key="farm") as store:
        assert [each.get("uuid") for each in await store.load(key) or []] == ["u1", "u2"]
        result = {"type": "tool_result", "tool_use_id": "t1", "content": "fields"}
        await store.append(key, [user([result]), answer(said("Fields."))])
        document = await store.read_session("claude-agent:farm:s")
    assert document
    assert [turn["role"] for turn in document.session.history] == ["user", "assistant", "tool", "assistant"]
