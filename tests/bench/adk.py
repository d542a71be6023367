"""`python -m tests.bench.adk`: an event added to a session of 1,000 by Google ADK's services and by ours, side by side.

Wants an environment with the extra `google-adk`, `sqlalchemy[asyncio]` and `aiosqlite`. Each round adds one event with
a change of state to each service's session, in another order each time. Prints a Markdown table.
"""

import argparse
import asyncio
import contextlib
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.adk.sessions.base_session_service import BaseSessionService
from google.adk.sessions.database_session_service import DatabaseSessionService
from google.adk.sessions.session import Session
from google.adk.sessions.sqlite_session_service import SqliteSessionService
from google.genai.types import Content, Part

from agentic_flywheel.documents.save_request import Save
from agentic_flywheel.integrations.google_adk import FlywheelSessionService
from agentic_flywheel.integrations.google_adk_events import turn_of

from ..support.redis_server import RedisServer

BEGUN, ROUNDS = 1_000, 200
WHOSE: dict[str, Any] = {"app_name": "garden", "user_id": "ann", "session_id": "s"}
WORDS = "The beans in the north bed are dry again. " * 5
OWNER = "DatabaseSessionService (SQLite)"


def event(number: int) -> Event:
    """One event of some 400 bytes, as an agent's answer is."""
    content = Content(role="model", parts=[Part(text=f"{number}: {WORDS}")])
    return Event(author="gardener", invocation_id="i", content=content, actions=EventActions(state_delta={"n": number}))


async def begun(service: BaseSessionService) -> Session:
    """A session of so many events."""
    session = await service.create_session(**WHOSE)
    if isinstance(service, FlywheelSessionService):
        turns = [turn_of(event(number)) for number in range(BEGUN)]
        await service.adapter.save(Save(session_id="adk:garden:ann:s", history=turns, as_sent=True))
    else:
        for number in range(BEGUN):
            await service.append_event(session, event(number))
    return await read(service)


async def read(service: BaseSessionService) -> Session:
    """The session whole."""
    session = await service.get_session(**WHOSE)
    assert session
    return session


async def timed(work: Callable[[], Awaitable[Any]]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    await work()
    return (time.perf_counter() - began) * 1000


async def measured(services: dict[str, BaseSessionService], rounds: int) -> dict[str, tuple[list[float], list[float]]]:
    """The times of adding an event, and of reading the session whole."""
    sessions = {name: await begun(service) for name, service in services.items()}
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in services}
    for number in range(rounds):
        for name in random.sample(sorted(services), len(services)):
            service, session = services[name], sessions[name]
            times[name][0].append(await timed(lambda: service.append_event(session, event(number))))  # noqa: B023
            if number % 10 == 0:
                times[name][1].append(await timed(lambda: read(service)))  # noqa: B023
    for name, service in services.items():
        assert len((await read(service)).events) == BEGUN + rounds, name
    return times


async def run(folder: Path, rounds: int) -> str:
    """The table."""
    os.environ |= {"FLYWHEEL_DATA_DIR": str(folder / "journal"), "HOME": str(folder)}
    redis = RedisServer(folder / "redis").start()
    try:
        async with contextlib.AsyncExitStack() as opened:
            services: dict[str, BaseSessionService] = {
                OWNER: await opened.enter_async_context(
                    DatabaseSessionService(f"sqlite+aiosqlite:///{folder / 'database.db'}")
                ),
                "SqliteSessionService": SqliteSessionService(str(folder / "sqlite.db")),
                "ours, journal alone": await opened.enter_async_context(FlywheelSessionService()),
                "ours, Redis": await opened.enter_async_context(
                    FlywheelSessionService(redis_url=redis.url, key_prefix="bench")
                ),
            }
            times = await measured(services, rounds)
    finally:
        redis.kill()
    floor = statistics.median(times[OWNER][0])
    rows = [f"google-adk {version('google-adk')}, {BEGUN:,} events, {rounds} rounds, milliseconds", ""]
    rows += ["| service | append p50 | p95 | times the owner's | get p50 |", "|---|---|---|---|---|"]
    for name, (added, got) in times.items():
        middle, late = statistics.median(added), statistics.quantiles(added, n=20)[-1]
        rows.append(f"| {name} | {middle:.2f} | {late:.2f} | {middle / floor:.2f} | {statistics.median(got):.1f} |")
    return "\n".join(rows)


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.adk", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        sys.stdout.write(asyncio.run(run(Path(folder), parser.parse_args().rounds)) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
