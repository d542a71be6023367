"""Where nobody names a Redis, this machine keeps all, nothing is sent anywhere, and no answer speaks of one."""

import asyncio
import json
import os
import re
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agentic_flywheel.integrations.redis_state import RedisSessionManager

from ..support.client import open_server
from ..support.conversations import TALK, exact, turns
from ..support.redis_server import RedisServer
from ..support.wire import WireServer
from .test_moving_house import run

WORD = re.compile("redis", re.IGNORECASE)


@pytest.fixture
def alone(tmp_path: Path) -> dict[str, str]:
    """The environment of a newcomer."""
    return newcomer(tmp_path)


def newcomer(folder: Path) -> dict[str, str]:
    """An environment where nothing of ours is set, and the logs say all that they can."""
    home = folder / "home"
    home.mkdir()
    path = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return path | {"HOME": str(home), "FLYWHEEL_LOG_LEVEL": "DEBUG"}


def connections(pid: int) -> set[str]:
    """The sockets of a process that lead anywhere, or that anything could connect to.

    Those without a name are not: an event loop wakes itself up by a pair of them.
    """
    mine = set[str]()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it has just been closed
            mine.add(str(fd.readlink()))
    inodes = {link[8:-1] for link in mine if link.startswith("socket:[")}
    found = set[str]()
    for kind in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6", "netlink", "packet"):
        table = Path(f"/proc/{pid}/net/{kind}")
        rows = table.read_text().splitlines()[1:] if table.exists() else []
        found |= {f"{kind} {inode}" for inode in inodes if any(inode in row.split() for row in rows)}
    for row in Path(f"/proc/{pid}/net/unix").read_text().splitlines()[1:]:
        parts = row.split()
        if parts[6] in inodes and len(parts) > 7:
            found.add(" ".join(parts[6:]))
    return found


async def call_every_tool(server: Any) -> list[dict[str, Any]]:
    """Every tool, where there is something and where there is nothing; the answers."""
    made = [
        await server.call("save_session", session_id="garden", history=TALK, title="The garden"),
        await server.call("save_session", session_id="garden", history=turns("more"), mode="replace"),
        await server.call("save_session", history=turns("a"), ttl_seconds=0),
        await server.call("save_session", session_id="garden", history=turns("b"), expected_revision=9),
        await server.call("cache_result", result={"a": 1}, execution_id="e", session_id="garden", flow_id="f"),
    ]
    for name, arguments in {
        "resume_session": {"session_id": "garden"},
        "list_sessions": {},
        "list_revisions": {"session_id": "garden"},
        "restore_session": {"session_id": "garden", "revision": 1},
        "fork_session": {"session_id": "garden"},
        "get_result": {"execution_id": "e"},
        "get_flow_history": {"session_id": "garden", "flow_id": "f"},
        "persistence_status": {},
    }.items():
        made.append(await server.call(name, **arguments))
    for name, arguments in {
        "resume_session": {"session_id": "gardn"},
        "list_sessions": {"query": "more"},
        "list_revisions": {"session_id": "nobody"},
        "restore_session": {"session_id": "nobody", "revision": 1},
        "fork_session": {"session_id": "nobody"},
        "get_result": {"execution_id": "nothing"},
        "get_flow_history": {"session_id": "nobody", "flow_id": "f"},
        "delete_session": {"session_id": "nobody"},
    }.items():
        made.append(await server.call(name, **arguments))
    made.append(await server.call("delete_session", session_id="garden"))
    return [*made, await server.call("resume_session", session_id="garden")]


@pytest.mark.usefixtures("cold")
@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
async def test_nothing_is_started_opened_or_said_of_a_store_that_nobody_named(alone: dict[str, str]):
    async with open_server(alone) as server:
        answers = await call_every_tool(server)
        assert server.children == []
        assert connections(server.pid) == set()
        refused = await server.client.call_tool("save_session", {"history": ["no turn"]})
        assert refused.is_error
        listed = await server.client.list_resources()
        texts = [json.dumps(answer) for answer in answers] + [str(refused), str(listed)]
        texts += [await asyncio.to_thread(lambda: server.stderr)]
    assert [text for text in texts if WORD.search(text)] == []
    stale = [answer for answer in answers if answer.get("stale") or answer.get("provisional")]
    assert stale == []
    assert {answer["scope"] for answer in answers if "scope" in answer} == {"this machine"}
    assert {answer["stored_in"] for answer in answers if "stored_in" in answer} <= {"journal", "none"}
    assert "unavailable" not in {answer.get("reason") for answer in answers}


@pytest.fixture(scope="module")
def with_a_talk(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A newcomer who has one talk, which no command here changes."""
    env = newcomer(tmp_path_factory.mktemp("newcomer"))
    with WireServer(env) as server:
        server.call("save_session", session_id="garden", history=turns("my key is AKIA" + "IOSFODNN7EXAMPLE"))
    return env


@pytest.mark.parametrize(
    ("code", "command"),
    [(0, "doctor"), (0, "sessions list"), (0, "sessions show garden"), (1, "sessions delete nobody --yes"),
     (1, "sessions restore garden 7"), (0, "dead-letters"), (0, "secrets scan"), (0, "export"), (0, "forget-copies"),
     (0, "forget-copies --expired"), (0, "demo")],
)  # fmt: skip
def test_no_command_speaks_of_it(with_a_talk: dict[str, str], code: int, command: str):
    done = run(with_a_talk, *command.split(), code=code)
    assert "Traceback" not in done.stderr
    assert not WORD.search(done.stdout + done.stderr), done.stdout + done.stderr


async def test_what_is_not_there_is_not_found_and_the_nearest_is_named(alone: dict[str, str]):
    async with open_server(alone) as server:
        await server.call("save_session", session_id="harvest-plan", history=TALK)
        answer = await server.call("resume_session", session_id="harvest-plann")
        assert (answer["found"], answer["reason"], answer["suggestions"]) == (False, "not_found", ["harvest-plan"])
        assert (await server.call("resume_session", session_id="quite else"))["reason"] == "not_found"
        resumed = await server.call("resume_session")
        assert (resumed["source"], resumed.get("stale")) == ("journal", False)
        assert exact(resumed["session"]["history"]) == exact(TALK)


async def test_a_save_says_where_it_went_and_until_when(alone: dict[str, str]):
    async with open_server(alone) as server:
        today = datetime.now(UTC)
        first = await server.call("save_session", session_id="s", history=turns("one"))
        second = await server.call("save_session", session_id="s", history=turns("two"))
        for_ever = await server.call("save_session", session_id="t", history=turns("two"), ttl_seconds=0)
        status = await server.call("persistence_status")
    path = status["journal"]["path"]
    assert path.startswith(alone["HOME"])
    assert " on this machine (persistence_status names the file), until " in first["message"]
    assert "names the file" not in second["message"], "it is named once"
    assert path not in first["message"] + second["message"]
    dates = {(today + timedelta(days=365 + late)).date().isoformat() for late in (0, 1)}
    assert any(f" on this machine, until {date}. Next: " in second["message"] for date in dates), second["message"]
    assert " on this machine, for ever. Next: " in for_ever["message"]
    assert status["message"] == f"Sessions are kept on this machine, in {path}."
    assert (status["mode"], "redis" in status) == ("journal", False)


async def test_a_redis_that_is_named_is_used_by_the_first_save(own_redis: RedisServer, alone: dict[str, str]):
    own_redis.start()
    named = alone | {"REDIS_URL": own_redis.url, "FLYWHEEL_TIMEOUT_SECONDS": "20"}  # the machine may be busy
    for number in range(3):
        async with open_server(named) as server:
            saved = await server.call("save_session", session_id=f"s{number}", history=turns("one"))
            assert (saved["stored_in"], saved["provisional"]) == ("redis", False)
            assert len(server.children) == 1


@pytest.mark.parametrize(("more", "stored_in"), [({"REDIS_ENABLED": "true"}, "redis"), ({}, "journal")])
def test_redis_enabled_alone_names_the_one_on_localhost(alone: dict[str, str], more: dict[str, str], stored_in: str):
    # nobody can look at localhost:6379 here: the address in the status tells
    with WireServer(alone | more) as server:
        status = server.call("persistence_status")
        assert status.get("redis", {}).get("target", "") == ("redis://localhost:6379/0" if stored_in == "redis" else "")
        assert bool(server.children) == (stored_in == "redis")


def test_the_python_api_names_one_by_its_class_and_disabled_keeps_nothing(
    alone: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    for name in [name for name in os.environ if name.startswith(("REDIS_", "FLYWHEEL_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", alone["HOME"])
    assert "redis://localhost:6379/0" in repr(RedisSessionManager(enabled=True))
    assert "disabled" in repr(RedisSessionManager(enabled=False))
