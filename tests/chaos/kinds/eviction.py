"""Eviction: a Redis without room drops sessions, tombstones, the epoch, as its policy lets it; then there is room."""

import asyncio

from redis import Redis

from ..world import PREFIX
from .fault import Fault

TENANTS, TENANT_BYTES = 200, 4096  # keys of somebody else on the same Redis
TOO_LITTLE_BYTES = 350_000
HELD_SECONDS = (0.8, 2.0)


class Eviction(Fault):
    """Somebody else's keys fill Redis A up to `maxmemory`; sessions go, and the epoch with them."""

    name = "eviction"
    here_counts = True
    POLICIES = ("allkeys-lru", "allkeys-random", "volatile-lru")

    async def strike(self) -> None:
        a = self.world.a
        policy = self.rng.choice(self.POLICIES)
        self.world.ledger.evicts("A")
        await asyncio.to_thread(self._fill)
        used = await asyncio.to_thread(lambda: self._info("memory", "used_memory"))
        before = await asyncio.to_thread(lambda: self._info("stats", "evicted_keys"))
        await a.ask("CONFIG", "SET", "maxmemory-policy", policy)
        await a.ask("CONFIG", "SET", "maxmemory", used - TOO_LITTLE_BYTES)
        self.note(f"{policy}, {TOO_LITTLE_BYTES} bytes too few")
        await asyncio.sleep(self.rng.uniform(*HELD_SECONDS))
        if policy.startswith("allkeys"):
            await asyncio.to_thread(self._evict)
        evicted = await asyncio.to_thread(lambda: self._info("stats", "evicted_keys")) - before
        self.note(f"{evicted} keys were evicted")

    async def mend(self) -> None:
        await self.world.a.ask("CONFIG", "SET", "maxmemory", 0)
        await self.world.a.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
        await asyncio.to_thread(self._make_room)
        self.world.ledger.has_room("A")
        self.note("there is room again")

    def _fill(self) -> None:
        with self._client() as client, client.pipeline(transaction=False) as pipe:
            for number in range(TENANTS):
                pipe.set(f"tenant:{number}", "x" * TENANT_BYTES)
            pipe.execute()

    def _evict(self) -> None:
        """What chance may have spared: one session or two, and in every second case the epoch."""
        with self._client() as client:
            keys = sorted(client.scan_iter(match=f"{PREFIX}:session:*", count=1000))
            chosen = self.rng.sample(keys, min(2, len(keys)))
            if self.rng.random() < 0.5:
                chosen.append(f"{PREFIX}:epoch")
            if chosen:
                client.delete(*chosen)
        self.note(f"evicted as well: {', '.join(chosen)}")

    def _make_room(self) -> None:
        with self._client() as client:
            client.delete(*(f"tenant:{number}" for number in range(TENANTS)))

    def _info(self, section: str, name: str) -> int:
        with self._client() as client:
            return int(client.info(section)[name])

    def _client(self) -> Redis:
        return self.world.a.redis.client()
