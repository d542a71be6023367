"""Compares this machine's copies with what the stash holds, and puts back what it has lost."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

from agentic_flywheel.backoff import REFUSALS, delay
from agentic_flywheel.coaia.replies import StoredVersion
from agentic_flywheel.documents.earlier_life import BEGUN_AFTER
from agentic_flywheel.documents.parse import tombstone_of
from agentic_flywheel.documents.writes import Version, Write, version_of
from agentic_flywheel.errors import DocumentError, StashRefused, StashUnavailable
from agentic_flywheel.journal import Journal
from agentic_flywheel.journal.records import ReplicaRow
from agentic_flywheel.journal.threads import in_thread
from agentic_flywheel.replication.ended_elsewhere import gone_with_session
from agentic_flywheel.replication.key_locks import KeyLocks
from agentic_flywheel.replication.remote_writer import RemoteWriter
from agentic_flywheel.session_keys import SessionKeys

logger = logging.getLogger(__name__)

VERIFIED_AT_ONCE = 500
"""Copies whose etags are read at once."""

VERIFIED_A_ROUND = 200
"""Copies verified in each round, whatever happened: nothing announces an eviction or a swapped database."""

RESTORED_BYTES_AT_ONCE = 500_000
"""Bytes of documents that one call puts back."""

SIDE_BY_SIDE = 8
"""Documents merged forward at a time."""

EVICTION_SECONDS, LONGEST_EVICTION_SECONDS = 5.0, 60.0
"""How long Redis must evict nothing before what it evicted is put back; twice as long each time that putting back made
it evict something else."""


class PutBack:
    """Verifies copies and puts back, a round at a time."""

    def __init__(self, journal: Journal, locks: KeyLocks, clock: Callable[[], datetime]) -> None:
        self.evictions = Evictions()
        self._journal = journal
        self._locks = locks
        self._clock = clock
        self._verified = 0
        self._refusals = 0
        self._refused: dict[str, tuple[int, float]] = {}  # how often Redis refused a key, and when it is tried again

    async def run(self, remote: RemoteWriter) -> None:
        """Do one round: verify the unverified copies, and a few more; put back what the stash has lost."""
        after, self._refusals = (1, 0), 0
        while batch := await in_thread(self._journal.list_unverified, VERIFIED_AT_ONCE, after):
            await self._verify(remote, batch)
            after = (int(batch[-1].tombstone), batch[-1].id)
        batch = await in_thread(self._journal.list_replica, VERIFIED_A_ROUND, self._verified)
        self._verified = batch[-1].id if batch else 0
        if batch:
            await self._verify(remote, batch)

    async def _verify(self, remote: RemoteWriter, copies: list[ReplicaRow]) -> None:
        """Compare copies with what the stash holds, and put back what differs."""
        now = asyncio.get_running_loop().time()
        copies = [copy for copy in copies if self._refusals_of(copy)[1] <= now]
        if not copies:
            return
        try:
            marks = await remote.stash.versions([copy.key for copy in copies], remote.stash.deadline())
        except StashRefused as exc:
            await self._verify_apart(remote, copies, exc)
            return
        held = {copy.key for copy in copies if is_held(copy, mark := marks.get(copy.key)) and not is_open(copy, mark)}
        unverified = [copy.version for copy in copies if copy.unverified or copy.key in self._refused]
        await self._mark_verified(version for version in unverified if version[0] in held)
        lost = [copy for copy in copies if copy.key not in held]
        absent = [copy for copy in lost if marks.get(copy.key) is None]
        other = [copy for copy in lost if marks.get(copy.key) is not None]
        await self._restore_lost(remote, absent, other)

    async def _restore_lost(self, remote: RemoteWriter, absent: list[ReplicaRow], other: list[ReplicaRow]) -> None:
        """Put back copies whose keys are `absent` in the stash; merge forward those with something `other` there."""
        documents = [copy for copy in absent if not copy.tombstone]
        await in_thread(self._journal.mark_missing, [copy.version for copy in documents])
        documents.sort(key=lambda copy: (self._refusals_of(copy)[0], copy.bytes))  # what may fail comes last
        if not self.evictions.going_on:
            other += [copy for copy in absent if copy.tombstone]
            other += await self._restore_together(remote, documents)
        limiter = asyncio.Semaphore(SIDE_BY_SIDE)
        for outcome in await asyncio.gather(
            *(self._restore(remote, copy, limiter) for copy in other), return_exceptions=True
        ):
            if isinstance(outcome, BaseException):
                raise outcome

    async def _verify_apart(self, remote: RemoteWriter, copies: list[ReplicaRow], refusal: StashRefused) -> None:
        """Find by halves the copies of keys that Redis refuses to be asked for, and verify the others.

        Raises:
            StashRefused: it refuses so many that it is the stash itself.

        """
        if len(copies) == 1:
            await self._note_failure(remote, copies[0], refusal, alone=True)
            return
        half = len(copies) // 2
        await self._verify(remote, copies[:half])
        await self._verify(remote, copies[half:])

    async def _restore_together(self, remote: RemoteWriter, copies: list[ReplicaRow]) -> list[ReplicaRow]:
        """Put back documents whose keys are absent; those whose keys hold something by now."""
        other: list[ReplicaRow] = []
        for batch in _batches(copies):
            other += await self._restore_batch(remote, batch)
        return other

    async def _restore_batch(self, remote: RemoteWriter, batch: list[ReplicaRow]) -> list[ReplicaRow]:
        """The same of one batch; by halves, to find the one that costs the connection, where one does."""
        by_key = {copy.key: copy for copy in batch}
        found = [write for copy in batch if (write := await in_thread(self._journal.copy, copy.key))]
        writes = [write for write in found if not write.tombstone and not is_of_another_life(write)]
        alone = {write.key for write in found} - {write.key for write in writes}  # some were deleted since
        other = [by_key[key] for key in alone]
        try:
            answers = await remote.stash.restore(writes, remote.stash.deadline())
        except StashUnavailable as exc:
            await self._note_failure(remote, batch[0], exc, alone=len(batch) == 1)
            if len(batch) == 1:
                return other
            half = len(batch) // 2
            return [*await self._restore_batch(remote, batch[:half]), *await self._restore_batch(remote, batch[half:])]
        self.evictions.put_back_at = asyncio.get_running_loop().time()
        put: list[Write] = []
        for write, answer in zip(writes, answers, strict=True):
            if answer == "put":
                put.append(write)
            elif answer == "there":
                other.append(by_key[write.key])
            else:
                self._note_refusal(by_key[write.key], answer)
        await self._end_what_went(remote, put)
        await self._mark_verified(version_of(write.key, write.text) for write in put)
        return other

    async def _end_what_went(self, remote: RemoteWriter, put: Sequence[Write]) -> None:
        """End what was put back, but went with its session, meanwhile or where that was not heard of as it should."""
        for part, deletion in await in_thread(gone_with_session, self._journal, put, self._clock()):
            remote.hear(deletion.key, deletion.text)
            if tombstone := tombstone_of(deletion.text):
                async with self._locks.of(part.key):
                    await remote.end_life(part.key, tombstone.deleted_at, None, remote.stash.deadline(len(part.text)))

    async def _note_failure(
        self, remote: RemoteWriter, copy: ReplicaRow, failure: StashUnavailable, *, alone: bool
    ) -> None:
        """Postpone a copy that failed `alone`, so because of itself.

        Raises:
            StashUnavailable: the stash is away, or so many fail that it is the stash itself.

        """
        if not isinstance(failure, StashRefused):
            await remote.stash.versions([copy.key], remote.stash.deadline())
        if alone:
            self._note_refusal(copy, str(failure))
            self._refusals += 1
        if self._refusals >= REFUSALS:
            raise failure

    async def _restore(self, remote: RemoteWriter, copy: ReplicaRow, limiter: asyncio.Semaphore) -> None:
        """Put one document back, or a tombstone, or merge it forward."""
        async with limiter, self._locks.of(copy.key):
            write = await in_thread(self._journal.copy, copy.key)
            try:
                if write and not await remote.restore(write, remote.stash.deadline(copy.bytes)):
                    return
            except StashUnavailable as exc:
                await self._note_failure(remote, copy, exc, alone=True)
                return
            except DocumentError as exc:
                logger.info("Not put back: %s", exc)
            await self._mark_verified([version_of(write.key, write.text) if write else copy.version])
        await self._end_what_went(remote, [write] if write else [])

    async def _mark_verified(self, versions: Iterable[Version]) -> None:
        verified = [*versions]
        for key, _, _ in verified:
            self._refused.pop(key, None)
        await in_thread(self._journal.mark_verified, verified)

    def _refusals_of(self, copy: ReplicaRow) -> tuple[int, float]:
        return self._refused.get(copy.key, (0, 0.0))

    def _note_refusal(self, copy: ReplicaRow, why: str) -> None:
        attempts = self._refusals_of(copy)[0] + 1
        self._refused[copy.key] = attempts, asyncio.get_running_loop().time() + delay(attempts, copy.bytes)
        logger.info("Redis refused to take something back: %s", why)


class Evictions:
    """Tells whether Redis is evicting keys: copies are verified when it begins, and put back when it has stopped."""

    def __init__(self) -> None:
        self.going_on = False
        self.put_back_at = -LONGEST_EVICTION_SECONDS
        self._keys: int | None = None
        self._until = 0.0
        self._pause = EVICTION_SECONDS

    def note(self, keys: int | None, now: float, *, roomy: bool = False) -> bool:
        """Note the number of keys evicted so far; whether all copies are to be verified because of it.

        `roomy`: Redis certainly need not evict anything now.
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


def _batches(copies: Sequence[ReplicaRow]) -> Iterator[list[ReplicaRow]]:
    """The copies in order, in batches of `RESTORED_BYTES_AT_ONCE`."""
    size, batch = 0, list[ReplicaRow]()
    for copy in copies:
        if batch and size + copy.bytes > RESTORED_BYTES_AT_ONCE:
            yield batch
            size, batch = 0, []
        batch.append(copy)
        size += copy.bytes
    if batch:
        yield batch


def is_open(copy: ReplicaRow, mark: StoredVersion | None) -> bool:
    """Whether the stash has to be read: for when another deletion was, or whether what is deleted there is this."""
    if copy.tombstone:
        return bool(SessionKeys.of(copy.key) and copy.unverified)
    return mark is not None and mark.revision is None and mark.tombstone is not None


def is_of_another_life(write: Write) -> bool:
    """Whether this is a session that was begun anew: what went with its earlier life is to be taken away with that."""
    return SessionKeys.of(write.key) is not None and BEGUN_AFTER in write.text


def is_held(copy: ReplicaRow, mark: StoredVersion | None) -> bool:
    """Whether the stash holds the version that the copy is of, or a tombstone that beats it."""
    if mark is None:
        return False
    stands = mark.tombstone is not None and mark.tombstone >= copy.revision
    is_later = mark.revision is not None and mark.tombstone is not None and mark.revision > mark.tombstone
    if copy.tombstone:  # and no document beside it: a deletion may have been cut off
        return stands and (mark.revision is None or is_later)
    return (stands and not is_later) or mark.is_version(copy.revision, copy.ending)
