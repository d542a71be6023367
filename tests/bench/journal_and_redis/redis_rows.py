"""What stands between a save and its Redis, and what ours costs those who use the same one."""

import asyncio
import json
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import redis as redis_py

from ...support.async_wire import clean_environment
from ...support.redis_server import RedisServer
from ...support.wire import WireServer
from ..corpus import history_of
from ..stores import fill
from .builds import Build, alone, wait_quiet
from .far import Far
from .row import Figures, Place, Row, Sampler

PENDING, AWAY_SECONDS, DRAINED_WITHIN = 100, 0.3, 120.0
STORED, CALLERS, BACK_WITHIN = 20_000, 16, 120.0
SMALL_BYTES = 1_000

HISTORY_BYTES, FEW_BYTES, RESULT_BYTES, RESULTS = 7_600_000, 100_000, 10_000, 9
"""A flow's history is filled with larger results than those that are measured: it is done sooner."""

SEARCHED, WORDS, ASKED_WITHIN = 20_000, 1_000, 60.0
LISTED, GLOBS = 50_000, ("*1234?", "no-such-*")
"""Sessions, and patterns of ids: one of which some match, one which none does."""

LOOK_SECONDS = 0.05


@contextmanager
def drained(build: Build, place: Place) -> Iterator[Sampler]:
    """A hundred saves that wait for a Redis which is far away, from when it can be reached."""
    redis = RedisServer(place.folder / "redis").start()
    try:
        with Far(redis.port, AWAY_SECONDS) as far:
            url = f"redis://127.0.0.1:{far.port}/0"
            with build.server(clean_environment(place.folder, "home", url)) as server:
                yield partial(_drained, server, redis, far)
    finally:
        redis.kill()


def _drained(server: WireServer, redis: RedisServer, far: Far) -> Figures:
    name = random.randbytes(4).hex()
    history = history_of(SMALL_BYTES, random.Random("pending"))
    far.close()
    for number in range(PENDING):
        saved = server.call("save_session", session_id=f"{name}-{number}", history=history)
        assert saved["stored_in"] == "journal", saved["message"]
    far.open = True
    with redis.client() as client:
        keys = [redis.session_key(f"{name}-{number}") for number in range(PENDING)]
        return {"seconds": _seconds_until(lambda: client.exists(*keys) == PENDING, DRAINED_WITHIN)}


@contextmanager
def put_back(build: Build, place: Place) -> Iterator[Sampler]:
    """Many small sessions that Redis lost and this machine has."""
    redis = RedisServer(place.folder / "redis").start()
    env = clean_environment(place.folder, "home", redis.url, FLYWHEEL_TIMEOUT_SECONDS="30")
    try:
        asyncio.run(_saved_by_many(build, env))
        with build.server(env) as server:
            server.warm()
            wait_quiet(server)
            yield partial(_put_back, redis)
    finally:
        redis.kill()


async def _saved_by_many(build: Build, env: dict[str, str]) -> None:
    """Save the sessions through the tool, some at once."""
    history = history_of(SMALL_BYTES, random.Random("put back"))
    numbers = iter(range(STORED))
    server = await build.busy_server(env).start()

    async def caller() -> None:
        for number in numbers:
            saved = await server.call("save_session", session_id=f"session-{number:05}", history=history)
            assert saved.answer.get("stored_in") == "redis", saved

    try:
        await server.call("save_session", session_id="session-00000", history=history)  # the child starts
        await asyncio.gather(*(caller() for _ in range(CALLERS)))
    finally:
        await server.close()


def _put_back(redis: RedisServer) -> Figures:
    with redis.client() as client:
        client.flushall()
        began = time.monotonic()
        index = f"{redis.prefix}:index"
        stored = _seconds_until(lambda: client.dbsize() >= STORED, BACK_WITHIN)
        left = BACK_WITHIN - (time.monotonic() - began)
        listed = stored + _seconds_until(lambda: client.zcard(index) >= STORED, max(left, LOOK_SECONDS))
        there = sum(1 for _ in client.scan_iter(match=redis.session_key("*"), count=10_000))
    assert there >= STORED or listed >= BACK_WITHIN, f"{there} sessions are back"
    return {"stored and listed, s": listed, "stored, s": stored}


@contextmanager
def cached(build: Build, place: Place) -> Iterator[Sampler]:
    """A small result added to a long history of a flow, and the first one of another flow."""
    redis = RedisServer(place.folder / "redis").start()
    try:
        with (
            build.server(clean_environment(place.folder / "with", "home", redis.url)) as server,
            build.server(alone(place.folder / "without")) as without,
        ):
            server.warm()
            for each in (server, without):
                for _ in range(HISTORY_BYTES // FEW_BYTES):
                    _cache(each, "long", FEW_BYTES)
            wait_quiet(server, without)
            yield partial(_cached, server, without)
    finally:
        redis.kill()


def _cached(server: WireServer, without: WireServer) -> Figures:
    figures: Figures = {}
    for where, each in (("", server), (", journal only", without)):
        empty = statistics.median(_cache(each, random.randbytes(4).hex(), RESULT_BYTES) for _ in range(RESULTS))
        full = statistics.median(_cache(each, "long", RESULT_BYTES) for _ in range(RESULTS))
        wait_quiet(each)  # a copy of the long one is still on its way into the journal
        figures |= {f"long ÷ empty{where}": full / empty, f"long{where}, ms": full, f"empty{where}, ms": empty}
    return figures


def _cache(server: WireServer, flow: str, size: int) -> float:
    result = {"text": "word " * (size // 5), "mark": random.randbytes(4).hex()}
    began = time.perf_counter()
    answer = server.call("cache_result", within=ASKED_WITHIN, session_id="s", flow_id=flow, result=result)
    assert answer["cached"], answer["message"]
    return (time.perf_counter() - began) * 1000


@contextmanager
def _with_store(build: Build, place: Place, count: int) -> Iterator[tuple[WireServer, RedisServer]]:
    """A server over a Redis with so many sessions, which are written as ours writes them."""
    redis = RedisServer(place.folder / "redis").start()
    try:
        with redis.client() as client:
            fill(client, count, random.Random("store"))
        with build.server(clean_environment(place.folder, "home", redis.url)) as server:
            server.warm()
            server.call("list_sessions", within=ASKED_WITHIN)
            wait_quiet(server)
            yield server, redis
    finally:
        redis.kill()


@contextmanager
def searched(build: Build, place: Place) -> Iterator[Sampler]:
    """A PING of somebody else, while a pasted page is searched for."""
    with _with_store(build, place, SEARCHED) as (server, redis):
        yield partial(_searched, server, redis)


def _searched(server: WireServer, redis: RedisServer) -> Figures:
    rng = random.Random("words")
    query = " ".join("".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 9))) for _ in range(WORDS))
    server.warm()

    def ask() -> dict[str, Any]:
        return server.call("list_sessions", within=ASKED_WITHIN, query=query)

    floor, _, _ = _worst_ping(redis, lambda: time.sleep(2))
    worst, seconds, _ = _worst_ping(redis, ask)
    return {"worst PING, ms": worst, "worst PING without a query, ms": floor, "the query, s": seconds}


def _worst_ping(redis: RedisServer, act: Callable[[], Any]) -> tuple[float, float, Any]:
    """The slowest PING in ms of those that went on while something was done; how long that took, and its answer."""
    times: list[float] = []
    done = threading.Event()

    def ping() -> None:
        with redis.client() as client:
            while not done.is_set():
                began = time.perf_counter()
                client.ping()
                times.append((time.perf_counter() - began) * 1000)
                time.sleep(0.001)

    thread = threading.Thread(target=ping)
    thread.start()
    began = time.perf_counter()
    try:
        answer = act()
    finally:
        seconds = time.perf_counter() - began
        done.set()
        thread.join()
    return max(times), seconds, answer


@contextmanager
def globbed(build: Build, place: Place) -> Iterator[Sampler]:
    """A pattern of ids in a large store."""
    with _with_store(build, place, LISTED) as (server, _):
        yield partial(_globbed, server)


def _globbed(server: WireServer) -> Figures:
    figures: Figures = {}
    for pattern in GLOBS:
        began = time.perf_counter()
        listed = server.call("list_sessions", within=ASKED_WITHIN, pattern=pattern)
        figures[f"{json.dumps(pattern)}, s"] = time.perf_counter() - began
        expected = "shared" if pattern == GLOBS[0] else listed["scope"]
        assert listed["scope"] == expected, listed["message"]
        assert bool(listed["sessions"]) is (pattern == GLOBS[0]), listed["message"]
    return {"the slower, s": max(figures.values()), **figures}


def _seconds_until(condition: Callable[[], bool], cap: float) -> float:
    """How long it took until then, or the cap."""
    began = time.monotonic()
    while time.monotonic() - began < cap:
        try:
            if condition():
                return time.monotonic() - began
        except redis_py.RedisError:
            pass
        time.sleep(LOOK_SECONDS)
    return cap


REDIS_ROWS = (
    Row("d", "100 pending, Redis 300 ms away: all there", "s", 8, drained, rounds=2, cap=DRAINED_WITHIN),
    Row("e", "put-back of 20,000 after a flush", "s", 15, put_back, rounds=3, cap=BACK_WITHIN),
    Row("f", "`cache_result` of 10 KB into a history of 7.6 MB, over one into an empty history", "x", 2, cached),
    Row("g", "foreign PING during a query of 1,000 words over 20,000 sessions, worst", "ms", 20, searched),
    Row("h", "glob over 50,000 sessions", "s", 0.5, globbed),
)
