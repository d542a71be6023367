"""The places that the suite is held against, in their plainest form: a dict, the journal, a stash on a child."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from agentic_flywheel.documents.writes import ListRow, Outcome, Write
from agentic_flywheel.errors import Unavailable
from agentic_flywheel.journal import Journal
from agentic_flywheel.keys import Keys

from ..support.redis_server import RedisServer

CLUSTER = pytest.param("a stash on a cluster", marks=pytest.mark.slow)
STOCK_CHILD = pytest.param("a stash on the stock child", marks=pytest.mark.slow)
TODAYS = pytest.param("a stash on our child with today's redis-py", marks=pytest.mark.slow)
TODAYS_CLUSTER = pytest.param("a stash on a cluster with today's redis-py", marks=pytest.mark.slow)
SEALED_CLUSTER = pytest.param("a sealed stash on a cluster", marks=pytest.mark.slow)
SEALED_STOCK_CHILD = pytest.param("a sealed stash on the stock child", marks=pytest.mark.slow)
SEALED_STASHES = ["a sealed stash on our child", SEALED_CLUSTER]
OUR_STASHES = ["a stash on our child", CLUSTER, TODAYS, TODAYS_CLUSTER]
LOST_CLUSTER = pytest.param("our child without its cluster", marks=pytest.mark.slow)
LOST_TODAYS = pytest.param("our child with today's redis-py without Redis", marks=pytest.mark.slow)
LOST_STOCK_CHILD = pytest.param("the stock child without Redis", marks=pytest.mark.slow)


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Place:
    """A key-value, and the names of the keys that may be used in it."""

    kv: Any  # KeyValue; on most places Recent as well
    keys: Keys
    redis_of: Callable[[str], RedisServer]  # the Redis that has a key, where there is one


class DictPlace:
    """The contract in thirty lines: what every place does, with nothing that can go wrong but a flag."""

    def __init__(self, clock: Callable[[], datetime], *, away: bool = False) -> None:
        self._clock = clock
        self._away = away
        self._writes: dict[str, Write] = {}

    async def read(self, key: str) -> str | None:
        write = self._alive(key)
        return write.text if write else None

    async def commit(self, write: Write) -> Outcome:
        current = await self.read(write.key)
        if current != write.seen:
            return Outcome(accepted=False, current=current)
        self._writes[write.key] = write
        return Outcome(accepted=True)

    async def recent(self, index: str, before: tuple[int, str] | None, limit: int) -> list[ListRow]:
        writes = [write for key in self._writes if (write := self._alive(key)) and not write.tombstone]
        entries = [write.list_row for write in writes if write.list_row and write.list_row.index == index]
        entries.sort(key=lambda e: (e.saved_at, e.member), reverse=True)
        return [e for e in entries if before is None or (e.saved_at, e.member) < before][:limit]

    def _alive(self, key: str) -> Write | None:
        if self._away:
            raise Unavailable("switched off")
        write = self._writes.get(key)
        return write if write and (write.kept_until is None or write.kept_until > self._clock()) else None


class JournalPlace:
    """The journal behind the verbs of the contract, each in a worker thread as the store runs them."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def read(self, key: str) -> str | None:
        copy = await asyncio.to_thread(self._journal.copy, key)
        return copy.text if copy else None

    async def commit(self, write: Write) -> Outcome:
        return await asyncio.to_thread(self._journal.commit, write)

    async def recent(self, index: str, before: tuple[int, str] | None, limit: int) -> list[ListRow]:
        return await asyncio.to_thread(self._journal.recent, index, before, limit)
