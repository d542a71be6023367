"""Keeps the replica below its cap: drops what is in its Redis as well, the longest untouched first."""

import sqlite3
import time

LEFT_WHEN_FULL = 0.9
"""The part of the cap to which the replica shrinks when it has grown beyond it."""

ROOM_SECONDS = 0.01
"""How long a copy that is put may take to make room for itself."""

DROPPED_AT_ONCE = 50
"""Copies read at once to be dropped."""


class ReplicaRoom:
    """The room that the replica may take: `cap` bytes."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._grown = 0
        self.excess = 0.0
        """Bytes by which the replica must still shrink."""

    def take(self, db: sqlite3.Connection, size: int) -> None:
        """Count a copy of `size` bytes that was put, and make a little room: nobody waits until all of it is gone."""
        self._grown += size
        if self._grown > self._cap * (1 - LEFT_WHEN_FULL) / 2:
            self.measure(db)
        if self.excess > 0:
            self.make(db, min(self.excess, 2 * size), time.monotonic() + ROOM_SECONDS)

    def measure(self, db: sqlite3.Connection) -> None:
        """Measure by how much the replica must shrink: once it has passed its cap, to a part of it."""
        self._grown = 0
        (total,) = db.execute("SELECT ifnull(sum(bytes), 0) FROM documents INDEXED BY replica WHERE replica").fetchone()
        too_much = total - self._cap * LEFT_WHEN_FULL
        self.excess = too_much if total > self._cap else min(self.excess, max(too_much, 0.0))

    def make(self, db: sqlite3.Connection, needed: float, until: float) -> int:
        """Drop copies of `needed` bytes together, as far as there is time; the number dropped."""
        # Tombstones are small, and what was deleted must not come back.
        rows = db.execute(
            "SELECT id, bytes FROM documents INDEXED BY replica WHERE replica AND NOT tombstone AND NOT unverified AND"
            " (destination, key) NOT IN (SELECT destination, key FROM outbox WHERE NOT dead) ORDER BY touched LIMIT ?",
            (DROPPED_AT_ONCE,),
        ).fetchall()
        gone = 0
        for number, size in rows:
            if needed <= 0 or (gone and time.monotonic() > until):
                return gone
            db.execute("DELETE FROM documents WHERE id = ?", (number,))
            needed -= size
            self.excess -= size
            gone += 1
        if not rows:
            self.excess = 0.0  # nothing more may go
        return gone
