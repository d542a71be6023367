"""Sends what is pending to its destination, without undoing what others did there."""

import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import cast

from agentic_flywheel.coaia.mirror import TooLargeForMirror
from agentic_flywheel.documents.command import Command, FollowingCommand, Step
from agentic_flywheel.documents.commands import load_command
from agentic_flywheel.documents.delete import DeleteCommand
from agentic_flywheel.documents.lineage import began_with, lacks, operations_at_end
from agentic_flywheel.documents.model import Operation, expired
from agentic_flywheel.documents.parse import tombstone_of
from agentic_flywheel.documents.save import SaveCommand
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.errors import DeletedMeanwhile, DocumentError, JournalUnavailable
from agentic_flywheel.journal import Journal
from agentic_flywheel.journal.records import Pending
from agentic_flywheel.journal.threads import in_thread
from agentic_flywheel.replication.deleted_elsewhere import keep_pending
from agentic_flywheel.replication.remote_writer import Overtaken, RemoteWriter
from agentic_flywheel.replication.replica import copy_under

logger = logging.getLogger(__name__)


class Outbox:
    """Sends from the journal to its destination. Callers hold the key's lock."""

    def __init__(self, journal: Journal, remote: RemoteWriter, clock: Callable[[], datetime]) -> None:
        self.remote = remote
        self._journal = journal
        self._clock = clock

    async def drain(self, key: str, deadline: float, *, for_a_save: bool = False) -> None:
        """Send the pending changes of a key, oldest first; what the stash refuses for good becomes a dead letter.

        `for_a_save`: drops what expired before it was sent, because the session is about to begin anew.

        Raises:
            Unavailable: the stash does not take them now, or the journal cannot be read.

        """
        while True:  # overtaken, it compares anew with what the stash holds by then, till the deadline
            with contextlib.suppress(Overtaken):
                await self._drain_once(key, deadline, for_a_save=for_a_save)
                return

    async def _drain_once(self, key: str, deadline: float, *, for_a_save: bool) -> None:
        document, positions = await in_thread(self._journal.unsent_document, key)
        positions = await in_thread(self._readable, key, positions)
        if not positions:
            return
        remote: str | None = None
        try:
            remote = await self.remote.stash.read(key, deadline)
            if document and await self._send_whole(document, positions, remote, deadline, drop_expired=for_a_save):
                return
        except (DocumentError, TooLargeForMirror) as exc:
            logger.info("A document cannot be sent whole: %s", exc)
        await self._send_changes(key, document, remote, deadline)

    def _readable(self, key: str, positions: list[int]) -> list[int]:
        """The positions without those of changes that cannot be read, which become dead letters.

        The document stays while it holds other pending changes.
        """
        unreadable: list[int] = []
        for item in self._journal.pending(key):
            try:
                load_command(item.change)
            except DocumentError as exc:
                logger.warning("A pending change is a dead letter now: %s", exc)
                unreadable.append(item.position)
                drops = len(unreadable) == len(positions)
                self._journal.make_dead_letter(item.position, str(exc), drops_document=drops)
        return [position for position in positions if position not in unreadable]

    async def _send_changes(self, key: str, document: Write | None, remote: str | None, deadline: float) -> None:
        """Send the pending changes of a key one by one; `remote` is what the stash held just now."""
        sent, not_acked = 0, None
        # Read anew for each: another process of this machine may be draining the same outbox.
        while item := await in_thread(self._journal.next_pending, key, sent):
            try:
                kept = await self._sent(item, document, remote, deadline)
            except DeletedMeanwhile as exc:
                logger.warning("What was saved here to a session that was deleted elsewhere is kept on this machine.")
                await self._keep_here(item, exc.deleted_revision, deadline)
            except TooLargeForMirror:  # the journal alone keeps it, as it would have from the beginning
                await in_thread(self._journal.ack, [item.position], None)
            except DocumentError as exc:
                logger.warning("A pending change is a dead letter now: %s", exc)
                await in_thread(self._journal.make_dead_letter, item.position, str(exc))
            else:
                remote = kept.text if kept else None
                try:
                    await in_thread(self._journal.ack, [item.position], kept)
                except JournalUnavailable as exc:  # its disk is full: the others are sent, and all of them again later
                    if not kept or kept.tombstone:
                        raise  # nothing behind a deletion, which would delete it the second time
                    sent, not_acked = item.position, exc
        if not_acked:
            raise not_acked

    async def _send_whole(
        self, document: Write, positions: list[int], remote: str | None, deadline: float, *, drop_expired: bool
    ) -> bool:
        """Send the document, which holds every pending change, if the stash has none or went back; whether all is sent.

        One that has expired meanwhile is not sent, unless somebody else kept the session alive; it is dropped only
        after a while, so that a wrong clock does not lose it.
        """
        if expired(document.kept_until, self._clock()) and not document.tombstone:
            if remote is not None and not tombstone_of(remote):
                return False
            if not drop_expired and not await in_thread(self._journal.is_past_retention, document.key):
                return True
        elif remote is None:
            if not (await self.remote.stash.commit(replace(document, seen=None), deadline)).accepted:
                raise Overtaken
            await self._delete_parts(document, deadline)
        elif await in_thread(self._went_back_below, document, remote):
            await self.remote.merge_forward(document, deadline)
            await in_thread(self._journal.ack, positions, document)
            await self.remote.refresh_copy(document, deadline)
            return True
        else:
            return False
        await in_thread(self._journal.ack, positions, document)
        return True

    async def _delete_parts(self, document: Write, deadline: float) -> None:
        """Delete what goes with a session that was deleted here, whether or not it was begun anew since."""
        for item in await in_thread(self._journal.pending, document.key):
            if isinstance(change := load_command(item.change), DeleteCommand):
                await self.remote.delete_parts(change, deadline, was_pending=True)

    def _went_back_below(self, document: Write, remote: str) -> bool:
        """Whether the stash lacks writes that were in it when the pending changes of this document were made.

        Raises:
            Damaged: a pending change cannot be read.

        """
        if document.tombstone or tombstone_of(remote):
            return False
        pending = [load_command(item.change) for item in self._journal.pending(document.key)]
        if any(isinstance(change, DeleteCommand) for change in pending):  # what was there before goes
            return False
        names = {change.operation.partition("~")[0] for change in pending}
        operations = operations_at_end(document.text)
        base = pending[0].base if pending and isinstance(pending[0], SaveCommand) else None
        if base is None:
            before = [write for write in operations if write.id.partition("~")[0] not in names]
        else:
            before = [write for write in operations if write.revision <= base]
        # Of many writes of one process the document may name the pending ones alone: each names the one before it.
        follows = {change.follows for change in pending if isinstance(change, FollowingCommand)} - {"", *names}
        writes = [*before, *(Operation(name, 0, 0, 0) for name in follows)]
        if lacks(remote, writes) and (began := began_with(remote)) > 1:  # what was deleted there is not lost
            writes = [write for write in writes if write.revision >= began]
        return lacks(remote, writes)

    async def _sent(self, item: Pending, document: Write | None, remote: str | None, deadline: float) -> Write | None:
        """Send one change; the document that the stash holds then."""
        change = load_command(item.change)
        step: Step[object] = await self.remote.commit_with_retry(
            cast("Command[object]", change), None, deadline, start=remote, once=True
        )
        if step.write:
            return step.write
        text = await self.remote.stash.read(item.key, deadline)
        return document if text is None else copy_under(change, text)

    async def _keep_here(self, first: Pending, revision: int, deadline: float) -> None:
        """Keep on this machine the saves from `first` on, whose session was deleted elsewhere."""
        text = await self.remote.stash.read(first.key, deadline)
        remote = copy_under(load_command(first.change), text) if text else None
        await in_thread(keep_pending, self._journal, first, revision, remote, self._clock())
