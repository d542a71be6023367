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

from agentic_flywheel.changes import Deletion, as_copy
from agentic_flywheel.coaia.stash import Mark, Watched
from agentic_flywheel.codec import micros
from agentic_flywheel.errors import DocumentError, JournalUnavailable, StashRefused, StashUnavailable, Unavailable
from agentic_flywheel.journal import PAUSE_SECONDS, Journal
from agentic_flywheel.keylocks import KeyLocks
from agentic_flywheel.keys import Keys
from agentic_flywheel.keyvalue import Write
from agentic_flywheel.local import Copy, Due, Known, in_thread
from agentic_flywheel.outbox import Outbox
from agentic_flywheel.pages import heal

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.5
"""From one look at the stash to the next: with the time that putting back takes, it keeps the promise of 5 s."""

PROBE_DELAYS = (0.25, 0.5, 1.0)
"""Seconds between looks while the stash is away; the last one repeats."""

REFUSALS = 20
"""Keys that Redis may refuse in one round before the others wait for the next: it is full or read-only."""

ONCE = 1
"""Attempts that may have failed because of another key on the same connection."""

DRAINED_SIDE_BY_SIDE = 32
"""Keys that are on their way at a time: a Redis may be 300 ms away."""

LONGEST_SMALL_DELAY, LONGEST_DELAY = 4.0, 300.0
"""Seconds between two attempts at a refused write: of a small one, since Redis may take it soon, and of any."""

RESENT_BYTES_A_SECOND = 50_000
"""How fast a refused document is sent again and again: 15 MB every five minutes."""

VERIFIED_AT_ONCE = 500
"""Copies whose etags are asked for at once."""

VERIFIED_A_ROUND = 200
"""Copies that are verified in each round, whatever happened: an eviction or a swapped database tells nobody."""

RESTORED_BYTES_AT_ONCE = 2_000_000
"""Bytes of documents read from the journal at once to be put back."""

SIDE_BY_SIDE = 8
"""Documents that are merged forward at a time."""

EVICTION_SECONDS, LONGEST_EVICTION_SECONDS = 5.0, 60.0
"""How long Redis must evict nothing before it is asked to take back what it evicted; twice as long each time that this
made it evict something else."""

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
        self._verified = 0
        self._newest = 0
        self._evictions = _Evictions()
        self._refusals = 0
        self._refused: dict[str, tuple[int, float]] = {}  # put back in vain: how often, and not before when
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
                away = [await self._guarded(step(outbox)) for step in (self._drain, self._put_back, self._heal)]
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
        evicted = self._evictions.note(seen.evicted, asyncio.get_running_loop().time())
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
        now = Known(seen.epoch, seen.run, seen.after)
        if lost or now != known:
            await in_thread(self._journal.know, now, lost=lost)
        if known and known.run != now.run:
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
        if self._evictions.going_on:  # it is the epoch, or a row of the list, that was evicted
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

    async def _put_back(self, outbox: Outbox) -> None:
        """Verify the copies that are in doubt, and a few more; put back what the stash has lost."""
        after, self._refusals = (1, 0), 0
        while batch := await in_thread(self._journal.unverified, VERIFIED_AT_ONCE, after):
            await self._verify(outbox, batch)
            after = (int(batch[-1].tombstone), batch[-1].id)
        batch = await in_thread(self._journal.copies, VERIFIED_A_ROUND, self._verified)
        self._verified = batch[-1].id if batch else 0
        if batch:
            await self._verify(outbox, batch)

    async def _verify(self, outbox: Outbox, copies: list[Copy]) -> None:
        """Compare copies with what the stash holds."""
        now = asyncio.get_running_loop().time()
        copies = [copy for copy in copies if self._refused.get(copy.key, (0, 0.0))[1] <= now]
        if not copies:
            return
        try:
            marks = await outbox.stash.marks([copy.key for copy in copies], outbox.stash.deadline())
        except StashRefused as exc:
            await self._verify_apart(outbox, copies, exc)
            return
        same = {copy.key for copy in copies if is_there(copy, marks.get(copy.key))}
        await in_thread(self._journal.mark_verified, [c.key for c in copies if c.unverified and c.key in same])
        lost = [copy for copy in copies if copy.key not in same]
        gone = [copy for copy in lost if marks.get(copy.key) is None and not copy.tombstone]
        await in_thread(self._journal.mark_missing, [copy.key for copy in gone])
        if self._evictions.going_on:
            return
        other = await self._restore_together(outbox, [*gone])
        other += [copy for copy in lost if copy not in gone]
        limiter = asyncio.Semaphore(SIDE_BY_SIDE)
        for outcome in await asyncio.gather(
            *(self._restore(outbox, copy, limiter) for copy in other), return_exceptions=True
        ):
            if isinstance(outcome, BaseException):
                raise outcome

    async def _verify_apart(self, outbox: Outbox, copies: list[Copy], refusal: StashRefused) -> None:
        """Find the copies of keys that may not be asked for, and verify the others.

        Raises:
            StashRefused: so many may not that it is the stash itself.

        """
        if len(copies) == 1:
            self._note_refusal(copies[0], str(refusal))
            self._refusals += 1
            if self._refusals >= REFUSALS:
                raise refusal
            return
        half = len(copies) // 2
        await self._verify(outbox, copies[:half])
        await self._verify(outbox, copies[half:])

    async def _restore_together(self, outbox: Outbox, copies: list[Copy]) -> list[Copy]:
        """Put back documents where nothing is; those in whose place something is by now."""
        other: list[Copy] = []
        while copies:
            size, some = 0, list[Copy]()
            while copies and (not some or size + copies[0].bytes < RESTORED_BYTES_AT_ONCE):
                some.append(copies.pop(0))
                size += some[-1].bytes
            writes = [write for copy in some if (write := await in_thread(self._journal.copy, copy.key))]
            by_key = {copy.key: copy for copy in some}
            done = await outbox.stash.restore(writes, outbox.stash.deadline())
            self._evictions.put_back_at = asyncio.get_running_loop().time()
            put: list[str] = []
            for write, answer in zip(writes, done, strict=True):
                if answer == "put":
                    put.append(write.key)
                elif answer == "there":
                    other.append(by_key[write.key])
                else:
                    self._note_refusal(by_key[write.key], answer)
            await in_thread(self._journal.mark_verified, put)
        return other

    async def _restore(self, outbox: Outbox, copy: Copy, limiter: asyncio.Semaphore) -> None:
        """Put one document back, or a tombstone, or merge it forward."""
        async with limiter, self._locks.of(copy.key):
            write = await in_thread(self._journal.copy, copy.key)
            try:
                if write:
                    await outbox.restore(write, outbox.stash.deadline(copy.bytes))
            except StashRefused as exc:
                self._note_refusal(copy, str(exc))
                return
            except DocumentError as exc:
                logger.info("Not put back: %s", exc)
            self._refused.pop(copy.key, None)
            await in_thread(self._journal.mark_verified, [copy.key])

    def _note_refusal(self, copy: Copy, why: str) -> None:
        attempts = self._refused.get(copy.key, (0, 0.0))[0] + 1
        self._refused[copy.key] = attempts, asyncio.get_running_loop().time() + delay(attempts, copy.bytes)
        logger.info("Redis refused to take something back: %s", why)

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
            member = write.entry.member if write.entry else ""
            deletion = Deletion(key=write.key, member=member, because="expired")
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


class _Evictions:
    """Whether Redis is evicting keys: what it evicted is verified at once, and put back when it has stopped."""

    def __init__(self) -> None:
        self.going_on = False
        self.put_back_at = -LONGEST_EVICTION_SECONDS
        self._keys: int | None = None
        self._until = 0.0
        self._pause = EVICTION_SECONDS

    def note(self, keys: int | None, now: float) -> bool:
        """Take the number of keys evicted so far; whether all copies are to be verified because of it."""
        before, self._keys = self._keys, keys
        if keys is not None and before is not None and keys > before:
            began = not self.going_on
            if began:
                in_vain = now - self.put_back_at < EVICTION_SECONDS
                self._pause = min(2 * self._pause, LONGEST_EVICTION_SECONDS) if in_vain else EVICTION_SECONDS
            self.going_on, self._until = True, now + self._pause
            return began
        if self.going_on and now >= self._until:
            self.going_on = False
            return True
        return False


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


def delay(attempts: int, size: int) -> float:
    """Seconds until a write of so many bytes that was refused is tried again."""
    longest = min(LONGEST_DELAY, max(LONGEST_SMALL_DELAY, size / RESENT_BYTES_A_SECOND))
    return min(2.0 ** min(attempts, 20) / 2, longest)


def is_there(copy: Copy, mark: Mark | None) -> bool:
    """Whether the stash holds what the copy is of, or a tombstone that beats it."""
    if mark is None:
        return False
    if copy.tombstone:
        return mark.tombstone is not None and mark.tombstone >= copy.revision
    if mark.tombstone is not None and mark.tombstone >= copy.revision:
        return True
    return bool(copy.ending) and (mark.revision, mark.ending) == (copy.revision, copy.ending)
