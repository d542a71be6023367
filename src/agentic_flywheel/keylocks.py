"""One operation of a key at a time within a process; between processes, commits compare."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from weakref import WeakValueDictionary


class KeyLocks:
    """A lock for each key that is in use, and whether any is."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._in_use = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @contextlib.asynccontextmanager
    async def of(self, key: str) -> AsyncGenerator[None]:
        """Hold the key."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        self._in_use += 1
        self._idle.clear()
        try:
            async with lock:
                yield
        finally:
            self._in_use -= 1
            if not self._in_use:
                self._idle.set()

    async def idle(self) -> None:
        """Wait until no key is held or waited for."""
        await self._idle.wait()
