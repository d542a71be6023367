"""Writes documents: to the stash, or, where that does not take them in time, to the journal with an outbox row."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar, cast

from agentic_flywheel.coaia.mirror import TooLargeForMirror
from agentic_flywheel.coaia.stash import Stash
from agentic_flywheel.documents.command import Command, FollowingCommand, Step
from agentic_flywheel.documents.commands import AnyCommand
from agentic_flywheel.documents.execution import ExecutionCommand
from agentic_flywheel.documents.flow_history import Added
from agentic_flywheel.documents.lineage import covers
from agentic_flywheel.documents.renewal import RenewCommand
from agentic_flywheel.documents.save import SaveCommand
from agentic_flywheel.documents.saved import Saved
from agentic_flywheel.documents.write_ids import Writer
from agentic_flywheel.documents.writes import Append, Write, ends_after
from agentic_flywheel.errors import (
    Conflict,
    DeletedMeanwhile,
    DocumentError,
    JournalUnavailable,
    NothingToSave,
    StashUnavailable,
    StashUnreached,
)
from agentic_flywheel.journal import Journal
from agentic_flywheel.journal.journal import LARGE, LARGEST_NOWAIT
from agentic_flywheel.journal.records import Pending
from agentic_flywheel.journal.threads import in_thread
from agentic_flywheel.replication.answers import Placed, StoredIn
from agentic_flywheel.replication.deleted_elsewhere import keep_save
from agentic_flywheel.replication.kept_apart import keep_both
from agentic_flywheel.replication.key_locks import AFTER_WAITING_SECONDS, Held
from agentic_flywheel.replication.local_writer import LocalWriter
from agentic_flywheel.replication.outbox import Outbox
from agentic_flywheel.replication.remote_writer import Overtaken, RemoteWriter
from agentic_flywheel.replication.replica import Replica, copy_under

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")


@dataclass
class _Attempt(Generic[Answer]):
    """A change whose key is `held`; `sent`: the stash may have taken it without an answer."""

    change: Command[Answer]
    held: Held
    sent: bool = False


class DocumentWriter:
    """Writes through the `outbox`, if a stash is used, else to the journal. Callers hold the key's lock."""

    def __init__(
        self, journal: Journal, outbox: Outbox | None, replica: Replica, clock: Callable[[], datetime]
    ) -> None:
        self._journal = journal
        self._outbox = outbox
        self._replica = replica
        self._local = LocalWriter(journal, clock, offline=outbox is None)
        self._clock = clock
        self._write_ids = Writer()

    async def write(self, change: Command[Answer], deadline: float, held: Held) -> Placed[Answer]:
        """Apply a change where it can be kept.

        Raises:
            DocumentError: it cannot be applied to what is stored.
            Unavailable: neither the stash nor the journal can keep it.

        """
        # Named under the lock, because the writes of a key must be made in the order of their names.
        attempt = _Attempt(self._named(change), held)
        pending, why = self._outbox is not None, ""
        if self._outbox:
            try:
                return await self._write_to_stash(self._outbox, attempt, deadline)
            except TooLargeForMirror:
                pending = False
            except StashUnavailable as exc:
                attempt.sent = attempt.sent and not isinstance(exc, StashUnreached)
                logger.info("Saved to the journal: %s", exc)
                why = f"Redis did not take it: {exc} "
        return await self._write_to_journal(attempt, why, pending=pending)

    async def renew(self, renewal: RenewCommand, held: Held) -> None:
        """Start a session's clock again where it is kept.

        Raises:
            DocumentError, Unavailable: it cannot be, or not now.

        """
        if self._outbox is None:
            await in_thread(self._local.write, renewal, pending=False)
            return
        deadline = self._outbox.remote.stash.deadline()
        await self._outbox.drain(renewal.key, deadline)
        copy = await in_thread(self._journal.copy, renewal.key)
        await self._commit(self._outbox.remote, renewal, copy, deadline, held)

    async def _write_to_stash(self, outbox: Outbox, attempt: _Attempt[Answer], deadline: float) -> Placed[Answer]:
        # An operation that waited for others of its key gets a last moment, which is enough where Redis is well.
        deadline = max(deadline, asyncio.get_running_loop().time() + AFTER_WAITING_SECONDS)
        await outbox.remote.stash.ready(deadline)
        key = attempt.change.key
        copy = None
        try:
            found = self._found(attempt)
            if found is None and (appended := await self._append(outbox.remote, attempt, deadline)):
                return appended
            if found is None:
                await attempt.held.settled()
            pending, copy = found or await in_thread(self._journal.lookup, key)
            if pending:
                await outbox.drain(key, deadline, for_a_save=True)
                copy = await in_thread(self._journal.copy, key)
        except JournalUnavailable as exc:
            logger.info("%s", exc)
            # A new writer id: what may be pending, unread, must not be taken for done because this one is.
            self._write_ids = Writer()
            attempt.change = self._named(attempt.change)
        attempt.sent = True
        moved = None if copy else await self._moving(outbox.remote.stash, key, deadline)
        answer = await self._commit(outbox.remote, attempt.change, copy or moved, deadline, attempt.held)
        if moved:
            await in_thread(self._journal.leave_this_machine, key, moved.text)
        return self._placed("redis", attempt.change, answer)

    def _found(self, attempt: _Attempt[Answer]) -> tuple[Pending | None, Write | None] | None:
        """What is pending, and what is here; `None` where that is large, or has to be looked up in a thread."""
        most = LARGE if attempt.change.appends else LARGEST_NOWAIT
        written = attempt.held.written_before
        if written is None:
            return self._journal.lookup_nowait(attempt.change.key, most)
        if isinstance(written, Append) or (attempt.change.appends and len(written.text) > most):
            return None
        return None, written

    async def _write_to_journal(self, attempt: _Attempt[Answer], why: str, *, pending: bool) -> Placed[Answer]:
        """Write to the journal; `why` says what the stash answered."""
        await attempt.held.settled()
        try:
            answer = await in_thread(self._local.write, attempt.change, pending=pending)
        except JournalUnavailable as exc:
            raise JournalUnavailable(f"{why}{exc}") from exc
        except NothingToSave as exc:
            if not pending:
                raise
            raise StashUnavailable(f"{why}Such a session may well exist there, so nothing was begun here.") from exc
        except Conflict as exc:
            if attempt.sent:  # another process of this machine saved meanwhile; Redis may have taken this one before
                raise StashUnavailable(f"{why}Whether it was saved is not known: save the same again.") from exc
            if pending and (expected := _beyond(attempt.change, exc)):
                raise StashUnavailable(f"{why}Revision {expected} may well be there; this machine has none.") from exc
            raise
        return self._placed("journal", attempt.change, answer)

    async def _append(self, remote: RemoteWriter, attempt: _Attempt[Answer], deadline: float) -> Placed[Answer] | None:
        """Append to a large document by its ends alone; `None` where that is not enough."""
        change = attempt.change
        if not change.appends or not remote.stash.appends:
            return None
        written = attempt.held.written_before
        pending, ends = (False, ends_after(written)) if written else await in_thread(self._journal.ends, change.key)
        change = change.with_clock_ahead(remote.stash.remote_clock.may_be_ahead)
        grown = change.onto(ends, self._clock()) if ends and not pending else None
        if grown is None:
            return None
        append, answer = grown
        outcome = await remote.stash.append(append, deadline)
        if outcome.accepted:
            attempt.held.follow_up, attempt.held.wrote = self._copy(change, self._replica.marks, append), append
            return self._placed("redis", change, answer)
        current = outcome.current
        while current is not None and covers(current, append.seen.head + append.seen.tail):
            # Others added to it meanwhile. What the stash loses now would not be missed: no copy is at hand.
            try:
                step = await remote.commit_with_retry(change, None, deadline, start=current, once=True)
                break
            except Overtaken:
                current = await remote.stash.read(change.key, deadline)
        else:
            return None
        if step.write:
            attempt.held.follow_up, attempt.held.wrote = self._copy(change, self._replica.marks, step.write), step.write
        return self._placed("redis", change, step.answer)

    async def _commit(
        self, remote: RemoteWriter, change: Command[Answer], copy: Write | None, deadline: float, held: Held
    ) -> Answer:
        try:
            step = await remote.commit_with_retry(change, copy, deadline)
        except DeletedMeanwhile as exc:
            await held.settled()
            exc.kept = await in_thread(keep_save, self._journal, change, copy, exc.deleted_revision, self._clock())
            with contextlib.suppress(StashUnavailable, DocumentError, JournalUnavailable):  # else the worker does
                if text := await remote.stash.read(change.key, deadline):
                    remote.hear(change.key, text)
                    await in_thread(self._journal.put_replica, copy_under(cast("AnyCommand", change), text))
            raise
        if step.write:
            # Redis has it: only the next holder of the key waits until this machine has its copy, if it has to.
            held.follow_up, held.wrote = self._copy(change, self._replica.marks, *_writes(step)), step.write
        return step.answer

    async def _copy(self, change: Command[Answer], since: int, *writes: Write | Append) -> bool:
        """Copy what the stash took; whether what is stored there is still that, as far as this machine knows."""
        left_out = await self._replica.put(*writes, since=since)
        with contextlib.suppress(JournalUnavailable, DocumentError):
            is_pending = bool(left_out.pending)
            if left_out.apart and not is_pending and self._outbox:
                apart = [write for write in writes if write.key in left_out.apart]
                merge_of = self._outbox.remote.merge_of
                is_pending = await in_thread(keep_both, self._journal, merge_of, change, apart, self._clock())
            if is_pending:
                # Another process of this machine has a change pending: the document here is to hold both. Behind that
                # one this is sent too, or it would not be missed if Redis lost it by then.
                await in_thread(self._local.write, change, pending=isinstance(change, FollowingCommand))
        return not (left_out.pending or left_out.apart)

    async def _moving(self, stash: Stash, key: str, deadline: float) -> Write | None:
        """The document of this machine that moves with its next change; `None` where the stash has one of its own."""
        copy = await self._replica.of_this_machine(key)
        return copy if copy and await stash.read(key, deadline) is None else None

    def _named(self, change: Command[Answer]) -> Command[Answer]:
        return change.with_write_id(self._write_ids.next(), self._write_ids.newest(change.key))

    def _placed(self, stored_in: StoredIn, change: Command[Answer], answer: Answer) -> Placed[Answer]:
        if isinstance(answer, Saved | Added) and answer.operations:
            self._write_ids.wrote(change.key, change.operation, answer.operations)
        return Placed(stored_in, answer)


def _beyond(change: Command[Any], conflict: Conflict) -> int | None:
    """The revision that a change expects, if it is above all that are here: the stash alone may have it."""
    expected = change.expected_revision if isinstance(change, SaveCommand | ExecutionCommand) else None
    known = isinstance(conflict, DeletedMeanwhile) or expected is None or expected <= conflict.revision
    return None if known else expected


def _writes(step: Step[Answer]) -> list[Write]:
    """All that a step writes."""
    return [write for write in (step.write, step.archived, step.superseded_write) if write]
