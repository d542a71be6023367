"""Where documents are: the stash when it answers, the journal when it does not, and the way from one to the other.

A change goes to the stash first; if that does not take it within its bound, it is committed to the journal,
together with an outbox entry that a background task sends on (the drain). What the stash holds and this machine
saw is copied to the journal, so that it is there when the stash is not.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Literal, ParamSpec, TypeVar, cast
from weakref import WeakValueDictionary

import anyio
import anyio.to_thread

from agentic_flywheel.change import Change, expired
from agentic_flywheel.changes import AnyChange, as_copy, dump_change
from agentic_flywheel.coaia.stash import Stash, TooLargeForMirror, revision_of
from agentic_flywheel.errors import Disabled, DocumentError, JournalUnavailable, StashUnavailable, Unavailable
from agentic_flywheel.keyvalue import Entry, Write
from agentic_flywheel.local import LocalPlace
from agentic_flywheel.outbox import Outbox
from agentic_flywheel.saving import PENDING_OPERATIONS, Renewal, SessionChange

logger = logging.getLogger(__name__)

FIRST_READ_SECONDS = 10.0
"""How long a read that only the stash can answer waits for the first child: eight at once take 3 s to start."""

DRAIN_DELAYS = (0.25, 0.5, 1.0, 2.0)
"""Seconds between attempts to drain while the stash is away; the last one repeats."""

IDLE_LOOK_SECONDS = 30.0
"""How often the outbox is looked at for what another process of this machine left there."""

AFTER_WAITING_SECONDS = 0.25
"""What is left to an operation that used up its bound waiting for others of the same key."""

PURGE_SECONDS = 3600.0
"""How often what has expired is removed from the journal; it is hidden at once."""

HELD_AT_CLOSING_SECONDS = 0.5
"""How long closing waits for writes under way before they are told to go to the journal."""

LAST_DRAIN_SECONDS = 0.7
"""How long closing drains; the rest is sent by the next process."""

StoredIn = Literal["redis", "journal"]
Answer = TypeVar("Answer")
_P = ParamSpec("_P")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class Placed(Generic[Answer]):
    """Where a change is kept now, and its answer."""

    stored_in: StoredIn
    answer: Answer


@dataclass(frozen=True, slots=True)
class Found:
    """What is stored under a key (`None`: nothing), where that was read, and whether the stash was not asked."""

    text: str | None
    source: StoredIn
    stale: bool


@dataclass(frozen=True, slots=True)
class Page:
    """Entries of a list, newest first; `older` is where to go on, `None` at the end. `shared`: the stash answered."""

    entries: list[Entry]
    older: tuple[int, str] | None
    shared: bool


class Places:
    """The journal and, if Redis is to be used, the stash."""

    def __init__(
        self,
        journal: LocalPlace,
        stash: Stash | None,
        documents: Sequence[str],
        clock: Callable[[], datetime],
        *,
        closes_client: bool = True,
    ) -> None:
        self.journal = journal
        self._outbox = Outbox(journal, stash, clock) if stash else None
        self._closes_client = closes_client
        self._documents = documents
        self.stash = stash
        self._clock = clock
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def open(self) -> None:
        """Start the child, the drain and the purge in the background; returns at once."""
        self._tasks = [asyncio.create_task(self._purge_for_ever(), name="purge")]
        if self.stash:
            self.stash.client.start()
            self._wake.set()
            self._tasks.append(asyncio.create_task(self._drain_for_ever(), name="drain"))

    async def wait_for_child(self, seconds: float) -> None:
        """Wait until the child answers, or cannot be started, or the time is up."""
        if self.stash:
            with contextlib.suppress(StashUnavailable):
                await self.stash.client.ready(self.stash.deadline(at_least=seconds))

    async def let_go(self) -> None:
        """End the child now, if it is ours: what waits for it goes to the journal."""
        if self.stash and self._closes_client:
            await self.stash.client.aclose()

    async def aclose(self) -> None:
        """Let writes under way finish (in the journal if need be), drain a little, end the child."""
        with anyio.move_on_after(HELD_AT_CLOSING_SECONDS):
            await self._idle.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.stash:
            with anyio.move_on_after(LAST_DRAIN_SECONDS), contextlib.suppress(Unavailable):
                if self.stash.client.state.state == "ready":
                    await self.drain()
        await self.let_go()
        await self._idle.wait()  # every write is bounded, and with the child gone only the journal is left
        await self._local(self.journal.close)

    async def write(self, change: Change[Answer]) -> Placed[Answer]:
        """Apply a change where it can be kept.

        Raises:
            DocumentError: it cannot be applied to what is stored.
            Unavailable: neither place can keep it.

        """
        self.check_enabled()
        bound = self.stash.deadline() if self.stash else 0.0
        async with self._lock(change.key):
            pending, why = self.stash is not None, ""
            if self.stash and self._outbox:
                try:
                    return Placed("redis", await self._write_to_stash(self.stash, self._outbox, change, bound))
                except TooLargeForMirror:
                    pending = False
                except StashUnavailable as exc:
                    logger.info("Saved to the journal: %s", exc)
                    why = f"Redis did not take it: {exc} "
            try:
                answer = await self._local(self._write_to_journal, change, pending)
            except JournalUnavailable as exc:
                raise JournalUnavailable(f"{why}{exc}") from exc
            self._wake.set()
            return Placed("journal", answer)

    async def renew(self, renewal: Renewal) -> None:
        """Start a session's clock again where it is kept; while that cannot be reached, nothing is done."""
        async with self._lock(renewal.key):
            with contextlib.suppress(Unavailable, DocumentError):
                if self.stash and self._outbox:
                    await self._write_to_stash(self.stash, self._outbox, renewal, self.stash.deadline())
                else:
                    await self._local(self._write_to_journal, renewal, pending=False)

    async def read(self, key: str, member: str = "", index: str = "") -> Found:
        """What is stored under `key`, expired or not; a session (`member` of `index`) is copied to the journal.

        Raises:
            Unavailable: it is not known.
            Damaged: something is stored that is no text of ours.

        """
        self.check_enabled()
        began = asyncio.get_running_loop().time()
        async with self._lock(key):
            if self.stash is None or self._outbox is None:
                copy = await self._local(self.journal.copy, key)
                return Found(copy.text if copy else None, "journal", stale=False)
            copy = await self._copy(key)
            known = copy and not expired(copy.kept_until, self._clock())
            try:
                size = len(copy.text) if copy else 0
                now = asyncio.get_running_loop().time()
                deadline = self.stash.deadline(size, at_least=0.0 if known else self._patience) - (now - began)
                deadline = max(deadline, now + AFTER_WAITING_SECONDS)
                with contextlib.suppress(JournalUnavailable):
                    await self._outbox.drain(key, deadline)
                text = await self.stash.read(key, deadline)
            except StashUnavailable:
                # What is still pending was never anywhere but here, so that it expired is known too.
                if not copy or not (known or await self._local(self.journal.next_pending, key)):
                    raise
                return Found(copy.text, "journal", stale=True)
            copy = await self._copy(key)  # the drain may have changed it
            if copy and (text is None or (self.stash.mirror and revision_of(copy.text) >= revision_of(text))):
                return Found(copy.text, "journal", stale=False)
            if text is not None and (copy is None or copy.text != text):
                with contextlib.suppress(DocumentError):
                    await self._remember(as_copy(key, text, member, index))
            return Found(text, "redis", stale=False)

    async def recent(self, index: str, before: tuple[int, str] | None, limit: int) -> Page:
        """A page of the list: the stash's, with what is pending here; without the stash, the journal's.

        Raises:
            Unavailable: there is neither.

        """
        self.check_enabled()
        if self.stash:
            try:
                await self.stash.client.ready(self.stash.deadline(at_least=self._patience))
                if self.stash.atomic:
                    return await self._shared_page(self.stash, index, before, limit)
            except StashUnavailable as exc:
                logger.info("Listing this machine's sessions only: %s", exc)
        entries = await self._local(self.journal.recent, index, before, limit)
        return Page(entries, _order(entries[-1]) if len(entries) == limit else None, shared=False)

    async def keys(self, prefix: str) -> list[str]:
        """The keys that begin with `prefix`, here and, if it answers, in the stash."""
        found: set[str] = set()
        with contextlib.suppress(JournalUnavailable):
            found.update(await self._local(self.journal.keys, prefix))
        if self.stash:
            with contextlib.suppress(StashUnavailable):
                found.update(await self.stash.keys(prefix))
        return sorted(found)

    async def drain(self) -> None:
        """Send what is pending to the stash, in order per key.

        Raises:
            StashUnavailable: it does not take it now.

        """
        if self.stash is None or self._outbox is None:
            return
        while pending := await self._local(self.journal.pending, *self._documents):
            for key in dict.fromkeys(item.key for item in pending):
                async with self._lock(key):
                    await self._outbox.drain(key, self.stash.deadline())

    async def _write_to_stash(self, stash: Stash, outbox: Outbox, change: Change[Answer], deadline: float) -> Answer:
        # Whoever waited for others of the same key gets a last moment, which is enough where Redis is well.
        deadline = max(deadline, asyncio.get_running_loop().time() + AFTER_WAITING_SECONDS)
        await stash.client.ready(deadline)
        with contextlib.suppress(JournalUnavailable):
            await outbox.drain(change.key, deadline)
        copy = await self._copy(change.key)
        step = await outbox.settle(change, copy.text if copy else None, deadline)
        if step.write:
            await self._remember(step.write)
        return step.answer

    def _write_to_journal(self, change: Change[Answer], pending: bool) -> Answer:  # noqa: FBT001
        if pending and isinstance(change, SessionChange):
            change = cast("Change[Answer]", change.model_copy(update={"kept_operations": PENDING_OPERATIONS}))
        while True:
            copy = self.journal.copy(change.key)
            step = change.apply(copy.text if copy else None, self._clock())
            if step.write is None:
                return step.answer
            kept = dump_change(cast("AnyChange", step.pending)) if pending else None
            if self.journal.commit(step.write, kept, durable=True).accepted:
                return step.answer

    async def _purge_for_ever(self) -> None:
        try:
            while True:
                try:
                    await self._local(self.journal.purge_expired)
                except JournalUnavailable as exc:
                    logger.warning("%s", exc)
                await asyncio.sleep(PURGE_SECONDS)
        finally:
            self.journal.close()  # a program that ends its event loop without closing us gives no other chance

    async def _drain_for_ever(self) -> None:
        attempt = 0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(IDLE_LOOK_SECONDS):  # wait_for may swallow a cancel on Python 3.11
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self.drain()
                attempt = 0
            except JournalUnavailable as exc:
                logger.info("The outbox cannot be read: %s", exc)
            except StashUnavailable:
                await asyncio.sleep(DRAIN_DELAYS[min(attempt, len(DRAIN_DELAYS) - 1)])
                attempt += 1
                self._wake.set()

    async def _shared_page(self, stash: Stash, index: str, before: tuple[int, str] | None, limit: int) -> Page:
        listed, unlisted = await stash.recent_and_unlisted(index, before, limit)
        if unlisted and await self._put_in_list(stash, index, unlisted):
            listed, _ = await stash.recent_and_unlisted(index, before, limit)
        more = len(listed) == limit
        unsent: list[Entry] = []
        with contextlib.suppress(JournalUnavailable):
            unsent = await self._local(self.journal.unsent, index)
        members = {entry.member for entry in unsent}
        end = _order(listed[-1]) if listed and more else (0, "")
        here = [e for e in unsent if (before is None or _order(e) < before) and _order(e) > end]
        entries = sorted([*here, *(e for e in listed if e.member not in members)], key=_order, reverse=True)
        return Page(entries, end if more else None, shared=True)

    async def _put_in_list(self, stash: Stash, index: str, members: list[str]) -> bool:
        """List sessions that somebody stored without listing them; whether there was one."""
        put = False
        for member in members:
            key = stash.session_key(member)
            with contextlib.suppress(DocumentError):
                if text := await stash.read(key):
                    copy = as_copy(key, text, member, index)
                    if copy.entry:
                        await stash.put_in_list(copy.entry)
                        put = True
        return put

    def check_enabled(self) -> None:
        """Raise `Disabled` if nothing is ever kept."""
        if self.stash is None and self.journal.off:
            raise Disabled("Persistence is switched off (REDIS_ENABLED=false and FLYWHEEL_JOURNAL=false).")

    @property
    def _patience(self) -> float:
        """How long a read that only the stash can answer may wait for the first child, in seconds."""
        return 0.0 if self.stash is None or self.stash.client.was_ready else FIRST_READ_SECONDS

    async def _copy(self, key: str) -> Write | None:
        """What the journal knows; nothing where it cannot be read."""
        try:
            return await self._local(self.journal.copy, key)
        except JournalUnavailable as exc:
            logger.info("%s", exc)
            return None

    async def _remember(self, write: Write) -> None:
        try:
            await self._local(self.journal.remember, write)
        except JournalUnavailable as exc:
            logger.warning("Kept in Redis only: %s", exc)

    @contextlib.asynccontextmanager
    async def _lock(self, key: str) -> AsyncGenerator[None]:
        """One operation of a key at a time in this process; between processes, commits compare."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        self._under_way += 1
        self._idle.clear()
        try:
            async with lock:
                yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def _local(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Run a verb of the journal in a worker thread."""
        return await anyio.to_thread.run_sync(lambda: function(*args, **kwargs))


def _order(entry: Entry) -> tuple[int, str]:
    return entry.saved_at, entry.member
