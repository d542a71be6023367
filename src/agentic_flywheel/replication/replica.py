"""Looks up, puts and compares this machine's copies of what the destination holds."""

import asyncio
import contextlib
import logging
from datetime import datetime

from agentic_flywheel.documents.codec import encode_tombstone
from agentic_flywheel.documents.commands import AnyCommand, as_copy
from agentic_flywheel.documents.delete import DeleteCommand
from agentic_flywheel.documents.earlier_life import BEGUN_AFTER, life_before
from agentic_flywheel.documents.import_document import ImportCommand
from agentic_flywheel.documents.lineage import MergeForwardCommand, covers, tombstone_beats
from agentic_flywheel.documents.model import Document
from agentic_flywheel.documents.parse import decode, tombstone_of
from agentic_flywheel.documents.renewal import RenewCommand
from agentic_flywheel.documents.rewrite import RewriteCommand
from agentic_flywheel.documents.save import SaveCommand
from agentic_flywheel.documents.writes import Append, Write
from agentic_flywheel.errors import DocumentError, JournalUnavailable
from agentic_flywheel.journal import Journal
from agentic_flywheel.journal.records import LeftOut, Pending
from agentic_flywheel.journal.threads import at_once, in_thread
from agentic_flywheel.session_keys import SessionKeys

logger = logging.getLogger(__name__)


class Replica:
    """The copies in the journal; none while that cannot be read or written."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._waiting: list[tuple[tuple[Write | Append, ...], int, asyncio.Future[LeftOut]]] = []
        self._writing: asyncio.Task[None] | None = None

    @property
    def marks(self) -> int:
        """How often all copies were marked as unverified: `since` of what the destination has taken just now."""
        return self._journal.marks

    async def lookup(self, key: str) -> tuple[Pending | None, Write | None]:
        """The oldest pending change of a key, and the copy of its document."""
        try:
            return self._journal.lookup_nowait(key) or await in_thread(self._journal.lookup, key)
        except JournalUnavailable as exc:
            logger.info("%s", exc)
            return None, None

    async def of_this_machine(self, key: str) -> Write | None:
        """The document that belongs to this machine under `key`, while a Redis is in use."""
        if self._journal.has_none_here(key):
            return None
        with contextlib.suppress(JournalUnavailable):
            return await at_once(self._journal, self._journal.copy_of_this_machine, key)
        return None

    async def put_text(self, key: str, text: str, member: str, index: str, since: int) -> bool:
        """Put a copy of a text that was read, which is to be looked up: `False`."""
        with contextlib.suppress(DocumentError):
            await self.put(as_copy(key, text, member, index), since=since)
        return False

    async def put(self, *writes: Write | Append, since: int) -> LeftOut:
        """Put copies, except where a change of their key is pending, or what is here does not go on to them.

        The copies of many calls are put in one transaction: a thread that writes while others compute waits for the
        interpreter at every statement, so one for all waits once.
        """
        done: asyncio.Future[LeftOut] = asyncio.get_running_loop().create_future()
        self._waiting.append((writes, since, done))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(), name="replica")
        return await done

    async def _write(self) -> None:
        try:
            while batch := self._waiting:
                self._waiting = []
                left_out = LeftOut()
                try:
                    copies, since = [each for writes, _, _ in batch for each in writes], min(each[1] for each in batch)
                    left_out = await in_thread(self._journal.put_replica, *copies, since=since)
                except JournalUnavailable as exc:
                    logger.warning("Kept in Redis only: %s", exc)
                finally:  # also if the event loop ends: no caller waits for ever
                    for writes, _, done in batch:
                        if not done.done():
                            keys = {write.key for write in writes}
                            done.set_result(LeftOut(left_out.pending & keys, left_out.apart & keys))
        finally:
            self._writing = None


def went_back(copy: Write, remote: str) -> bool:
    """Whether the stash, which held the copy once, holds something that does not go on from it, nor is its deletion."""
    if copy.tombstone:
        return False
    return not (tombstone_beats(remote, copy.text) if tombstone_of(remote) else covers(remote, copy.text))


def lost_deletion(copy: Write, remote: str) -> bool:
    """Whether the copy is the tombstone of what the stash holds: it was lost there, or somebody put that back."""
    return copy.tombstone and tombstone_of(remote) is None and tombstone_beats(copy.text, remote)


def deletion_told_by(key: str, text: str, now: datetime) -> Write | None:
    """The deletion of a session that its text tells of: a tombstone, or what was begun anew since."""
    keys = SessionKeys.of(key)
    if keys is None or not (BEGUN_AFTER in text or tombstone_of(text)):
        return None
    stored = decode(text, keys.session_id)
    ended = life_before(stored, now) if isinstance(stored, Document) else stored
    return as_copy(key, encode_tombstone(ended)) if ended and ended.because == "deleted" else None


def copy_under(change: AnyCommand, text: str) -> Write:
    """The copy of a text that the stash holds under the key of a change.

    Raises:
        DocumentError: it is no document of ours.

    """
    if isinstance(change, SaveCommand | RenewCommand):
        return as_copy(change.key, text, change.session_id, change.index)
    if isinstance(change, ImportCommand | MergeForwardCommand):
        return as_copy(change.key, text, change.member, change.index)
    if isinstance(change, DeleteCommand | RewriteCommand) and change.index:
        return as_copy(change.key, text, change.member, change.index)
    return as_copy(change.key, text)
