"""Reads and writes documents: in the stash when it answers, in the journal when it does not.

A change goes to the stash first; if that does not take it by the deadline, it is committed to the journal together with
an outbox row that is sent in the background (`worker.py`). What the stash holds and this machine saw is copied to the
journal, so that it is there when the stash is not.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import anyio

from agentic_flywheel.coaia.stash import Stash
from agentic_flywheel.documents.command import Command
from agentic_flywheel.documents.delete import DeleteCommand, Deleted
from agentic_flywheel.documents.renewal import RenewCommand
from agentic_flywheel.documents.writes import EVERY_ROW, Filter, ListRow
from agentic_flywheel.errors import (
    Disabled,
    DocumentError,
    StashUnavailable,
    Unavailable,
)
from agentic_flywheel.journal import Erased, Journal
from agentic_flywheel.journal.question import Question
from agentic_flywheel.journal.records import Matches
from agentic_flywheel.journal.threads import close_last, in_thread
from agentic_flywheel.keys import Keys
from agentic_flywheel.replication.answers import Found, Placed
from agentic_flywheel.replication.document_reader import DocumentReader, start_timeout
from agentic_flywheel.replication.document_writer import DocumentWriter
from agentic_flywheel.replication.key_locks import KeyLocks
from agentic_flywheel.replication.list_replica import ListReplica
from agentic_flywheel.replication.mover import Mover
from agentic_flywheel.replication.outbox import Outbox
from agentic_flywheel.replication.remote_writer import RemoteWriter
from agentic_flywheel.replication.replica import Replica
from agentic_flywheel.replication.session_list import Page, SessionList
from agentic_flywheel.replication.worker import ReplicationWorker
from agentic_flywheel.session_keys import SessionKeys

logger = logging.getLogger(__name__)

COPIED_WITHIN_SECONDS = 0.2
"""How long a search, and a deletion, wait for the copies of what was just saved."""

ANOTHER_PAGE_SECONDS = 0.3
"""The time that a list must have left to ask for one more page and read it."""

HELD_AT_CLOSING_SECONDS = 0.5
"""How long closing waits for writes under way before it sends them to the journal."""

Answer = TypeVar("Answer")


class Repository:
    """The journal and, if Redis is used, the stash."""

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
        self._replica = Replica(journal)
        self._outbox = outbox = Outbox(journal, RemoteWriter(journal, stash, keys, clock), clock) if stash else None
        self._reader = DocumentReader(journal, outbox, self._replica, clock)
        self._writer = DocumentWriter(journal, outbox, self._replica, clock)
        self._worker = ReplicationWorker(journal, outbox, self._locks, keys, clock)
        self._sessions = SessionList(journal, stash)
        self._list_replica = ListReplica(journal, self._sessions, keys, lambda: self._worker.listed)
        self._mover = Mover(journal, outbox, self._replica, self._locks)
        self._closes_client = closes_client

    def open(self) -> None:
        """Start the child and the worker in the background; returns at once."""
        if self.stash:
            self.stash.supervisor.start()
        self._worker.start()

    async def wait_for_child(self, seconds: float) -> None:
        """Wait until the child answers or cannot be started, for `seconds` at most."""
        if self.stash:
            with contextlib.suppress(StashUnavailable):
                await self.stash.supervisor.ready(self.stash.deadline(at_least=seconds))

    async def close_client(self) -> None:
        """End the child now, unless it was given: writes that wait for it go to the journal."""
        if self.stash and self._closes_client:
            await self.stash.supervisor.aclose()

    async def aclose(self) -> None:
        """Let writes under way finish (in the journal if need be), drain for a moment, end the child."""
        try:
            with anyio.move_on_after(HELD_AT_CLOSING_SECONDS):
                await self._locks.idle()
            await self._list_replica.aclose()
            await self._worker.aclose()
        finally:
            await self.close_client()
            await self._locks.idle()  # every write is bounded, and with the child gone only the journal is left
            if self.journal.unwiped:
                await in_thread(self.journal.wipe)
            await in_thread(close_last, self.journal, asyncio.get_running_loop())

    def check_enabled(self) -> None:
        """Raise `Disabled` if nothing is kept anywhere."""
        if self.stash is None and self.journal.off:
            raise Disabled("Persistence is switched off: FLYWHEEL_JOURNAL is false, and there is no other store.")

    def deadline(self, *, reading: bool = False) -> float:
        """The deadline of what begins now: one for all that one answer needs."""
        return self.stash.deadline(at_least=start_timeout(self.stash) if reading else 0.0) if self.stash else 0.0

    async def deadline_once_ready(self, deadline: float | None) -> float:
        """Wait for the child till `deadline`; the deadline of a list of several pages, from then on."""
        deadline = self.deadline(reading=True) if deadline is None else deadline
        if self.stash:
            with contextlib.suppress(StashUnavailable):
                await self.stash.ready(deadline)
            return min(deadline, self.stash.deadline())
        return deadline

    def has_time(self, deadline: float) -> bool:
        """Whether another page can be asked for till then; the journal alone needs no deadline."""
        return self.stash is None or deadline - asyncio.get_running_loop().time() > ANOTHER_PAGE_SECONDS

    async def write(self, change: Command[Answer], deadline: float | None = None) -> Placed[Answer]:
        """Apply a change where it can be kept.

        Raises:
            DocumentError: it cannot be applied to what is stored.
            Unavailable: neither the stash nor the journal can keep it.

        """
        self.check_enabled()
        deadline = self.deadline() if deadline is None else deadline
        async with self._locks.of(change.key, in_a_row=change.goes_on) as held:
            placed = await self._writer.write(change, deadline, held)
        if placed.stored_in == "journal":
            self._worker.wake()
        return placed

    async def remove(self, key: str) -> None:
        """Delete a document that is no session, if there is one; `forget` leaves no trace of it.

        Raises:
            DocumentError: it cannot be deleted.
            Unavailable: it may still be there.

        """
        placed = await self.write(DeleteCommand(key=key, member=""))
        if placed.answer.reason == "not_found" and placed.stored_in == "journal" and self.stash:
            raise StashUnavailable("Redis does not answer, and may well have it: nothing was deleted.")

    async def forget(self, keys: Sequence[str]) -> None:
        """Leave no text of documents that were deleted in the files of this machine, soon."""
        if not self.journal.off:
            await self._locks.settle(COPIED_WITHIN_SECONDS)  # the tombstones, in the place of the copies
            await in_thread(self.journal.forget, keys)
            self._worker.wipe_soon()

    def expires(self, found: Found) -> bool:
        """Whether it was read from a Redis that expires documents by itself: this machine's clock is not asked then."""
        return found.source == "redis" and self.stash is not None and self.stash.atomic

    def clock_ahead(self) -> timedelta:
        """By how much the clock here is ahead of Redis', as far as that is known."""
        return self.stash.remote_clock.ahead if self.stash else timedelta()

    async def renew(self, renewal: RenewCommand) -> None:
        """Start a session's clock again where it is kept; do nothing while that cannot be reached."""
        async with self._locks.of(renewal.key) as held:
            with contextlib.suppress(Unavailable, DocumentError):
                await self._writer.renew(renewal, held)

    async def send(self, keys: SessionKeys, index: str) -> None:
        """Move a session that belongs to this machine to the stash, merged with what that has, as an append is.

        Raises:
            DocumentError: it cannot be merged with what is there.
            Unavailable: not all of it could be moved; the rest stays on this machine.

        """
        await self._mover.move(keys, index)

    async def erase(self, keys: SessionKeys, deleted: Deleted) -> Erased:
        """Erase what is here of a session that was deleted, unless it was with the session itself.

        Raises:
            JournalUnavailable: it is still there.

        """
        if self.journal.off:
            return Erased(0, wiped=True)
        if deleted.wiped is not None:
            self._worker.wipe_soon()
            return Erased(0, wiped=deleted.wiped)
        await self._locks.settle(COPIED_WITHIN_SECONDS)  # copies of its executions, and the tombstone in its place
        async with self._locks.of(keys.session):
            erased = await in_thread(self.journal.erase, keys)
        self._worker.wipe_soon()
        return erased

    async def read(self, key: str, member: str = "", index: str = "", deadline: float | None = None) -> Found:
        """What is stored under `key`, expired or not; a session (`member` of `index`) is copied to the journal.

        Raises:
            Unavailable: it is not known.
            Damaged: something is stored that is no text of ours.

        """
        self.check_enabled()
        began = asyncio.get_running_loop().time()
        async with self._locks.of(key, in_a_row=True) as held:
            found, copy = await self._reader.read(key, began, deadline, held)
            if found.source == "redis" and found.text is not None and (copy is None or copy.text != found.text):
                if self._outbox:
                    self._outbox.remote.hear(key, found.text)
                held.follow_up = self._replica.put_text(key, found.text, member, index, self._replica.marks)
            return found

    async def read_local(self, key: str) -> Found:
        """What this machine has under `key`; the stash is not asked."""
        _, copy = await self._replica.lookup(key)
        return Found(copy.text if copy else None, "journal", stale=False)

    async def recent(
        self,
        index: str,
        before: tuple[int, str] | None,
        limit: int,
        deadline: float | None = None,
        wanted: Filter = EVERY_ROW,
    ) -> Page:
        """A page of the list; what is not `wanted` may be left out.

        Raises:
            Unavailable: there is none.

        """
        self.check_enabled()
        deadline = self.deadline(reading=True) if deadline is None else deadline
        return await self._sessions.page(index, before, limit, deadline, wanted)

    async def still_stored(self, members: Sequence[str], deadline: float) -> set[str]:
        """Those of these sessions that Redis holds, whatever the clock of this machine says."""
        return await self._sessions.still_stored(members, deadline)

    async def entries(self, index: str, members: Sequence[str], deadline: float) -> list[ListRow]:
        """The entries of these members of the list, as far as they are known.

        Raises:
            Unavailable: they are not known.

        """
        return await self._sessions.entries(index, members, deadline)

    async def refresh_list(self, index: str, deadline: float) -> Page:
        """Bring the rows of the shared list here that are new; a page without entries that says how that went."""
        return await self._list_replica.refresh(index, deadline)

    async def search(self, index: str, question: Question) -> Matches:
        """The sessions known on this machine that answer the question, what was just saved among them.

        Raises:
            JournalUnavailable: they cannot be searched.

        """
        with anyio.move_on_after(COPIED_WITHIN_SECONDS):
            await self._locks.idle()
        matches = await in_thread(self.journal.search, index, question)
        if matches.unread:
            self._list_replica.go_on(index)
        return matches
