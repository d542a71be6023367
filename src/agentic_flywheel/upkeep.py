"""Upkeep: what goes on in the background, so that the stash and this machine know the same.

One look at the stash at a time tells whether it answers (it is the circuit breaker's probe), whether it lost what it
held, and what was deleted elsewhere. After each, what is pending is sent, what was lost is put back, and a part of the
shared list is compared with what is stored. Once an hour what has expired is removed from the journal.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import datetime

import anyio

from agentic_flywheel.arrival import Arrival
from agentic_flywheel.changes import Deletion, as_copy, dump_change
from agentic_flywheel.coaia.stash import Stash
from agentic_flywheel.errors import DocumentError, JournalUnavailable, StashRefused, StashUnavailable, Unavailable
from agentic_flywheel.keylocks import KeyLocks
from agentic_flywheel.keys import Keys
from agentic_flywheel.keyvalue import Write
from agentic_flywheel.local import Known, LocalPlace, in_thread
from agentic_flywheel.outbox import Outbox
from agentic_flywheel.pages import put_in_list

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.5
"""From one look at the stash to the next: with the time that putting back takes, it keeps the promise of 5 s."""

PROBE_DELAYS = (0.25, 0.5, 1.0)
"""Seconds between looks while the stash is away; the last one repeats."""

REFUSALS = 20
"""Sessions that Redis may refuse in one round before the others wait for the next: it is full or read-only."""

PUT_BACK_AT_ONCE = 50
"""Documents read from the journal at once to be put back."""

SIDE_BY_SIDE = 8
"""Of these, how many are on their way at a time; the child has a thread for each."""

PURGE_SECONDS = 3600.0
"""How often what has expired is removed from the journal; it is hidden at once."""

LAST_DRAIN_SECONDS = 0.7
"""How long closing drains; the rest is sent by the next process."""

FROM_THE_FIRST = "0-0"
"""The place before every entry of a stream."""


class Upkeep:
    """The background tasks of one store. `outbox` is `None` where there is no stash."""

    def __init__(
        self, journal: LocalPlace, outbox: Outbox | None, locks: KeyLocks, keys: Keys, clock: Callable[[], datetime]
    ) -> None:
        self._journal = journal
        self._outbox = outbox
        self._locks = locks
        self._keys = keys
        self._clock = clock
        self._healed = ""
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin; returns at once."""
        self._tasks = [asyncio.create_task(self._purge_for_ever(), name="purge")]
        if self._outbox:
            self._tasks.append(asyncio.create_task(self._look_for_ever(self._outbox), name="upkeep"))

    def wake(self) -> None:
        """There is something new to send."""
        self._wake.set()

    async def aclose(self) -> None:
        """End the tasks, and drain for a last moment."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._outbox and self._outbox.stash.client.state.state == "ready":
            with anyio.move_on_after(LAST_DRAIN_SECONDS), contextlib.suppress(Unavailable):
                await self.drain()

    async def drain(self) -> None:
        """Send what is pending, in order per key; a key that is refused does not hold up the others.

        Raises:
            StashUnavailable: not all of it is taken now.

        """
        if self._outbox is None:
            return
        after, refused = 0, list[StashRefused]()
        while page := await in_thread(self._journal.pending, *self._keys.documents, after=after):
            after = page[-1].position
            for key in dict.fromkeys(item.key for item in page):
                async with self._locks.of(key):
                    try:
                        await self._outbox.drain(key, self._outbox.stash.deadline())
                    except StashRefused as exc:
                        refused.append(exc)
                if len(refused) >= REFUSALS:
                    raise refused[-1]
        if refused:
            raise refused[-1]

    async def _look_for_ever(self, outbox: Outbox) -> None:
        failures = 0
        while True:
            try:
                await self._look(outbox)
                await self.drain()
                await self._put_back(outbox)
                await self._heal(outbox.stash)
            except JournalUnavailable as exc:
                logger.info("%s", exc)
            except StashUnavailable as exc:
                logger.debug("The stash is away: %s", exc)
                await asyncio.sleep(PROBE_DELAYS[min(failures, len(PROBE_DELAYS) - 1)])
                failures += 1
                continue
            except Exception as exc:  # noqa: BLE001  whatever it is, what is pending must still be sent some day
                logger.error("Upkeep failed with %s; it goes on.", type(exc).__name__)
            failures = 0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):  # wait_for may swallow a cancel on Python 3.11
                    await self._wake.wait()
            self._wake.clear()

    async def _look(self, outbox: Outbox) -> None:
        """See what the stash is like, and learn what was deleted elsewhere."""
        known, unreadable = None, None
        try:
            known = await in_thread(self._journal.known)
        except JournalUnavailable as exc:
            unreadable = exc
        after = known.after if known else FROM_THE_FIRST
        seen = await outbox.stash.watch(self._keys.epoch, self._keys.deletions, after)
        if unreadable:
            raise unreadable
        if not seen.epoch:
            return
        # A machine that never got as far as remembering the epoch may have copies all the same.
        lost = known is None or known.epoch != seen.epoch or "" != known.run != seen.run != ""
        if known and lost:
            logger.warning("Redis was started again, or emptied: what this machine knows and it lost is put back.")
        tombstones = [tombstone for key, text in seen.deleted if (tombstone := self._announced(key, text))]
        if tombstones:
            await in_thread(self._journal.bury, tombstones)
        if known is None:
            await self._bring_along()
        now = Known(seen.epoch, seen.run, seen.after)
        if now != known:
            await in_thread(self._journal.know, now, lost=lost)

    async def _bring_along(self) -> None:
        """What was kept on this machine alone, before there was a Redis, goes there too; what is there stays."""
        for copy in await in_thread(self._journal.alone):
            if copy.entry and copy.key.startswith(self._keys.sessions):
                member, index = copy.entry.member, copy.entry.index
                arrival = Arrival(key=copy.key, member=member, index=index, text=copy.text, acknowledged=True)
                await in_thread(self._journal.queue, copy.key, dump_change(arrival))

    def _announced(self, key: str, text: str) -> Write | None:
        """A tombstone of ours; whoever shares the Redis may have written anything into the stream."""
        if key.startswith(self._keys.documents):
            with contextlib.suppress(DocumentError):
                copy = as_copy(key, text)
                return copy if copy.tombstone else None
        return None

    async def _put_back(self, outbox: Outbox) -> None:
        """Put back what the stash may have lost; what it refuses is tried again at the next look."""
        refused: StashRefused | None = None
        there: set[str] = set()
        limiter = asyncio.Semaphore(SIDE_BY_SIDE)

        async def restore(key: str) -> str | None:
            nonlocal refused
            async with limiter, self._locks.of(key):
                copy = await in_thread(self._journal.copy, key)
                try:
                    if copy and (copy.tombstone or key not in there):
                        await outbox.restore(copy, outbox.stash.deadline(len(copy.text)))
                except StashRefused as exc:
                    refused = exc
                    return None
                except DocumentError as exc:
                    logger.info("Not put back: %s", exc)
            return key

        while batch := await in_thread(self._journal.doubtful, PUT_BACK_AT_ONCE):
            there = there or await self._keys_there(outbox)
            done = await asyncio.gather(*(restore(key) for key in batch), return_exceptions=True)
            await in_thread(self._journal.is_there, [key for key in done if isinstance(key, str)])
            for outcome in done:
                if isinstance(outcome, BaseException):
                    raise outcome
            if refused:
                raise refused

    async def _heal(self, stash: Stash) -> None:
        """Compare a part of the shared list with what is stored: it is kept beside it, so it may drift."""
        deadline = stash.deadline()
        with contextlib.suppress(StashRefused, DocumentError):  # read-only, or not ours: it is served as it is
            self._healed, unlisted = await stash.heal(self._keys.index, self._healed, deadline)
            if unlisted:
                await put_in_list(stash, self._keys.index, unlisted, deadline)

    async def _keys_there(self, outbox: Outbox) -> set[str]:
        """The keys that need not be put back; none where they cannot be listed."""
        try:
            return set(await outbox.stash.keys(f"{self._keys.prefix}:"))
        except StashRefused:
            return set()

    async def _overwrite_expired(self, gone: list[Write]) -> None:
        """A child that cannot expire keys still holds what has just gone from the journal."""
        if self._outbox is None or not self._outbox.stash.mirror:
            return
        for write in gone:
            member = write.entry.member if write.entry else ""
            deletion = Deletion(key=write.key, member=member, because="expired")
            async with self._locks.of(write.key):
                with contextlib.suppress(Unavailable, DocumentError):
                    await self._outbox.settle(deletion, None, self._outbox.stash.deadline())

    async def _purge_for_ever(self) -> None:
        try:
            while True:
                try:
                    gone = await in_thread(self._journal.purge_expired)
                    await self._overwrite_expired(gone)
                except JournalUnavailable as exc:
                    logger.warning("%s", exc)
                await asyncio.sleep(PURGE_SECONDS)
        finally:
            self._journal.close()  # a program that ends its event loop without closing us gives no other chance
