"""Knows which sessions belong to another one, as those of sub-agents do, so that lists can fold them.

That stands in their rows (`parent`) too; the table makes it quick to ask. It is made when a row first says so, has no
version, and an older program neither reads nor misses it: what that saves is listed unfolded.
"""

import sqlite3
import time
from collections.abc import Sequence

from agentic_flywheel.documents.writes import ListRow
from agentic_flywheel.journal.connection import JournalFile
from agentic_flywheel.journal.retry import retry_once_if_replaced
from agentic_flywheel.json_text import JSONObject, load_object

_TABLE = (
    "CREATE TABLE IF NOT EXISTS kin"
    " (destination INTEGER, parent TEXT, key TEXT, PRIMARY KEY (destination, parent, key)) WITHOUT ROWID"
)


NONE_SECONDS = 1.0
"""For how long there are none, once there was no table: each resume asks, and most people have no such sessions."""


class Kin(JournalFile):
    """The verbs about sessions that belong to others."""

    _none_until = 0.0

    @retry_once_if_replaced
    def children(self, index: str, parents: Sequence[str]) -> dict[str, list[JSONObject]]:
        """The rows of the sessions that belong to each of these, the oldest first; expired ones left out."""
        query = (
            "SELECT note FROM kin JOIN documents USING (destination, key) WHERE kin.destination = ? AND parent = ?"
            " AND list = ? AND (kept_until IS NULL OR kept_until > ?) ORDER BY saved_at"
        )
        if time.monotonic() < self._none_until:
            return {}
        with self._snapshot() as db:
            if not _is_made(db):
                self._none_until = time.monotonic() + NONE_SECONDS
                return {}
            asked = (self._destination, index, self._now())
            found = {each: db.execute(query, (asked[0], each, *asked[1:])).fetchall() for each in parents}
        rows = {each: [load_object(note, "a row of the list") for (note,) in notes] for each, notes in found.items()}
        # What was forked or begun anew under the id may belong to nobody now.
        return {each: kept for each, notes in rows.items() if (kept := [n for n in notes if n.get("parent") == each])}

    @retry_once_if_replaced
    def listed(self, index: str, members: Sequence[str]) -> set[str]:
        """Those of these sessions that are listed here and have not expired."""
        query = (
            "SELECT 1 FROM documents INDEXED BY members WHERE destination = ? AND list = ? AND list IS NOT NULL"
            " AND member = ? AND (kept_until IS NULL OR kept_until > ?)"
        )
        with self._snapshot() as db:
            asked = (self._destination, index)
            return {each for each in members if db.execute(query, (*asked, each, self._now())).fetchone()}


def note_kin(db: sqlite3.Connection, destination: int, key: str, row: ListRow) -> bool:
    """Note the parent that the row of the session under `key` names; whether it names one."""
    if '"parent":' not in row.note or not isinstance(parent := load_object(row.note, "a row").get("parent"), str):
        return False
    db.execute(_TABLE)
    db.execute("INSERT OR IGNORE INTO kin VALUES (?, ?, ?)", (destination, parent, key))
    return True


def forget_kin_of(db: sqlite3.Connection, key: str, session_id: str) -> None:
    """Delete what names a session, which is erased."""
    if _is_made(db):
        db.execute("DELETE FROM kin WHERE key = ? OR parent = ?", (key, session_id))


def _is_made(db: sqlite3.Connection) -> bool:
    return bool(db.execute("SELECT 1 FROM sqlite_master WHERE name = 'kin'").fetchone())
