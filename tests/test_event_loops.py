"""One manager in several event loops and threads at once: nothing raises, and every turn of everybody is there once."""

import asyncio
import gc
import json
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable

import pytest

from agentic_flywheel.backends.base import BackendType, UniversalSession
from agentic_flywheel.integrations import shared_stores
from agentic_flywheel.integrations.redis_state import RedisExecutionCache, RedisSessionManager

from .support.conversations import turns, words
from .support.processes import children
from .support.redis_server import RedisServer
from .support.waiting import eventually

pytestmark = pytest.mark.slow

THREADS, SAVES = 8, 12


def use(monkeypatch: pytest.MonkeyPatch, env: dict[str, str]) -> None:
    """This process has that environment."""
    for name in os.environ:
        if name.startswith(("REDIS_", "FLYWHEEL_")):
            monkeypatch.delenv(name)
    for name, value in env.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def in_redis(monkeypatch: pytest.MonkeyPatch, server_env: dict[str, str]) -> None:
    use(monkeypatch, server_env | {"FLYWHEEL_TIMEOUT_SECONDS": "10"})


@pytest.fixture
def in_journal(monkeypatch: pytest.MonkeyPatch, lonely_env: dict[str, str]) -> None:
    """No child can be started, so that all is kept in the journal at once."""
    use(monkeypatch, lonely_env | {"FLYWHEEL_COAIA_COMMAND": "/nowhere/coaia", "FLYWHEEL_TIMEOUT_SECONDS": "0.2"})


def session(*said: str) -> UniversalSession:
    return UniversalSession(id="s", backend=BackendType.CUSTOM, history=turns(*said))


def at_once(work: Callable[[str], None], names: str = "abcdefgh") -> None:
    """Run the work in a thread each, and raise what one of them raised."""
    failed: list[BaseException] = []
    start = threading.Barrier(len(names))

    def run(name: str) -> None:
        start.wait(30)
        try:
            work(name)
        except BaseException as exc:  # noqa: BLE001  raised below
            failed.append(exc)

    threads = [threading.Thread(target=run, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
        assert not thread.is_alive()
    if failed:
        raise failed[0]


def everybody(saves: int = SAVES, names: str = "abcdefgh") -> list[str]:
    return sorted(f"{name}{n}" for name in names for n in range(saves))


async def history(manager: RedisSessionManager) -> list[str]:
    found = await manager.load_session("s")
    await manager.aclose()
    return words(found.history) if found else []


# what each thread does with the manager they share


async def grow_one_object(manager: RedisSessionManager, name: str) -> None:
    own = session()
    for n in range(SAVES):
        own.history += turns(f"{name}{n}")
        assert await manager.save_session(own) is True
    await manager.aclose()


async def build_a_new_object_each_time(manager: RedisSessionManager, name: str) -> None:
    for n in range(SAVES):
        assert await manager.save_session(session(*(f"{name}{i}" for i in range(n + 1)))) is True
    await manager.aclose()


async def load_add_and_save(manager: RedisSessionManager, name: str) -> None:
    for n in range(SAVES):
        own = await manager.load_session("s") or session()
        own.history += turns(f"{name}{n}")
        assert await manager.save_session(own) is True
    await manager.aclose()


WORK = [grow_one_object, build_a_new_object_each_time, load_add_and_save]


@pytest.mark.usefixtures("in_redis")
def test_eight_threads_with_event_loops_of_their_own_lose_no_save(redis: RedisServer):
    manager = RedisSessionManager(key_prefix=redis.prefix)
    before = {*children(os.getpid())}
    at_once(lambda name: asyncio.run(grow_one_object(manager, name)))

    def stored() -> list[str]:
        return words(json.loads(redis.get(redis.session_key("s")) or '{"history": []}')["history"])

    async def drained() -> None:
        async with RedisSessionManager(key_prefix=redis.prefix) as other:
            assert await other.load_session("s")
            await eventually(lambda: sorted(stored()) == everybody(), what="the rest to be in Redis")

    asyncio.run(drained())  # what went to the journal, because the children started so slowly
    for name in "abcdefgh":
        assert [word for word in stored() if word[0] == name] == [f"{name}{n}" for n in range(SAVES)]
    assert {*children(os.getpid())} == before, "every loop has closed its child"


@pytest.mark.usefixtures("in_journal")
@pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)
def test_whatever_objects_the_threads_hold_no_save_is_lost(
    work: Callable[[RedisSessionManager, str], Awaitable[None]],
):
    manager = RedisSessionManager()

    async def run(name: str) -> None:
        await work(manager, name)

    at_once(lambda name: asyncio.run(run(name)))
    kept = asyncio.run(history(manager))
    assert sorted(kept) == everybody()
    for name in "abcdefgh":
        assert [word for word in kept if word[0] == name] == [f"{name}{n}" for n in range(SAVES)]


@pytest.mark.usefixtures("in_journal")
def test_an_object_that_several_threads_share_is_saved_with_every_turn_once():
    manager, shared = RedisSessionManager(), session()

    async def work(name: str) -> None:
        for n in range(SAVES):
            shared.history.append(turns(f"{name}{n}")[0])
            assert await manager.save_session(shared) is True
        await manager.aclose()

    at_once(lambda name: asyncio.run(work(name)))
    assert sorted(asyncio.run(history(manager))) == everybody()


@pytest.mark.usefixtures("in_journal")
def test_event_loops_that_begin_and_end_all_the_time_lose_no_save():
    manager = RedisSessionManager()

    def work(name: str) -> None:
        own = session()
        for n in range(6):
            own.history += turns(f"{name}{n}")
            assert asyncio.run(manager.save_session(own)) is True
            loaded = asyncio.run(manager.load_session("s"))
            assert loaded

    at_once(work, "abcd")
    assert sorted(asyncio.run(history(manager))) == everybody(6, "abcd")


@pytest.mark.usefixtures("in_journal")
async def test_two_objects_of_one_event_loop_do_not_replace_what_the_other_saved():
    """Each was loaded before the other was saved."""
    async with RedisSessionManager() as manager:
        await manager.save_session(session("a"))
        one, other = await manager.load_session("s"), await manager.load_session("s")
        assert one
        assert other
        one.history += turns("b")
        other.history += turns("c")
        assert await manager.save_session(one) is True
        assert await manager.save_session(other) is True
        one.history += turns("d")
        assert await manager.save_session(one) is True
        assert await history(manager) == ["a", "b", "c", "d"]


@pytest.mark.usefixtures("in_journal")
async def test_a_session_loaded_in_one_thread_may_be_changed_and_saved_in_another():
    async with RedisSessionManager() as manager:
        await manager.save_session(session("a", "b", "c"))
        loaded = await manager.load_session("s")
        assert loaded
        loaded.history = turns("a", "c")
        at_once(lambda _: asyncio.run(_saved_and_closed(manager, loaded)), "x")
        assert await history(manager) == ["a", "c"], "it is that object, so it replaces"


async def _saved_and_closed(manager: RedisSessionManager, changed: UniversalSession) -> None:
    assert await manager.save_session(changed) is True
    await manager.aclose()


@pytest.mark.usefixtures("in_journal")
async def test_what_is_remembered_of_an_object_goes_with_it():
    async with RedisSessionManager() as manager:
        for n in range(30):
            await manager.save_session(UniversalSession(id=f"s{n}", backend=BackendType.CUSTOM, history=turns("a")))
        gc.collect()
        assert len(manager._objects._known._objects) <= 1


@pytest.mark.usefixtures("in_journal")
def test_caches_of_many_threads_open_and_close_without_getting_into_each_others_way():
    cache = RedisExecutionCache()

    async def work(name: str) -> None:
        for n in range(5):
            assert await cache.cache_result(f"{name}{n}", {"n": n}) is True
            await cache.aclose()
            assert await cache.get_result(f"{name}{n}") == {"n": n}
        await cache.aclose()

    at_once(lambda name: asyncio.run(work(name)))
    assert not any(stores for stores in shared_stores._opened.values())


def test_a_process_ends_whose_event_loop_was_stopped_with_a_store_open(lonely_env: dict[str, str]):
    program = """
import asyncio, threading, time
from agentic_flywheel.backends.base import BackendType, UniversalSession
from agentic_flywheel.integrations.redis_state import RedisSessionManager

async def begin():  # its own task ends, those of the store do not
    await manager._stores()

manager, loop = RedisSessionManager(), asyncio.new_event_loop()
threading.Thread(target=loop.run_forever).start()
asyncio.run_coroutine_threadsafe(begin(), loop).result(30)
give_up = time.monotonic() + 30
while threading.active_count() < 3 and time.monotonic() < give_up:
    time.sleep(0.01)  # until the purge at the start has a thread
session = UniversalSession(id="s", backend=BackendType.CUSTOM, history=[{"role": "user", "content": "kept"}])
print(asyncio.run_coroutine_threadsafe(manager.save_session(session), loop).result(30))
loop.call_soon_threadsafe(loop.stop)
"""
    env = lonely_env | {"FLYWHEEL_COAIA_COMMAND": "/nowhere/coaia", "FLYWHEEL_TIMEOUT_SECONDS": "0.2"}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr


def test_without_an_event_loop_of_asyncio_the_error_says_what_to_do():
    """As under trio, which runs coroutines too."""
    saving = RedisSessionManager(enabled=True).save_session(session("a"))
    with pytest.raises(RuntimeError, match=r"trio\.to_thread"):
        saving.send(None)
    saving.close()
