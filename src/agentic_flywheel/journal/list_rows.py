"""Lists sessions from the journal's rows: newest first, of the destination in use and of this machine."""

import json
import sqlite3
from collections.abc import Sequence

from agentic_flywheel.documents.writes import ListRow
from agentic_flywheel.errors import JournalUnavailable
from agentic_flywheel.journal.connection import JournalFile
from agentic_flywheel.journal.migrations import THIS_MACHINE
from agentic_flywheel.journal.retry import retry_once_if_replaced
from agentic_flywheel.journal.rows import MISSING, PART

_ENTRY = "list, member, saved_at, note, destination, unverified"
"""The columns of an `ListRow`, its destination, and whether that has lost it."""


FEW = 50
"""Pending changes whose rows are read on the event loop."""


class ListRows(JournalFile):
    """The verbs of listing. They leave out what has expired."""

    @retry_once_if_replaced
    def recent(self, index: str, before: tuple[int, str] | None, limit: int) -> list[ListRow]:
        """A page of the list, newest first: of the destination in use and of this machine."""
        with self._snapshot() as db:
            found = self._recent(db, self._destination, index, before, limit)
            found += self._recent_of_this_machine(db, index, before, limit)
        return sorted(found, key=lambda entry: (entry.saved_at, entry.member), reverse=True)[:limit]

    @retry_once_if_replaced
    def recent_of_this_machine(self, index: str, before: tuple[int, str] | None, limit: int) -> list[ListRow]:
        """A page of what belongs to this machine while a Redis is in use, without what that is known to have."""
        with self._snapshot() as db:
            return self._recent_of_this_machine(db, index, before, limit)

    def _recent_of_this_machine(
        self, db: sqlite3.Connection, index: str, before: tuple[int, str] | None, limit: int
    ) -> list[ListRow]:
        if self._destination == THIS_MACHINE:
            return []
        return self._recent(db, THIS_MACHINE, index, before, limit, but=self._destination)

    def _recent(
        self,
        db: sqlite3.Connection,
        destination: int,
        index: str,
        before: tuple[int, str] | None,
        limit: int,
        but: int | None = None,
    ) -> list[ListRow]:
        saved_at, member = before or (2**62, "")
        rows = db.execute(
            f"SELECT {_ENTRY} FROM documents WHERE destination = ? AND list = ?"  # noqa: S608
            " AND (saved_at < ? OR (saved_at = ? AND member < ?)) AND (kept_until IS NULL OR kept_until > ?)"
            " AND NOT EXISTS (SELECT 1 FROM documents o WHERE o.destination = ? AND o.key = documents.key)"
            " ORDER BY saved_at DESC, member DESC LIMIT ?",
            (destination, index, saved_at, saved_at, member, self._now(), but, limit),
        ).fetchall()
        return [self._entry(row) for row in rows]

    def _entry(self, row: tuple[str, str, int, str, int, int]) -> ListRow:
        return ListRow(*row[:4], here_alone=row[4] != self._destination or row[5] == MISSING)

    @retry_once_if_replaced
    def entries(self, index: str, members: Sequence[str]) -> list[ListRow]:
        """The entries of these members of the list, as far as they are here."""
        with self._snapshot() as db:
            rows = db.execute(
                f"SELECT {_ENTRY} FROM documents WHERE destination IN (0, ?) AND list = ?"  # noqa: S608
                " AND member IN (SELECT value FROM json_each(?)) AND (kept_until IS NULL OR kept_until > ?)"
                " ORDER BY member, destination",
                (self._destination, index, json.dumps([*members]), self._now()),
            ).fetchall()
        return [*{row[1]: self._entry(row) for row in rows}.values()]

    @retry_once_if_replaced
    def unsent(self, index: str) -> tuple[list[ListRow], list[str]]:
        """The entries of the list with a pending change, newest first; the keys of pending deletions."""
        with self._snapshot() as db:
            self._check_few_pending(db)
            rows = db.execute(
                f"SELECT {_ENTRY} FROM documents WHERE destination = ?1 AND key IN"  # noqa: S608
                " (SELECT key FROM outbox WHERE destination = ?1 AND NOT dead) AND list = ?2"
                " AND (kept_until IS NULL OR kept_until > ?3) ORDER BY saved_at DESC, member DESC",
                (self._destination, index, self._now()),
            ).fetchall()
            deleted = db.execute(
                "SELECT key FROM documents WHERE destination = ?1 AND tombstone AND key IN"
                " (SELECT key FROM outbox WHERE destination = ?1 AND NOT dead)",
                (self._destination,),
            ).fetchall()
        return [self._entry(row) for row in rows], [row[0] for row in deleted]

    def _check_few_pending(self, db: sqlite3.Connection) -> None:
        """Leave it to a thread to read many."""
        query = "SELECT 1 FROM outbox WHERE destination = ? AND NOT dead LIMIT 1 OFFSET ?"
        if not self._thread.waits and db.execute(query, (self._destination, FEW)).fetchone():
            raise JournalUnavailable(f"More than {FEW} changes are pending.")

    @retry_once_if_replaced
    def keys(self, prefix: str) -> list[str]:
        """The keys of live documents that begin with `prefix`."""
        with self._snapshot() as db:
            rows = db.execute(
                "SELECT key FROM documents WHERE destination = ? AND key >= ? AND key < ? AND NOT tombstone"
                " AND (kept_until IS NULL OR kept_until > ?) ORDER BY key",
                (self._destination, prefix, prefix + chr(0x10FFFF), self._now()),
            ).fetchall()
        return [row[0] for row in rows]

    @retry_once_if_replaced
    def list_missing(self, index: str, before: tuple[int, str] | None, limit: int) -> list[ListRow]:
        """A page of the sessions that the destination has lost and that are to be put back."""
        saved_at, member = before or (2**62, "")
        with self._snapshot() as db:
            rows = db.execute(
                "SELECT list, member, saved_at, note FROM documents INDEXED BY missing WHERE destination = ?"  # noqa: S608
                f" AND list = ? AND unverified = {MISSING}"
                " AND (saved_at < ? OR (saved_at = ? AND member < ?)) AND (kept_until IS NULL OR kept_until > ?)"
                " ORDER BY saved_at DESC, member DESC LIMIT ?",
                (self._destination, index, saved_at, saved_at, member, self._now(), limit),
            ).fetchall()
        return [ListRow(*row, here_alone=True) for row in rows]

    @retry_once_if_replaced
    def sessions_of_this_machine(self, index: str) -> list[str]:
        """The ids of the live sessions of the list that belong to this machine, the oldest first."""
        with self._snapshot() as db:
            rows = db.execute(
                "SELECT member FROM documents WHERE destination = ? AND list = ?"
                " AND (kept_until IS NULL OR kept_until > ?) ORDER BY saved_at, member",
                (THIS_MACHINE, index, self._now()),
            ).fetchall()
        return [row[0] for row in rows]

    @retry_once_if_replaced
    def of_this_machine(self) -> int:
        """The number of live sessions that belong to this machine while a Redis is in use."""
        with self._snapshot() as db:
            (count,) = db.execute(
                "SELECT count(*) FROM documents WHERE destination = ? AND destination != ? AND list IS NOT NULL"  # noqa: S608
                f" AND saved_at != {PART}"
                " AND (kept_until IS NULL OR kept_until > ?)",
                (THIS_MACHINE, self._destination, self._now()),
            ).fetchone()
        return count


def place_no_later(db: sqlite3.Connection, destination: int, index: str, now: int) -> None:
    """List what stands later than now, by a clock that was put back since, just before now, in the same order."""
    rows = db.execute(
        "SELECT id FROM documents WHERE destination = ? AND list = ? AND saved_at > ?"
        " ORDER BY saved_at DESC, member DESC",
        (destination, index, now),
    ).fetchall()
    for place, (number,) in enumerate(rows, 1):  # mostly there is none
        db.execute("UPDATE documents SET saved_at = ? WHERE id = ?", (now - place, number))
