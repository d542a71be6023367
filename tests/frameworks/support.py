"""What every adapter must show, whatever its framework: as functions that its tests call.

A test gives the source of `opened(session_id)`, an asynchronous context manager that opens the adapter as a program
would, by the environment alone, and gives a coroutine function that adds one short text to the session. The texts that
are added are unique words (`p3-17`), which are looked for in the turns.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agentic_flywheel.documents.model import Document
from agentic_flywheel.documents.save_request import Save
from agentic_flywheel.integrations.adapter import Adapter
from agentic_flywheel.sessions.wiring import open_store
from agentic_flywheel.settings import Settings

from ..support.redis_server import RedisServer
from ..support.waiting import eventually, wait_until
from ..support.wire import WireServer

SERVER = (os.environ.get("SERVER_PYTHON", sys.executable), "-m", "agentic_flywheel")
WITHIN = 120.0  # seconds, for several processes on two cores

_APPENDS = """
import asyncio, sys
{opened}
async def main():
    session_id, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    async with opened(session_id) as append:
        for at in range(count):
            await append(f"{{name}}-{{at}}")
            print(f"{{name}}-{{at}}", flush=True)
asyncio.run(main())
"""
_WORD = re.compile(r"\b[a-z]+\d*-\d+\b")


def appender(opened: str, env: Mapping[str, str], session_id: str, name: str, count: int) -> subprocess.Popen[str]:
    """A process of its own that adds so many texts, one after another, and prints each that was acknowledged."""
    program = _APPENDS.format(opened=opened)
    command = [sys.executable, "-c", program, session_id, name, str(count)]
    stderr = (Path(env["HOME"]) / f"{name}.stderr").open("w")
    with stderr:
        return subprocess.Popen(command, env=dict(env), stdout=subprocess.PIPE, stderr=stderr, text=True, bufsize=1)


def said(process: subprocess.Popen[str], lines: int | None = None) -> list[str]:
    """What an appender acknowledged: the next so many, or all the rest."""
    assert process.stdout
    if lines is None:
        rest = process.stdout.read().split()
        process.stdout.close()
        process.wait(WITHIN)
        return rest
    found = [process.stdout.readline().strip() for _ in range(lines)]
    assert all(found), f"it ended early, with {process.wait(WITHIN)}"
    return found


def stored(env: Mapping[str, str], session_id: str) -> Document | None:
    """The session as any other program finds it."""

    async def load() -> Document | None:
        sessions, _ = open_store(Settings.from_env(env))
        async with sessions:
            await sessions.repository.wait_for_child(30)
            document, _ = await sessions.load(session_id)
            return document if isinstance(document, Document) else None

    return asyncio.run(load())


def words_in(history: list[dict[str, Any]], names: str = r"p\d+|one") -> list[str]:
    """The words that were added, in the order of the turns; of a turn that says one twice (an id, a text) one."""
    found: list[str] = []
    for turn in history:
        there = dict.fromkeys(word for word in _WORD.findall(json.dumps(turn)) if re.match(rf"({names})-", word))
        found += there
    return found


def eight_processes_append_fifty_each(opened: str, env: Mapping[str, str], session_id: str) -> None:
    """400 of 400, each once, and those of a process in its order."""
    processes = [appender(opened, env, session_id, f"p{n}", 50) for n in range(8)]
    acknowledged = [said(process) for process in processes]
    for n, (process, words) in enumerate(zip(processes, acknowledged, strict=True)):
        assert process.returncode == 0, (Path(env["HOME"]) / f"p{n}.stderr").read_text()[-3000:]
        assert words == [f"p{n}-{at}" for at in range(50)]
    there = everything(env, session_id)
    for n, words in enumerate(acknowledged):
        assert [word for word in there if word.startswith(f"p{n}-")] == words
    assert len(there) == 400


def everything(env: Mapping[str, str], session_id: str) -> list[str]:
    """The words in the stored session."""
    document = stored(env, session_id)
    assert document, "the session is not there"
    return words_in(document.session.history)


def redis_is_away_in_the_middle(opened: str, env: Mapping[str, str], session_id: str, redis: RedisServer) -> None:
    """What is added before, during and after an outage is in Redis afterwards, once and in order."""
    process = appender(opened, env, session_id, "one", 60)
    before = said(process, 20)
    redis.freeze()
    during = said(process, 5)
    redis.thaw()
    after = said(process)
    assert process.returncode == 0, (Path(env["HOME"]) / "one.stderr").read_text()[-3000:]
    words = [*before, *during, *after]
    assert len(words) == 60
    elsewhere = another_machine(env)
    wait_until(lambda: _nothing_pending(Settings.from_env(env)), within=WITHIN, what="the outbox to drain")
    assert everything(elsewhere, session_id) == words


def _nothing_pending(settings: Settings) -> bool:
    """Whether Redis has all; a store that is open sends it."""

    async def look() -> bool:
        sessions, _ = open_store(settings)
        async with sessions:
            await sessions.repository.wait_for_child(30)
            journal = sessions.repository.journal
            await eventually(lambda: journal.state().pending == 0, within=WITHIN)
            return not journal.state().dead_letters

    return asyncio.run(look())


def another_machine(env: Mapping[str, str]) -> dict[str, str]:
    """The environment of another machine, whose Redis is the same."""
    home = Path(env["HOME"]) / "elsewhere"
    home.mkdir(exist_ok=True)
    return {**env, "HOME": str(home), "FLYWHEEL_DATA_DIR": str(home / "data")}


def one_is_killed(opened: str, env: Mapping[str, str], session_id: str) -> None:
    """A process that is killed at any moment loses nothing that it was told is kept, and the next one goes on."""
    process = appender(opened, env, session_id, "p0", 100_000)
    words = said(process, 25)
    process.send_signal(signal.SIGKILL)
    words += said(process)
    following = appender(opened, env, session_id, "p1", 5)
    words_after = said(following)
    assert following.returncode == 0, (Path(env["HOME"]) / "p1.stderr").read_text()[-3000:]
    there = everything(env, session_id)
    of_killed, of_next = [[word for word in there if word.startswith(name)] for name in ("p0-", "p1-")]
    assert of_killed[: len(words)] == words
    assert len(of_killed) <= len(words) + 1, "at most the one under way came besides"
    assert of_next == words_after
    assert there == of_killed + of_next


async def it_expires(absent: Callable[[], Awaitable[bool]]) -> None:
    """What was added with a `ttl_seconds` of 1 or 2 is gone, by the framework's own account."""
    await eventually(absent, what="the session to expire")


@contextmanager
def server(env: Mapping[str, str]):
    """The MCP server of a person who looks at the same sessions."""
    with WireServer(env, command=SERVER) as there:
        if "REDIS_URL" in env:
            there.warm()
        yield there


def it_is_an_ordinary_session(env: Mapping[str, str], session_id: str, word: str, earlier: int) -> dict[str, Any]:
    """A session of a framework is listed, searched by a `word` in it, resumed over MCP and undone; as it was resumed.

    `earlier`: a revision that had fewer turns, to which it is taken back.
    """
    with server(env) as mcp:
        rows = mcp.call("list_sessions", limit=1000)["sessions"]
        assert session_id in [row["id"] for row in rows]
        assert session_id in [row["id"] for row in mcp.call("list_sessions", query=word)["sessions"]]
        resumed = mcp.call("resume_session", session_id=session_id, max_tokens=1_000_000)
        assert resumed["found"], resumed
        assert word in json.dumps(resumed["session"]["history"])
        assert mcp.call("resume_session", query=word)["session"]["id"] == session_id
        restored = mcp.call("restore_session", session_id=session_id, revision=earlier)
        assert restored["restored"], restored
        taken_back = mcp.call("resume_session", session_id=session_id, max_tokens=1_000_000)
        assert taken_back["total_turns"] < resumed["total_turns"]
        assert mcp.call("restore_session", session_id=session_id, revision=resumed["revision"])["restored"]
        again = mcp.call("resume_session", session_id=session_id, max_tokens=1_000_000)
        assert again["session"]["history"] == resumed["session"]["history"]
    return resumed["session"]


SAID_ELSEWHERE: list[dict[str, Any]] = [
    {"role": "user", "content": "Does it rain in Porto?", "created_at": "2026-11-30T18:00:00+00:00", "id": "m1"},
    {"role": "assistant", "content": [
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Porto"}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "It rains."}]},
    {"role": "assistant", "content": None, "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Faro"}'}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "Sun."},
    {"kind": "response", "parts": [{"part_kind": "text", "content": "Take a coat."}]},
    {"type": "human", "data": {"type": "human", "content": "And then?"}},
    {"type": "message", "role": "assistant", "contents": [{"type": "text", "text": "Go to Faro."}]},
    {"author": "guide", "invocation_id": "i", "actions": {},
     "content": {"role": "model", "parts": [{"text": "Good."}]}},
    {"role": "user", "content": [{"text": "Thanks."}], "session_message": {"agent_id": "a", "message_id": 0}},
]  # fmt: skip
"""Turns as other programs write them."""

SAID_PLAINLY = [
    ("user", "Does it rain in Porto?"),
    ("assistant", 'I look.\n(calls weather {"city":"Porto"})'),
    ("assistant", "(result) It rains."),
    ("assistant", '(calls weather {"city":"Faro"})'),
    ("assistant", "(result) Sun."),
    ("assistant", "Take a coat."),
    ("user", "And then?"),
    ("assistant", "Go to Faro."),
    ("assistant", "Good."),
    ("user", "Thanks."),
]
"""Who says what in them, as a model that knows nothing of those programs is given it."""


async def said_elsewhere(session_id: str, *turns: int) -> list[dict[str, Any]]:
    """Begin a session as other programs do, with these turns or all; the turns."""
    chosen = [SAID_ELSEWHERE[at] for at in turns or range(len(SAID_ELSEWHERE))]
    async with Adapter() as other:
        await other.save(Save(session_id=session_id, history=chosen, as_sent=True))
    return chosen
