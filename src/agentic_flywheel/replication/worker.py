"""Upkeep: what goes on in the background, so that a destination and this machine know the same.

One look at the stash at a time tells whether it answers (it is the circuit breaker's probe), which destination it is,
whether it lost what it held, and what was deleted elsewhere. After each, what is pending is sent, copies are verified
and put back, and a part of the shared list is compared with what is stored; each behind its own guard. Once an hour
what has expired is removed from the journal.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

import anyio

from agentic_flywheel.backoff import REFUSALS, delay
from agentic_flywheel.coaia.stash import Watched
from agentic_flywheel.documents.commands import as_copy
from agentic_flywheel.documents.delete import DeleteCommand
from agentic_flywheel.documents.model import micros
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.errors import DocumentError, JournalUnavailable, StashRefused, StashUnavailable, Unavailable
from agentic_flywheel.journal import PAUSE_SECONDS, Journal
from agentic_flywheel.journal.records import Due, Known, in_thread
from agentic_flywheel.keys import Keys
from agentic_flywheel.replication.key_locks import KeyLocks
from agentic_flywheel.replication.outbox import Outbox
from agentic_flywheel.replication.put_back import PuttingBack
from agentic_flywheel.replication.session_list import heal

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.5
"""From one look at the stash to the next: with the time that putting back takes, it keeps the promise of 5 s."""

PROBE_DELAYS = (0.25, 0.5, 1.0)
"""Seconds between looks while the stash is away; the last one repeats."""

ONCE = 1
"""Attempts that may have failed because of another key on the same connection."""

DRAINED_SIDE_BY_SIDE = 32
"""Keys that are on their way at a time: a Redis may be 300 ms away."""

PURGE_SECONDS = 3600.0
"""How often what has expired is removed from the journal; it is hidden at once."""

LAST_DRAIN_SECONDS = 0.7
"""How long closing drains; the rest is sent by the next process."""

FROM_THE_FIRST = "0-0"
"""The place before every entry of a stream."""


class Upkeep:
    """The background tasks of one store. `outbox` is `None` where there is no stash."""

    def __init__(
        self, journal: Journal, outbox: Outbox | None, locks: KeyLocks, keys: Keys, clock: Callable[[], datetime]
    ) -> None:
        self._journal = journal
        self._outbox = outbox
        self._locks = locks
        self._keys = keys
        self._clock = clock
        self._healed = ""
        self._newest = 0
        self._putting_back = PuttingBack(journal, locks)
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin; returns at once."""
        if not self._journal.off:
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
        """Send what is pending, in order per key, side by side; a key that is refused does not hold up the others.

        Raises:
            StashUnavailable: not all of it is taken now.

        """
        if self._outbox is None:
            return
        drain = _Drain(self._journal, self._outbox, self._locks, self._clock)
        tried: set[str] = set()
        while due := await in_thread(self._journal.due_keys, self._keys.documents, tried):
            tried.update(each.key for each in due)
            await drain.send(due)
        drain.end()

    async def _look_for_ever(self, outbox: Outbox) -> None:
        failures = 0
        while True:
            away = [await self._guarded(self._look(outbox))]
            if not away[0]:  # each goes on without the others
                away = [
                    await self._guarded(step(outbox)) for step in (self._drain, self._putting_back.once, self._heal)
                ]
            if all(away):
                await asyncio.sleep(PROBE_DELAYS[min(failures, len(PROBE_DELAYS) - 1)])
                failures += 1
                continue
            failures = 0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):  # wait_for may swallow a cancel on Python 3.11
                    await self._wake.wait()
            self._wake.clear()

    async def _guarded(self, step: Awaitable[None]) -> bool:
        """Take one step, whatever comes of it; whether the stash is away."""
        try:
            await step
        except StashRefused as exc:
            logger.info("Redis refused something: %s", exc)
        except StashUnavailable as exc:
            logger.debug("The stash is away: %s", exc)
            return True
        except JournalUnavailable as exc:
            logger.info("%s", exc)
        except Exception as exc:  # noqa: BLE001  whatever it is, what is pending must still be sent some day
            logger.error("Upkeep failed with %s; it goes on.", type(exc).__name__)
        return False

    async def _drain(self, _: Outbox) -> None:
        await self.drain()

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
        now = asyncio.get_running_loop().time()
        evicted = self._putting_back.evictions.note(seen.evicted, now, roomy=seen.roomy)
        if not seen.epoch:
            return
        if known is None or known.epoch != seen.epoch:
            await in_thread(self._journal.recognise, seen.epoch)
            known = await in_thread(self._journal.known)
        tombstones = [tombstone for key, text in seen.deleted if (tombstone := self._announced(key, text))]
        if tombstones:
            await in_thread(self._journal.bury, tombstones)
        lost = self._has_lost(known, seen) or evicted or outbox.went_back
        outbox.went_back = False
        news = Known(seen.epoch, seen.run, seen.after)
        if lost or news != known:
            await in_thread(self._journal.know, news, lost=lost)
        if known and known.run != news.run:
            await in_thread(self._journal.try_all_now)

    def _has_lost(self, known: Known | None, seen: Watched) -> bool:
        """Whether the stash may have lost something, so that every copy is to be verified."""
        newest = seen.listed[1] if seen.listed else 0
        shrunk = newest < self._newest
        self._newest = newest
        if known is None:  # a machine that never got as far as remembering the epoch may have copies too
            return True
        if "" != known.run != seen.run != "":
            logger.warning("Redis was started again: what this machine knows and it lost is put back.")
            return True
        if self._putting_back.evictions.going_on:  # it is the epoch, or a row of the list, that was evicted
            return False
        if known.epoch != seen.epoch:
            logger.warning("Redis was emptied: what this machine knows and it lost is put back.")
            return True
        return shrunk

    def _announced(self, key: str, text: str) -> Write | None:
        """A tombstone of ours; whoever shares the Redis may have written anything into the stream."""
        if key.startswith(self._keys.documents):
            with contextlib.suppress(DocumentError):
                copy = as_copy(key, text)
                return copy if copy.tombstone else None
        return None

    async def _heal(self, outbox: Outbox) -> None:
        """Compare a part of the shared list with what is stored: it is kept beside it, so it may drift."""
        deadline = outbox.stash.deadline()
        with contextlib.suppress(StashRefused, DocumentError):  # read-only, or not ours: it is served as it is
            self._healed = await heal(outbox.stash, self._keys.index, self._healed, deadline)

    async def _overwrite_expired(self, gone: list[Write]) -> None:
        """A child that cannot expire keys still holds what has just gone from the journal."""
        if self._outbox is None or not self._outbox.stash.mirror:
            return
        for write in gone:
            member = write.list_row.member if write.list_row else ""
            deletion = DeleteCommand(key=write.key, member=member, because="expired")
            async with self._locks.of(write.key):
                with contextlib.suppress(Unavailable, DocumentError):
                    await self._outbox.settle(deletion, None, self._outbox.stash.deadline())

    async def _purge_for_ever(self) -> None:
        try:
            while True:
                pause = PURGE_SECONDS
                try:
                    purged = await in_thread(self._journal.purge_expired)
                    await self._overwrite_expired(purged.gone)
                    pause = PAUSE_SECONDS if purged.more else PURGE_SECONDS
                except JournalUnavailable as exc:
                    logger.warning("%s", exc)
                await asyncio.sleep(pause)
        finally:
            self._journal.close()  # a program that ends its event loop without closing us gives no other chance


class _Drain:
    """One round of sending what is due."""

    def __init__(self, journal: Journal, outbox: Outbox, locks: KeyLocks, clock: Callable[[], datetime]) -> None:
        self._journal = journal
        self._outbox = outbox
        self._locks = locks
        self._clock = clock
        self._limiter = asyncio.Semaphore(DRAINED_SIDE_BY_SIDE)
        self._refusals: list[StashRefused] = []

    async def send(self, due: list[Due]) -> None:
        """Send keys side by side; those that failed again come last, one at a time: they may cut the connection.

        Raises:
            StashUnavailable: the stash is away, or refuses all.

        """
        fresh = [each for each in due if each.attempts <= ONCE]
        for group in (fresh, *([each] for each in due if each.attempts > ONCE)):
            outcomes = await asyncio.gather(*(self._send(each) for each in group), return_exceptions=True)
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
            if len(self._refusals) >= REFUSALS:
                self.end()

    def end(self) -> None:
        """Raise `StashRefused` if something was refused."""
        if self._refusals:
            raise self._refusals[-1]

    async def _send(self, due: Due) -> None:
        async with self._limiter, self._locks.of(due.key):
            if len(self._refusals) >= REFUSALS:
                return
            try:
                await self._outbox.drain(due.key, self._outbox.stash.deadline())
            except StashRefused as exc:
                self._refusals.append(exc)
                await self._postpone(due, str(exc))
            except StashUnavailable as exc:
                await self._postpone(due, str(exc))
                raise
            except JournalUnavailable as exc:  # full, or in use: the next round comes soon
                logger.info("%s", exc)

    async def _postpone(self, due: Due, cause: str) -> None:
        with contextlib.suppress(JournalUnavailable):
            item = await in_thread(self._journal.next_pending, due.key)
            if item:
                seconds = delay(due.attempts + 1, len(item.change))
                await in_thread(self._journal.postpone, due.key, cause, micros(self._clock()) + int(seconds * 1e6))
