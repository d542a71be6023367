"""Keeps how far each file of another program was read, so that the next run begins there.

A row is an aid alone: where it is lost the file is read again, which adds nothing twice. So the table is made when it
is first needed, has no version, and an older program neither reads nor misses it. A row names its file and its
sessions; it has no words of a talk.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from agentic_flywheel.journal.connection import JournalFile
from agentic_flywheel.journal.retry import retry_once_if_replaced
from agentic_flywheel.journal.schema import BUSY_SECONDS

_TABLE = (
    "CREATE TABLE IF NOT EXISTS readings"
    " (destination INTEGER, name TEXT, state TEXT NOT NULL, PRIMARY KEY (destination, name)) WITHOUT ROWID"
)

NOTHING: Mapping[str, str] = MappingProxyType({})


class Readings(JournalFile):
    """The verbs about files that were read. `name` is whatever the caller calls the file by."""

    @retry_once_if_replaced
    def readings(self, beginning: str = "") -> dict[str, str]:
        """The states noted for the destination in use, by name, of names that begin so."""
        with self._snapshot() as db:
            if not _is_made(db):
                return {}
            query = "SELECT name, state FROM readings WHERE destination = ? AND substr(name, 1, ?) = ?"
            return dict(db.execute(query, (self._destination, len(beginning), beginning)).fetchall())

    @retry_once_if_replaced
    def reading(self, name: str) -> str | None:
        """The state that was noted last for that name."""
        with self._snapshot() as db:
            if not _is_made(db):
                return None
            query = "SELECT state FROM readings WHERE destination = ? AND name = ?"
            row = db.execute(query, (self._destination, name)).fetchone()
            return row[0] if row else None

    @retry_once_if_replaced
    def note_reading(
        self, name: str, state: str, first: Mapping[str, str] = NOTHING, *, timeout: float = BUSY_SECONDS
    ) -> None:
        """Note a state; an empty one forgets the name. It may be lost to a power cut, which costs a reading.

        `first`: states that are noted of other names, of which none was noted before.
        """
        with self._transaction(timeout=timeout) as db:
            db.execute(_TABLE)
            rows = [(self._destination, other, its_state) for other, its_state in first.items()]
            db.executemany("INSERT OR IGNORE INTO readings VALUES (?, ?, ?)", rows)
            if state:
                db.execute("INSERT OR REPLACE INTO readings VALUES (?, ?, ?)", (self._destination, name, state))
            else:
                db.execute("DELETE FROM readings WHERE destination = ? AND name = ?", (self._destination, name))

    @retry_once_if_replaced
    def living(self, keys: Sequence[str]) -> dict[str, int]:
        """The revisions of those of these documents that are here and neither deleted nor expired."""
        query = (
            "SELECT revision FROM documents WHERE destination = ? AND key = ? AND NOT tombstone"
            " AND (kept_until IS NULL OR kept_until > ?)"
        )
        with self._snapshot() as db:
            now = self._now()
            found = {key: db.execute(query, (self._destination, key, now)).fetchone() for key in keys}
        return {key: row[0] for key, row in found.items() if row}


def forget_readings_of(db: sqlite3.Connection, session_id: str) -> None:
    """Delete the rows that name a session, which is erased."""
    if _is_made(db):
        db.execute("DELETE FROM readings WHERE instr(state, ?)", (json.dumps(session_id),))


def _is_made(db: sqlite3.Connection) -> bool:
    return bool(db.execute("SELECT 1 FROM sqlite_master WHERE name = 'readings'").fetchone())
