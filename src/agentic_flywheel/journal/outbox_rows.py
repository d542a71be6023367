"""Reads and writes the rows of the outbox: pending changes and dead letters."""

import json
from collections.abc import Collection, Sequence

from agentic_flywheel.backoff import LONGEST_DELAY
from agentic_flywheel.documents.model import instant
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.journal.connection import JournalFile
from agentic_flywheel.journal.migrations import THIS_MACHINE
from agentic_flywheel.journal.records import DeadLetter, Due, HeldUp, Pending, Waiting
from agentic_flywheel.journal.retry import retry_once_if_replaced
from agentic_flywheel.journal.rows import all_pending, copy_of, kind_and_size, next_pending
from agentic_flywheel.journal.texts import read_command

KEYS_AT_ONCE = 100
"""Keys read from the outbox at once."""

LONGEST_WAIT = int(LONGEST_DELAY * 1_000_000)
"""Microseconds. A next attempt that is farther off was set by a clock that has been put back since, and is due."""


class OutboxRows(JournalFile):
    """The verbs of the outbox, each about the destination in use."""

    @retry_once_if_replaced
    def due_keys(self, beginnings: Sequence[str], but: Collection[str] = ()) -> list[Due]:
        """Up to `KEYS_AT_ONCE` keys with one of these `beginnings` that may be sent now, `but` not these.

        The oldest come first, those that failed last. No wait is longer than `LONGEST_WAIT`, whatever clock set it.
        """
        mine = " OR ".join("substr(key, 1, length(?)) = ?" for _ in beginnings) or "TRUE"
        with self._snapshot() as db:
            rows = db.execute(
                "SELECT o.key, o.attempts FROM outbox o JOIN (SELECT min(position) AS first FROM outbox"  # noqa: S608
                f" WHERE destination = ? AND NOT dead AND ({mine}) GROUP BY key) ON o.position = first"
                " WHERE (o.next_attempt <= ? OR o.next_attempt > ?) AND key NOT IN (SELECT value FROM json_each(?))"
                " ORDER BY o.attempts, first LIMIT ?",
                (
                    self._destination,
                    *(text for beginning in beginnings for text in (beginning, beginning)),
                    now := self._now(),
                    now + LONGEST_WAIT,
                    json.dumps([*but]),
                    KEYS_AT_ONCE,
                ),
            ).fetchall()
        return [Due(*row) for row in rows]

    @retry_once_if_replaced
    def pending(self, key: str) -> list[Pending]:
        """The changes of one key that are not in its destination yet, oldest first."""
        with self._snapshot() as db:
            return all_pending(db, self._destination, key)

    @retry_once_if_replaced
    def next_pending(self, key: str, after: int = 0) -> Pending | None:
        """The oldest pending change of `key` behind a position."""
        with self._snapshot() as db:
            return next_pending(db, self._destination, key, after)

    @retry_once_if_replaced
    def unsent_document(self, key: str) -> tuple[Write | None, list[int]]:
        """The document of `key` and the positions of the pending changes that it holds, as of one moment."""
        with self._snapshot() as db:
            rows = db.execute(
                "SELECT position FROM outbox WHERE destination = ? AND key = ? AND NOT dead", (self._destination, key)
            ).fetchall()
            return copy_of(db, self._destination, key), [row[0] for row in rows]

    @retry_once_if_replaced
    def postpone(self, key: str, cause: str, next_attempt: int) -> None:
        """Note why the oldest change of `key` was not taken, and when it may be tried again."""
        with self._transaction() as db:
            db.execute(
                "UPDATE outbox SET attempts = attempts + 1, cause = ?, next_attempt = ? WHERE position ="
                " (SELECT min(position) FROM outbox WHERE destination = ? AND key = ? AND NOT dead)",
                (cause, next_attempt, self._destination, key),
            )

    @retry_once_if_replaced
    def try_all_now(self) -> None:
        """End every wait for a next attempt: the destination was started again."""
        with self._transaction() as db:
            db.execute(
                "UPDATE outbox INDEXED BY failed SET next_attempt = 0"
                " WHERE destination = ? AND cause IS NOT NULL AND NOT dead AND next_attempt > 0",
                (self._destination,),
            )

    @retry_once_if_replaced
    def make_dead_letter(self, position: int, cause: str, *, drops_document: bool = True) -> None:
        """Set apart a change that its destination will never take.

        Drops the document here, which holds it: it must not be taken for what the destination holds. Where other
        changes of it are pending it may stay until they are sent.
        """
        with self._transaction(durable=True) as db:
            db.execute("UPDATE outbox SET dead = 1, cause = ? WHERE position = ?", (cause, position))
            if drops_document:
                db.execute(
                    "DELETE FROM documents WHERE (destination, key) ="
                    " (SELECT destination, key FROM outbox WHERE position = ?)",
                    (position,),
                )

    @retry_once_if_replaced
    def dead_letters(self) -> list[DeadLetter]:
        """The dead letters of all destinations, oldest first."""
        with self._snapshot() as db:
            rows = db.execute(
                "SELECT position, key, shown, attempts, cause, queued_at FROM outbox INDEXED BY dead_letters"
                " JOIN destinations ON destinations.id = destination WHERE dead ORDER BY position"
            ).fetchall()
        return [
            DeadLetter(position, key, shown, attempts, cause, instant(queued_at or None))
            for position, key, shown, attempts, cause, queued_at in rows
        ]

    @retry_once_if_replaced
    def command_of(self, position: int) -> str | None:
        """The text of a dead letter, as it would be sent; `None` if there is none at that position."""
        with self._snapshot() as db:
            row = db.execute("SELECT text FROM outbox WHERE position = ? AND dead", (position,)).fetchone()
            return read_command(db, row[0]) if row else None

    @retry_once_if_replaced
    def retry(self, position: int) -> bool:
        """Make a dead letter pending again; whether there is one at that position."""
        with self._transaction(durable=True) as db:
            query = (
                "UPDATE outbox SET dead = 0, attempts = 0, next_attempt = 0, cause = NULL WHERE position = ? AND dead"
            )
            return db.execute(query, (position,)).rowcount == 1

    @retry_once_if_replaced
    def discard(self, position: int) -> bool:
        """Delete a dead letter; whether there was one at that position."""
        with self._transaction(durable=True) as db:
            return db.execute("DELETE FROM outbox WHERE position = ? AND dead", (position,)).rowcount == 1

    @retry_once_if_replaced
    def waiting(self) -> list[Waiting]:
        """What is pending for other destinations than the one in use, this machine not counted."""
        with self._snapshot() as db:
            rows = db.execute(
                "SELECT shown, count(*), count(DISTINCT key) FROM outbox JOIN destinations ON destinations.id ="
                " destination WHERE NOT dead AND destination NOT IN (?, ?) GROUP BY destination",
                (self._destination, THIS_MACHINE),
            ).fetchall()
        return [Waiting(*row) for row in rows]

    @retry_once_if_replaced
    def _pending_state(self) -> tuple[int, float, str | None]:
        """The number of pending changes, the seconds the oldest waits, and why the oldest that failed did."""
        with self._snapshot() as db:
            count, first = db.execute(
                "SELECT count(*), min(position) FROM outbox WHERE destination = ? AND NOT dead", (self._destination,)
            ).fetchone()
            queued = db.execute("SELECT queued_at FROM outbox WHERE position = ?", (first,)).fetchone()
            cause = db.execute(
                "SELECT cause FROM outbox INDEXED BY failed WHERE destination = ? AND cause IS NOT NULL AND NOT dead"
                " ORDER BY position LIMIT 1",
                (self._destination,),
            ).fetchone()
        seconds = max(0.0, (self._now() - queued[0]) / 1_000_000) if queued and queued[0] else 0.0
        return count, seconds, cause[0] if cause else None

    @retry_once_if_replaced
    def held_up(self, limit: int) -> list[HeldUp]:
        """Up to `limit` pending changes that were not taken, those that failed most often first."""
        with self._snapshot() as db:
            rows = db.execute(
                "SELECT text, key, cause FROM outbox WHERE destination = ? AND NOT dead AND cause IS NOT NULL"
                " ORDER BY attempts DESC, position LIMIT ?",
                (self._destination, limit),
            ).fetchall()
            return [HeldUp(key, *kind_and_size(db, text), cause) for text, key, cause in rows]
