"""Ends in the destination what this machine may have put back of a session before it heard that it was deleted."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from datetime import datetime

from agentic_flywheel.coaia.replies import StoredVersion
from agentic_flywheel.documents.earlier_life import BEGUN_AFTER, kept_since
from agentic_flywheel.documents.flow_document import outline
from agentic_flywheel.documents.lineage import tombstone_beats
from agentic_flywheel.documents.parse import load, tombstone_of
from agentic_flywheel.documents.writes import Ends, Write, ends_of, revision_at_head
from agentic_flywheel.errors import DocumentError, StashRefused
from agentic_flywheel.journal import Journal
from agentic_flywheel.journal.threads import in_thread
from agentic_flywheel.replication.key_locks import KeyLocks
from agentic_flywheel.replication.remote_writer import RemoteWriter
from agentic_flywheel.replication.replica import deletion_told_by
from agentic_flywheel.session_keys import is_part, session_of

logger = logging.getLogger(__name__)

SIDE_BY_SIDE = 8
"""Parts of a session that are ended at a time."""


async def end_parts(journal: Journal, remote: RemoteWriter, locks: KeyLocks, deletion: Write) -> set[str]:
    """End the executions and flow histories here that belong to what a tombstone stands for; those that were deleted.

    They leave this machine only then: afterwards nobody knows any more that they may be there. A part that went with
    its session, as most do, is gone whatever a clock says; of another one it is asked when it was kept.

    Raises:
        StashUnavailable: some may be left.

    """
    tombstone = tombstone_of(deletion.text)
    copies = await in_thread(journal.parts_ended_by, deletion)
    if not copies or tombstone is None:
        return set()
    marks = await remote.stash.versions([copy.key for copy in copies], remote.stash.deadline())
    limiter = asyncio.Semaphore(SIDE_BY_SIDE)
    gone: set[str] = set()

    async def end(copy: Write) -> None:
        async with limiter, locks.of(copy.key):
            left = kept_since(copy.text, tombstone.deleted_at, "")
            deadline = remote.stash.deadline(len(copy.text))
            if _is_buried(copy, marks.get(copy.key)):
                text = await remote.stash.read(copy.key, deadline) if left else None
                if left is None or (text and tombstone_of(text) and tombstone_beats(text, copy.text)):
                    gone.add(copy.key)
            elif left != copy.text:
                await remote.end_life(copy.key, tombstone.deleted_at, copy, deadline)

    async def end_where_allowed(copy: Write) -> None:
        with contextlib.suppress(StashRefused, DocumentError):  # others go on; what is not ours is left as it is
            await end(copy)

    await asyncio.gather(*map(end_where_allowed, copies))
    return gone


def gone_with_session(journal: Journal, parts: Sequence[Write], now: datetime) -> list[tuple[Write, Write]]:
    """Those executions and flow histories of which something went with their session, and its deletion. Blocks.

    It is asked what this machine knows of the session: they may have been read before it was deleted.
    """
    told: dict[str, Write | None] = {}
    found: list[tuple[Write, Write]] = []
    for part in filter(lambda write: is_part(write.key), parts):  # a session of megabytes is not parsed for it
        with contextlib.suppress(DocumentError):
            session = _session_of(part)
            if session and session not in told:
                told[session] = _deletion_of(journal, session, now)
            deletion = told.get(session)
            tombstone = tombstone_of(deletion.text) if deletion else None
            if deletion and tombstone and kept_since(part.text, tombstone.deleted_at, "") != part.text:
                found.append((part, deletion))
    return found


def _session_of(part: Write) -> str:
    there = outline(ends_of(part.text))
    return session_of(part.key, there.session_id if there else load(part.text, "it").get("session_id"))


def _deletion_of(journal: Journal, session: str, now: datetime) -> Write | None:
    """The deletion of a session, as far as this machine knows; of a large one all is read only if it says so."""
    stored = journal.copy_or_ends(session)
    if isinstance(stored, Ends):
        stored = journal.copy(session) if BEGUN_AFTER in stored.tail else None
    return deletion_told_by(session, stored.text, now) if stored else None


def _is_buried(copy: Write, mark: StoredVersion | None) -> bool:
    """Whether there is nothing but a tombstone that stands for as high a revision."""
    tombstone = mark.tombstone if mark and mark.revision is None else None
    return tombstone is not None and tombstone >= revision_at_head(copy.text)
