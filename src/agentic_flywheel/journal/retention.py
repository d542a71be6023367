"""Purges what has expired, copies beyond the cap, and free pages, in short steps.

A step holds the file for `STEP_SECONDS`; between two of them there are `PAUSE_SECONDS` for the other processes.
"""

import sqlite3
import time
from dataclasses import dataclass
from datetime import timedelta

from agentic_flywheel.documents.model import instant, micros
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.journal.erasure import Erasure
from agentic_flywheel.journal.retry import retry_once_if_replaced
from agentic_flywheel.journal.rows import listed_in

PURGE_AFTER = timedelta(hours=1)
"""How long after it was first seen to have expired a document is deleted; it is hidden at once. A clock that is set
wrong and right again costs nothing."""

LEAP = timedelta(days=30)
"""How far the clock may be ahead of the last write for it to be trusted: else nothing that has expired goes at once."""

DOUBTED = timedelta(days=3)
"""How long what expired by a clock that is not trusted is kept instead: until somebody has put it right."""

STEP_SECONDS = 0.02
"""How long a step holds the file: it ends with the document that passes this."""

PAUSE_SECONDS = 0.06
"""How long the file is free between two steps: another process tries every few hundredths."""

EXPIRED_AT_ONCE = 50
"""Expired documents read by one query."""

PAGES_AT_ONCE = 32
"""Free pages released at once."""

_INCREMENTAL = 2
"""The value of `PRAGMA auto_vacuum` with which free pages can be released."""


@dataclass(frozen=True, slots=True)
class Purged:
    """What was deleted of the destination in use, without its text; `more`: another step is due."""

    gone: list[Write]
    more: bool


class Retention(Erasure):
    """The verbs that delete what need not be kept."""

    @retry_once_if_replaced
    def purge_expired(self, *, at_once: bool = False) -> Purged:
        """Do one step of deleting what was seen to have expired `PURGE_AFTER` ago, with what is pending of it.

        `at_once`: what has expired goes now, but for what is still to be sent. The clock may be wrong where it is far
        ahead of the last write; then nothing goes now.
        """
        with self._transaction() as db:
            until = time.monotonic() + STEP_SECONDS
            self._note_expiry(db)
            gone, more = self._drop_expired(db, until, at_once=at_once and self._is_plausible(db))
            self._room.measure(db)
            while self._room.excess > 0 and not more:
                self._room.make(db, self._room.excess, until)
                more = time.monotonic() > until
            more = more or self._release_pages(db, until)
        if gone:
            self.unwiped = self._has_slack = True
        if not more:
            self._prune_search_index()
        return Purged(gone, more)

    @retry_once_if_replaced
    def purge(self) -> int:
        """Empty the replica; the number of copies deleted. What is only here stays: pending, or of this machine."""
        gone, more = 0, True
        while more:
            with self._transaction() as db:
                until = time.monotonic() + STEP_SECONDS
                dropped = self._room.make(db, float("inf"), until)
                more = dropped > 0 or self._release_pages(db, until)
            gone += dropped
            time.sleep(PAUSE_SECONDS if more else 0)
        self._delete_search_index()
        self.wipe_log()
        self.unwiped = self._has_slack = True
        return gone

    @retry_once_if_replaced
    def is_past_retention(self, key: str) -> bool:
        """Whether a document was seen to have expired `PURGE_AFTER` ago, so that it may be dropped."""
        with self._snapshot() as db:
            query = "SELECT expired_seen_at FROM documents WHERE destination = ? AND key = ?"
            row = db.execute(query, (self._destination, key)).fetchone()
        return bool(row and row[0] is not None and row[0] <= micros(self._clock() - PURGE_AFTER))

    def _note_expiry(self, db: sqlite3.Connection) -> None:
        """Note which documents have expired, and which are alive again.

        What expired by a clock that is not trusted is noted as seen later, so that it goes later.
        """
        now, longest = self._now(), (DOUBTED - PURGE_AFTER) // timedelta(microseconds=1)
        seen = now if self._is_plausible(db) else now + longest
        db.execute(
            "UPDATE documents SET expired_seen_at = NULL WHERE expired_seen_at IS NOT NULL AND kept_until > ?", (now,)
        )
        # A clock that was ahead when it was noticed must not make it wait for ever.
        db.execute(
            "UPDATE documents SET expired_seen_at = ? WHERE kept_until <= ?"
            " AND (expired_seen_at IS NULL OR expired_seen_at > ?)",
            (seen, now, now + longest),
        )

    def _is_plausible(self, db: sqlite3.Connection) -> bool:
        """Whether the time is no more than `LEAP` after what was written last; else the clock may be wrong."""
        (last,) = db.execute(
            "SELECT max(ifnull((SELECT touched FROM documents WHERE id = (SELECT max(id) FROM documents)), 0),"
            " ifnull((SELECT max(touched) FROM documents INDEXED BY replica WHERE replica), 0))"
        ).fetchone()
        return self._now() - last <= LEAP / timedelta(microseconds=1)

    def _drop_expired(self, db: sqlite3.Connection, until: float, *, at_once: bool) -> tuple[list[Write], bool]:
        """Delete expired documents; those of the destination in use, and whether there are more."""
        limit, unsent = micros(self._clock() - PURGE_AFTER), ""
        if at_once:
            limit = self._now()
            unsent = " AND (destination, key) NOT IN (SELECT destination, key FROM outbox WHERE NOT dead)"
        gone: list[Write] = []
        any_gone = False
        query = (
            "SELECT destination, key, kept_until, tombstone, list, member, saved_at, note FROM documents"  # noqa: S608
            f" WHERE kept_until IS NOT NULL AND expired_seen_at <= ?{unsent} LIMIT ?"
        )
        while rows := db.execute(query, (limit, EXPIRED_AT_ONCE)).fetchall():
            for destination, key, kept_until, tombstone, *entry in rows:
                if any_gone and time.monotonic() > until:
                    return gone, True
                any_gone = True
                db.execute("DELETE FROM outbox WHERE destination = ? AND key = ? AND NOT dead", (destination, key))
                db.execute("DELETE FROM documents WHERE destination = ? AND key = ?", (destination, key))
                if destination == self._destination:
                    listed, _ = listed_in(*entry)
                    gone.append(Write(key, "", None, instant(kept_until), tombstone=bool(tombstone), list_row=listed))
        return gone, False

    def _release_pages(self, db: sqlite3.Connection, until: float) -> bool:
        """Release free pages to the disk; whether there are more."""
        if db.execute("PRAGMA auto_vacuum").fetchone() != (_INCREMENTAL,):
            return False  # of the first version, and there was no room to change it: what is free is used again
        while db.execute("PRAGMA freelist_count").fetchone() != (0,):
            for _ in range(
                PAGES_AT_ONCE
            ):  # Python 3.11 steps it once, and so frees a page each time, whatever it is told
                db.execute("PRAGMA incremental_vacuum(1)")
            if time.monotonic() > until:
                return True
        return False
