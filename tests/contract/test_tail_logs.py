"""Logs of which the newest is read, on a journal alone and on a real Redis: segments, ends, lives, what is dropped."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agentic_flywheel.sessions import tail_logs
from agentic_flywheel.sessions.caller_view import CallerViews
from agentic_flywheel.sessions.store import SessionStore
from agentic_flywheel.sessions.tail_logs import TailLogs
from agentic_flywheel.sessions.wiring import open_store, tail_logs_of
from agentic_flywheel.settings import Settings

from ..support.redis_server import RedisServer
from ..support.waiting import eventually

DAY = 86_400


@dataclass
class Clock:
    ahead: timedelta = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass
class Kept:
    """A place with its logs, as one process has it open."""

    sessions: SessionStore
    logs: TailLogs
    settings: Settings
    clock: Clock

    @asynccontextmanager
    async def another_process(self) -> AsyncIterator["Kept"]:
        async with opened(self.settings, self.clock) as other:
            yield other

    async def add(self, *names: object, ttl_seconds: int = DAY, size: int = 50) -> None:
        for name in names:
            await self.logs.append("s", "log", {"id": str(name), "text": "x" * size}, ttl_seconds)

    async def ids(self) -> list[str]:
        """The ids of all records, oldest first."""
        segments = [segment async for segment in self.logs.backwards("s", "log")]
        return [record["id"] for segment in reversed(segments) for record in segment.records]


@asynccontextmanager
async def opened(settings: Settings, clock: Clock) -> AsyncIterator[Kept]:
    sessions, _ = open_store(settings, clock)
    async with sessions:
        await sessions.repository.wait_for_child(30)
        yield Kept(sessions, tail_logs_of(sessions, settings, clock), settings, clock)


def settings_of(folder: Path, redis_url: str, **more: str) -> Settings:
    env = {"FLYWHEEL_DATA_DIR": str(folder / "data"), "FLYWHEEL_KEY_PREFIX": f"tails-{uuid.uuid4().hex[:12]}"}
    return Settings.from_env(env | {"REDIS_URL": redis_url, "FLYWHEEL_TIMEOUT_SECONDS": "10"} | more)


@pytest.fixture(params=["journal", "redis"])
async def kept(
    request: pytest.FixtureRequest, tmp_path: Path, worker_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Kept]:
    monkeypatch.setattr(tail_logs, "SEGMENT_BYTES", 900)  # some five records
    url = worker_redis.url if request.param == "redis" else ""
    async with opened(settings_of(tmp_path, url), Clock()) as place:
        yield place


def names(*numbers: int) -> list[str]:
    return [str(number) for number in numbers]


async def test_a_log_goes_on_in_segments_and_each_process_finds_its_end(kept: Kept):
    assert await kept.logs.last("s", "log") is None
    await kept.add(*range(40))
    async with kept.another_process() as other:
        last = await other.logs.last("s", "log")
        assert last
        assert last.number > 3
        assert last.records[-1]["id"] == "39"
        await other.add(40)
    await kept.add(41)
    assert await kept.ids() == names(*range(42))


async def test_the_end_of_a_long_log_is_found_in_few_reads(kept: Kept, monkeypatch: pytest.MonkeyPatch):
    await kept.add(*range(100))
    async with kept.another_process() as other:
        looked: list[int] = []
        segment = other.logs.segment

        async def counted(session_id: str, log: str, number: int) -> Any:
            looked.append(number)
            return await segment(session_id, log, number)

        monkeypatch.setattr(other.logs, "segment", counted)
        last = await other.logs.last("s", "log")
        assert last
        assert last.number > 12
        assert len(looked) <= 14
        looked.clear()
        await other.logs.last("s", "log")
        assert looked in ([last.number], [last.number, last.number + 1])


async def test_two_processes_that_add_at_once_lose_nothing(kept: Kept):
    async with kept.another_process() as other:
        await asyncio.gather(*(place.add(*range(at, 60, 2)) for at, place in enumerate((kept, other))))
        assert sorted(map(int, await kept.ids())) == [*range(60)]
        assert await kept.ids() == await other.ids()


async def test_a_process_that_has_not_looked_for_long_finds_the_end_at_once(kept: Kept):
    async with kept.another_process() as other:
        await other.add(0)
        await kept.add(*range(1, 200))  # more segments than an append tries one after another
        await other.add(200)
        assert await kept.ids() == names(*range(201))


async def test_records_are_dropped_and_what_is_added_goes_behind_them(kept: Kept):
    await kept.add(*range(20))
    async with kept.another_process() as other:
        await other.logs.drop("s", "log", names(*range(18), 99))
        assert await kept.ids() == names(18, 19)
        await kept.add(20)
        await other.logs.drop("s", "log", names(18, 19, 20))
        assert await other.ids() == []
        await kept.add(21)
        assert await other.ids() == names(21)


async def test_nothing_is_added_to_a_segment_that_another_follows(kept: Kept):
    async with kept.another_process() as other:
        await other.add(*range(3))  # it remembers that the log ends in its first segment
        await kept.add(*range(3, 20))
        await kept.logs.drop("s", "log", names(*range(19)))
        await other.add(20)
    last = await kept.logs.last("s", "log")
    assert last
    assert last.records[-1]["id"] == "20"
    assert await kept.ids() == names(19, 20)


@pytest.mark.slow
@pytest.mark.parametrize("size", [50, 2000])
async def test_a_deleted_log_begins_anew_where_a_process_remembers_its_end(kept: Kept, size: int):
    for count in range(1, 9):
        await kept.add(*range(count), size=size)
        async with kept.another_process() as other:
            await other.sessions.delete("s", CallerViews())
        await kept.add("anew")
        async with kept.another_process() as other:
            assert await other.ids() == ["anew"]
        await kept.sessions.delete("s", CallerViews())


async def test_a_log_ends_as_a_whole_and_nothing_of_it_comes_back(kept: Kept):
    await kept.add(*range(20), ttl_seconds=1000)
    kept.clock.ahead += timedelta(seconds=800)
    await kept.add(20, ttl_seconds=1000)
    kept.clock.ahead += timedelta(seconds=800)
    assert await kept.ids() == names(*range(21))
    kept.clock.ahead += timedelta(seconds=300)
    assert await kept.logs.last("s", "log") is None
    await kept.add("anew", ttl_seconds=1000)
    async with kept.another_process() as other:
        assert await other.ids() == ["anew"]


async def test_old_segments_live_on_with_a_log_that_is_added_to(kept: Kept):
    await kept.add(*range(12), ttl_seconds=1000)
    for number in range(12, 40):
        kept.clock.ahead += timedelta(seconds=400)
        await kept.add(number, ttl_seconds=1000)
    assert await kept.ids() == names(*range(40))


async def test_a_log_that_is_given_another_life_lives_so_long(kept: Kept):
    await kept.add(*range(12), ttl_seconds=10)
    await kept.logs.renew("s", "log", 0)
    async with kept.another_process() as other:  # it knows of the old life only
        await other.add(12, ttl_seconds=10)
    kept.clock.ahead += timedelta(days=400)
    assert await kept.ids() == names(*range(13))
    await kept.logs.renew("s", "log", 5)
    kept.clock.ahead += timedelta(seconds=6)
    assert await kept.logs.last("s", "log") is None
    await kept.logs.renew("s", "none", 5)
    assert await kept.logs.last("s", "none") is None


async def test_what_was_added_in_an_outage_is_in_redis_after_it(
    tmp_path: Path, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tail_logs, "SEGMENT_BYTES", 900)
    own_redis.start()
    clock = Clock()
    async with opened(settings_of(tmp_path, own_redis.url, FLYWHEEL_TIMEOUT_SECONDS="1"), clock) as kept:
        await kept.add(*range(12))
        own_redis.freeze()
        await kept.add(*range(12, 30))
        last = await kept.logs.last("s", "log")
        assert last
        assert last.stale
        assert last.records[-1]["id"] == "29"
        own_redis.thaw()
        await eventually(lambda: kept.sessions.repository.journal.state().pending == 0)
        assert not kept.sessions.repository.journal.state().dead_letters
        elsewhere = Settings.from_env(
            {"REDIS_URL": own_redis.url, "FLYWHEEL_DATA_DIR": str(tmp_path / "b"),
             "FLYWHEEL_KEY_PREFIX": kept.settings.key_prefix}
        )  # fmt: skip
        async with opened(elsewhere, clock) as other:
            assert await other.ids() == names(*range(30))
