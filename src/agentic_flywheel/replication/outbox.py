"""The outbox: how a change reaches its destination, at once or later, without undoing what others did there."""

import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TypeVar, cast

from agentic_flywheel.coaia.stash import Stash, TooLargeForMirror
from agentic_flywheel.documents.command import Command, Step, expired
from agentic_flywheel.documents.commands import AnyCommand, as_copy, load_command
from agentic_flywheel.documents.delete import DeleteCommand, TombstoneCommand
from agentic_flywheel.documents.import_document import ImportCommand
from agentic_flywheel.documents.lineage import MergeForwardCommand, covers, lacks, operations_at_end, tombstone_beats
from agentic_flywheel.documents.model import Document
from agentic_flywheel.documents.parse import decode, tombstone_of
from agentic_flywheel.documents.renewal import RenewCommand
from agentic_flywheel.documents.save import SaveCommand, recoverable
from agentic_flywheel.documents.superseded import as_older
from agentic_flywheel.documents.write_ids import Writer
from agentic_flywheel.documents.writes import Write, revision_at_head
from agentic_flywheel.errors import (
    DeletedMeanwhile,
    DocumentError,
    JournalUnavailable,
    StashUnavailable,
    Unfinished,
)
from agentic_flywheel.journal import Journal
from agentic_flywheel.journal.records import Pending, in_thread
from agentic_flywheel.keys import Keys

logger = logging.getLogger(__name__)

APPLIED_AT_ONCE = 256 * 1024
"""Characters of a document to which a change is applied on the event loop."""

Answer = TypeVar("Answer")


class _Overtaken(Exception):  # noqa: N818  nothing went wrong
    """Somebody else committed meanwhile."""


class Outbox:
    """The way from the journal to its destination. Whoever calls holds the key's lock."""

    def __init__(self, journal: Journal, stash: Stash, keys: Keys, clock: Callable[[], datetime]) -> None:
        self.stash = stash
        self._journal = journal
        self._keys = keys
        self._clock = clock
        self._writer = Writer()
        self.went_back = False
        """Whether the stash was seen to have gone back to an older state: then all copies are to be verified."""

    async def settle(
        self,
        change: Command[Answer],
        copy: Write | None,
        deadline: float,
        *,
        start: str | None = None,
        once: bool = False,
    ) -> Step[Answer]:
        """Apply and commit until nobody else commits in between; only `once`, where `start` was looked at closely.

        Begins with the journal's copy, which is what the stash holds unless another machine saved since, or with
        `start`, what it held just now. If the stash has lost the document altogether, the copy stands in for it; if it
        went back to an older one, the copy is merged forward first.

        Raises:
            DocumentError: the change cannot be applied to what the stash holds.
            StashUnavailable: whether it arrived is unknown.
            _Overtaken: somebody else committed since `start`.

        """
        change = change.with_base_revision(copy, self._clock())
        base = seen = copy.text if copy else start
        # What has expired here may be alive there: somebody else renewed it, or this machine's clock is wrong.
        guess = not (copy and expired(copy.kept_until, self._clock()))
        confirmed = False
        merged: str | None = None
        held = copy is None and start is not None and self.stash.atomic
        while True:
            try:
                step = await self._applied(change, base, alive_remotely=held) if guess or confirmed else None
            except DocumentError:
                if confirmed:
                    raise
                step = None
            if step and step.write:
                splice = step.write.splice if base is seen else None
                write = replace(step.write, seen=seen, splice=splice)
                outcome = await self.stash.commit(write, deadline, step.archived)
                if outcome.accepted:
                    await self._see_to_the_rest(change, step, deadline)
                    return step
                seen = outcome.current
                if once:
                    raise _Overtaken
            elif step and confirmed:
                await self._see_to_the_rest(change, step, deadline)
                return step
            else:
                seen = await self.stash.read(change.key, deadline)
                if once and seen != start:
                    raise _Overtaken
            if copy and seen is not None and seen != merged and went_back(copy, seen):
                self.went_back = True
                await self.merge_forward(copy, deadline)
                seen = merged = await self.stash.read(change.key, deadline)
            base, confirmed, held = seen, True, seen is not None and self.stash.atomic
            if copy and (seen is None or _beats(copy, seen) or is_buried(copy, seen)):
                base, held = copy.text, False

    async def _applied(self, change: Command[Answer], base: str | None, *, alive_remotely: bool) -> Step[Answer]:
        """What the change comes to; in a thread where it may take long."""
        if base is None or len(base) <= APPLIED_AT_ONCE:
            return change.apply(base, self._clock(), alive_remotely=alive_remotely)
        return await in_thread(change.apply, base, self._clock(), alive_remotely=alive_remotely)

    async def merge_forward(self, copy: Write, deadline: float) -> None:
        """Bring a copy back on top of what the stash has; what goes on from it, and a deletion, stay.

        Raises:
            DocumentError: what is there cannot be read.
            StashUnavailable: whether it is there again is unknown.

        """
        step = await self.settle(self._merge_of(copy), None, deadline)
        if step.answer and step.write and step.write.text != copy.text:
            logger.warning("Redis had gone back to an older state of a session; what it lacked was merged in.")

    def merged(self, copy: Write, there: str) -> str:
        """What the stash would hold if it took the copy back; a tombstone wins."""
        if copy.tombstone:
            return copy.text
        try:
            step = self._merge_of(copy).apply(there, self._clock())
        except DocumentError:
            return copy.text
        return step.write.text if step.write else there

    def _merge_of(self, copy: Write) -> MergeForwardCommand:
        member = copy.key.removeprefix(self._keys.sessions) if copy.key.startswith(self._keys.sessions) else ""
        return MergeForwardCommand(
            key=copy.key,
            operation=self._writer.next(),
            member=member,
            index=self._keys.index if member else "",
            revisions=self._keys.revisions(member) if member else "",
            text=copy.text,
        )

    async def drain(self, key: str, deadline: float, *, for_a_save: bool = False) -> None:
        """Send the pending changes of a key, oldest first; what the stash refuses for good becomes a dead letter.

        `for_a_save`: what expired before it was sent is dropped, because the session is about to begin anew.

        Raises:
            Unavailable: the stash does not take them now, or the journal cannot be read.

        """
        while True:  # where it is overtaken, what is there now is looked at as closely, till the deadline
            with contextlib.suppress(_Overtaken):
                await self._drain_once(key, deadline, for_a_save=for_a_save)
                return

    async def _drain_once(self, key: str, deadline: float, *, for_a_save: bool) -> None:
        document, positions = await in_thread(self._journal.unsent_document, key)
        positions = await in_thread(self._readable, key, positions)
        if not positions:
            return
        remote: str | None = None
        try:
            remote = await self.stash.read(key, deadline)
            if document and await self._send_whole(document, positions, remote, deadline, drop_expired=for_a_save):
                return
        except (DocumentError, TooLargeForMirror) as exc:
            logger.info("A document cannot be sent whole: %s", exc)
        await self._send_changes(key, document, remote, deadline)

    def _readable(self, key: str, positions: list[int]) -> list[int]:
        """The positions without those of changes that cannot be read, which become dead letters.

        What else the document holds is still to be sent.
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
        sent, untold = 0, None
        # Read anew for each: another process of this machine may be draining the same outbox.
        while item := await in_thread(self._journal.next_pending, key, sent):
            try:
                kept = await self._sent(item, document, remote, deadline)
            except DeletedMeanwhile as exc:
                logger.warning("What was saved here to a session that was deleted elsewhere is kept on this machine.")
                await self._keep_what_was_deleted(item, exc.deleted_revision, deadline)
            except TooLargeForMirror:  # the journal alone keeps it, as it would have from the beginning
                await in_thread(self._journal.settle, [item.position], None)
            except DocumentError as exc:
                logger.warning("A pending change is a dead letter now: %s", exc)
                await in_thread(self._journal.make_dead_letter, item.position, str(exc))
            else:
                remote = kept.text if kept else None
                try:
                    await in_thread(self._journal.settle, [item.position], kept)
                except JournalUnavailable as exc:  # its disk is full: the rest is sent none the less, and all again
                    if not kept or kept.tombstone:
                        raise  # but nothing behind a deletion, which would take it away the second time
                    sent, untold = item.position, exc
        if untold:
            raise untold

    async def restore(self, copy: Write, deadline: float) -> None:
        """Put back what the stash has lost, never over what is newer, never what a tombstone there beats.

        Raises:
            DocumentError: what is there cannot be read.
            StashUnavailable: whether it is there again is unknown.

        """
        if copy.tombstone:
            grave = tombstone_of(copy.text)
            member = grave.id if grave else ""
            burial = TombstoneCommand(
                key=copy.key, member=member, index=self._keys.index if member else "", text=copy.text
            )
            await self.settle(burial, None, deadline)
            return
        await self.merge_forward(copy, deadline)
        await self._adopt(copy, deadline)

    async def _see_to_the_rest(self, change: Command[Answer], step: Step[Answer], deadline: float) -> None:
        """What goes beside the document itself."""
        if step.superseded_write:
            await self.stash.keep(step.superseded_write, deadline)
        if isinstance(change, DeleteCommand) and change.revisions and step.write:
            with contextlib.suppress(StashUnavailable, DocumentError):  # what is left then expires by itself
                # A version of ours kept pending deletions without histories: nothing is listed for them.
                for key in await self._found(change.histories, deadline) if change.histories else ():
                    await self.settle(DeleteCommand(key=key, member=""), None, deadline)
                for key in await self._found(change.revisions, deadline):
                    await self.stash.drop(key, deadline)

    async def _found(self, prefix: str, deadline: float) -> list[str]:
        """The keys that begin so, as far as they are found in time."""
        try:
            return await self.stash.keys(prefix, deadline)
        except Unfinished as exc:
            logger.warning("Something of a deleted session may be left: %s", exc)
            return exc.found

    async def _send_whole(
        self, document: Write, positions: list[int], remote: str | None, deadline: float, *, drop_expired: bool
    ) -> bool:
        """Send the document here, which holds every pending change, where the stash has nothing, or went back.

        One that has expired meanwhile shall not come back, unless somebody else kept the session alive; it is
        dropped only after a while, lest a wrong clock lose it. Whether nothing is left to be sent.
        """
        if expired(document.kept_until, self._clock()) and not document.tombstone:
            if remote is not None and not tombstone_of(remote):
                return False
            if not drop_expired and not await in_thread(self._journal.is_over, document.key):
                return True
        elif remote is None:
            if not (await self.stash.commit(replace(document, seen=None), deadline)).accepted:
                raise _Overtaken
        elif await in_thread(self._went_back_below, document, remote):
            await self.merge_forward(document, deadline)
            await in_thread(self._journal.settle, positions, None)
            await self._adopt(document, deadline)
            return True
        else:
            return False
        await in_thread(self._journal.settle, positions, document)
        return True

    def _went_back_below(self, document: Write, remote: str) -> bool:
        """Whether the stash lacks writes that were in it when the pending changes of this document were made.

        Raises:
            Damaged: a pending change cannot be read.

        """
        if document.tombstone or tombstone_of(remote):
            return False
        pending = [load_command(item.change) for item in self._journal.pending(document.key)]
        own = {change.operation.partition("~")[0] for change in pending}
        done = operations_at_end(document.text)
        base = pending[0].base if pending and isinstance(pending[0], SaveCommand) else None
        if base is None:
            before = [write for write in done if write.id.partition("~")[0] not in own]
        else:
            before = [write for write in done if write.revision <= base]
        return lacks(remote, before)

    async def _adopt(self, copy: Write, deadline: float) -> None:
        """Keep what the stash holds now in the place of the copy."""
        if text := await self.stash.read(copy.key, deadline):
            entry = copy.list_row
            member, index = (entry.member, entry.index) if entry else ("", "")
            await in_thread(self._journal.adopt, as_copy(copy.key, text, member, index))

    async def _sent(self, item: Pending, document: Write | None, remote: str | None, deadline: float) -> Write | None:
        """Send one change; what the stash holds then."""
        change = load_command(item.change)
        step: Step[object] = await self.settle(cast("Command[object]", change), None, deadline, start=remote, once=True)
        if step.write:
            return step.write
        text = await self.stash.read(item.key, deadline)
        member, index = listed_as(change)
        return document if text is None else as_copy(item.key, text, member, index)

    async def _keep_what_was_deleted(self, first: Pending, revision: int, deadline: float) -> None:
        """Move the saves that begin with `first` out of the outbox; what they came to stays as an older revision here.

        Unless the session was deleted here as well, after them.
        """

        def move(there: Write | None) -> None:
            pending = self._journal.pending(first.key)
            changes = [load_command(item.change) for item in pending]
            end = next((i for i, change in enumerate(changes) if isinstance(change, DeleteCommand)), len(changes))
            saves = [change for change in changes[:end] if isinstance(change, SaveCommand)]
            copy = self._journal.copy(first.key)
            if end == len(changes) and saves and saves[0].revisions:
                for write in _recovered(self._journal, saves, copy, revision, self._clock()):
                    self._journal.keep(write)
            why = (
                f"The session was deleted elsewhere; what was saved here since is its revision {revision}, here alone."
            )
            self._journal.make_dead_letter(first.position, why)
            self._journal.settle([item.position for item in pending[1:end]], there)

        text = await self.stash.read(first.key, deadline)
        await in_thread(move, as_copy(first.key, text, *listed_as(load_command(first.change))) if text else None)


def _recovered(
    journal: Journal, saves: list[SaveCommand], copy: Write | None, revision: int, now: datetime
) -> list[Write]:
    """The older revision that these saves come to: the document here, which holds them all, if nothing is kept yet."""
    before = journal.copy(f"{saves[0].revisions}{revision}")
    if before is None and copy and not copy.tombstone:
        document = decode(copy.text, saves[0].session_id)
        if isinstance(document, Document):
            return [as_older(saves[0].revisions, replace(document, revision=revision))]
    write = before
    for change in saves:
        write = recoverable(change, write.text if write else None, revision, now)
    return [write] if write else []


def went_back(copy: Write, seen: str) -> bool:
    """Whether the stash, which held the copy once, holds something that does not go on from it."""
    return not copy.tombstone and tombstone_of(seen) is None and not covers(seen, copy.text)


def is_buried(copy: Write, seen: str) -> bool:
    """Whether the copy is the tombstone of what is seen: it was lost there, or somebody put it back."""
    return copy.tombstone and tombstone_of(seen) is None and tombstone_beats(copy.text, seen)


def _beats(copy: Write, seen: str) -> bool:
    """Whether what is seen is a tombstone, and the copy a document that is newer than what it buried."""
    grave = None if copy.tombstone else tombstone_of(seen)
    return grave is not None and revision_at_head(copy.text) > grave.revision


def listed_as(change: AnyCommand) -> tuple[str, str]:
    """The id under which a change's document is listed, and the list; empty for what is in none."""
    if isinstance(change, SaveCommand | RenewCommand):
        return change.session_id, change.index
    if isinstance(change, ImportCommand | MergeForwardCommand):
        return change.member, change.index
    return (change.member, change.index) if isinstance(change, DeleteCommand) and change.index else ("", "")
