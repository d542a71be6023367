"""Processes, event loops and children of the library: how it starts without being told to, and ends without a trace."""

import asyncio
import gc
import json
import os
import re
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from agentic_flywheel.backends.base import BackendType, UniversalSession
from agentic_flywheel.integrations.redis_state import RedisExecutionCache, RedisSessionManager

from .support.conversations import turns, words
from .support.processes import children, kill, wait_gone
from .support.redis_server import NOBODY_LISTENS, RedisServer
from .support.waiting import eventually, wait_until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


@pytest.fixture
def env(server_env: dict[str, str]) -> dict[str, str]:
    return server_env | {"FLYWHEEL_TIMEOUT_SECONDS": "10"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, env: dict[str, str]) -> None:
    """This process has the environment of the processes it starts."""
    for name in os.environ:
        if name.startswith(("REDIS_", "FLYWHEEL_")):
            monkeypatch.delenv(name)
    for name, value in env.items():
        monkeypatch.setenv(name, value)


def run(code: str, env: dict[str, str], *flags: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(
        [sys.executable, *flags, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False
    )


def session(*said: str) -> UniversalSession:
    return UniversalSession(id="s", backend=BackendType.CUSTOM, history=turns(*said))


def own_children() -> set[int]:
    return set(children(os.getpid()))


# the README


def readme_examples() -> list[str]:
    """The Python blocks of the README."""
    return re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def complaints(stderr: str) -> list[str]:
    """What Python's development mode says, but for how long something took, which is the machine's affair."""
    return [line for line in stderr.splitlines() if not line.startswith("Executing <")]


@pytest.mark.parametrize("url", ["Redis up", NOBODY_LISTENS], ids=["Redis up", "Redis down"])
def test_the_examples_of_the_readme_save_in_one_process_and_load_in_another(
    url: str, server_env: dict[str, str], own_redis: RedisServer
):
    env = server_env | {"REDIS_URL": own_redis.start().url if url == "Redis up" else url}
    saving, loading = readme_examples()
    saved = run(saving, env, "-X", "dev", "-W", "error")
    assert (saved.returncode, complaints(saved.stderr)) == (0, [])
    loaded = run(loading, env, "-X", "dev", "-W", "error")
    assert (loaded.returncode, complaints(loaded.stderr)) == (0, [])
    said = re.findall(r'"content": "([^"]*)"', saving)
    assert loaded.stdout.splitlines()[-1] == str({"role": "assistant", "content": said[-1]})


# leaving


SAVE_AND_LEAVE = """
import asyncio, json, os
from agentic_flywheel.backends.base import BackendType, UniversalSession
from agentic_flywheel.integrations.redis_state import RedisExecutionCache, RedisSessionManager
from tests.support.processes import children

async def main():
    manager = RedisSessionManager(key_prefix=os.environ["FLYWHEEL_KEY_PREFIX"])
    session = UniversalSession(id="s", backend=BackendType.CUSTOM, history=[{"role": "user", "content": "a"}])
    saved = await manager.save_session(session)
    cached = await RedisExecutionCache().cache_result("e", {"n": 1})
    print(json.dumps({"saved": saved, "cached": cached, "children": children(os.getpid())}))

asyncio.run(main())
"""


@pytest.mark.parametrize("redis_is", ["up", "down"])
def test_a_program_that_leaves_without_closing_ends_clean(redis_is: str, env: dict[str, str], redis: RedisServer):
    done = run(
        SAVE_AND_LEAVE, env if redis_is == "up" else env | {"REDIS_URL": NOBODY_LISTENS}, "-X", "dev", "-W", "error"
    )
    told = [line for line in done.stderr.splitlines() if not line.startswith("Executing <")]  # a busy machine is slow
    assert (done.returncode, told) == (0, [])
    answer = json.loads(done.stdout)
    assert (answer["saved"], answer["cached"]) == (True, True)
    assert len(answer["children"]) == 1
    wait_gone(answer["children"])
    if redis_is == "up":
        assert redis.get(redis.session_key("s")) is not None


ENDS_AMID_A_START = """
import asyncio, os, sys
from pathlib import Path
from agentic_flywheel.coaia.process import ChildProcess

async def begin(turns):
    child = ChildProcess([sys.executable, "-c", "input()"], dict(os.environ), Path.home())
    starting = asyncio.create_task(child.open())
    for _ in range(turns):  # of the event loop
        await asyncio.sleep(0)
    return starting  # and asyncio.run cancels all tasks

for turns in range(20):
    print(asyncio.run(begin(turns)).done())
"""


def test_a_program_that_ends_at_any_moment_of_the_start_of_a_child_ends_at_once(env: dict[str, str]):
    ended = run(ENDS_AMID_A_START, env)
    assert (ended.returncode, ended.stdout.split()) == (0, ["True"] * 20), ended.stderr


def test_a_killed_program_leaves_no_child(env: dict[str, str]):
    stay = SAVE_AND_LEAVE.replace("}))", "}), flush=True)\n    await asyncio.Event().wait()")
    process = subprocess.Popen([sys.executable, "-c", stay], env=env, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        below = json.loads(process.stdout.readline())["children"]
        assert below
    finally:
        kill(process.pid)
        process.wait(60)
        process.stdout.close()
    wait_gone(below)


# event loops


@pytest.mark.usefixtures("environment")
async def test_managers_and_caches_of_one_event_loop_share_a_child(redis: RedisServer):
    before = own_children()
    managers = [RedisSessionManager(key_prefix=prefix) for prefix in (redis.prefix, redis.prefix, f"{redis.prefix}:2")]
    cache = RedisExecutionCache(key_prefix=redis.prefix)
    await asyncio.gather(*(manager.save_session(session("a")) for manager in managers), cache.cache_result("e", {}))
    (child,) = own_children() - before
    await managers[0].aclose()
    await managers[2].aclose()
    assert own_children() - before == {child}, "others still use it"
    await managers[1].aclose()
    await cache.aclose()
    assert own_children() - before == set()


@pytest.mark.usefixtures("environment")
async def test_objects_may_be_closed_at_the_same_time_and_twice(redis: RedisServer):
    before = own_children()
    managers = [RedisSessionManager(key_prefix=f"{redis.prefix}:{n}") for n in range(3)]
    for manager in managers:
        await manager.save_session(session("a"))
    await asyncio.gather(*(manager.aclose() for manager in managers))
    for manager in managers:
        await manager.aclose()
    assert own_children() - before == set()


@pytest.mark.usefixtures("environment")
async def test_a_closed_manager_opens_again_when_it_is_used(redis: RedisServer):
    before = own_children()
    async with RedisSessionManager(key_prefix=redis.prefix) as manager:
        await manager.save_session(session("a"))
    async with manager:
        loaded = await manager.load_session("s")
        assert loaded
        assert words(loaded.history) == ["a"]
    assert own_children() - before == set()


@pytest.mark.usefixtures("environment")
def test_event_loops_one_after_another_work_with_one_manager_and_leave_no_child(redis: RedisServer):
    before = own_children()
    manager = RedisSessionManager(key_prefix=redis.prefix)
    mine = session()
    for word in ("a", "b", "c"):
        mine.history += turns(word)
        assert asyncio.run(manager.save_session(mine)) is True
        assert own_children() - before == set()
    loaded = asyncio.run(manager.load_session("s"))
    assert loaded
    assert words(loaded.history) == ["a", "b", "c"]
    assert words(json.loads(redis.get(redis.session_key("s")) or "")["history"]) == ["a", "b", "c"]


@pytest.mark.usefixtures("environment")
def test_event_loops_that_have_ended_do_not_pile_up(redis: RedisServer):
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def save() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await RedisSessionManager(key_prefix=redis.prefix).save_session(session("a"))

    def forgotten() -> bool:
        gc.collect()
        return all(loop() is None for loop in loops[:-1])

    for _ in range(3):
        asyncio.run(save())
    wait_until(forgotten, what="the loops to be collected")


@pytest.mark.usefixtures("environment")
async def test_a_killed_child_is_replaced_behind_the_programs_back(redis: RedisServer):
    before = own_children()
    async with RedisSessionManager(key_prefix=redis.prefix) as manager:
        await manager.save_session(session("a"))
        (child,) = own_children() - before
        kill(child)
        wait_gone([child])
        loaded = await manager.load_session("s")
        assert loaded
        loaded.history += turns("b")
        assert await manager.save_session(loaded) is True

        async with RedisSessionManager(key_prefix=redis.prefix) as other:
            assert await other.load_session("s") == loaded


async def test_a_frozen_redis_holds_up_nobody_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], own_redis: RedisServer
):
    own_redis.start()
    for name, value in (env | {"REDIS_URL": own_redis.url, "FLYWHEEL_TIMEOUT_SECONDS": "1"}).items():
        monkeypatch.setenv(name, value)
    async with RedisSessionManager() as manager:
        mine = session("a")
        wait = asyncio.get_running_loop().time
        await manager.save_session(mine)  # to the journal, where the child takes longer than the bound to start
        await eventually(lambda: own_redis.get(own_redis.session_key("s")), what="the save to be in Redis")
        own_redis.freeze()
        mine.history += turns("b")
        began = wait()
        assert await manager.save_session(mine) is True
        loaded = await manager.load_session("s")
        assert wait() - began < 5, "two operations of a second's bound each"
        assert loaded == mine
        own_redis.thaw()

        async def arrived() -> bool:
            text = own_redis.get(own_redis.session_key("s"))
            return text is not None and words(json.loads(text)["history"]) == ["a", "b"]

        await eventually(arrived, what="the save to be in Redis, each turn once")
