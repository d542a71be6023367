"""Lists against the number of stored sessions: stores filled straight in Redis, each in a database of its own."""

import random
from collections.abc import Iterable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import redis as redis_py

from agentic_flywheel.backends.base import BackendType, UniversalSession
from agentic_flywheel.documents.codec import encode
from agentic_flywheel.documents.list_row import list_row
from agentic_flywheel.documents.model import Document
from agentic_flywheel.keys import Keys
from agentic_flywheel.sessions.search import NOT_ALL

from ..support.redis_server import RedisServer
from ..support.waiting import eventually
from .corpus import SENTENCES, turn
from .lineup import ours
from .measure import Call, Progress, Run, Spot, interleave, timed
from .ours import Ours
from .peers import OURS

STORES = (100, 1_000, 10_000, 100_000)
SEARCHED = 10_000
"""The store in which words are searched: they stand in a few sessions, so all rows are looked at."""

PAGE = 20
RARE, RARELY = "quinoa", 1_000
"""A word of the title of every so many sessions."""

LIFE = timedelta(days=30)
AT_ONCE = 1_000  # sessions sent in one pipeline

LIST, SEARCH, BESIDE = "list of 20", "search by words", "list of 20, beside the search"


def documents(count: int, rng: random.Random) -> Iterable[Document]:
    """Small sessions, saved one second apart, the last one just now."""
    now = datetime.now(UTC)
    history = [turn(rng, number) for number in range(2)]
    for number in range(count):
        saved_at = now - timedelta(seconds=count - number)
        name = f"session-{number:06}"
        session = UniversalSession(name, BackendType.CUSTOM, history=history, created_at=saved_at, updated_at=saved_at)
        title = f"{rng.choice(SENTENCES)[:60]} {RARE if number % RARELY == RARELY // 2 else ''}".strip()
        yield Document(
            session, 1, saved_at, saved_at + LIFE, int(LIFE.total_seconds()), title=title, summary=rng.choice(SENTENCES)
        )


def fill(client: redis_py.Redis, count: int, rng: random.Random) -> list[str]:
    """Write so many sessions as `coaia_commit` does: document, place in the index, row; their ids, oldest first."""
    keys = Keys("agentic_flywheel")
    ids: list[str] = []
    made = iter(documents(count, rng))
    while some := list(islice(made, AT_ONCE)):
        with client.pipeline(transaction=False) as pipe:
            for document in some:
                row = list_row(keys.index, document)
                pipe.set(keys.session(row.member), encode(document), px=int(LIFE.total_seconds() * 1000))
                pipe.zadd(row.index, {row.member: row.saved_at})
                pipe.hset(f"{row.index}:notes", row.member, row.note)
                ids.append(row.member)
            pipe.execute()
    return ids


async def measure_lists(
    run: Run,
    sizes: Iterable[int],
    redis: RedisServer,
    folder: Path,
    rounds: int,
    rng: random.Random,
    progress: Progress,
) -> None:
    """A page of the newest sessions of every store, and a search through one of them; a server for each."""
    calls: dict[str, Call] = {}
    searches: dict[str, Call] = {}
    async with AsyncExitStack() as stack:
        for database, count in enumerate(sizes, start=1):
            progress.tell(f"filling a store with {count:,} sessions")
            url = f"{redis.url.removesuffix('/0')}/{database}"
            with redis_py.from_url(url, decode_responses=True) as client:
                ids = fill(client, count, rng)
            server = ours(folder / f"store-{count}", url)
            await stack.enter_async_context(server.connected())
            await eventually(lambda server=server: _shared(server), within=30, what="the list to come from Redis")
            newest = ids[: -PAGE - 1 : -1]
            calls[f"{count:,}"] = _call(run, server, newest)
            if count == SEARCHED:
                found = [name for name in reversed(ids) if int(name[-6:]) % RARELY == RARELY // 2]
                searches = {BESIDE: calls[f"{count:,}"], SEARCH: _call(run, server, found, query=RARE)}
                await eventually(lambda server=server: _read(server), within=60, what="the list to be read")
        measured = Run()
        for operation, these in ((LIST, calls), (SEARCH, searches)):
            await interleave(measured, operation, "", these, rounds=rounds, rng=rng, progress=progress)
        for (operation, _, what), times in measured.times.items():  # first stores were interleaved, then questions
            spot = Spot(LIST, what, OURS) if operation == LIST else Spot(what, f"{SEARCHED:,}", OURS)
            run.add(spot, *times)


async def _shared(server: Ours) -> bool:
    return (await server.call("list_sessions")).structured_content["scope"] == "shared"


async def _read(server: Ours) -> bool:
    return NOT_ALL not in (await server.call("list_sessions", query=RARE)).structured_content["message"]


def _call(run: Run, server: Ours, expected: list[str], **arguments: str) -> Call:
    async def call() -> float:
        milliseconds, answer = await timed(server.call("list_sessions", limit=PAGE, **arguments))
        listed = answer.structured_content
        assert listed["scope"] == "shared", listed["message"]
        ids = [row["id"] for row in listed["sessions"]]
        ranked = bool(arguments)  # best first, which is not newest first
        assert (sorted(ids) if ranked else ids) == (sorted(expected) if ranked else expected), "it has other sessions"
        run.checked["listed what is stored"] += 1
        return milliseconds

    return call
