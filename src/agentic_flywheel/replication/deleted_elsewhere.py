"""Keeps what was saved to a session that was deleted elsewhere, as its older revision on this machine. Calls block."""

import logging
from dataclasses import replace
from datetime import datetime

from agentic_flywheel.documents.command import Command
from agentic_flywheel.documents.commands import load_command
from agentic_flywheel.documents.delete import DeleteCommand
from agentic_flywheel.documents.model import Document
from agentic_flywheel.documents.parse import decode
from agentic_flywheel.documents.recoverable import recoverable
from agentic_flywheel.documents.save import SaveCommand
from agentic_flywheel.documents.superseded import as_older
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.errors import DocumentError, JournalUnavailable
from agentic_flywheel.journal import Journal
from agentic_flywheel.journal.records import Pending

logger = logging.getLogger(__name__)


def keep_save(journal: Journal, change: Command[object], copy: Write | None, revision: int, now: datetime) -> bool:
    """Keep what one save would have made as that revision; whether it is kept.

    It is applied to an earlier save that is kept as that revision, else to the `copy`.
    """
    if not isinstance(change, SaveCommand) or not change.revisions:
        return False
    try:
        kept = journal.copy(f"{change.revisions}{revision}")
        base = kept or (None if copy is None or copy.tombstone else copy)
        journal.keep(recoverable(change, base.text if base else None, revision, now))
    except (JournalUnavailable, DocumentError) as exc:
        logger.warning("A save to a deleted session could not be kept: %s", exc)
        return False
    return True


def keep_pending(journal: Journal, first: Pending, revision: int, remote: Write | None, now: datetime) -> None:
    """Move the saves from `first` on out of the outbox, and keep the document that they made as that revision.

    Keeps none where the session was deleted here as well, after them. `remote` is what the stash holds.
    """
    pending = journal.pending(first.key)
    changes = [load_command(item.change) for item in pending]
    end = next((i for i, change in enumerate(changes) if isinstance(change, DeleteCommand)), len(changes))
    saves = [change for change in changes[:end] if isinstance(change, SaveCommand)]
    copy = journal.copy(first.key)
    if end == len(changes) and saves and saves[0].revisions:
        journal.keep(_older_revision(journal, saves, copy, revision, now))
    why = f"The session was deleted elsewhere; what was saved here since is its revision {revision}, here alone."
    journal.make_dead_letter(first.position, why)
    journal.ack([item.position for item in pending[1:end]], remote)


def _older_revision(
    journal: Journal, saves: list[SaveCommand], copy: Write | None, revision: int, now: datetime
) -> Write:
    """The older revision that these saves make: the document here, which holds them all, if none is kept yet."""
    first, *others = saves
    kept = journal.copy(f"{first.revisions}{revision}")
    if kept is None and copy and not copy.tombstone:
        document = decode(copy.text, first.session_id)
        if isinstance(document, Document):
            return as_older(first.revisions, replace(document, revision=revision))
    write = recoverable(first, kept.text if kept else None, revision, now)
    for change in others:
        write = recoverable(change, write.text, revision, now)
    return write
