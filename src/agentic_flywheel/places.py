"""Where documents are: the stash when it answers, the journal when it does not.

A change goes to the stash first; if that does not take it within its bound, it is committed to the journal,
together with an outbox entry that is sent on in the background (`upkeep.py`). What the stash holds and this machine
saw is copied to the journal, so that it is there when the stash is not.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Literal, TypeVar, cast

import anyio

from agentic_flywheel.change import BaseChange, Change, expired
from agentic_flywheel.changes import AnyChange, as_copy, dump_change, load_change
from agentic_flywheel.coaia.stash import BYTES_A_SECOND, Stash, TooLargeForMirror, revision_of
from agentic_flywheel.copies import Copies
from agentic_flywheel.errors import (
    Conflict,
    DeletedMeanwhile,
    Disabled,
    DocumentError,
    JournalUnavailable,
    StashRefused,
    StashUnavailable,
    StashUnreached,
    Unavailable,
    Unfinished,
)
from agentic_flywheel.journal import Journal
from agentic_flywheel.keylocks import Held, KeyLocks
from agentic_flywheel.keys import Keys
from agentic_flywheel.keyvalue import EVERY_ROW, Append, Entry, Filter, Write, revision_at_head
from agentic_flywheel.lineage import covers, operations_at_end
from agentic_flywheel.local import Matches, Pending, in_thread
from agentic_flywheel.operations import Writer
from agentic_flywheel.outbox import Outbox, is_buried, listed_as, went_back
from agentic_flywheel.pages import Page, entries_of, page, still_stored
from agentic_flywheel.saving import Renewal, Saved, SessionChange, recoverable
from agentic_flywheel.upkeep import Upkeep

logger = logging.getLogger(__name__)

FIRST_READ_SECONDS = 10.0
"""How long a read that only the stash can answer waits for the first child: eight at once take 3 s to start."""

AFTER_WAITING_SECONDS = 0.25
"""What is left to an operation that used up its bound waiting for others of the same key."""

COPIED_WITHIN_SECONDS = 0.2
"""How long a search waits for the copies of what was just saved."""

LARGE = 256 * 1024
"""Characters of a document from which on it is not read again while it is as it was."""

ANOTHER_PAGE_SECONDS = 0.3
"""What is left to a list that asks for one more page, and reads it."""

HELD_AT_CLOSING_SECONDS = 0.5
"""How long closing waits for writes under way before they are told to go to the journal."""

StoredIn = Literal["redis", "journal"]
Answer = TypeVar("Answer")


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


class Places:
    """The journal and, if Redis is to be used, the stash."""

    def __init__(
        self,
        journal: Journal,
        stash: Stash | None,
        keys: Keys,
        clock: Callable[[], datetime],
        *,
        closes_client: bool = True,
    ) -> None:
        self.journal = journal
        self.stash = stash
        self._locks = KeyLocks()
        self._copies = Copies(journal)
        self._outbox = Outbox(journal, stash, keys, clock) if stash else None
        self._upkeep = Upkeep(journal, self._outbox, self._locks, keys, clock)
        self._closes_client = closes_client
        self._clock = clock
        self._writer = Writer()

    def open(self) -> None:
        """Start the child and the upkeep in the background; returns at once."""
        if self.stash:
            self.stash.client.start()
        self._upkeep.start()

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
        try:
            with anyio.move_on_after(HELD_AT_CLOSING_SECONDS):
                await self._locks.idle()
            await self._upkeep.aclose()
        finally:
            await self.let_go()
            await self._locks.idle()  # every write is bounded, and with the child gone only the journal is left
            await in_thread(self.journal.close)

    async def drain(self) -> None:
        """Send what is pending to the stash, in order per key.

        Raises:
            StashUnavailable: it does not take it now.

        """
        await self._upkeep.drain()

    def bound(self, *, reading: bool = False) -> float:
        """The event loop's time by which what begins now must be done: one bound for all that one answer needs."""
        return self.stash.deadline(at_least=self._patience if reading else 0.0) if self.stash else 0.0

    async def write(self, change: Change[Answer], bound: float | None = None) -> Placed[Answer]:
        """Apply a change where it can be kept.

        Raises:
            DocumentError: it cannot be applied to what is stored.
            Unavailable: neither place can keep it.

        """
        self.check_enabled()
        bound = self.bound() if bound is None else bound
        async with self._locks.of(change.key) as held:
            # Numbered here, because the writes of a key must be made in the order of their numbers.
            change = self._named(change)
            pending, why, sent = self.stash is not None, "", False
            if self._outbox:
                try:
                    deadline = await self._ready(self._outbox.stash, bound)
                    copy = None
                    try:
                        glance = self.journal.glance(change.key)
                        if glance is None and (done := await self._append(self._outbox, change, deadline, held)):
                            return done
                        item, copy = glance or await in_thread(self.journal.look, change.key)
                        if item:
                            await self._outbox.drain(change.key, deadline, for_a_save=True)
                            copy = await in_thread(self.journal.copy, change.key)
                    except JournalUnavailable as exc:
                        logger.info("%s", exc)
                        # What may be pending there, unread, must not be taken for done because this one is.
                        self._writer = Writer()
                        change = self._named(change)
                    sent = True
                    moved = None if copy else await self._moving(self._outbox, change.key, deadline)
                    answer = await self._write_to_stash(self._outbox, change, copy or moved, deadline, held)
                    if moved:
                        await in_thread(self.journal.leave_this_machine, change.key)
                    return self._placed("redis", change, answer)
                except TooLargeForMirror:
                    pending = False
                except StashUnavailable as exc:
                    sent = sent and not isinstance(exc, StashUnreached)
                    logger.info("Saved to the journal: %s", exc)
                    why = f"Redis did not take it: {exc} "
            try:
                answer = await in_thread(self._write_to_journal, change, pending)
            except JournalUnavailable as exc:
                raise JournalUnavailable(f"{why}{exc}") from exc
            except Conflict as exc:
                if not sent:
                    raise
                # Somebody of this machine saved meanwhile, yet Redis may take, or have taken, this one before that.
                raise StashUnavailable(f"{why}Whether it was saved is not known: save the same again.") from exc
            self._upkeep.wake()
            return self._placed("journal", change, answer)

    def _named(self, change: Change[Answer]) -> Change[Answer]:
        return change.named(self._writer.next(), self._writer.newest(change.key))

    def _placed(self, stored_in: StoredIn, change: Change[Answer], answer: Answer) -> Placed[Answer]:
        if isinstance(change, SessionChange) and isinstance(answer, Saved) and answer.operations:
            self._writer.wrote(change.key, change.operation, answer.operations)
        return Placed(stored_in, answer)

    async def forget(self, prefix: str) -> None:
        """Drop this machine's copies of keys that begin so."""
        with contextlib.suppress(JournalUnavailable):
            for key in await in_thread(self.journal.keys, prefix):
                await in_thread(self.journal.drop, key)

    async def read_here(self, key: str) -> Found:
        """What this machine alone knows of `key`."""
        _, copy = await self._look(key)
        return Found(copy.text if copy else None, "journal", stale=False)

    async def renew(self, renewal: Renewal) -> None:
        """Start a session's clock again where it is kept; while that cannot be reached, nothing is done."""
        async with self._locks.of(renewal.key) as held:
            with contextlib.suppress(Unavailable, DocumentError):
                if self._outbox:
                    deadline = self._outbox.stash.deadline()
                    await self._outbox.drain(renewal.key, deadline)
                    copy = await in_thread(self.journal.copy, renewal.key)
                    await self._write_to_stash(self._outbox, renewal, copy, deadline, held)
                else:
                    await in_thread(self._write_to_journal, renewal, pending=False)

    async def read(self, key: str, member: str = "", index: str = "", bound: float | None = None) -> Found:
        """What is stored under `key`, expired or not; a session (`member` of `index`) is copied to the journal.

        What is known here is not waited for as long as `bound` may allow.

        Raises:
            Unavailable: it is not known.
            Damaged: something is stored that is no text of ours.

        """
        self.check_enabled()
        began = asyncio.get_running_loop().time()
        async with self._locks.of(key) as held:
            if self.stash is None or self._outbox is None:
                copy = await in_thread(self.journal.copy, key) or await self._of_this_machine(key)
                return Found(copy.text if copy else None, "journal", stale=False)
            item, copy = await self._look(key)
            known = copy and not expired(copy.kept_until, self._clock())
            try:
                size = len(copy.text) if copy else 0
                now = asyncio.get_running_loop().time()
                deadline = self.stash.deadline(size, at_least=0.0 if known else self._patience) - (now - began)
                if bound is not None:
                    deadline = min(deadline, bound + size / BYTES_A_SECOND)
                deadline = max(deadline, now + AFTER_WAITING_SECONDS)
                if item:
                    with contextlib.suppress(JournalUnavailable):
                        await self._outbox.drain(key, deadline)
                    item, copy = await self._look(key)
                found = await self._read_from_stash(self._outbox, key, copy, deadline)
            except StashUnavailable:
                # What is still pending was never anywhere but here, so that it expired is known too.
                if copy and (known or item):
                    return Found(copy.text, "journal", stale=True)
                if copy or (here := await self._of_this_machine(key)) is None:
                    raise
                return Found(here.text, "journal", stale=True)
            if found.source == "journal":
                return found
            text = found.text
            if copy and (text is None or (self.stash.mirror and revision_of(copy.text) >= revision_of(text))):
                return Found(copy.text, "journal", stale=False)
            if text is None and (here := await self._of_this_machine(key)):
                return Found(here.text, "journal", stale=False)
            if text is not None and (copy is None or copy.text != text):
                held.rest = self._learn(key, text, member, index)
            return Found(text, "redis", stale=False)

    async def _read_from_stash(self, outbox: Outbox, key: str, copy: Write | None, deadline: float) -> Found:
        """What the stash holds; what it lost and this machine has is merged forward first, in the answer at least."""
        if copy and len(copy.text) > LARGE and await outbox.stash.still_has(copy, deadline):
            return Found(copy.text, "redis", stale=False)
        text = await outbox.stash.read(key, deadline)
        if copy is None or text == copy.text or outbox.stash.mirror:
            return Found(text, "redis", stale=False)
        lost = text is None and not expired(copy.kept_until, self._clock())
        older = text is not None and (went_back(copy, text) or is_buried(copy, text))
        if lost or older:
            outbox.went_back = outbox.went_back or older
            try:
                await outbox.restore(copy, deadline)
                text = await outbox.stash.read(key, deadline)
            except (StashRefused, DocumentError) as exc:
                logger.info("Not put back: %s", exc)
                if older and text is not None:
                    return Found(outbox.merged(copy, text), "journal", stale=True)
        return Found(text, "redis", stale=False)

    async def recent(
        self,
        index: str,
        before: tuple[int, str] | None,
        limit: int,
        bound: float | None = None,
        wanted: Filter = EVERY_ROW,
    ) -> Page:
        """A page of the list; what is not `wanted` may be left out.

        Raises:
            Unavailable: there is none.

        """
        self.check_enabled()
        bound = self.bound(reading=True) if bound is None else bound
        return await page(self.journal, self.stash, index, before, limit, bound, wanted)

    async def bound_once_ready(self, bound: float | None) -> float:
        """Wait for the child till `bound`; the time by which a list of several pages must be done, from then on."""
        bound = self.bound(reading=True) if bound is None else bound
        if self.stash:
            with contextlib.suppress(StashUnavailable):
                await self.stash.ready(bound)
            return min(bound, self.stash.deadline())
        return bound

    def has_time(self, bound: float) -> bool:
        """Whether another page can be asked for till then; the journal alone needs no bound."""
        return self.stash is None or bound - asyncio.get_running_loop().time() > ANOTHER_PAGE_SECONDS

    async def still_stored(self, members: Sequence[str], bound: float) -> set[str]:
        """Those of these sessions that Redis holds, whatever the clock of this machine says."""
        return await still_stored(self.stash, members, bound)

    async def search(self, index: str, words: Sequence[str], needed: int) -> Matches:
        """The sessions on this machine with so many of the words, what was just saved among them.

        Raises:
            JournalUnavailable: they cannot be searched.

        """
        with anyio.move_on_after(COPIED_WITHIN_SECONDS):
            await self._locks.idle()
        return await in_thread(self.journal.search, index, words, needed)

    async def entries(self, index: str, members: Sequence[str], bound: float) -> list[Entry]:
        """The entries of these members of the list, as far as they are known.

        Raises:
            Unavailable: they are not known.

        """
        return await entries_of(self.journal, self.stash, index, members, bound) if members else []

    async def keys(self, prefix: str, bound: float) -> list[str]:
        """The keys that begin with `prefix`, here and, if it answers till `bound`, in the stash."""
        found: set[str] = set()
        with contextlib.suppress(JournalUnavailable):
            found.update(await in_thread(self.journal.keys, prefix))
        if self.stash:
            try:
                found.update(await self.stash.keys(prefix, bound))
            except Unfinished as exc:
                logger.warning("%s", exc)
                found.update(exc.found)
            except StashUnavailable as exc:
                logger.info("Only this machine's keys are known: %s", exc)
        return sorted(found)

    async def _of_this_machine(self, key: str) -> Write | None:
        """What belongs to this machine under `key`, while a Redis is in use."""
        with contextlib.suppress(JournalUnavailable):
            return await in_thread(self.journal.copy_of_this_machine, key)
        return None

    async def _moving(self, outbox: Outbox, key: str, deadline: float) -> Write | None:
        """What belongs to this machine and moves with its next change; `None` where the stash has one of its own."""
        copy = await self._of_this_machine(key)
        return copy if copy and await outbox.stash.read(key, deadline) is None else None

    async def _ready(self, stash: Stash, bound: float) -> float:
        """Wait for the child till `bound`; the time by which the operation must be done."""
        # Whoever waited for others of the same key gets a last moment, which is enough where Redis is well.
        deadline = max(bound, asyncio.get_running_loop().time() + AFTER_WAITING_SECONDS)
        await stash.ready(deadline)
        return deadline

    async def _write_to_stash(
        self, outbox: Outbox, change: Change[Answer], copy: Write | None, deadline: float, held: Held
    ) -> Answer:
        try:
            step = await outbox.settle(change, copy, deadline)
        except DeletedMeanwhile as exc:
            exc.kept = await self._kept_here(change, copy, exc.buried)
            with contextlib.suppress(StashUnavailable, DocumentError, JournalUnavailable):  # else upkeep learns of it
                if text := await outbox.stash.read(change.key, deadline):
                    member, index = listed_as(cast("AnyChange", change))
                    await in_thread(self.journal.remember, as_copy(change.key, text, member, index))
            raise
        if step.write:
            # Redis has it: nobody need wait until this machine has its copy, but the next one who wants the key.
            held.rest = self._copy_here(change, [w for w in (step.write, step.replaced, step.loser) if w])
        return step.answer

    async def _append(
        self, outbox: Outbox, change: Change[Answer], deadline: float, held: Held
    ) -> Placed[Answer] | None:
        """Add to a large document of which only the ends are looked at; `None` where that is not enough."""
        if not change.appends or not outbox.stash.atomic:
            return None
        pending, ends = await in_thread(self.journal.ends, change.key)
        grown = change.onto(ends, self._clock()) if ends and not pending else None
        if grown is None:
            return None
        append, answer = grown
        outcome = await outbox.stash.append(append, deadline)
        if outcome.accepted:
            held.rest = self._copy_here(change, [append])
            return Placed("redis", answer)
        there = outcome.current
        if there is None or not covers(there, append.seen.head + append.seen.tail):
            return None
        step = await outbox.settle(change, None, deadline, start=there)  # others added to it meanwhile
        if step.write:
            held.rest = self._copy_here(change, [step.write])
        return Placed("redis", step.answer)

    async def _copy_here(self, change: Change[Answer], writes: Sequence[Write | Append]) -> None:
        if not await self._copies.keep(*writes):
            # Another process of this machine has something pending: what is shown here shall hold both.
            with contextlib.suppress(JournalUnavailable, DocumentError):
                await in_thread(self._write_to_journal, change, pending=False)

    async def _kept_here(self, change: Change[Answer], copy: Write | None, revision: int) -> bool:
        """Whether what a save would have come to is kept as an older revision on this machine."""
        if not isinstance(change, SessionChange) or not change.revisions:
            return False

        def keep() -> None:
            before = self.journal.copy(f"{change.revisions}{revision}")
            base = before or (None if copy is None or copy.tombstone else copy)
            self.journal.keep(recoverable(change, base.text if base else None, revision, self._clock()))

        try:
            await in_thread(keep)
        except (JournalUnavailable, DocumentError) as exc:
            logger.warning("A save to a deleted session could not be kept: %s", exc)
            return False
        return True

    def _write_to_journal(self, change: Change[Answer], pending: bool) -> Answer:  # noqa: FBT001
        pending = pending or (self.stash is None and self.journal.has_destination())  # told when it is used again
        if grown := self._append_here(change, pending):
            return grown.answer
        while True:
            copy = self.journal.copy(change.key)
            if copy is None and self.journal.move_from_this_machine(change.key):
                copy = self.journal.copy(change.key)
            known = change.knowing(self._as_the_stash_has_it(copy) if pending else copy, self._clock())
            step = known.apply(copy.text if copy else None, self._clock())
            if step.write is None:
                return step.answer
            command, supersedes = self._to_send(step.pending, copy) if pending else (None, False)
            write, older = step.write, step.replaced
            if self.journal.commit(write, command, older, durable=True, supersedes=supersedes).accepted:
                return step.answer

    def _append_here(self, change: Change[Answer], pending: bool) -> Placed[Answer] | None:  # noqa: FBT001
        """The same in the journal."""
        _, ends = self.journal.ends(change.key) if change.appends else (False, None)
        grown = change.onto(ends, self._clock()) if ends else None
        command = dump_change(cast("AnyChange", change)) if pending else None
        if grown and self.journal.commit(grown[0], command, durable=True).accepted:
            return Placed("journal", grown[1])
        return None

    def _to_send(self, change: BaseChange, copy: Write | None) -> tuple[str, bool]:
        """A change as it is sent later, and whether it makes those before it needless: a replace has all that is left.

        It remembers the revision on which the first of them was made, which the stash is to have still.
        """
        if not isinstance(change, SessionChange):
            return dump_change(cast("AnyChange", change)), False
        base: int | None = revision_at_head(copy.text) if copy and not copy.tombstone else 0
        first = self.journal.next_pending(change.key)
        if first:
            with contextlib.suppress(DocumentError):
                before = load_change(first.change)
                base = before.base if isinstance(before, SessionChange) else None
        supersedes = bool(first) and base is not None and change.mode == "replace"
        more: dict[str, object] = {}
        if supersedes and copy:  # it replaces what the first of them was made on
            before = [write.id for write in operations_at_end(copy.text) if write.revision <= (base or 0)]
            more = {"replaces": base, "expects": before[-1] if before else ""}
        return dump_change(change.model_copy(update={"base": base, **more})), supersedes

    def _as_the_stash_has_it(self, copy: Write | None) -> Write | None:
        """The copy if nothing of it is pending; revisions that were given here are no revisions of the stash."""
        return copy if copy and self.journal.next_pending(copy.key) is None else None

    def check_enabled(self) -> None:
        """Raise `Disabled` if nothing is ever kept."""
        if self.stash is None and self.journal.off:
            raise Disabled("Persistence is switched off (REDIS_ENABLED=false and FLYWHEEL_JOURNAL=false).")

    @property
    def _patience(self) -> float:
        """How long a read that only the stash can answer may wait for the first child, in seconds."""
        return 0.0 if self.stash is None or self.stash.client.was_ready else FIRST_READ_SECONDS

    async def _look(self, key: str) -> tuple[Pending | None, Write | None]:
        """What is pending of a key, and what the journal knows; nothing where it cannot be read."""
        try:
            return self.journal.glance(key) or await in_thread(self.journal.look, key)
        except JournalUnavailable as exc:
            logger.info("%s", exc)
            return None, None

    async def _learn(self, key: str, text: str, member: str, index: str) -> None:
        """Keep a copy of what somebody else wrote."""
        with contextlib.suppress(DocumentError):
            await self._copies.keep(as_copy(key, text, member, index))
