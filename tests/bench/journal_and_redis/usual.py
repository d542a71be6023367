"""The usual operations of both builds, interleaved: what no cure of the unusual may have made slower."""

import random
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path

import redis as redis_py

from ...support.async_wire import clean_environment
from ...support.redis_server import RedisServer
from ..by_size import APPEND, RESUME, SAVE, SIZES, BySize
from ..corpus import Talk, history_of
from ..measure import Call, Progress, Run, Spot, interleave, timed
from ..ours import Ours, OursWithoutRedis
from ..process import measure_cold
from .builds import Build, alone

MEASURED = {"10 KB": 1, "1 MB": 2, "5 MB": 5}
"""Sizes, and how many times as many rounds as the share of a size: few samples of what is slow are noise."""
ROUNDS, RUNS = 20, 3
LISTED, PAGE = 300, 20
LIST, SEARCH, DELETE = "list of 20", "search", "delete"

REDIS, JOURNAL = "Redis", "journal only"


async def measure_usual(both: Sequence[Build], folder: Path, rounds: int, progress: Progress) -> str:
    """Markdown: the medians of both builds, and their ratio in each run."""
    runs: list[Run] = []
    for number in range(RUNS):
        progress.run = f"run {number + 1}/{RUNS}:"
        runs.append(await _run(both, folder / str(number), rounds, random.Random(number), progress))
    sys.stderr.write("\n")
    return _report(runs)


async def _run(both: Sequence[Build], folder: Path, rounds: int, rng: random.Random, progress: Progress) -> Run:
    run = Run()
    redis = RedisServer(folder / "redis").start()
    try:
        async with _peers(both, folder, redis.url) as peers:
            with redis.client() as client:
                await _measure(run, peers, client, rounds, rng, progress)
        starts = {f"{build.name}, {REDIS}": partial(_with_redis, build, folder, redis.url) for build in both}
        await measure_cold(run, starts, rounds // 2, rng, progress)
    finally:
        redis.kill()
    return run


@asynccontextmanager
async def _peers(both: Sequence[Build], folder: Path, url: str) -> AsyncIterator[list[Ours]]:
    """A server of each build with Redis, under a prefix of its own, and one without."""
    async with AsyncExitStack() as stack:
        peers: list[Ours] = []
        for build in both:
            shared = _with_redis(build, folder, url)
            own = OursWithoutRedis(f"{build.name}, {JOURNAL}", [*build.command], alone(folder / f"{build.name} alone"))
            for peer in (shared, own):
                await stack.enter_async_context(peer.connected())
                await peer.ready()
                peers.append(peer)
        yield peers


def _with_redis(build: Build, folder: Path, url: str) -> Ours:
    env = clean_environment(folder / build.name, "home", url, FLYWHEEL_KEY_PREFIX=build.name)
    server = Ours(f"{build.name}, {REDIS}", [*build.command], env)
    server.redis_key = f"{build.name}:session:{{key}}"
    return server


async def _measure(
    run: Run, peers: Sequence[Ours], client: redis_py.Redis, rounds: int, rng: random.Random, progress: Progress
) -> None:
    by_size = BySize(run, peers, client, rng, progress)
    for size, more in MEASURED.items():
        await by_size.measure(size, rounds * more, frozenset({SAVE, APPEND, RESUME}))
    history = history_of(SIZES["1 KB"], rng)
    for peer in peers:
        for number in range(LISTED):
            assert peer.kept(await peer.save(f"listed {number}", Talk(history, "", "")))
    numbers = count()
    calls = {peer.name: _deletion_by(peer, numbers, rng) for peer in peers}
    await interleave(run, DELETE, "10 KB", calls, rounds=rounds, rng=rng, progress=progress)
    word = history[0]["content"].split()[0]
    for operation, wanted in ((LIST, {}), (SEARCH, {"query": word})):
        calls = {peer.name: _list_of(peer, wanted) for peer in peers}
        await interleave(run, operation, f"of {LISTED}", calls, rounds=rounds, rng=rng, progress=progress)


def _list_of(peer: Ours, wanted: dict[str, str]) -> Call:
    async def call() -> float:
        milliseconds, answer = await timed(peer.call("list_sessions", limit=PAGE, **wanted))
        assert len(answer.structured_content["sessions"]) == PAGE
        return milliseconds

    return call


def _deletion_by(peer: Ours, numbers: Iterator[int], rng: random.Random) -> Call:
    async def call() -> float:
        name = f"deleted {next(numbers)}"
        assert peer.kept(await peer.save(name, Talk(history_of(SIZES["10 KB"], rng), "", "")))
        milliseconds, answer = await timed(peer.call("delete_session", session_id=name))
        assert answer.structured_content["deleted"]
        return milliseconds

    return call


def _report(runs: Sequence[Run]) -> str:
    lines = [
        "| what | where | before, ms | now, ms | now ÷ before, each run |",
        "| --- | --- | --- | --- | --- |",
    ]
    spots = dict.fromkeys(spot[:2] for run in runs for spot in run.times)
    for operation, scale in spots:
        for where in (REDIS, JOURNAL):
            before, now = (Spot(operation, scale, f"{build}, {where}") for build in ("before", "now"))
            if not any(now in run.times for run in runs):
                continue
            medians = [_all(runs, spot).median(spot) for spot in (before, now)]
            ratios = [f"{ratio:.2f}" for run in runs if (ratio := run.ratio(now, before)) is not None]
            cells = [f"{operation} {scale}", where, *(f"{each:.2f}" for each in medians if each is not None)]
            lines.append(f"| {' | '.join([*cells, ', '.join(ratios)])} |")
    errors = sum(run.errors.total() for run in runs)
    return "\n".join([*lines, "", f"Not acknowledged as they should have been: {errors}."])


def _all(runs: Sequence[Run], spot: Spot) -> Run:
    """The times of all runs as one."""
    whole = Run()
    for run in runs:
        whole.add(spot, *run.times.get(spot, ()))
    return whole
