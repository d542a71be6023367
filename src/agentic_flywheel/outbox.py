"""The outbox: how a change reaches the stash, at once or later, without undoing what others did there meanwhile."""

import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TypeVar, cast

from agentic_flywheel.arrival import Arrival
from agentic_flywheel.change import Change, Step, expired
from agentic_flywheel.changes import AnyChange, Burial, Deletion, as_copy, load_change
from agentic_flywheel.coaia.stash import Stash, TooLargeForMirror
from agentic_flywheel.codec import Document, decode, tombstone_of
from agentic_flywheel.errors import DeletedMeanwhile, DocumentError, StashUnavailable
from agentic_flywheel.keyvalue import Write, revision_at_head
from agentic_flywheel.local import LocalPlace, Pending, in_thread
from agentic_flywheel.saving import Renewal, SessionChange, as_older, recoverable

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")


class Outbox:
    """The way from the journal to the stash. Whoever calls holds the key's lock. `index` is the list of sessions."""

    def __init__(self, journal: LocalPlace, stash: Stash, index: str, clock: Callable[[], datetime]) -> None:
        self.stash = stash
        self._journal = journal
        self._index = index
        self._clock = clock

    async def settle(self, change: Change[Answer], copy: Write | None, deadline: float) -> Step[Answer]:
        """Apply and commit until nobody else commits in between.

        Begins with the journal's copy, which is what the stash holds unless another machine saved since. If the
        stash has lost the document altogether, the copy stands in for it.

        Raises:
            DocumentError: the change cannot be applied to what the stash holds.
            StashUnavailable: whether it arrived is unknown.

        """
        change = change.knowing(copy, self._clock())
        base = seen = copy.text if copy else None
        # What has expired here may be alive there: somebody else renewed it, or this machine's clock is wrong.
        guess = not (copy and expired(copy.kept_until, self._clock()))
        confirmed = held = False
        while True:
            try:
                step = change.apply(base, self._clock(), held=held) if guess or confirmed else None
            except DocumentError:
                if confirmed:
                    raise
                step = None
            if step and step.write:
                splice = step.write.splice if base is seen else None
                write = replace(step.write, seen=seen, splice=splice)
                outcome = await self.stash.commit(write, deadline, step.replaced)
                if outcome.accepted:
                    await self._see_to_the_rest(change, step, deadline)
                    return step
                seen = outcome.current
            elif step and confirmed:
                await self._see_to_the_rest(change, step, deadline)
                return step
            else:
                seen = await self.stash.read(change.key, deadline)
            base, confirmed, held = seen, True, seen is not None and self.stash.atomic
            if copy and (seen is None or _beats(copy, seen)):
                base, held = copy.text, False

    async def drain(self, key: str, deadline: float, *, for_a_save: bool = False) -> None:
        """Send the pending changes of a key, oldest first; what the stash refuses for good is set aside.

        `for_a_save`: what expired before it was sent is dropped, because the session is about to begin anew.

        Raises:
            Unavailable: the stash does not take them now, or the journal cannot be read.

        """
        if not await in_thread(self._journal.next_pending, key):
            return
        try:
            if await self._sent_whole(key, deadline, drop_expired=for_a_save):
                return
        except (DocumentError, TooLargeForMirror) as exc:
            logger.info("A document cannot be sent whole: %s", exc)
        copy = await in_thread(self._journal.copy, key)
        # Read anew for each: another process of this machine may be draining the same outbox.
        while item := await in_thread(self._journal.next_pending, key):
            try:
                kept = await self._sent(item, copy, deadline)
            except DeletedMeanwhile as exc:
                logger.warning("What was saved here to a session that was deleted elsewhere is kept on this machine.")
                await self._keep_what_was_deleted(item, exc.buried, deadline)
            except TooLargeForMirror:  # the journal alone keeps it, as it would have from the beginning
                await in_thread(self._journal.settle, [item.position], None)
            except DocumentError as exc:
                logger.warning("A pending change was set aside: %s", exc)
                await in_thread(self._journal.set_aside, item.position, str(exc))
            else:
                await in_thread(self._journal.settle, [item.position], kept)

    async def restore(self, copy: Write, deadline: float) -> None:
        """Put back what the stash has lost, never over what is there, never what a tombstone there beats.

        Raises:
            DocumentError: what is there cannot be read.
            StashUnavailable: whether it is there again is unknown.

        """
        if copy.tombstone:
            grave = tombstone_of(copy.text)
            member = grave.id if grave else ""
            burial = Burial(key=copy.key, member=member, index=self._index if member else "", text=copy.text)
            await self.settle(burial, None, deadline)
            return
        if expired(copy.kept_until, self._clock()):
            return
        outcome = await self.stash.commit(replace(copy, seen=None), deadline)
        if not outcome.accepted and outcome.current is not None and _beats(copy, outcome.current):
            outcome = await self.stash.commit(replace(copy, seen=outcome.current), deadline)
        if not outcome.accepted and outcome.current is not None:
            entry = copy.entry
            there = as_copy(copy.key, outcome.current, *((entry.member, entry.index) if entry else ()))
            await in_thread(self._journal.remember, there)

    async def _see_to_the_rest(self, change: Change[Answer], step: Step[Answer], deadline: float) -> None:
        """What goes beside the document itself."""
        if step.loser:
            await self.stash.keep(step.loser, deadline)
        if isinstance(change, Deletion) and change.revisions and step.write:
            with contextlib.suppress(StashUnavailable, DocumentError):  # what is left then expires by itself
                for key in await self.stash.keys(change.histories, deadline):
                    await self.settle(Deletion(key=key, member=""), None, deadline)
                for key in await self.stash.keys(change.revisions, deadline):
                    await self.stash.drop(key, deadline)

    async def _sent_whole(self, key: str, deadline: float, *, drop_expired: bool) -> bool:
        """Where the stash has nothing, the document here, which holds every pending change, is what it shall have.

        One that has expired meanwhile shall not come back, unless somebody else kept the session alive; it is
        dropped only after a while, lest a wrong clock lose it.
        """
        copy, positions = await in_thread(self._journal.unsent_document, key)
        if copy is None:
            return False
        there = await self.stash.read(key, deadline)
        if expired(copy.kept_until, self._clock()) and not copy.tombstone:
            if there is not None and not tombstone_of(there):
                return False
            if not drop_expired and not await in_thread(self._journal.is_over, key):
                return True
        elif there is not None or not (await self.stash.commit(replace(copy, seen=None), deadline)).accepted:
            return False
        await in_thread(self._journal.settle, positions, copy)
        return True

    async def _sent(self, item: Pending, copy: Write | None, deadline: float) -> Write | None:
        """Send one change; what the stash holds then."""
        change = load_change(item.change)
        step: Step[object] = await self.settle(cast("Change[object]", change), None, deadline)
        if step.write:
            return step.write
        text = await self.stash.read(item.key, deadline)
        member, index = listed_as(change)
        return copy if text is None else as_copy(item.key, text, member, index)

    async def _keep_what_was_deleted(self, first: Pending, revision: int, deadline: float) -> None:
        """Move the saves that begin with `first` out of the outbox; what they came to stays as an older revision here.

        Unless the session was deleted here as well, after them.
        """

        def move(there: Write | None) -> None:
            pending = [item for item in self._journal.pending(first.key) if item.key == first.key]
            changes = [load_change(item.change) for item in pending]
            end = next((i for i, change in enumerate(changes) if isinstance(change, Deletion)), len(changes))
            saves = [change for change in changes[:end] if isinstance(change, SessionChange)]
            copy = self._journal.copy(first.key)
            if end == len(changes) and saves and saves[0].revisions:
                for write in _recovered(self._journal, saves, copy, revision, self._clock()):
                    self._journal.keep(write)
            why = (
                f"The session was deleted elsewhere; what was saved here since is its revision {revision}, here alone."
            )
            self._journal.set_aside(first.position, why)
            self._journal.settle([item.position for item in pending[1:end]], there)

        text = await self.stash.read(first.key, deadline)
        await in_thread(move, as_copy(first.key, text, *listed_as(load_change(first.change))) if text else None)


def _recovered(
    journal: LocalPlace, saves: list[SessionChange], copy: Write | None, revision: int, now: datetime
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


def _beats(copy: Write, seen: str) -> bool:
    """Whether what is seen is a tombstone, and the copy a document that is newer than what it buried."""
    grave = None if copy.tombstone else tombstone_of(seen)
    return grave is not None and revision_at_head(copy.text) > grave.revision


def listed_as(change: AnyChange) -> tuple[str, str]:
    """The id under which a change's document is listed, and the list; empty for what is in none."""
    if isinstance(change, SessionChange | Renewal):
        return change.session_id, change.index
    if isinstance(change, Arrival):
        return change.member, change.index
    return (change.member, change.index) if isinstance(change, Deletion) and change.index else ("", "")
