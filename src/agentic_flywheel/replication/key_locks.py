"""Lets one operation of a key run at a time within a process; between processes, commits compare."""

import asyncio
from collections.abc import Coroutine
from weakref import WeakValueDictionary

AFTER_WAITING_SECONDS = 0.25
"""Time of an operation that used up its own waiting for others of the same key."""


class Held:
    """A held key. Its next holder waits for `follow_up`, which its holder leaves behind and does not wait for."""

    def __init__(self) -> None:
        self.follow_up: Coroutine[None, None, None] | None = None


class KeyLocks:
    """A lock for each key that is in use, and whether any is."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._follow_ups: set[asyncio.Task[None]] = set()
        self._in_use = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def of(self, key: str) -> "_Holding":
        """Hold the key: what `async with` takes."""
        return _Holding(self, key)

    async def idle(self) -> None:
        """Wait until no key is held or waited for."""
        await self._idle.wait()

    async def settle(self, seconds: float) -> None:
        """Wait for the follow-ups that were left behind so far, for so long at most."""
        if self._follow_ups:
            await asyncio.wait({*self._follow_ups}, timeout=seconds)

    async def hold(self, key: str) -> asyncio.Lock:
        """Wait for the lock of a key."""
        lock = self._locks.get(key) or self._locks.setdefault(key, asyncio.Lock())
        self._in_use += 1
        self._idle.clear()
        try:
            await lock.acquire()
        except BaseException:
            self._release()
            raise
        return lock

    def let_go(self, lock: asyncio.Lock, held: Held) -> None:
        """Release the lock, after what its holder left behind."""
        if held.follow_up:
            task = asyncio.create_task(self._finish(held.follow_up, lock))
            self._follow_ups.add(task)
            task.add_done_callback(self._follow_ups.discard)
        else:
            lock.release()
            self._release()

    async def _finish(self, follow_up: Coroutine[None, None, None], lock: asyncio.Lock) -> None:
        try:
            await follow_up
        finally:
            lock.release()
            self._release()

    def _release(self) -> None:
        self._in_use -= 1
        if not self._in_use:
            self._idle.set()


class _Holding:
    """Holds a key while it is entered; written out, since a generator takes three times as long."""

    __slots__ = ("_held", "_key", "_lock", "_locks")

    def __init__(self, locks: KeyLocks, key: str) -> None:
        self._locks = locks
        self._key = key
        self._held = Held()

    async def __aenter__(self) -> Held:
        self._lock = await self._locks.hold(self._key)
        return self._held

    async def __aexit__(self, *_: object) -> None:
        self._locks.let_go(self._lock, self._held)
