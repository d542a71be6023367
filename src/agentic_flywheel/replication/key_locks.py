"""Lets one operation of a key run at a time within a process; between processes, commits compare."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from weakref import WeakValueDictionary

from agentic_flywheel.documents.writes import Append, Write

AFTER_WAITING_SECONDS = 0.25
"""Time of an operation that used up its own waiting for others of the same key."""

IN_A_ROW = 16
"""Holders in a row that go on from what the one before wrote; then one waits, and looks at what is stored."""


KNOWN_SECONDS, KNOWN_CHARACTERS = 1.0, 100_000
"""How long after a follow-up the next holder goes on from what was written, and of how large a text: to look it up
takes longer than to compare and set it does."""


@dataclass(slots=True)
class _FollowUp:
    """The task in which a follow-up runs, and the one it runs `behind`; what its holder `wrote`, until it is settled.

    `number`: how many holders in a row did not wait for one.
    """

    task: asyncio.Task[bool]
    behind: asyncio.Task[bool] | None
    wrote: Write | Append | None
    number: int


class _Lock(asyncio.Lock):
    follow_up: _FollowUp | None = None


class Held:
    """A held key. Its next holder waits for `follow_up`, which its holder leaves behind and does not wait for.

    That tells whether what was written is what is to be gone on from, as far as this machine knows.

    `wrote`: what is stored now; a holder `in_a_row` need not wait, and goes on from what the one before wrote.
    """

    def __init__(self, *, in_a_row: bool) -> None:
        self.follow_up: Coroutine[None, None, bool] | None = None
        self.wrote: Write | Append | None = None
        self.written_before: Write | Append | None = None
        self._in_a_row = in_a_row
        self._before: _FollowUp | None = None

    @property
    def before(self) -> tuple[asyncio.Task[bool] | None, int]:
        """The follow-up that this holder did not wait for, and how many in a row did not."""
        return (self._before.task, self._before.number + 1) if self._before else (None, 1)

    async def begin(self, before: _FollowUp | None) -> None:
        """Take the place of the holder before, behind its follow-up or while that runs."""
        self._before = before
        if before and self._in_a_row and before.wrote and before.number < IN_A_ROW:
            if before.behind and not before.behind.done():  # no more than two writes are without their copies
                await asyncio.wait({before.behind})
            self.written_before = before.wrote
        else:
            await self.settled()

    async def settled(self) -> None:
        """Wait for the follow-up of the holder before: what it wrote is to be looked up now."""
        before, self._before, self.written_before = self._before, None, None
        if before:
            await asyncio.wait({before.task})
            before.wrote = None

    async def finish(self, follow_up: Coroutine[None, None, bool]) -> bool:
        """Run the follow-up, behind that of the holder before."""
        try:
            await self.settled()
        except asyncio.CancelledError:
            follow_up.close()
            raise
        return await follow_up


class KeyLocks:
    """A lock for each key that is in use, and whether any is."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, _Lock] = WeakValueDictionary()
        self._follow_ups: set[asyncio.Task[bool]] = set()
        self._in_use = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def of(self, key: str, *, in_a_row: bool = False) -> "_Holding":
        """Hold the key: what `async with` takes."""
        return _Holding(self, key, Held(in_a_row=in_a_row))

    async def idle(self) -> None:
        """Wait until no key is held or waited for, and no follow-up runs."""
        await self._idle.wait()

    async def settle(self, seconds: float) -> None:
        """Wait for the follow-ups that were left behind so far, for so long at most."""
        if self._follow_ups:
            await asyncio.wait({*self._follow_ups}, timeout=seconds)

    async def hold(self, key: str, held: Held) -> _Lock:
        """Wait for the lock of a key."""
        lock = self._locks.get(key) or self._locks.setdefault(key, _Lock())
        self._in_use += 1
        self._idle.clear()
        try:
            await lock.acquire()
            try:
                await held.begin(lock.follow_up)
            except BaseException:
                lock.release()
                raise
        except BaseException:
            self._release()
            raise
        return lock

    def let_go(self, lock: _Lock, held: Held) -> None:
        """Release the lock. The key is in use until what its holder left behind is done."""
        if held.follow_up:
            behind, number = held.before
            task = asyncio.create_task(held.finish(held.follow_up))
            lock.follow_up = _FollowUp(task, behind, held.wrote, number)
            self._follow_ups.add(task)
            task.add_done_callback(lambda done: self._followed_up(lock, done))
        else:
            self._release()
        lock.release()

    def _followed_up(self, lock: _Lock, task: asyncio.Task[bool]) -> None:
        self._follow_ups.discard(task)
        if (done := lock.follow_up) and done.task is task:
            if _is_known(done):
                asyncio.get_running_loop().call_later(KNOWN_SECONDS, self._forget, lock, done)
            else:
                lock.follow_up = None
        self._release()

    def _forget(self, lock: _Lock, done: _FollowUp) -> None:
        if lock.follow_up is done:
            lock.follow_up = None

    def _release(self) -> None:
        self._in_use -= 1
        if not self._in_use:
            self._idle.set()


def _is_known(done: _FollowUp) -> bool:
    """Whether what was written may be gone on from, once its follow-up is done."""
    size = len(done.wrote.text) if isinstance(done.wrote, Write) else 0
    return not done.task.cancelled() and not done.task.exception() and done.task.result() and size <= KNOWN_CHARACTERS


class _Holding:
    """Holds a key while it is entered; written out, since a generator takes three times as long."""

    __slots__ = ("_held", "_key", "_lock", "_locks")

    def __init__(self, locks: KeyLocks, key: str, held: Held) -> None:
        self._locks = locks
        self._key = key
        self._held = held

    async def __aenter__(self) -> Held:
        self._lock = await self._locks.hold(self._key, self._held)
        return self._held

    async def __aexit__(self, *_: object) -> None:
        self._locks.let_go(self._lock, self._held)
