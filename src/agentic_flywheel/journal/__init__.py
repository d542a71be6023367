"""The journal: a local SQLite file that is default store, outbox and replica at once. Nothing else speaks SQL."""

from agentic_flywheel.journal.erasure import Erased
from agentic_flywheel.journal.journal import Journal
from agentic_flywheel.journal.migrations import SCHEMA
from agentic_flywheel.journal.no_journal import NoJournal
from agentic_flywheel.journal.retention import PAUSE_SECONDS, PURGE_AFTER, Purged
from agentic_flywheel.journal.schema import FILE_NAME

__all__ = ["FILE_NAME", "PAUSE_SECONDS", "PURGE_AFTER", "SCHEMA", "Erased", "Journal", "NoJournal", "Purged"]
