"""Replicates in the background, so that a destination and this machine hold the same.

A poll of the stash tells whether it answers (it is the circuit breaker's probe), which destination it is, whether it
lost what it held, and what was deleted elsewhere. After each poll the worker sends what is pending, verifies copies and
puts them back, and compares a part of the shared list with what is stored; a failure of one step does not stop the
others. At its start, and once an hour, it purges what has expired from the journal.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial

import anyio

from agentic_flywheel.coaia.replies import RemoteState
from agentic_flywheel.coaia.stash import Stash
from agentic_flywheel.documents.commands import as_copy
from agentic_flywheel.documents.delete import DeleteCommand
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.errors import DocumentError, JournalUnavailable, StashRefused, StashUnavailable, Unavailable
from agentic_flywheel.journal import PAUSE_SECONDS, Journal
from agentic_flywheel.journal.records import SyncState
from agentic_flywheel.journal.threads import close_last, in_thread
from agentic_flywheel.keys import Keys
from agentic_flywheel.replication.drain import Drain
from agentic_flywheel.replication.ended_elsewhere import end_parts
from agentic_flywheel.replication.key_locks import KeyLocks
from agentic_flywheel.replication.outbox import Outbox
from agentic_flywheel.replication.put_back import PutBack
from agentic_flywheel.replication.session_list import reconcile_index

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.5
"""Seconds between polls of the stash: with the time that putting back takes, this keeps the promise of 5 s."""

PROBE_DELAYS = (0.25, 0.5, 1.0)
"""Seconds between polls while the stash is away; the last one repeats."""

PURGE_SECONDS = 3600.0
"""Seconds between purges of what has expired, which is hidden at once."""

WIPE_AGAIN_SECONDS = 1.0
"""From one try to the next of emptying the files of what was deleted."""

LAST_DRAIN_SECONDS = 0.7
"""How long closing drains; the next process sends what remains."""

START = "0-0"
"""The position before every entry of a stream."""


class ReplicationWorker:
    """The background tasks of one store. `outbox` is `None` where there is no stash."""

    def __init__(
        self, journal: Journal, outbox: Outbox | None, locks: KeyLocks, keys: Keys, clock: Callable[[], datetime]
    ) -> None:
        self._journal = journal
        self._outbox = outbox
        self._locks = locks
        self._keys = keys
        self._clock = clock
        self._reconciled = ""
        self._newest = 0
        self.listed: int | None = None
        """How many sessions the shared list had at the last poll; `None`: that is not known."""
        self._put_back = PutBack(journal, locks, clock)
        self._wake = asyncio.Event()
        self._wipe = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the tasks; returns at once."""
        if not self._journal.off:
            self._tasks = [asyncio.create_task(self._purge_for_ever(), name="purge")]
        if self._outbox:
            self._tasks.append(asyncio.create_task(self._poll_for_ever(self._outbox), name="worker"))

    def wipe_soon(self) -> None:
        """Try again soon to empty the files of what was deleted."""
        self._wipe.set()

    def wake(self) -> None:
        """Poll now: there is something to send."""
        self._wake.set()

    async def aclose(self) -> None:
        """Stop the tasks, and drain for a last moment."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._outbox and self._outbox.remote.stash.supervisor.state.state == "ready":
            with anyio.move_on_after(LAST_DRAIN_SECONDS), contextlib.suppress(Unavailable):
                await self.drain()

    async def drain(self) -> None:
        """Send what is pending, the keys side by side; a key that is refused does not hold up the others.

        Raises:
            StashUnavailable: not all of it is taken now.

        """
        if self._outbox is None:
            return
        drain = Drain(self._journal, self._outbox, self._locks, self._clock)
        tried: set[str] = set()
        while due := await in_thread(self._journal.due_keys, self._keys.documents, tried):
            tried.update(each.key for each in due)
            await drain.send(due)
        drain.end()

    async def _poll_for_ever(self, outbox: Outbox) -> None:
        failures = 0
        while True:
            away = [await self._guarded(self._poll(outbox))]
            if not away[0]:  # each goes on without the others
                remote = outbox.remote
                steps = (self.drain, partial(self._put_back.run, remote), partial(self._reconcile_index, remote.stash))
                away = [await self._guarded(step()) for step in steps]
            if all(away):
                await asyncio.sleep(PROBE_DELAYS[min(failures, len(PROBE_DELAYS) - 1)])
                failures += 1
                continue
            failures = 0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):  # wait_for may swallow a cancel on Python 3.11
                    await self._wake.wait()
            self._wake.clear()

    async def _guarded(self, step: Awaitable[None]) -> bool:
        """Take one step and log its failure; whether the stash is away."""
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
            logger.error("The replication worker failed with %s; it goes on.", type(exc).__name__)
        return False

    async def _poll(self, outbox: Outbox) -> None:
        """Poll the stash: note which destination it is and what it lost, and apply what was deleted elsewhere."""
        before, unreadable = None, None
        try:
            before = await in_thread(self._journal.sync_state)
        except JournalUnavailable as exc:
            unreadable = exc
        seen = await outbox.remote.stash.poll(self._keys.epoch, self._keys.deletions, before.after if before else START)
        outbox.remote.stash.remote_clock.note(seen.time)
        if unreadable:
            raise unreadable
        now = asyncio.get_running_loop().time()
        evicted = self._put_back.evictions.note(seen.evicted, now, roomy=seen.roomy)
        if not seen.epoch:
            return
        if before is None or before.epoch != seen.epoch:
            await in_thread(self._journal.recognise, seen.epoch)
            before = await in_thread(self._journal.sync_state)
        heard = [*outbox.remote.heard.values()]
        tombstones = [*heard, *(write for key, text in seen.deleted if (write := self._announced(key, text)))]
        if tombstones:
            gone = {
                key
                for tombstone in tombstones
                for key in await end_parts(self._journal, outbox.remote, self._locks, tombstone)
            }
            await in_thread(self._journal.apply_tombstones, tombstones, gone)
            self.wipe_soon()
            for write in heard:
                if outbox.remote.heard.get(write.key) is write:
                    del outbox.remote.heard[write.key]
        lost = self._has_lost(before, seen) or evicted or outbox.remote.went_back
        outbox.remote.went_back = False
        await self._save_state(before, SyncState(seen.epoch, seen.run, seen.after), lost=lost)

    async def _save_state(self, before: SyncState | None, now: SyncState, *, lost: bool) -> None:
        """Save what a poll showed; `lost`: every copy is to be verified."""
        if lost or now != before:
            await in_thread(self._journal.save_sync_state, now, lost=lost)
        if before and before.run != now.run:
            await in_thread(self._journal.try_all_now)

    def _has_lost(self, before: SyncState | None, seen: RemoteState) -> bool:
        """Whether the stash may have lost something, so that every copy is to be verified."""
        self.listed, newest = seen.listed or (None, 0)
        shrunk = newest < self._newest
        self._newest = newest
        if before is None:  # a machine that never noted the epoch may have copies too
            return True
        if "" != before.run != seen.run != "":
            logger.warning("Redis was started again: what this machine knows and it lost is put back.")
            return True
        if self._put_back.evictions.going_on:  # it is the epoch, or a row of the list, that was evicted
            return False
        if before.epoch != seen.epoch:
            logger.warning("Redis was emptied: what this machine knows and it lost is put back.")
            return True
        return shrunk

    def _announced(self, key: str, text: str) -> Write | None:
        """The tombstone, if it is one of ours: other programs may write anything into the stream."""
        if key.startswith(self._keys.documents):
            with contextlib.suppress(DocumentError):
                copy = as_copy(key, text)
                return copy if copy.tombstone else None
        return None

    async def _reconcile_index(self, stash: Stash) -> None:
        """Compare a part of the shared list, which may drift, with what is stored."""
        deadline = stash.deadline()
        with contextlib.suppress(StashRefused, DocumentError):  # read-only, or not our list: it stays as it is
            self._reconciled = await reconcile_index(stash, self._keys.index, self._reconciled, deadline)

    async def _overwrite_expired(self, gone: list[Write]) -> None:
        """Overwrite what was purged from the journal in a mirror, which cannot expire keys."""
        if self._outbox is None or not self._outbox.remote.stash.mirror:
            return
        remote = self._outbox.remote
        for write in gone:
            member = write.list_row.member if write.list_row else ""
            deletion = DeleteCommand(key=write.key, member=member, because="expired")
            async with self._locks.of(write.key):
                with contextlib.suppress(Unavailable, DocumentError):
                    await remote.commit_with_retry(deletion, None, remote.stash.deadline())

    async def _purge_for_ever(self) -> None:
        at_start, loop = True, asyncio.get_running_loop()
        try:
            while True:
                pause = PURGE_SECONDS
                try:
                    purged = await in_thread(self._journal.purge_expired, at_once=at_start)
                    await self._overwrite_expired(purged.gone)
                    at_start = at_start and purged.more
                    if purged.more:
                        pause = PAUSE_SECONDS
                    elif self._journal.unwiped:
                        self._wipe.set()
                except JournalUnavailable as exc:
                    logger.warning("%s", exc)
                await self._pause(pause)
        finally:
            close_last(self._journal, loop)  # a program may end its event loop without closing the store

    async def _pause(self, seconds: float) -> None:
        """Wait; meanwhile the files are emptied of what was deleted, as soon as nobody reads in them."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    await self._wipe.wait()
                    await asyncio.sleep(WIPE_AGAIN_SECONDS)
                    if await in_thread(self._journal.wipe):
                        self._wipe.clear()
