"""An append-only file that was cut: the same epoch, older revisions, a new run."""

import asyncio
import time
from pathlib import Path

from ...support.waiting import eventually
from .fault import Fault

CUT = ("--appendonly", "yes", "--appendfsync", "always", "--aof-load-truncated", "yes")

WRITTEN = {"aof_enabled": 1, "aof_rewrite_in_progress": 0, "aof_rewrite_scheduled": 0}


class CutAppendOnlyFile(Fault):
    """Killed, cut anywhere behind what it held at the preparation (in the middle of a record, too), started again."""

    name = "cut append-only file"

    async def prepare(self) -> None:
        a = self.world.a
        await a.ask("CONFIG", "SET", "appendonly", "yes")
        await eventually(self._is_rewritten, what="the append-only file")
        await a.ask("CONFIG", "SET", "appendfsync", "always")
        self._since = time.monotonic()
        self._size = self._file().stat().st_size

    async def strike(self) -> None:
        a = self.world.a
        await asyncio.sleep(self.rng.uniform(0, 0.4))
        await a.kill()
        file = self._file()
        size = file.stat().st_size
        cut = self.rng.randint(self._size, max(self._size, size - 1))
        with file.open("r+b") as opened:
            opened.truncate(cut)
        self.note(f"the append-only file of Redis A is cut from {size} to {cut} bytes; it had {self._size} before")
        await self.lost_by_redis(self._since)
        await a.start(*CUT)

    async def mend(self) -> None:
        await self.world.a.ask("CONFIG", "SET", "appendonly", "no")

    def _is_rewritten(self) -> bool:
        with self.world.a.redis.client() as client:
            said = client.info("persistence")
        return all(said.get(name) == value for name, value in WRITTEN.items()) and self._file().exists()

    def _file(self) -> Path:
        """The part that grows: the last of the manifest's from Redis 7 on, before that the only one."""
        folder = self.world.a.redis.folder
        manifest = folder / "appendonlydir" / "appendonly.aof.manifest"
        if not manifest.exists():
            return folder / "appendonly.aof"
        parts = [line.split() for line in manifest.read_text().splitlines() if " type i" in line]
        return manifest.with_name(parts[-1][1] if parts else "not yet there")
