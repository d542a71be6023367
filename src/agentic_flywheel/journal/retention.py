"""What goes, and the room that it leaves: the expired, copies beyond the cap, free pages. Always in short steps.

A step holds the file for `STEP_SECONDS`; between two of them there are `PAUSE_SECONDS` for the other processes.
"""

import sqlite3
import time
from dataclasses import dataclass
from datetime import timedelta

from agentic_flywheel.documents.model import instant, micros
from agentic_flywheel.documents.writes import ListRow, Write
from agentic_flywheel.journal.connection import again_if_replaced
from agentic_flywheel.journal.replica_rows import ReplicaRows

PURGE_AFTER = timedelta(hours=1)
"""What expired is hidden at once and goes this long after that was noticed: a clock set wrong and right again costs
nothing."""

STEP_SECONDS = 0.02
"""How long a step holds the file: it ends with the document that passes this."""

PAUSE_SECONDS = 0.06
"""How long the file is free between two steps: another process looks for its turn every few hundredths."""

EXPIRED_AT_ONCE = 50
"""Expired documents that are read at once."""

PAGES_AT_ONCE = 32
"""Free pages that are given back at once."""

_INCREMENTAL = 2
"""Of `PRAGMA auto_vacuum`: free pages can be given back."""


@dataclass(frozen=True, slots=True)
class Purged:
    """What went of the destination in use, without its text; `more`: there is a next step to do."""

    gone: list[Write]
    more: bool


class Retention(ReplicaRows):
    """The verbs that take away what need not be kept."""

    @again_if_replaced
    def purge_expired(self) -> Purged:
        """Do a step of this: remove what was seen to have expired `PURGE_AFTER` ago, with what is pending of it."""
        with self._transaction() as db:
            until = time.monotonic() + STEP_SECONDS
            self._notice(db)
            gone, more = self._drop_expired(db, until)
            self._measure(db)
            while self._excess > 0 and not more:
                self._make_room(db, self._excess, until)
                more = time.monotonic() > until
            more = more or self._give_back(db, until)
        if not more:
            self._forget_words_of_what_is_gone()
        return Purged(gone, more)

    @again_if_replaced
    def purge(self) -> int:
        """Empty the replica; how many copies went. What is here alone stays: pending changes, and all without Redis."""
        gone, more = 0, True
        while more:
            with self._transaction() as db:
                until = time.monotonic() + STEP_SECONDS
                dropped = self._make_room(db, float("inf"), until)
                more = dropped > 0 or self._give_back(db, until)
            gone += dropped
            time.sleep(PAUSE_SECONDS if more else 0)
        self._delete_words()
        self._shorten_log()
        return gone

    def _notice(self, db: sqlite3.Connection) -> None:
        """Note what has expired, and what is alive again."""
        now = (micros(self._clock()),)
        db.execute(
            "UPDATE documents SET expired_seen_at = NULL WHERE expired_seen_at IS NOT NULL AND kept_until > ?", now
        )
        # A clock that was ahead when it was noticed must not make it wait for ever.
        db.execute(
            "UPDATE documents SET expired_seen_at = ?1 WHERE kept_until <= ?1"
            " AND (expired_seen_at IS NULL OR expired_seen_at > ?1)",
            now,
        )

    def _drop_expired(self, db: sqlite3.Connection, until: float) -> tuple[list[Write], bool]:
        """What went, and whether there is more."""
        limit = micros(self._clock() - PURGE_AFTER)
        gone: list[Write] = []
        any_gone = False
        query = (
            "SELECT destination, key, kept_until, tombstone, list, member, saved_at, note FROM documents"
            " WHERE kept_until IS NOT NULL AND expired_seen_at <= ? LIMIT ?"
        )
        while rows := db.execute(query, (limit, EXPIRED_AT_ONCE)).fetchall():
            for destination, key, kept_until, tombstone, *entry in rows:
                if any_gone and time.monotonic() > until:
                    return gone, True
                any_gone = True
                db.execute("DELETE FROM outbox WHERE destination = ? AND key = ? AND NOT dead", (destination, key))
                db.execute("DELETE FROM documents WHERE destination = ? AND key = ?", (destination, key))
                if destination == self._destination:
                    listed = ListRow(*entry) if entry[0] else None
                    gone.append(Write(key, "", None, instant(kept_until), tombstone=bool(tombstone), list_row=listed))
        return gone, False

    def _give_back(self, db: sqlite3.Connection, until: float) -> bool:
        """Give free pages back to the disk; whether there are more."""
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

    def _forget_words_of_what_is_gone(self) -> None:
        raise NotImplementedError

    def _delete_words(self) -> None:
        raise NotImplementedError
