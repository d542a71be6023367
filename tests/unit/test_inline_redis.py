"""Redis asked in the event loop's own thread: only while it is quick, and never so that others wait for it."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from agentic_flywheel.coaia.child import inline_redis
from agentic_flywheel.coaia.child.inline_redis import AT_ONCE, AT_ONE_GO, InlineRedis
from agentic_flywheel.coaia.child.script_runner import Scripts

from ..support.redis_server import RedisServer
from ..support.waiting import eventually

SECONDS = 3.0  # how long a thread waits for Redis
ECHO = "return {KEYS[1], ARGV[1]}"


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis").start()
    yield server
    server.kill()


class Asked:
    """A connection of its own with a script, and in how many threads it was run."""

    def __init__(self, server: RedisServer, threads: ThreadPoolExecutor) -> None:
        self.client = redis_py.from_url(
            server.url, decode_responses=True, socket_timeout=SECONDS, health_check_interval=30
        )
        self.inline = InlineRedis(self.client, threads)
        self.runs = 0
        self.scripts = Scripts(self.client, by_name=True)
        self.script = self.scripts.of(ECHO)
        run = self.client.execute_command

        def counted(*command: Any, **options: Any) -> Any:
            self.runs += command[0] == "EVALSHA"
            return run(*command, **options)

        self.client.execute_command = counted  # which the inline connection goes around

    async def echo(self, text: str) -> None:
        answer = self.inline.ask(self.script, ["key"], [text])
        assert (answer if isinstance(answer, list) else await answer) == ["key", text]

    async def warm(self) -> None:
        """Come back when it is asked without a thread."""

        async def without_thread() -> bool:
            before = self.runs
            await self.echo("warm")
            return self.runs == before

        await eventually(without_thread, what="a connection of its own")


@pytest.fixture
async def asked(own_redis: RedisServer) -> AsyncIterator[Asked]:
    with ThreadPoolExecutor(4) as threads:
        one = Asked(own_redis, threads)
        yield one
        own_redis.thaw()
        one.client.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis is never held to be slow, though a busy machine lets it wait for longer than five milliseconds."""
    monkeypatch.setattr(inline_redis, "AT_ONCE", 30.0)
    monkeypatch.setattr(inline_redis, "QUICK_FOR", 300.0)


@pytest.mark.usefixtures("quick")
async def test_what_is_quick_needs_no_thread(asked: Asked):
    await asked.warm()
    before = asked.runs
    for number in range(100):
        await asked.echo(str(number))
    assert asked.runs == before


async def test_many_at_a_time_get_their_own_answers(asked: Asked):
    await asked.warm()
    await asyncio.gather(*(asked.echo(f"{number} é 🌱") for number in range(200)))


@pytest.mark.usefixtures("quick")
async def test_what_is_large_is_sent_by_a_thread(asked: Asked):
    await asked.warm()
    before = asked.runs
    await asked.echo("x" * AT_ONE_GO)
    assert asked.runs == before + 1


async def test_a_frozen_redis_holds_up_nobody_but_who_asks(asked: Asked, own_redis: RedisServer):
    await asked.warm()
    own_redis.freeze()
    waiting = [asyncio.create_task(asked.echo(str(number))) for number in range(3)]
    longest, last = 0.0, time.monotonic()
    for _ in range(50):
        await asyncio.sleep(0.001)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    assert longest < SECONDS / 2, f"the event loop stood still for {longest:.2f} s, and {AT_ONCE} s are allowed"
    own_redis.thaw()
    await asyncio.gather(*waiting)
    await asked.warm()


async def test_who_is_not_answered_is_told_so_and_others_go_on_later(asked: Asked, own_redis: RedisServer):
    await asked.warm()
    own_redis.freeze()
    with pytest.raises(redis_py.TimeoutError):
        await asked.echo("lost")
    own_redis.thaw()
    await asked.echo("found")
    await asked.warm()


async def test_a_connection_that_redis_has_ended_is_not_used(asked: Asked):
    await asked.warm()
    with asked.client.client() as other:
        other.client_kill_filter(_type="normal", skipme=True)
    for number in range(5):
        await asked.echo(str(number))
    await asked.warm()


async def test_a_script_that_redis_has_forgotten_is_told_again(asked: Asked):
    await asked.warm()
    asked.client.script_flush()
    await asked.echo("again")
    await asked.warm()


@pytest.mark.usefixtures("quick")
async def test_a_refusal_is_an_answer(asked: Asked):
    await asked.warm()
    before = asked.runs
    wrong = asked.scripts.of("return redis.call('LLEN', KEYS[1])")
    asked.client.set("text", "x")
    asked.client.script_load("return redis.call('LLEN', KEYS[1])")
    with pytest.raises(redis_py.ResponseError, match="WRONGTYPE"):
        asked.inline.ask(wrong, ["text"], [])
    await asked.echo("and on")
    assert asked.runs == before, "and the connection is as good as before"


async def test_who_gives_up_waiting_spoils_nothing_for_the_next(asked: Asked, own_redis: RedisServer):
    await asked.warm()
    own_redis.freeze()
    given_up = asyncio.create_task(asked.echo("given up"))
    await asyncio.sleep(0)  # it is asked now
    given_up.cancel()
    await asyncio.wait({given_up})
    own_redis.thaw()
    await asked.echo("mine")
    await asked.warm()
