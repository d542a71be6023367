"""The journal: a local SQLite file that is default store, outbox and replica at once. Nothing else speaks SQL."""

from agentic_flywheel.journal.file import FILE_NAME, SCHEMA
from agentic_flywheel.journal.place import PURGE_AFTER, Journal

__all__ = ["FILE_NAME", "PURGE_AFTER", "SCHEMA", "Journal"]
