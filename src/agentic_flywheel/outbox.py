"""The outbox: how a change reaches the stash, at once or later, without undoing what others did there meanwhile."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TypeVar, cast

import anyio.to_thread

from agentic_flywheel.change import Change, Step, expired
from agentic_flywheel.changes import AnyChange, Deletion, as_copy, load_change
from agentic_flywheel.coaia.stash import Stash, TooLargeForMirror, tombstone_of
from agentic_flywheel.errors import DocumentError
from agentic_flywheel.keyvalue import Write
from agentic_flywheel.local import LocalPlace, Pending
from agentic_flywheel.saving import Renewal, SessionChange

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")


class Outbox:
    """The way from the journal to the stash. Whoever calls holds the key's lock."""

    def __init__(self, journal: LocalPlace, stash: Stash, clock: Callable[[], datetime]) -> None:
        self._journal = journal
        self._stash = stash
        self._clock = clock

    async def settle(self, change: Change[Answer], copy: str | None, deadline: float) -> Step[Answer]:
        """Apply and commit until nobody else commits in between.

        Begins with the journal's copy, which is what the stash holds unless another machine saved since. If the
        stash has lost the document altogether, the copy stands in for it.

        Raises:
            DocumentError: the change cannot be applied to what the stash holds.
            StashUnavailable: whether it arrived is unknown.

        """
        base, seen, confirmed = copy, copy, False
        while True:
            try:
                step = change.apply(base, self._clock())
            except DocumentError:
                if confirmed:
                    raise
                step = None
            if step and step.write:
                outcome = await self._stash.commit(replace(step.write, seen=seen), deadline)
                if outcome.accepted:
                    return step
                seen = outcome.current
            elif step and confirmed:
                return step
            else:
                seen = await self._stash.read(change.key, deadline)
            base, confirmed = seen if seen is not None else copy, True

    async def drain(self, key: str, deadline: float) -> None:
        """Send the pending changes of a key, oldest first; what the stash refuses for good is set aside.

        Raises:
            Unavailable: the stash does not take them now, or the journal cannot be read.

        """
        if not await anyio.to_thread.run_sync(self._journal.next_pending, key):
            return
        try:
            if await self._sent_whole(key, deadline):
                return
        except (DocumentError, TooLargeForMirror) as exc:
            logger.info("A document cannot be sent whole: %s", exc)
        copy = await anyio.to_thread.run_sync(self._journal.copy, key)
        # Read anew for each: another process of this machine may be draining the same outbox.
        while item := await anyio.to_thread.run_sync(self._journal.next_pending, key):
            try:
                kept = await self._sent(item, copy, deadline)
            except (DocumentError, TooLargeForMirror) as exc:
                logger.warning("A pending change was set aside: %s", exc)
                await anyio.to_thread.run_sync(self._journal.set_aside, item.position, str(exc))
            else:
                await anyio.to_thread.run_sync(self._journal.settle, [item.position], kept)

    async def _sent_whole(self, key: str, deadline: float) -> bool:
        """Where the stash has nothing, the document here, which holds every pending change, is what it shall have.

        One that has expired meanwhile shall not come back, unless somebody else kept the session alive.
        """
        copy, positions = await anyio.to_thread.run_sync(self._journal.unsent_document, key)
        if copy is None:
            return False
        there = await self._stash.read(key, deadline)
        over = expired(copy.kept_until, self._clock())
        if over and not copy.tombstone:
            if there is not None and not tombstone_of(there):
                return False
        elif there is not None or (not over and not (await self._stash.commit(copy, deadline)).accepted):
            return False
        await anyio.to_thread.run_sync(self._journal.settle, positions, copy)
        return True

    async def _sent(self, item: Pending, copy: Write | None, deadline: float) -> Write | None:
        """Send one change; what the stash holds then."""
        change = load_change(item.change)
        step: Step[object] = await self.settle(cast("Change[object]", change), None, deadline)
        if step.write:
            return step.write
        text = await self._stash.read(item.key, deadline)
        member, index = _listed(change)
        return copy if text is None else as_copy(item.key, text, member, index)


def _listed(change: AnyChange) -> tuple[str, str]:
    if isinstance(change, SessionChange | Renewal):
        return change.session_id, change.index
    return (change.member, change.index) if isinstance(change, Deletion) and change.index else ("", "")
