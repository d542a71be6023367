"""Putting back: this machine's copies are compared with what the stash holds, and what it has lost goes back to it."""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Sequence

from agentic_flywheel.backoff import REFUSALS, delay
from agentic_flywheel.coaia.replies import StoredVersion
from agentic_flywheel.errors import DocumentError, StashRefused, StashUnavailable
from agentic_flywheel.journal import Journal
from agentic_flywheel.journal.records import Copy, in_thread
from agentic_flywheel.replication.key_locks import KeyLocks
from agentic_flywheel.replication.outbox import Outbox

logger = logging.getLogger(__name__)

VERIFIED_AT_ONCE = 500
"""Copies whose etags are asked for at once."""

VERIFIED_A_ROUND = 200
"""Copies that are verified in each round, whatever happened: an eviction or a swapped database tells nobody."""

RESTORED_BYTES_AT_ONCE = 500_000
"""Bytes of documents read from the journal at once to be put back."""

SIDE_BY_SIDE = 8
"""Documents that are merged forward at a time."""

EVICTION_SECONDS, LONGEST_EVICTION_SECONDS = 5.0, 60.0
"""How long Redis must evict nothing before it is asked to take back what it evicted; twice as long each time that this
made it evict something else."""


class PuttingBack:
    """What is known of the copies that are to go back. Every call is one round of it."""

    def __init__(self, journal: Journal, locks: KeyLocks) -> None:
        self.evictions = Evictions()
        self._journal = journal
        self._locks = locks
        self._verified = 0
        self._refusals = 0
        self._refused: dict[str, tuple[int, float]] = {}  # put back in vain: how often, and not before when

    async def once(self, outbox: Outbox) -> None:
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
            marks = await outbox.stash.versions([copy.key for copy in copies], outbox.stash.deadline())
        except StashRefused as exc:
            await self._verify_apart(outbox, copies, exc)
            return
        same = {copy.key for copy in copies if is_there(copy, marks.get(copy.key))}
        await self._is_there(
            copy.key for copy in copies if copy.key in same and (copy.unverified or copy.key in self._refused)
        )
        lost = [copy for copy in copies if copy.key not in same]
        gone = [copy for copy in lost if marks.get(copy.key) is None and not copy.tombstone]
        await in_thread(self._journal.mark_missing, [copy.key for copy in gone])
        gone.sort(key=lambda copy: (self._refused.get(copy.key, (0, 0.0))[0], copy.bytes))  # what may fail comes last
        other = [copy for copy in lost if marks.get(copy.key) is not None]
        if not self.evictions.going_on:
            other += [copy for copy in lost if marks.get(copy.key) is None and copy.tombstone]
            other += await self._restore_together(outbox, gone)
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
            await self._blame(outbox, copies[0], refusal, alone=True)
            return
        half = len(copies) // 2
        await self._verify(outbox, copies[:half])
        await self._verify(outbox, copies[half:])

    async def _restore_together(self, outbox: Outbox, copies: list[Copy]) -> list[Copy]:
        """Put back documents where nothing is; those in whose place something is by now."""
        other: list[Copy] = []
        for some in _batches(copies):
            other += await self._restore_batch(outbox, some)
        return other

    async def _restore_batch(self, outbox: Outbox, some: list[Copy]) -> list[Copy]:
        """The same of a few; by halves, till the one is found that costs the connection, where one does."""
        by_key = {copy.key: copy for copy in some}
        writes = [write for copy in some if (write := await in_thread(self._journal.copy, copy.key))]
        try:
            done = await outbox.stash.restore(writes, outbox.stash.deadline())
        except StashUnavailable as exc:
            await self._blame(outbox, some[0], exc, alone=len(some) == 1)
            if len(some) == 1:
                return []
            half = len(some) // 2
            return [*await self._restore_batch(outbox, some[:half]), *await self._restore_batch(outbox, some[half:])]
        self.evictions.put_back_at = asyncio.get_running_loop().time()
        put: list[str] = []
        other: list[Copy] = []
        for write, answer in zip(writes, done, strict=True):
            if answer == "put":
                put.append(write.key)
            elif answer == "there":
                other.append(by_key[write.key])
            else:
                self._note_refusal(by_key[write.key], answer)
        await self._is_there(put)
        return other

    async def _blame(self, outbox: Outbox, copy: Copy, failure: StashUnavailable, *, alone: bool) -> None:
        """Let a copy that was asked for `alone` wait, if it failed because of itself.

        Raises:
            StashUnavailable: the stash is away, or so many fail that it is the stash itself.

        """
        if not isinstance(failure, StashRefused):
            await outbox.stash.versions([copy.key], outbox.stash.deadline())
        if alone:
            self._note_refusal(copy, str(failure))
            self._refusals += 1
        if self._refusals >= REFUSALS:
            raise failure

    async def _restore(self, outbox: Outbox, copy: Copy, limiter: asyncio.Semaphore) -> None:
        """Put one document back, or a tombstone, or merge it forward."""
        async with limiter, self._locks.of(copy.key):
            write = await in_thread(self._journal.copy, copy.key)
            try:
                if write:
                    await outbox.restore(write, outbox.stash.deadline(copy.bytes))
            except StashUnavailable as exc:
                await self._blame(outbox, copy, exc, alone=True)
                return
            except DocumentError as exc:
                logger.info("Not put back: %s", exc)
            await self._is_there([copy.key])

    async def _is_there(self, keys: Iterable[str]) -> None:
        there = [*keys]
        for key in there:
            self._refused.pop(key, None)
        await in_thread(self._journal.mark_verified, there)

    def _note_refusal(self, copy: Copy, why: str) -> None:
        attempts = self._refused.get(copy.key, (0, 0.0))[0] + 1
        self._refused[copy.key] = attempts, asyncio.get_running_loop().time() + delay(attempts, copy.bytes)
        logger.info("Redis refused to take something back: %s", why)


class Evictions:
    """Whether Redis is evicting keys: what it evicted is verified at once, and put back when it has stopped."""

    def __init__(self) -> None:
        self.going_on = False
        self.put_back_at = -LONGEST_EVICTION_SECONDS
        self._keys: int | None = None
        self._until = 0.0
        self._pause = EVICTION_SECONDS

    def note(self, keys: int | None, now: float, *, roomy: bool = False) -> bool:
        """Take the number of keys evicted so far; whether all copies are to be verified because of it.

        `roomy`: whether Redis certainly need not evict anything now.
        """
        before, self._keys = self._keys, keys
        if keys is not None and before is not None and keys > before:
            began = not self.going_on
            if began:
                in_vain = now - self.put_back_at < EVICTION_SECONDS
                self._pause = min(2 * self._pause, LONGEST_EVICTION_SECONDS) if in_vain else EVICTION_SECONDS
            self.going_on, self._until = True, now + self._pause
            return began
        if self.going_on and (roomy or now >= self._until):
            self.going_on = False
            return True
        return False


def _batches(copies: Sequence[Copy]) -> Iterator[list[Copy]]:
    """The copies in order, as many at a time as are read from the journal at once."""
    size, some = 0, list[Copy]()
    for copy in copies:
        if some and size + copy.bytes > RESTORED_BYTES_AT_ONCE:
            yield some
            size, some = 0, []
        some.append(copy)
        size += copy.bytes
    if some:
        yield some


def is_there(copy: Copy, mark: StoredVersion | None) -> bool:
    """Whether the stash holds what the copy is of, or a tombstone that beats it."""
    if mark is None:
        return False
    if copy.tombstone:  # and nothing below it: a deletion may have been cut off
        above = mark.revision is None or (mark.tombstone is not None and mark.revision > mark.tombstone)
        return mark.tombstone is not None and mark.tombstone >= copy.revision and above
    if mark.tombstone is not None and mark.tombstone >= copy.revision:
        return True
    return bool(copy.ending) and (mark.revision, mark.ending) == (copy.revision, copy.ending)
