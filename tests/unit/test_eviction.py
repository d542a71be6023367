"""A Redis that evicts starts no storm, and what it evicted comes back, or is listed as kept here alone."""

from pathlib import Path

import pytest

from agentic_flywheel.journal import Journal
from agentic_flywheel.replication.put_back import EVICTION_SECONDS, LONGEST_EVICTION_SECONDS, Evictions

from ..support.redis_server import RedisServer
from ..support.waiting import eventually
from .conftest import Clock
from .destinations import Machine

SESSIONS = 40
PASSAGE = "y" * 50_000


@pytest.fixture
def machine(journal: Journal, own_redis: RedisServer, clock: Clock) -> Machine:
    return Machine(journal, own_redis.start(), clock)


@pytest.mark.parametrize("policy", ["allkeys-random", "volatile-lru"])
async def test_what_redis_evicted_is_listed_meanwhile_and_comes_back_once_there_is_room(
    machine: Machine, tmp_path: Path, policy: str
):
    names = {f"s{number}" for number in range(SESSIONS)}
    async with machine.repository(tmp_path / "child") as repository:
        with machine.redis.client() as client:
            client.config_set("maxmemory-policy", policy)
            for name in names:
                save = machine.save(name, PASSAGE, max_bytes=1_000_000)
                assert (await repository.write(save)).stored_in == "redis"
            client.config_set("maxmemory", int(client.info("memory")["used_memory"]) - SESSIONS // 2 * 50_000)
            client.set("a foreign key", "x" * 50_000, ex=1000)

        async def all_listed() -> bool:
            page = await repository.recent(machine.keys.index, None, 100)
            return {entry.member for entry in page.entries} == names and "being put back" in page.why

        assert any(not machine.stored(name) for name in names), "something must have been evicted"
        await eventually(all_listed, what="the list to have all of them")
        with machine.redis.client() as client:
            client.config_set("maxmemory", 0)
        await eventually(
            lambda: all(machine.stored(name) for name in names),
            within=2 * EVICTION_SECONDS + 30,
            what="what was evicted to be back",
        )


def test_putting_back_in_vain_is_tried_ever_more_rarely():
    evictions, now, keys, pauses = Evictions(), 0.0, 0, list[float]()
    assert evictions.note(keys, now) is False
    for _ in range(8):
        keys += 10
        assert evictions.note(keys, now) is True
        began = now
        while evictions.going_on:
            now += 0.5
            again = evictions.note(keys, now)
        assert again is True
        pauses.append(now - began)
        evictions.put_back_at = now
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (EVICTION_SECONDS, LONGEST_EVICTION_SECONDS)
