"""Finds the destination of the Redis in use by its address."""

import logging
import sqlite3
from dataclasses import dataclass

from agentic_flywheel.journal.migrations import THIS_MACHINE

logger = logging.getLogger(__name__)

UNKNOWN = -1
"""The destination while there is none: the file cannot be written."""

_DESTINATION = "SELECT id, epoch FROM destinations WHERE id = (SELECT destination FROM addresses WHERE address = ?)"
"""The destination that an address leads to, and its epoch."""

_HAS_COPIES = "SELECT 1 FROM documents WHERE destination = ? AND replica LIMIT 1"
"""Whether a destination was met, though nobody had the time to note its epoch."""

_SESSIONS = (
    "SELECT shown, (SELECT count(*) FROM documents WHERE destination = destinations.id AND list IS NOT NULL"
    " AND saved_at >= 0) FROM destinations WHERE id = ?"
)
"""What people call a destination, and how many sessions of it are here."""


_WAS_NAMED = "SELECT 1 FROM addresses WHERE destination = ? AND address LIKE 'named %'"
"""Whether somebody named it: what waits for it is sent when it answers. Earlier versions took localhost unasked."""


@dataclass(frozen=True, slots=True)
class Address:
    """Spellings of the address of the Redis in use, the newest first; without one the destination is this machine.

    `shown` is what people call it. `switched_off`: it is not asked, so only one that was met before is the destination.
    `unnamed`: the address that earlier versions used where none was named.
    """

    spellings: tuple[str, ...]
    shown: str
    switched_off: bool
    unnamed: tuple[str, ...] = ()

    @property
    def certain(self) -> str | None:
        """The spelling that says where the destination is, if it leads to one; `None`: more is to be looked at."""
        return self.spellings[0] if self.spellings and not self.switched_off else None

    def find(self, db: sqlite3.Connection) -> int:
        """The destination as it is now: another process may have found out which it is."""
        if not self.spellings:
            return THIS_MACHINE
        for spelling in self.spellings:
            found = db.execute(_DESTINATION, (spelling,)).fetchone()
            if found and (not self.switched_off or found[1] or db.execute(_HAS_COPIES, (found[0],)).fetchone()):
                return found[0]
        return THIS_MACHINE if self.switched_off else UNKNOWN

    def adopt(self, db: sqlite3.Connection) -> None:
        """Give this machine what waits for a Redis that nobody named and that never answered: it is nowhere else.

        What this machine has another document of stays where it is, and is reported as waiting. Of one that answered
        once, the log tells how its sessions are reached.

        Raises:
            sqlite3.Error: there is no room; nothing has been changed.

        """
        for spelling in self.unnamed:
            found = db.execute(_DESTINATION, (spelling,)).fetchone()
            if (
                found
                and not found[1]
                and not any(db.execute(query, (found[0],)).fetchone() for query in (_HAS_COPIES, _WAS_NAMED))
            ):
                _adopt(db, found[0])
            elif found:
                shown, count = db.execute(_SESSIONS, (found[0],)).fetchone()
                if count:
                    logger.warning(
                        "Sessions here that are of %s, which is not named: %d. Set REDIS_URL=%s to have them.",
                        shown,
                        count,
                        shown,
                    )

    def register(self, db: sqlite3.Connection) -> int:
        """The same; a Redis that no spelling leads to is a new destination from now on."""
        number = self.find(db)
        if number == UNKNOWN:
            number = db.execute("INSERT INTO destinations DEFAULT VALUES").lastrowid or UNKNOWN
            for address in (self.spellings[0], f"named {self.spellings[0]}"):
                db.execute("INSERT OR REPLACE INTO addresses VALUES (?, ?)", (address, number))
        if number != THIS_MACHINE:
            db.execute("UPDATE destinations SET shown = ?1 WHERE id = ?2 AND shown != ?1", (self.shown, number))
        return number


def _adopt(db: sqlite3.Connection, destination: int) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        query = "UPDATE OR IGNORE documents SET destination = ? WHERE destination = ?"
        db.execute(query, (THIS_MACHINE, destination))
        db.execute(
            "DELETE FROM outbox WHERE destination = ?1 AND NOT dead AND NOT EXISTS"
            " (SELECT 1 FROM documents WHERE destination = ?1 AND key = outbox.key)",
            (destination,),
        )
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
