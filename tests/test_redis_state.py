"""The library's face: the same behaviours over a fake child and over a real child with a real Redis.

The fake answers the child's tool calls from a file; everything on our side of the process boundary is the real thing.
"""

import asyncio
import json
import logging
import os
import shlex
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from agentic_flywheel.backends.base import BackendType, FlowStatus, UniversalSession
from agentic_flywheel.errors import Conflict, DocumentError, InvalidArgument, SettingError, Unavailable
from agentic_flywheel.integrations import redis_state
from agentic_flywheel.integrations.redis_state import RedisConfig, RedisExecutionCache, RedisSessionManager

from .support.conversations import CONTEXT, TALK, exact, turns, words
from .support.processes import children
from .support.redis_server import NOBODY_LISTENS, RedisServer
from .support.waiting import eventually

# The child's tools over a JSON file: {"texts": {key: [text, end]}, "lists": {index: {member: [score, note]}}}.
# While a file named "away" lies beside it, each answers as coaiapy does when Redis refuses.
FAKE_CHILD = r"""
import json, re, sys, time
from pathlib import Path

FILE = Path(sys.argv[1])
TOOLS = ("coaia_tash", "coaia_fetch", "coaia_list", "coaia_drop", "coaia_read", "coaia_commit", "coaia_index",
         "coaia_recent", "coaia_status")

class Store:
    def __init__(self):
        state = json.loads(FILE.read_text()) if FILE.exists() else {"texts": {}, "lists": {}}
        self.lists = state["lists"]
        self.texts = {k: v for k, v in state["texts"].items() if v[1] is None or v[1] > time.time()}

    def keep(self):
        new = FILE.with_suffix(".new")
        new.write_text(json.dumps({"texts": self.texts, "lists": self.lists}))
        new.replace(FILE)

    def get(self, key):
        return self.texts.get(key, [None])[0]

    def set(self, key, value, ttl):
        self.texts[key] = [value, time.time() + ttl if ttl else None]

    def coaia_tash(self, key, value, ttl_seconds=0):
        self.set(key, value, ttl_seconds)
        return {}

    def coaia_fetch(self, key):
        value = self.get(key)
        return {"value": value} if value is not None else {"error": f"Key '{key}' not found in Redis"}

    def coaia_list(self, pattern="*", limit=10000, seconds=0):
        beginning = re.sub(r"\\(.)", r"\1", pattern[:-1])
        return {"keys": sorted(key for key in self.texts if key.startswith(beginning))}

    def coaia_drop(self, key):
        return {"dropped": self.texts.pop(key, None) is not None}

    def current(self, key, tombstone_key):
        return self.get(tombstone_key) if self.get(key) is None else self.get(key)

    def coaia_read(self, key, tombstone_key):
        return {"current": self.current(key, tombstone_key)}

    def coaia_commit(self, key, value, expected, tombstone_key, ending="", seen_tombstone="", ttl_seconds=0,
                     delete=False, entry=None, splice=None, older=""):
        there = self.get(key)
        same = there is not None and there.startswith(expected) and there.endswith(ending)
        if same and splice:
            head, start, rest, tail = splice
            value = head + there.encode()[start:-rest].decode() + tail
        if same and older:
            self.set(older, there, ttl_seconds)
        if not (same if expected else there is None and (self.get(tombstone_key) or "") == seen_tombstone):
            return {"committed": False, "current": self.current(key, tombstone_key)}
        if delete:
            self.texts.pop(key, None)
        self.set(tombstone_key if delete else key, value, ttl_seconds)
        if entry:
            self.coaia_index(*entry[:3], "" if delete else entry[3])
        return {"committed": True}

    def coaia_index(self, index, member, score, note=""):
        self.lists.setdefault(index, {}).pop(member, None)
        if note:
            self.lists[index][member] = [score, note]
        return {}

    def coaia_recent(self, index, documents, limit=100, before=None, **_):
        rows = [[m, s, n] for m, (s, n) in self.lists.get(index, {}).items() if documents + m in self.texts]
        rows.sort(key=lambda row: (row[1], row[0]), reverse=True)
        rows = [row for row in rows if before is None or (row[1], row[0]) < (before[0], before[1])]
        listed = self.lists.get(index, {})
        stored = [key[len(documents):] for key in self.texts if key.startswith(documents)]
        unlisted = [member for member in stored if member not in listed]
        older = rows[limit - 1][1::-1] if rows[limit - 1:] else None
        return {"entries": rows[:limit], "unlisted": unlisted, "older": older}

    def coaia_status(self):
        return {}

def answer(name, arguments):
    if FILE.with_name("away").exists():
        return {"success": False, "error": "Redis error: Connection refused"}
    store = Store()
    reply = getattr(store, name)(**arguments)
    store.keep()
    return {"success": "error" not in reply} | reply

for line in sys.stdin:
    message = json.loads(line)
    method, params = message.get("method"), message.get("params") or {}
    if "id" not in message:
        continue
    if method == "initialize":
        result = {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}},
                  "serverInfo": {"name": "fake", "version": "1"}}
    elif method == "tools/list":
        schema = {"type": "object", "properties": {"key": {}, "ttl_seconds": {}}}
        result = {"tools": [{"name": name, "inputSchema": schema} for name in TOOLS]}
    else:
        reply = answer(params["name"], params.get("arguments") or {})
        result = {"content": [{"type": "text", "text": json.dumps(reply)}]}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"""


class FakeFar:
    """The fake child's file."""

    prefix = "fake"

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "child.py").write_text(FAKE_CHILD)
        self._file = folder / "state.json"
        self._away = folder / "away"
        self.command = shlex.join([sys.executable, str(folder / "child.py"), str(self._file)])

    def _texts(self) -> dict[str, tuple[str, float | None]]:
        return json.loads(self._file.read_text())["texts"] if self._file.exists() else {}

    def all_keys(self) -> set[str]:
        return set(self._texts())

    def get(self, key: str) -> str | None:
        return self._texts()[key][0] if key in self._texts() else None

    def ttl(self, key: str) -> int:
        end = self._texts()[key][1]
        return -1 if end is None else round(end - time.time())

    def refuse(self) -> None:
        """Redis is away, says the child."""
        self._away.touch()

    def accept(self) -> None:
        self._away.unlink()


@dataclass(frozen=True)
class RealFar:
    """A real Redis behind our real child."""

    redis: RedisServer
    command: str = ""

    @property
    def prefix(self) -> str:
        return self.redis.prefix

    def all_keys(self) -> set[str]:
        return self.redis.all_keys(f"{self.prefix}:*")

    def get(self, key: str) -> str | None:
        return self.redis.get(key)

    def ttl(self, key: str) -> int:
        return self.redis.ttl(key)


Environ = Callable[..., None]


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Environ:
    """Set this process's environment: its own HOME and data folder, and of ours only what is passed."""

    def use(**variables: str) -> None:
        for name in os.environ:
            if name.startswith(("REDIS_", "FLYWHEEL_")):
                monkeypatch.delenv(name)
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        mine = {"HOME": str(home), "FLYWHEEL_DATA_DIR": str(tmp_path / "data")}
        for name, value in (mine | variables).items():
            monkeypatch.setenv(name, value)

    return use


@pytest.fixture(params=["fake child", "real child and Redis"])
def far(request: pytest.FixtureRequest, tmp_path: Path, environ: Environ) -> FakeFar | RealFar:
    """Where documents go, and the environment that sends them there. The bound is wide: two cores run everything."""
    if request.param == "fake child":
        fake = FakeFar(tmp_path / "far")
        environ(FLYWHEEL_COAIA_COMMAND=fake.command, REDIS_URL=NOBODY_LISTENS, FLYWHEEL_TIMEOUT_SECONDS="10")
        return fake
    real = RealFar(request.getfixturevalue("redis"))
    environ(REDIS_URL=real.redis.url, FLYWHEEL_TIMEOUT_SECONDS="10")
    return real


@pytest.fixture
def fake(tmp_path: Path, environ: Environ) -> FakeFar:
    """The fake alone, for what only it can be told to do."""
    fake = FakeFar(tmp_path / "far")
    environ(FLYWHEEL_COAIA_COMMAND=fake.command, REDIS_URL=NOBODY_LISTENS)
    return fake


@pytest_asyncio.fixture
async def manager(far: FakeFar | RealFar) -> AsyncIterator[RedisSessionManager]:
    async with RedisSessionManager(key_prefix=far.prefix) as manager:
        yield manager


@pytest_asyncio.fixture
async def cache(far: FakeFar | RealFar) -> AsyncIterator[RedisExecutionCache]:
    async with RedisExecutionCache(key_prefix=far.prefix) as cache:
        yield cache


def session(session_id: str = "s", *said: str, **fields: Any) -> UniversalSession:
    return UniversalSession(id=session_id, backend=BackendType.FLOWISE, history=turns(*said), **fields)


# sessions


async def test_a_saved_session_comes_back_equal(manager: RedisSessionManager):
    saved = UniversalSession(
        id="session_123",
        backend=BackendType.LANGFLOW,
        backend_session_id="chat-1",
        status=FlowStatus.RUNNING,
        current_flow_id="flow-1",
        context=CONTEXT,
        history=TALK,
        expires_at=datetime(2020, 1, 1, tzinfo=UTC),
        user_id="ana",
        total_queries=2,
        successful_queries=1,
        total_response_time=1.5,
    )
    assert await manager.save_session(saved) is True
    loaded = await manager.load_session("session_123")
    assert loaded == saved
    assert loaded
    assert exact(loaded.history) == exact(TALK)


async def test_another_manager_loads_what_one_saved(manager: RedisSessionManager, far: FakeFar | RealFar):
    await manager.save_session(session("s", "a"))
    loaded = await RedisSessionManager(key_prefix=far.prefix).load_session("s")
    assert loaded
    assert words(loaded.history) == ["a"]


async def test_a_session_changed_and_saved_again_is_what_it_was_made(manager: RedisSessionManager):
    mine = session("s", "a", "b", context={"old": 1}, user_id="ana")
    await manager.save_session(mine)
    mine.history, mine.context = turns("b"), {"new": 2}
    assert await manager.save_session(mine) is True
    assert await manager.load_session("s") == mine


async def test_keys_leave_the_stored_context_where_an_object_is_merged(
    manager: RedisSessionManager, far: FakeFar | RealFar
):
    await manager.save_session(session("s", "a", context={"old": 1, "kept": 2, "both": 3}))
    other = RedisSessionManager(key_prefix=far.prefix)
    merged = session("s", "a", "b", context={"both": 4})
    assert await other.save_session(merged, remove_context=["old", "both", "nobody"]) is True
    loaded = await manager.load_session("s")
    assert loaded
    assert (loaded.context, words(loaded.history)) == ({"kept": 2, "both": 4}, ["a", "b"])
    for wrong in ("old", [1], [None]):
        with pytest.raises(TypeError, match="remove_context"):
            await other.save_session(merged, remove_context=wrong)  # pyright: ignore[reportArgumentType]


async def test_whose_a_session_is_does_not_change(manager: RedisSessionManager, far: FakeFar | RealFar):
    mine = session("s", "a", user_id="ana")
    await manager.save_session(mine)
    mine.user_id = "bo"
    assert await manager.save_session(mine) is False
    strict = RedisSessionManager(key_prefix=far.prefix, strict=True)
    with pytest.raises(Conflict, match="another user_id"):
        await strict.save_session(session("s", "b", user_id="bo"))
    assert await strict.save_session(session("s", "b")) is True
    loaded = await strict.load_session("s")
    assert loaded
    assert (loaded.user_id, words(loaded.history)) == ("ana", ["a", "b"])


async def test_an_unknown_session_is_none(manager: RedisSessionManager):
    assert await manager.load_session("nobody") is None


async def test_a_deleted_session_is_gone_and_was_there_only_once(manager: RedisSessionManager, far: FakeFar | RealFar):
    await manager.save_session(session("s", "a"))
    assert await manager.delete_session("s") is True
    assert await manager.load_session("s") is None
    assert await manager.delete_session("s") is False
    assert await manager.list_sessions() == []
    assert f"{far.prefix}:session:s" not in far.all_keys()


async def test_a_deleted_session_can_be_begun_anew(manager: RedisSessionManager):
    await manager.save_session(session("s", "a"))
    await manager.delete_session("s")
    assert await manager.save_session(session("s", "b")) is True
    loaded = await manager.load_session("s")
    assert loaded
    assert words(loaded.history) == ["b"]


# keys


async def test_a_session_is_json_text_under_its_key_and_its_first_fields_name_it(
    manager: RedisSessionManager, far: FakeFar | RealFar
):
    await manager.save_session(session("s", "grün 🌾"))
    text = far.get(f"{far.prefix}:session:s") or ""
    assert list(json.loads(text))[:3] == ["schema_version", "id", "revision"]
    assert "grün 🌾" in text, "a person can read it"
    assert set(UniversalSession.__dataclass_fields__) <= json.loads(text).keys()


async def test_executions_and_flow_histories_have_keys_of_their_own(cache: RedisExecutionCache, far: FakeFar | RealFar):
    await cache.cache_result("e", {"n": 1})
    await cache.cache_flow_history("s", "f", [{"n": 1}])
    assert {f"{far.prefix}:execution:e", f"{far.prefix}:history:s:f"} <= far.all_keys()


async def test_two_prefixes_share_nothing(manager: RedisSessionManager, far: FakeFar | RealFar):
    async with RedisSessionManager(key_prefix=f"{far.prefix}:2") as other:
        await manager.save_session(session("s", "mine"))
        await other.save_session(session("s", "theirs"))
        mine, theirs = await manager.load_session("s"), await other.load_session("s")
        assert mine
        assert theirs
        assert (words(mine.history), words(theirs.history)) == (["mine"], ["theirs"])
        assert await other.delete_session("s") is True
        assert (await manager.list_sessions(), await other.list_sessions()) == (["s"], [])


async def test_two_pairs_of_ids_never_share_a_history(cache: RedisExecutionCache):
    await cache.cache_flow_history("s:f", "g", [{"n": 1}])
    await cache.cache_flow_history("s", "f:g", [{"n": 2}])
    assert await cache.get_flow_history("s:f", "g") == [{"n": 1}]
    assert await cache.get_flow_history("s", "f:g") == [{"n": 2}]


# time to live


async def test_by_default_a_session_lives_a_day_and_an_execution_an_hour(
    manager: RedisSessionManager, cache: RedisExecutionCache, far: FakeFar | RealFar
):
    await manager.save_session(session("s", "a"))
    await cache.cache_result("e", {"n": 1})
    await cache.cache_flow_history("s", "f", [{"n": 1}])
    assert 86_400 - 30 <= far.ttl(f"{far.prefix}:session:s") <= 86_400
    assert 3600 - 30 <= far.ttl(f"{far.prefix}:execution:e") <= 3600
    assert 3600 - 30 <= far.ttl(f"{far.prefix}:history:s:f") <= 3600


async def test_a_program_chooses_the_time_to_live(far: FakeFar | RealFar):
    async with (
        RedisSessionManager(ttl_seconds=600, key_prefix=far.prefix) as short,
        RedisSessionManager(ttl_seconds=0, key_prefix=far.prefix) as forever,
        RedisExecutionCache(ttl_seconds=60, key_prefix=far.prefix) as cache,
    ):
        await short.save_session(session("short", "a"))
        await forever.save_session(session("forever", "a"))
        await cache.cache_result("e", {"n": 1})
        assert 600 - 30 <= far.ttl(f"{far.prefix}:session:short") <= 600
        assert far.ttl(f"{far.prefix}:session:forever") == -1
        assert 60 - 30 <= far.ttl(f"{far.prefix}:execution:e") <= 60


async def test_a_sessions_own_time_to_live_is_kept_by_later_saves(manager: RedisSessionManager, far: FakeFar | RealFar):
    key = f"{far.prefix}:session:s"
    mine = session("s", "a")
    await manager.save_session(mine, ttl_seconds=600)
    mine.history += turns("b")
    await manager.save_session(mine)
    assert 600 - 30 <= far.ttl(key) <= 600
    await manager.save_session(mine, ttl_seconds=0)
    assert far.ttl(key) == -1


async def test_an_expired_session_and_an_expired_result_are_gone(far: FakeFar | RealFar):
    async with (
        RedisSessionManager(ttl_seconds=1, key_prefix=far.prefix, strict=True) as manager,
        RedisExecutionCache(ttl_seconds=1, key_prefix=far.prefix, strict=True) as cache,
    ):
        await manager.save_session(session("s", "a"))
        await cache.cache_result("e", {"n": 1})

        async def gone() -> bool:
            return await manager.load_session("s") is None and await cache.get_result("e") is None

        await eventually(gone, what="their end")
        assert await manager.list_sessions() == []


async def test_the_callers_own_expires_at_deletes_nothing(manager: RedisSessionManager, far: FakeFar | RealFar):
    past = datetime.now(UTC) - timedelta(days=400)
    await manager.save_session(session("s", "a", expires_at=past))
    loaded = await manager.load_session("s")
    assert loaded
    assert loaded.expires_at == past
    assert far.ttl(f"{far.prefix}:session:s") > 86_000


# results


async def test_a_result_comes_back_as_it_was_cached(cache: RedisExecutionCache):
    result = {"text": "ok 🌾", "items": [], "object": {}, "n": 2**70, "none": None, "id": "e"}
    assert await cache.cache_result("e", result) is True
    assert exact(await cache.get_result("e")) == exact(result)
    assert await cache.get_result("nobody's") is None


async def test_a_later_result_takes_the_place_of_an_earlier_one(cache: RedisExecutionCache):
    await cache.cache_result("e", {"n": 1})
    await cache.cache_result("e", {"n": 2})
    assert await cache.get_result("e") == {"n": 2}


async def test_a_flow_history_is_replaced_whole_and_read_oldest_first(cache: RedisExecutionCache):
    assert await cache.get_flow_history("s", "f") == []
    assert await cache.cache_flow_history("s", "f", [{"id": "1", "n": 1}, {"id": "2", "n": 2}]) is True
    replaced = [{"id": "2", "n": 3}, {"id": "3", "n": 4}, {"id": "3", "n": 5}]
    assert await cache.cache_flow_history("s", "f", replaced) is True
    assert await cache.get_flow_history("s", "f") == replaced
    assert await cache.get_flow_history("s", "another") == []


@pytest.mark.parametrize("identity", [["a", "list"], {"an": "object"}, 5, None], ids=str)
async def test_an_execution_of_a_history_may_have_any_id(identity: object, fake: FakeFar):
    async with RedisExecutionCache(key_prefix=fake.prefix) as cache:
        assert await cache.cache_flow_history("s", "f", [{"id": identity}]) is True
        assert await cache.get_flow_history("s", "f") == [{"id": identity}]


async def test_a_flow_history_that_does_not_fit_is_refused_not_shortened(
    fake: FakeFar, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FLYWHEEL_MAX_SESSION_BYTES", "4096")
    async with RedisExecutionCache(key_prefix=fake.prefix) as cache:
        await cache.cache_flow_history("s", "f", [{"n": 0}])
        assert await cache.cache_flow_history("s", "f", [{"n": n, "text": "x" * 1000} for n in range(8)]) is False
        assert await cache.get_flow_history("s", "f") == [{"n": 0}]


async def test_deleting_a_session_takes_its_flow_histories_with_it(
    manager: RedisSessionManager, cache: RedisExecutionCache
):
    await manager.save_session(session("s", "a"))
    await cache.cache_flow_history("s", "f", [{"n": 1}])
    await cache.cache_flow_history("t", "f", [{"n": 2}])
    assert await manager.delete_session("s") is True
    assert await cache.get_flow_history("s", "f") == []
    assert await cache.get_flow_history("t", "f") == [{"n": 2}]


# list and search


async def test_a_list_is_ids_newest_first(manager: RedisSessionManager):
    for name in ("one", "two", "three"):
        await manager.save_session(session(name, "a"))
    await manager.save_session(session("one", "b"))
    assert await manager.list_sessions() == ["one", "three", "two"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*", {"Project-1", "project-1", "project-2", "x:y"}),
        ("project-*", {"project-1", "project-2"}),
        ("*-1", {"Project-1", "project-1"}),
        ("project-?", {"project-1", "project-2"}),
        ("project-[2-9]", {"project-2"}),
        ("x:*", {"x:y"}),
        ("project", set()),
    ],
)
async def test_a_list_is_searched_by_a_glob_on_ids(pattern: str, found: set[str], fake: FakeFar):
    async with RedisSessionManager(key_prefix=fake.prefix) as manager:
        for name in ("Project-1", "project-1", "project-2", "x:y"):
            await manager.save_session(session(name, "a"))
        assert set(await manager.list_sessions(pattern)) == found


@pytest.mark.slow
async def test_a_list_has_every_session_however_many(far: FakeFar | RealFar, tmp_path: Path):
    stored = {f"s{n:04}" for n in range(1010)}
    key = f"{far.prefix}:session:"
    if isinstance(far, RealFar):
        with far.redis.client() as client:
            client.mset({key + name: json.dumps({"id": name}) for name in stored})
    else:
        texts = {key + name: [json.dumps({"id": name}), None] for name in stored}
        (tmp_path / "far" / "state.json").write_text(json.dumps({"texts": texts, "lists": {}}))
    async with RedisSessionManager(key_prefix=far.prefix) as manager:

        async def listed() -> bool:  # a session stored by somebody who keeps no list is listed at the next look
            return len(await manager.list_sessions("s*")) == len(stored)

        await eventually(listed, within=60, what="all sessions to be listed")
        assert sorted(await manager.list_sessions()) == sorted(stored)


# disabled


async def test_disabled_keeps_nothing_starts_nothing_and_answers_all_the_same(
    far: FakeFar | RealFar, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    before = set(children(os.getpid()))
    caplog.set_level(logging.DEBUG, "agentic_flywheel.integrations")
    async with RedisSessionManager(enabled=False) as manager, RedisExecutionCache(enabled=False) as cache:
        assert await manager.save_session(session("s", "a")) is False
        assert await manager.load_session("s") is None
        assert await manager.delete_session("s") is False
        assert await manager.list_sessions() == []
        assert await cache.cache_result("e", {"n": 1}) is False
        assert await cache.get_result("e") is None
        assert await cache.cache_flow_history("s", "f", []) is False
        assert await cache.get_flow_history("s", "f") == []
    assert set(children(os.getpid())) <= before
    assert far.all_keys() == set()
    assert not (tmp_path / "data").exists()
    assert len(caplog.messages) == 8
    assert all("disabled" in message for message in caplog.messages)


# Redis unavailable


@pytest.fixture(params=["nobody listens", "the child says no", "the child is missing"])
def unavailable(request: pytest.FixtureRequest, tmp_path: Path, environ: Environ) -> str:
    """An environment in which Redis cannot be reached; which one."""
    if request.param == "nobody listens":
        environ(REDIS_URL=NOBODY_LISTENS)
    elif request.param == "the child says no":
        fake = FakeFar(tmp_path / "far")
        fake.refuse()
        environ(FLYWHEEL_COAIA_COMMAND=fake.command, REDIS_URL=NOBODY_LISTENS)
    else:
        missing = {"FLYWHEEL_COAIA_COMMAND": "no-such-program-anywhere", "FLYWHEEL_TIMEOUT_SECONDS": "0.2"}
        environ(REDIS_URL=NOBODY_LISTENS, **missing)  # a child that never starts is waited for; none can be too slow
    return request.param


@pytest.mark.usefixtures("unavailable")
async def test_without_redis_the_journal_keeps_sessions_results_and_histories():
    async with RedisSessionManager() as manager, RedisExecutionCache() as cache:
        assert await manager.save_session(session("s", "a")) is True
        assert await cache.cache_result("e", {"n": 1}) is True
        assert await cache.cache_flow_history("s", "f", [{"n": 1}]) is True
        loaded = await manager.load_session("s")
        assert loaded
        assert words(loaded.history) == ["a"]
        assert await cache.get_result("e") == {"n": 1}
        assert await cache.get_flow_history("s", "f") == [{"n": 1}]
        assert await manager.list_sessions() == ["s"]
        assert await manager.delete_session("s") is True
        assert await manager.load_session("s") is None


@pytest.mark.usefixtures("unavailable")
async def test_without_redis_and_journal_nothing_is_kept_and_a_line_each_says_unreachable(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("FLYWHEEL_JOURNAL", "false")
    async with RedisSessionManager() as manager, RedisExecutionCache() as cache:
        caplog.set_level(logging.INFO, "agentic_flywheel.integrations")
        for wanted, call in [
            (False, lambda: manager.save_session(session("s", "kumquat"))),
            (None, lambda: manager.load_session("s")),
            (False, lambda: manager.delete_session("s")),
            ([], lambda: manager.list_sessions()),
            (False, lambda: cache.cache_result("e", {"n": "kumquat"})),
            (None, lambda: cache.get_result("e")),
            (False, lambda: cache.cache_flow_history("s", "f", [{"n": "kumquat"}])),
            ([], lambda: cache.get_flow_history("s", "f")),
        ]:
            caplog.clear()
            assert await call() == wanted
            lines = [r.getMessage() for r in caplog.records if r.name == redis_state.__name__]
            assert len(lines) == 1, lines
            assert "unreachable" in lines[0]
            assert "kumquat" not in lines[0]


@pytest.mark.usefixtures("unavailable")
async def test_a_strict_caller_is_told_unreachable_from_absent():
    async with RedisSessionManager(strict=True) as manager, RedisExecutionCache(strict=True) as cache:
        for call in (
            lambda: manager.load_session("nobody"),
            lambda: manager.delete_session("nobody"),
            lambda: manager.list_sessions(),
            lambda: cache.get_result("nobody"),
            lambda: cache.get_flow_history("nobody", "f"),
        ):
            with pytest.raises(Unavailable):
                await call()


async def test_a_strict_caller_is_told_absent_as_none(far: FakeFar | RealFar):
    async with (
        RedisSessionManager(key_prefix=far.prefix, strict=True) as manager,
        RedisExecutionCache(key_prefix=far.prefix, strict=True) as cache,
    ):
        assert await manager.load_session("nobody") is None
        assert await manager.delete_session("nobody") is False
        assert await manager.list_sessions() == []
        assert await cache.get_result("nobody") is None
        assert await cache.get_flow_history("nobody", "f") == []


@pytest.mark.usefixtures("unavailable")
async def test_closing_right_after_a_save_that_went_to_the_journal_ends():
    for number in range(5):
        manager = RedisSessionManager()
        await manager.save_session(session(f"s{number}", "a"))
        async with asyncio.timeout(10):
            await manager.aclose()


async def test_what_was_saved_while_redis_was_away_arrives_once_it_answers(fake: FakeFar):
    fake.refuse()
    async with RedisSessionManager(key_prefix=fake.prefix) as manager:
        assert await manager.save_session(session("s", "a")) is True
        assert fake.all_keys() == set()
        fake.accept()
        await eventually(lambda: f"{fake.prefix}:session:s" in fake.all_keys(), what="the drain")
        mine = session("s", "a", "b")
        assert await manager.save_session(mine) is True
    assert words(json.loads(fake.get(f"{fake.prefix}:session:s") or "")["history"]) == ["a", "b"]


async def test_a_replace_that_lost_while_pending_is_merged_and_overwrites_nobody(fake: FakeFar, tmp_path: Path):
    async with RedisSessionManager(key_prefix=fake.prefix) as manager:
        mine = session("s", "a")
        await manager.save_session(mine)
        fake.refuse()
        mine.history += turns("mine")
        assert await manager.save_session(mine) is True
        state = json.loads((tmp_path / "far" / "state.json").read_text())
        (text, end) = state["texts"]["fake:session:s"]
        document = json.loads(text)
        document |= {"revision": 2, "history": turns("a", "theirs")}
        state["texts"]["fake:session:s"] = [json.dumps(document), end]
        (tmp_path / "far" / "state.json").write_text(json.dumps(state))
        fake.accept()

        def merged() -> bool:
            return words(json.loads(fake.get("fake:session:s") or "")["history"]) == ["a", "theirs", "mine"]

        await eventually(merged, what="the merge")


async def test_the_log_says_absent_and_refused_without_content(fake: FakeFar, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "agentic_flywheel.integrations")
    async with RedisSessionManager(key_prefix=fake.prefix) as manager:
        await manager.load_session("nobody")
        (absent,) = caplog.messages
        caplog.clear()
        too_large = session("s", "kumquat" * 3_000_000)
        assert await manager.save_session(too_large) is False
        (refused,) = caplog.messages
    assert "absent" in absent
    assert "refused" in refused
    assert "kumquat" not in refused


# the drop-in check


async def drop_in_caller(manager: RedisSessionManager, cache: RedisExecutionCache) -> dict[str, object]:
    """A program that was written from the signatures alone."""
    mine = UniversalSession(id="session_123", backend=BackendType.FLOWISE, history=[{"role": "user", "content": "Hi"}])
    return {
        "saved": await manager.save_session(mine),
        "loaded": await manager.load_session("session_123"),
        "nobody": await manager.load_session("nobody"),
        "ids": await manager.list_sessions(),
        "some": await manager.list_sessions("session_*"),
        "cached": await cache.cache_result("exec_1", {"output": "ok"}),
        "result": await cache.get_result("exec_1"),
        "no result": await cache.get_result("nobody's"),
        "history": await cache.cache_flow_history("session_123", "flow_1", [{"output": "ok"}]),
        "executions": await cache.get_flow_history("session_123", "flow_1"),
        "deleted": await manager.delete_session("session_123"),
        "deleted twice": await manager.delete_session("session_123"),
    }


@pytest.mark.parametrize("situation", ["Redis up", "Redis down", "disabled", "child missing"])
async def test_a_caller_written_from_the_signatures_runs_in_every_situation(
    situation: str, environ: Environ, redis: RedisServer
):
    if situation == "child missing":
        environ(REDIS_URL=redis.url, FLYWHEEL_COAIA_COMMAND="no-such-program-anywhere")
    else:
        environ(REDIS_URL=NOBODY_LISTENS if situation == "Redis down" else redis.url, FLYWHEEL_TIMEOUT_SECONDS="10")
    enabled = situation != "disabled"
    async with (
        RedisSessionManager(enabled, 86_400, redis.prefix) as manager,
        RedisExecutionCache(enabled, 3600, redis.prefix) as cache,
    ):
        answers = await drop_in_caller(manager, cache)
    for name in ("saved", "cached", "history", "deleted"):
        assert answers[name] is enabled, name
    for name in ("nobody", "no result"):
        assert answers[name] is None, name
    assert answers["deleted twice"] is False
    assert answers["ids"] == answers["some"] == (["session_123"] if enabled else [])
    assert answers["result"] == ({"output": "ok"} if enabled else None)
    assert answers["executions"] == ([{"output": "ok"}] if enabled else [])
    assert isinstance(answers["loaded"], UniversalSession) is enabled


# arguments


@pytest.mark.parametrize("enabled", [True, False])
async def test_a_wrong_type_of_argument_raises(*, enabled: bool, lonely_env: dict[str, str], environ: Environ):
    environ(**lonely_env)
    manager, cache = RedisSessionManager(enabled), RedisExecutionCache(enabled)
    for call in (
        lambda: manager.save_session({"id": "s"}),  # type: ignore[arg-type]
        lambda: manager.save_session(None),  # type: ignore[arg-type]
        lambda: manager.load_session(5),  # type: ignore[arg-type]
        lambda: manager.load_session(None),  # type: ignore[arg-type]
        lambda: manager.delete_session(b"s"),  # type: ignore[arg-type]
        lambda: manager.list_sessions(None),  # type: ignore[arg-type]
        lambda: cache.cache_result("e", "text"),  # type: ignore[arg-type]
        lambda: cache.cache_result("e", [{}]),  # type: ignore[arg-type]
        lambda: cache.cache_result(5, {}),  # type: ignore[arg-type]
        lambda: cache.get_result(5),  # type: ignore[arg-type]
        lambda: cache.cache_flow_history("s", "f", {"n": 1}),  # type: ignore[arg-type]
        lambda: cache.cache_flow_history("s", "f", ["text"]),  # type: ignore[list-item]
        lambda: cache.cache_flow_history("s", 5, []),  # type: ignore[arg-type]
        lambda: cache.get_flow_history(5, "f"),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError):
            await call()


@pytest.mark.parametrize(
    "field",
    [
        {"backend": "flowise"},
        {"status": "pending"},
        {"backend_session_id": 7},
        {"current_flow_id": ["x"]},
        {"user_id": 5},
        {"total_queries": "many"},
        {"total_queries": 1.5},
        {"successful_queries": None},
        {"total_response_time": "long"},
        {"created_at": "2024-01-01"},
        {"updated_at": None},
        {"expires_at": 5},
        {"context": [1]},
        {"history": ["text"]},
        {"history": {"role": "user"}},
    ],
    ids=str,
)
async def test_a_field_of_a_wrong_type_raises_and_is_not_stored(field: dict[str, Any], fake: FakeFar):
    wrong = session("s", "a")
    for name, value in field.items():
        setattr(wrong, name, value)
    async with RedisSessionManager(key_prefix=fake.prefix) as manager:
        with pytest.raises((TypeError, InvalidArgument)):
            await manager.save_session(wrong)
        assert fake.all_keys() == set()


@pytest.mark.parametrize("session_id", ["", "two\nlines", "x" * 513], ids=["empty", "control character", "too long"])
async def test_an_id_that_is_not_allowed_raises_everywhere(session_id: str, fake: FakeFar):
    async with RedisSessionManager(key_prefix=fake.prefix) as manager, RedisExecutionCache() as cache:
        for call in (
            lambda: manager.save_session(session(session_id, "a")),
            lambda: manager.load_session(session_id),
            lambda: manager.delete_session(session_id),
            lambda: cache.cache_result(session_id, {}),
            lambda: cache.get_result(session_id),
        ):
            with pytest.raises((ValueError, InvalidArgument), match="must"):
                await call()
        assert fake.all_keys() == set()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"ttl_seconds": "60"}, TypeError),
        ({"ttl_seconds": 1.5}, TypeError),
        ({"ttl_seconds": True}, TypeError),
        ({"ttl_seconds": -1}, ValueError),
        ({"key_prefix": "a*b"}, SettingError),
        ({"redis_url": "http://127.0.0.1:6379"}, SettingError),
    ],
    ids=str,
)
def test_a_constructor_refuses_what_it_cannot_use(
    arguments: dict[str, Any], error: type[Exception], environ: Environ, lonely_env: dict[str, str]
):
    environ(**lonely_env)
    for kind in (RedisSessionManager, RedisExecutionCache):
        with pytest.raises(error):
            kind(**arguments)


def test_an_empty_key_prefix_is_refused_not_replaced(environ: Environ, lonely_env: dict[str, str]):
    environ(**lonely_env)
    with pytest.raises((ValueError, SettingError)):
        RedisSessionManager(key_prefix="")


def test_a_manager_says_where_it_keeps_things_without_the_password(environ: Environ, lonely_env: dict[str, str]):
    environ(**lonely_env, REDIS_HOST="elsewhere")
    shown = repr(RedisSessionManager(redis_url="redis://ana:hush-hush@127.0.0.1:6390/2", ttl_seconds=60))
    assert "127.0.0.1:6390/2" in shown
    assert "60 s" in shown
    assert "hush-hush" not in shown
    assert "h.example:7000" in repr(RedisSessionManager(host="h.example", port=7000))
    assert "disabled" in repr(RedisExecutionCache(enabled=False))


def test_host_and_port_each_leave_the_other_as_the_environment_has_it(environ: Environ):
    environ(REDIS_HOST="there.example", REDIS_PORT="7001")
    assert "there.example:7000" in repr(RedisSessionManager(port=7000))
    assert "here.example:7001" in repr(RedisSessionManager(host="here.example"))


# configuration


def test_the_configuration_has_its_defaults():
    assert RedisConfig.from_env({}) == {
        "enabled": True,
        "ttl_seconds": 86_400,
        "host": "localhost",
        "port": 6379,
        "session_ttl": 86_400,
        "execution_ttl": 3600,
        "key_prefix": "agentic_flywheel",
    }


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({"REDIS_ENABLED": "false"}, {"enabled": False}),
        ({"REDIS_TTL_SECONDS": "60"}, {"ttl_seconds": 60, "session_ttl": 60, "execution_ttl": 3600}),
        ({"REDIS_HOST": "h", "REDIS_PORT": "7000"}, {"host": "h", "port": 7000}),
        ({"REDIS_STATE_ENABLED": "no"}, {"enabled": False}),
        ({"REDIS_STATE_ENABLED": "no", "REDIS_ENABLED": "yes"}, {"enabled": True}),
        ({"REDIS_STATE_ENABLED": "yes", "REDIS_ENABLED": "no"}, {"enabled": False}),
        ({"REDIS_SESSION_TTL_SECONDS": "5"}, {"ttl_seconds": 5, "session_ttl": 5}),
        ({"REDIS_SESSION_TTL_SECONDS": "5", "REDIS_TTL_SECONDS": "7"}, {"ttl_seconds": 7, "session_ttl": 7}),
        ({"REDIS_EXECUTION_TTL_SECONDS": "9"}, {"execution_ttl": 9, "ttl_seconds": 86_400}),
        ({"REDIS_KEY_PREFIX": "sister"}, {"key_prefix": "sister"}),
        ({"REDIS_TTL_SECONDS": ""}, {"ttl_seconds": 86_400}),
    ],
    ids=str,
)
def test_the_configuration_is_the_environments_in_either_list_of_names(
    variables: dict[str, str], wanted: dict[str, Any], environ: Environ
):
    given = RedisConfig.from_env(variables)
    assert {name: given[name] for name in wanted} == wanted
    environ(**variables)
    assert RedisConfig.from_env() == given


@pytest.mark.parametrize("variables", [{"REDIS_PORT": "abc"}, {"REDIS_TTL_SECONDS": "-1"}, {"REDIS_ENABLED": "maybe"}])
def test_a_wrong_value_in_the_configuration_names_its_variable(variables: dict[str, str]):
    (name,) = variables
    with pytest.raises(SettingError, match=name):
        RedisConfig.from_env(variables)


def test_the_configuration_makes_a_manager(environ: Environ):
    environ(REDIS_TTL_SECONDS="60", REDIS_HOST="h.example", REDIS_PORT="7000", REDIS_KEY_PREFIX="sister")
    config = RedisConfig.from_env()
    manager = RedisSessionManager(config["enabled"], config["ttl_seconds"], config["key_prefix"])
    assert (manager.enabled, manager.ttl_seconds, manager.key_prefix) == (True, 60, "sister")
    assert "h.example:7000" in repr(manager)


async def test_a_strict_refusal_carries_its_reason(fake: FakeFar):
    async with RedisSessionManager(key_prefix=fake.prefix, strict=True) as manager:
        with pytest.raises(DocumentError) as refused:
            await manager.save_session(session("s", "x" * 17_000_000))
    assert refused.value.reason == "too_large"
