"""A Redis that comes back as it was: from a dump, by SWAPDB or DEBUG RELOAD, or with nothing."""

import asyncio
import time

from ..world import PREFIX
from .fault import EVERYTHING, Fault

DOWN_SECONDS = 0.6


class OlderSnapshot(Fault):
    """SAVE, acknowledged saves, kill -9, started from the dump; or the same data without a restart."""

    name = "older snapshot"
    WAYS = ("dump", "dump", "dump", "swapdb", "debug reload", "nothing", "flushall")

    async def prepare(self) -> None:
        self._way = self.rng.choice(self.WAYS)
        self._since = time.monotonic()
        if self._way == "swapdb":
            await asyncio.to_thread(self._copy_all)
        elif self._way in ("nothing", "flushall"):
            self._since = EVERYTHING
        else:
            await self.world.a.ask("SAVE")
        self.note(f"{self._way}: what comes after this will be lost")

    async def strike(self) -> None:
        a = self.world.a
        await asyncio.sleep(self.rng.uniform(0, 0.4))
        if self._way == "swapdb":
            await a.ask("SWAPDB", 0, 1)
        elif self._way == "debug reload":
            await a.ask("DEBUG", "RELOAD", "NOSAVE")
        elif self._way == "flushall":
            await a.ask("FLUSHALL")
        else:
            await a.kill()
            await asyncio.sleep(self.rng.uniform(0, DOWN_SECONDS))
        self.note(f"{self._way}: Redis A is as it was")
        await self.lost_by_redis(self._since)
        if self._way in ("dump", "nothing"):
            await a.start()

    async def mend(self) -> None:
        (self.world.a.redis.folder / "dump.rdb").unlink(missing_ok=True)
        await asyncio.to_thread(self._forget_copies)

    def _copy_all(self) -> None:
        with self.world.a.redis.client() as client:
            for key in client.scan_iter(match=f"{PREFIX}:*", count=1000):
                client.copy(key, key, destination_db=1, replace=True)

    def _forget_copies(self) -> None:
        with self.world.a.redis.client(db=1) as client:
            client.flushdb()
