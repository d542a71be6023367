"""Reads documents: from the stash, after putting back what it lost, or from the journal where it does not answer."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import datetime

from agentic_flywheel.coaia.child_calls import BYTES_A_SECOND
from agentic_flywheel.coaia.replies import revision_of
from agentic_flywheel.coaia.stash import Stash
from agentic_flywheel.documents.model import expired
from agentic_flywheel.documents.parse import kept_until_in, load
from agentic_flywheel.documents.writes import Append, Write
from agentic_flywheel.errors import DocumentError, JournalUnavailable, StashRefused, StashUnavailable
from agentic_flywheel.journal import Journal
from agentic_flywheel.journal.records import Pending
from agentic_flywheel.journal.threads import in_thread
from agentic_flywheel.replication.answers import Found
from agentic_flywheel.replication.key_locks import AFTER_WAITING_SECONDS, Held
from agentic_flywheel.replication.outbox import Outbox
from agentic_flywheel.replication.remote_writer import RemoteWriter
from agentic_flywheel.replication.replica import Replica, lost_deletion, went_back

logger = logging.getLogger(__name__)

FIRST_READ_SECONDS = 10.0
"""How long a read that only the stash can answer waits for the first child: eight that start at once take 3 s."""


class DocumentReader:
    """Reads through the `outbox`, if a stash is used, else from the journal. Callers hold the key's lock."""

    def __init__(
        self, journal: Journal, outbox: Outbox | None, replica: Replica, clock: Callable[[], datetime]
    ) -> None:
        self._journal = journal
        self._outbox = outbox
        self._replica = replica
        self._clock = clock

    async def read(self, key: str, began: float, deadline: float | None, held: Held) -> tuple[Found, Write | None]:
        """What is stored under `key`, expired or not, and the copy that was here; `began` is when the read began.

        Waits less for a key that is in the replica.

        Raises:
            Unavailable: it is not known.
            Damaged: something is stored that is no text of ours.

        """
        if self._outbox is None:
            found = self._journal.lookup_nowait(key)  # a thread would take longer than such a read
            copy = found[1] if found else await in_thread(self._journal.copy, key)
            copy = copy or await self._replica.of_this_machine(key)
            return Found(copy.text if copy else None, "journal", stale=False), copy
        pending, copy = await self._lookup(key, held)
        is_alive = copy is not None and not expired(copy.kept_until, self._clock())
        stash = self._outbox.remote.stash
        try:
            deadline = self._deadline(stash, copy, began, deadline, quick=is_alive)
            if pending:
                with contextlib.suppress(JournalUnavailable):
                    await self._outbox.drain(key, deadline)
                pending, copy = await self._replica.lookup(key)
            found = await self._read_from_stash(self._outbox.remote, key, copy, deadline)
        except StashUnavailable:
            # What is pending was never anywhere else, so it is known even if it has expired.
            if copy and (is_alive or pending):
                return Found(copy.text, "journal", stale=True), copy
            if copy or (local := await self._replica.of_this_machine(key)) is None:
                raise
            return Found(local.text, "journal", stale=True), None
        return (await self._newest(stash, key, found, copy) if found.source == "redis" else found), copy

    async def _lookup(self, key: str, held: Held) -> tuple[Pending | None, Write | None]:
        """The oldest pending change, and the copy here or that which is just being written, which is not waited for."""
        if isinstance(held.written_before, Append):
            await held.settled()
        pending, copy = await self._replica.lookup(key)
        if pending and held.written_before:  # of another process: the copy is to be as that left it
            await held.settled()
            pending, copy = await self._replica.lookup(key)
        return pending, held.written_before if isinstance(held.written_before, Write) else copy

    def _deadline(
        self, stash: Stash, copy: Write | None, began: float, deadline: float | None, *, quick: bool
    ) -> float:
        """The deadline of a read that may have waited for others of the same key since it `began`."""
        size = len(copy.text) if copy else 0
        now = asyncio.get_running_loop().time()
        until = stash.deadline(size, at_least=0.0 if quick else start_timeout(stash)) - (now - began)
        if deadline is not None:
            until = min(until, deadline + size / BYTES_A_SECOND)
        return max(until, now + AFTER_WAITING_SECONDS)

    async def _read_from_stash(self, remote: RemoteWriter, key: str, copy: Write | None, deadline: float) -> Found:
        """What the stash holds, after what it lost is put back; the answer has that even where it cannot be."""
        text = await remote.stash.read(key, deadline, copy)
        if copy is None or text == copy.text or remote.stash.mirror:
            return Found(text, "redis", stale=False)
        if text is None:
            lost = not expired(copy.kept_until, self._clock())
        else:
            lost = went_back(copy, text) or lost_deletion(copy, text)
        return await self._restored(remote, copy, text, deadline) if lost else Found(text, "redis", stale=False)

    async def _restored(self, remote: RemoteWriter, copy: Write, text: str | None, deadline: float) -> Found:
        """Put the copy back and read again; `text` is the older state that the stash held, if it held one."""
        remote.went_back = remote.went_back or text is not None
        try:
            await remote.restore(copy, deadline)
            text = await remote.stash.read(copy.key, deadline)
        except (StashRefused, DocumentError) as exc:
            logger.info("Not put back: %s", exc)
            if text is not None:
                return Found(remote.merged(copy, text), "journal", stale=True)
        return Found(text, "redis", stale=False)

    async def _newest(self, stash: Stash, key: str, found: Found, copy: Write | None) -> Found:
        """What was found in the stash, or the document here if the stash has none, or a mirror an older one."""
        text = found.text
        if copy and text is None and self._ended_by_our_clock(copy):
            return found
        if copy and (text is None or (stash.mirror and revision_of(copy.text) >= revision_of(text))):
            return Found(copy.text, "journal", stale=False)
        if text is None and (kept := await self._replica.of_this_machine(key)):
            return Found(kept.text, "journal", stale=False)
        return found

    def _ended_by_our_clock(self, copy: Write) -> bool:
        """Whether a copy has lived its life here, though another machine's clock wrote a later end into it."""
        now = self._clock()
        return expired(copy.kept_until, now) and not expired(kept_until_in(load(copy.text, "the copy")), now)


def start_timeout(stash: Stash) -> float:
    """Seconds that a read which only the stash can answer may wait for the first child."""
    return 0.0 if stash.supervisor.was_ready else FIRST_READ_SECONDS
