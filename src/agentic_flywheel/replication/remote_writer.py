"""Commits commands to the destination, on top of what others have committed and of what it has lost."""

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from agentic_flywheel.coaia.stash import Stash
from agentic_flywheel.documents.command import Command, Step
from agentic_flywheel.documents.commands import as_copy
from agentic_flywheel.documents.delete import DeleteCommand, Deleted, TombstoneCommand
from agentic_flywheel.documents.earlier_life import BEGUN_AFTER
from agentic_flywheel.documents.end_life import EndLifeCommand
from agentic_flywheel.documents.lineage import MergeForwardCommand, tombstone_beats
from agentic_flywheel.documents.model import expired
from agentic_flywheel.documents.parse import tombstone_of
from agentic_flywheel.documents.write_ids import Writer
from agentic_flywheel.documents.writes import Outcome, Write
from agentic_flywheel.errors import DocumentError, JournalUnavailable, StashUnavailable
from agentic_flywheel.journal import Journal
from agentic_flywheel.journal.threads import in_thread
from agentic_flywheel.keys import Keys
from agentic_flywheel.replication.ending import end_in_stash, end_those, up_to
from agentic_flywheel.replication.replica import deletion_told_by, lost_deletion, went_back
from agentic_flywheel.session_keys import SessionKeys

logger = logging.getLogger(__name__)

APPLIED_AT_ONCE = 256 * 1024
"""Characters of a document to which a command is applied on the event loop."""

Answer = TypeVar("Answer")


class Overtaken(Exception):  # noqa: N818  nothing went wrong
    """Somebody else committed meanwhile."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What a command is applied to (`base`), while the stash is taken to hold what was `seen`.

    `confirmed`: that was read there just now. `alive_remotely`: so was the base; it is alive whatever our clock says.
    """

    base: str | None
    seen: str | None
    confirmed: bool
    alive_remotely: bool


class RemoteWriter:
    """Writes to the stash. Callers hold the key's lock."""

    def __init__(self, journal: Journal, stash: Stash, keys: Keys, clock: Callable[[], datetime]) -> None:
        self.stash = stash
        self._journal = journal
        self._keys = keys
        self._clock = clock
        self._write_ids = Writer()
        self.went_back = False
        """Whether the stash was seen to have gone back to an older state, so that all copies are to be verified."""
        self.heard: dict[str, Write] = {}
        """Deletions that were read, and may not have been announced: the next poll ends what went with them."""

    async def commit_with_retry(
        self,
        change: Command[Answer],
        copy: Write | None,
        deadline: float,
        *,
        start: str | None = None,
        once: bool = False,
    ) -> Step[Answer]:
        """Apply and commit until nobody else commits in between; only `once` where the caller has examined `start`.

        Begins with the journal's copy, which is what the stash holds unless another machine saved since, or with
        `start`, what it held just now. If the stash has lost the document altogether, the copy stands in for it; if it
        went back to an older one, the copy is merged forward first.

        Raises:
            DocumentError: the change cannot be applied to what the stash holds.
            StashUnavailable: whether it arrived is unknown.
            Overtaken: somebody else committed since `start`.

        """
        change = change.with_base_revision(copy, self._clock()).with_clock_ahead(self.stash.remote_clock.may_be_ahead)
        attempt = self._first_attempt(copy, start)
        merged: str | None = None
        while True:
            step, outcome = await self._try(change, attempt, deadline)
            if step and outcome.accepted:
                if step.write and attempt and attempt.base and attempt.seen is None and BEGUN_AFTER in step.write.text:
                    await self._tell_of_life_before(step.write, deadline)
                return await self._with_others(step, deadline, was_pending=once)
            seen = outcome.current
            if once and (step or seen != start):
                raise Overtaken
            if copy and seen is not None and seen != merged and went_back(copy, seen):
                self.went_back = True
                await self.merge_forward(copy, deadline)
                seen = merged = await self.stash.read(change.key, deadline)
            attempt = self._next_attempt(copy, seen)

    def _first_attempt(self, copy: Write | None, start: str | None) -> _Attempt | None:
        """The attempt without reading first; `None` where the copy here has expired."""
        if copy is None:
            return _Attempt(start, start, confirmed=False, alive_remotely=start is not None and self.stash.atomic)
        if expired(copy.kept_until, self._clock()):  # somebody may have renewed it there, or this clock is wrong
            return None
        return _Attempt(copy.text, copy.text, confirmed=False, alive_remotely=False)

    def _next_attempt(self, copy: Write | None, seen: str | None) -> _Attempt:
        """The attempt on top of what was seen in the stash, or of the copy that stands in for it."""
        if copy and (seen is None or lost_deletion(copy, seen)):
            return _Attempt(copy.text, seen, confirmed=True, alive_remotely=False)
        return _Attempt(seen, seen, confirmed=True, alive_remotely=seen is not None and self.stash.atomic)

    async def _step(self, change: Command[Answer], attempt: _Attempt) -> Step[Answer] | None:
        """Apply the change, in a thread where that may take long; `None`: the stash is to be read first."""
        base = attempt.base
        try:
            if base is None or len(base) <= APPLIED_AT_ONCE:
                step = change.apply(base, self._clock(), alive_remotely=attempt.alive_remotely)
            else:
                step = await in_thread(change.apply, base, self._clock(), alive_remotely=attempt.alive_remotely)
        except DocumentError:
            if attempt.confirmed:
                raise
            return None
        return step if step.write or attempt.confirmed else None

    async def _try(
        self, change: Command[Answer], attempt: _Attempt | None, deadline: float
    ) -> tuple[Step[Answer] | None, Outcome]:
        """Apply and commit once; without a step where the stash had to be read first."""
        step = await self._step(change, attempt) if attempt else None
        if attempt is None or step is None:
            return None, Outcome(accepted=False, current=await self.stash.read(change.key, deadline))
        if step.write is None:
            return step, Outcome(accepted=True)
        splice = step.write.splice if attempt.base is attempt.seen else None
        write = replace(step.write, seen=attempt.seen, splice=splice)
        return step, await self.stash.commit(write, deadline, step.archived)

    async def _with_others(self, step: Step[Answer], deadline: float, *, was_pending: bool) -> Step[Answer]:
        """Write what goes with the document: a save that came too late, and what a deletion takes along."""
        if step.superseded_write:
            await self.stash.keep(step.superseded_write, deadline)
        if isinstance(step.answer, Deleted) and isinstance(step.queued, DeleteCommand):
            parts = await self.delete_parts(step.queued, deadline, was_pending=was_pending)
            return replace(step, answer=replace(step.answer, parts=parts))
        return step

    async def delete_parts(self, change: DeleteCommand, deadline: float, *, was_pending: bool) -> int:
        """Delete the flow histories, the executions and the older revisions of a session; how many of the first two.

        What is still to be sent stays where the deletion `was_pending`: that took all there was along when it was made
        here, so anything pending is of a later life of the session.

        Raises:
            StashUnavailable: some may be left.

        """
        keys = SessionKeys.of(change.key) if change.revisions else None
        if keys is None:
            return 0
        known: list[str] = []
        with contextlib.suppress(JournalUnavailable):
            known = await in_thread(self._journal.part_keys, keys, but_pending=was_pending)
        parts, older = await self.stash.parts.find(keys, deadline)
        parts |= {*known}
        count, members = len(parts), [keys.executions]
        if was_pending and change.made_at:  # what was kept since stays, here and elsewhere
            await end_those(self, parts, change.made_at, deadline)
            parts, members, older = set[str](), [], up_to(change.saw or 0, older, keys)
        if self.stash.has("coaia_erase"):
            await self.stash.parts.erase(sorted(parts), [*members, *older], change.made_at, deadline)
            return count
        for key in (*sorted(parts), *older, *change.saw_older):
            await self.commit_with_retry(DeleteCommand(key=key, member=""), None, deadline)
        return count

    async def merge_forward(self, copy: Write, deadline: float) -> None:
        """Merge a copy into what the stash holds; a version that goes on from it, and a deletion, stay.

        Raises:
            DocumentError: what is stored cannot be read.
            StashUnavailable: whether it was brought back is unknown.

        """
        step = await self.commit_with_retry(self.merge_of(copy), None, deadline)
        if step.answer and step.write and step.write.text != copy.text:
            logger.warning("Redis had gone back to an older state of a session; what it lacked was merged in.")

    def merged(self, copy: Write, remote: str) -> str:
        """What the stash would hold if it took the copy back; a tombstone wins."""
        if copy.tombstone:
            return copy.text
        try:
            step = self.merge_of(copy).apply(remote, self._clock())
        except DocumentError:
            return copy.text
        return step.write.text if step.write else remote

    def merge_of(self, copy: Write) -> MergeForwardCommand:
        """The command that brings back what a copy has."""
        member = copy.key.removeprefix(self._keys.sessions) if copy.key.startswith(self._keys.sessions) else ""
        return MergeForwardCommand(
            key=copy.key,
            operation=self._write_ids.next(),
            member=member,
            index=self._keys.index if member else "",
            revisions=self._keys.revisions(member) if member else "",
            text=copy.text,
            ends=None if expired(copy.kept_until, self._clock()) else copy.kept_until,
        )

    async def restore(self, copy: Write, deadline: float) -> bool:
        """Put back what the stash has lost, never over what is newer, never against a tombstone that beats it.

        Whether it is there now: the stash may have gone back once more meanwhile.

        Raises:
            DocumentError: what is stored cannot be read.
            StashUnavailable: whether it was put back is unknown.

        """
        if copy.tombstone:
            await self._bury(copy.key, copy.text, deadline)
            return True
        if before := deletion_told_by(copy.key, copy.text, self._clock()):
            # whoever has copies of that life, and did not hear of its end, hears of it now
            await self._bury(copy.key, before.text, deadline)
        await self.merge_forward(copy, deadline)
        return await self.refresh_copy(copy, deadline)

    async def _tell_of_life_before(self, write: Write, deadline: float) -> None:
        """End the life before that of a session that was begun anew, where the stash has lost the tombstone of it."""
        told = None if write.tombstone else deletion_told_by(write.key, write.text, self._clock())
        with contextlib.suppress(StashUnavailable):  # the write was taken, and is not to be told otherwise
            if told and (before := tombstone_of(told.text)):
                await end_in_stash(self, SessionKeys(write.key), before, deadline, thoroughly=False)
                await self.stash.parts.announce(write.key, told.text, deadline)

    async def _bury(self, key: str, text: str, deadline: float) -> None:
        """Put a tombstone back, and take away what others have put back of what it stands for."""
        tombstone, keys = tombstone_of(text), SessionKeys.of(key)
        member = tombstone.id if tombstone else ""
        burial = TombstoneCommand(key=key, member=member, index=self._keys.index if member else "", text=text)
        there = await self.stash.read(key, deadline)
        if burial.apply(there, self._clock()).write is None:
            return
        if keys and tombstone and tombstone.because == "deleted":  # first: with the tombstone there nobody looks again
            await end_in_stash(self, keys, tombstone, deadline, thoroughly=bool(there and not tombstone_of(there)))
        await self.commit_with_retry(burial, None, deadline)

    async def end_life(self, key: str, ended_at: datetime, copy: Write | None, deadline: float) -> str | None:
        """End in the stash what an execution or a flow history has of a life that was ended then.

        The text that is left, where only some of it went. `copy` stands in for it where the stash has lost it.

        Raises:
            StashUnavailable: whether it went is unknown.

        """
        change = EndLifeCommand(key=key, operation=self._write_ids.next(), ended_at=ended_at)
        try:
            step = await self.commit_with_retry(change, copy, deadline)
        except DocumentError as exc:  # not ours: it is left as it is
            logger.info("Not deleted with its session: %s", exc)
            return None
        return step.write.text if step.write and not step.write.tombstone else None

    def hear(self, key: str, text: str) -> bool:
        """Note the deletion that a text tells of, if it tells of one."""
        if told := deletion_told_by(key, text, self._clock()):
            self.heard[key] = told
        return told is not None

    async def refresh_copy(self, copy: Write, deadline: float) -> bool:
        """Replace the copy by what the stash holds now; not if that went back again, or another process put a copy."""
        text = await self.stash.read(copy.key, deadline)
        if text is None or self.merge_of(copy).apply(text, self._clock()).write:
            await in_thread(self._journal.mark_unverified, copy.key)
            return False
        if self.hear(copy.key, text) and tombstone_of(text) and tombstone_beats(text, copy.text):
            return False  # the journal gets it once what went with the session has ended
        entry = copy.list_row
        member, index = (entry.member, entry.index) if entry else ("", "")
        now = replace(as_copy(copy.key, text, member, index), seen=copy.text)
        return await in_thread(self._journal.overwrite_replica, now)
