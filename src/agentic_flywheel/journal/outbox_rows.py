"""The rows of the outbox: what is acknowledged here and not yet in its destination, and its dead letters."""

import json
import sqlite3
from collections.abc import Collection, Sequence

from agentic_flywheel.documents.model import instant, micros
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.journal.connection import JournalFile, again_if_replaced
from agentic_flywheel.journal.migrations import THIS_MACHINE
from agentic_flywheel.journal.records import DeadLetter, Due, HeldUp, Pending, Waiting
from agentic_flywheel.journal.rows import all_pending, copy_of, drop, is_pending, kind_and_size, next_pending, queue
from agentic_flywheel.journal.texts import read_command

KEYS_AT_ONCE = 100
"""Keys read from the outbox at once."""


class OutboxRows(JournalFile):
    """The verbs of the outbox, each about the destination in use."""

    @again_if_replaced
    def due_keys(self, beginnings: Sequence[str], but: Collection[str] = ()) -> list[Due]:
        """Up to `KEYS_AT_ONCE` keys that begin so and may be sent now: the oldest first, those that failed last.

        `but`: these are left out.
        """
        mine = " OR ".join("substr(key, 1, length(?)) = ?" for _ in beginnings) or "TRUE"
        with self._use() as db:
            rows = db.execute(
                "SELECT o.key, o.attempts FROM outbox o JOIN (SELECT min(position) AS first FROM outbox"  # noqa: S608
                f" WHERE destination = ? AND NOT dead AND ({mine}) GROUP BY key) ON o.position = first"
                " WHERE o.next_attempt <= ? AND key NOT IN (SELECT value FROM json_each(?))"
                " ORDER BY o.attempts, first LIMIT ?",
                (
                    self._destination,
                    *(text for beginning in beginnings for text in (beginning, beginning)),
                    micros(self._clock()),
                    json.dumps([*but]),
                    KEYS_AT_ONCE,
                ),
            ).fetchall()
        return [Due(*row) for row in rows]

    @again_if_replaced
    def pending(self, key: str) -> list[Pending]:
        """The changes of one key that are not in its destination yet, oldest first."""
        with self._use() as db:
            return all_pending(db, self._destination, key)

    @again_if_replaced
    def next_pending(self, key: str, after: int = 0) -> Pending | None:
        """The oldest of them behind a position."""
        with self._use() as db:
            return next_pending(db, self._destination, key, after)

    @again_if_replaced
    def unsent_document(self, key: str) -> tuple[Write | None, list[int]]:
        """The document of `key` and the positions of the pending changes that it holds, as of one moment."""
        with self._use() as db:
            rows = db.execute(
                "SELECT position FROM outbox WHERE destination = ? AND key = ? AND NOT dead", (self._destination, key)
            ).fetchall()
            return copy_of(db, self._destination, key), [row[0] for row in rows]

    @again_if_replaced
    def postpone(self, key: str, cause: str, next_attempt: int) -> None:
        """Note why the oldest change of `key` was not taken, and when it may be tried again."""
        with self._transaction() as db:
            db.execute(
                "UPDATE outbox SET attempts = attempts + 1, cause = ?, next_attempt = ? WHERE position ="
                " (SELECT min(position) FROM outbox WHERE destination = ? AND key = ? AND NOT dead)",
                (cause, next_attempt, self._destination, key),
            )

    @again_if_replaced
    def try_all_now(self) -> None:
        """Let nothing wait for its next attempt: the destination was started again."""
        with self._transaction() as db:
            db.execute(
                "UPDATE outbox INDEXED BY failed SET next_attempt = 0"
                " WHERE destination = ? AND cause IS NOT NULL AND NOT dead AND next_attempt > 0",
                (self._destination,),
            )

    @again_if_replaced
    def make_dead_letter(self, position: int, cause: str, *, drops_document: bool = True) -> None:
        """Keep a change that its destination will never take, out of the way of the others.

        The document here, which holds it, is dropped: it must not be taken for what the destination holds. Where other
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

    @again_if_replaced
    def dead_letters(self) -> list[DeadLetter]:
        """The dead letters of all destinations, oldest first."""
        with self._use() as db:
            rows = db.execute(
                "SELECT position, key, shown, attempts, cause, queued_at FROM outbox INDEXED BY dead_letters"
                " JOIN destinations ON destinations.id = destination WHERE dead ORDER BY position"
            ).fetchall()
        return [
            DeadLetter(position, key, shown, attempts, cause, instant(queued_at or None))
            for position, key, shown, attempts, cause, queued_at in rows
        ]

    @again_if_replaced
    def command_of(self, position: int) -> str | None:
        """The text of a dead letter, as it would be sent; `None` if there is no such one."""
        with self._use() as db:
            row = db.execute("SELECT text FROM outbox WHERE position = ? AND dead", (position,)).fetchone()
            return read_command(db, row[0]) if row else None

    @again_if_replaced
    def retry(self, position: int) -> bool:
        """Have a dead letter sent again; whether there is such a one."""
        with self._transaction(durable=True) as db:
            query = (
                "UPDATE outbox SET dead = 0, attempts = 0, next_attempt = 0, cause = NULL WHERE position = ? AND dead"
            )
            return db.execute(query, (position,)).rowcount == 1

    @again_if_replaced
    def discard(self, position: int) -> bool:
        """Throw a dead letter away; whether there was such a one."""
        with self._transaction(durable=True) as db:
            return db.execute("DELETE FROM outbox WHERE position = ? AND dead", (position,)).rowcount == 1

    @again_if_replaced
    def waiting(self) -> list[Waiting]:
        """What waits for other destinations than the one in use, this machine left aside."""
        with self._use() as db:
            rows = db.execute(
                "SELECT shown, count(*), count(DISTINCT key) FROM outbox JOIN destinations ON destinations.id ="
                " destination WHERE NOT dead AND destination NOT IN (?, ?) GROUP BY destination",
                (self._destination, THIS_MACHINE),
            ).fetchall()
        return [Waiting(*row) for row in rows]

    @again_if_replaced
    def _pending_state(self) -> tuple[int, float, str | None]:
        """How many changes are pending, for how many seconds the oldest is, and why the oldest that failed did."""
        with self._use() as db:
            count, first = db.execute(
                "SELECT count(*), min(position) FROM outbox WHERE destination = ? AND NOT dead", (self._destination,)
            ).fetchone()
            queued = db.execute("SELECT queued_at FROM outbox WHERE position = ?", (first,)).fetchone()
            cause = db.execute(
                "SELECT cause FROM outbox INDEXED BY failed WHERE destination = ? AND cause IS NOT NULL AND NOT dead"
                " ORDER BY position LIMIT 1",
                (self._destination,),
            ).fetchone()
        seconds = (micros(self._clock()) - queued[0]) / 1_000_000 if queued and queued[0] else 0.0
        return count, seconds, cause[0] if cause else None

    @again_if_replaced
    def held_up(self, limit: int) -> list[HeldUp]:
        """Up to so many pending changes that were not taken, those that failed most often first."""
        with self._use() as db:
            rows = db.execute(
                "SELECT text, key, cause FROM outbox WHERE destination = ? AND NOT dead AND cause IS NOT NULL"
                " ORDER BY attempts DESC, position LIMIT ?",
                (self._destination, limit),
            ).fetchall()
            return [HeldUp(key, *kind_and_size(db, text), cause) for text, key, cause in rows]

    @again_if_replaced
    def withdraw(self, key: str) -> None:
        """Take back what is pending of `key`, and what is known of it: it is not to be sent any more."""
        with self._transaction() as db:
            for rows in ("pending WHERE NOT dead", "dead_letters WHERE dead"):
                query = f"DELETE FROM outbox INDEXED BY {rows} AND destination = ? AND key = ?"  # noqa: S608
                db.execute(query, (self._destination, key))
            drop(db, self._destination, [key])

    @again_if_replaced
    def of_this_machine(self) -> int:
        """How many live sessions belong to this machine, while a Redis is in use."""
        with self._use() as db:
            (count,) = db.execute(
                "SELECT count(*) FROM documents WHERE destination = ? AND destination != ? AND list IS NOT NULL"
                " AND (kept_until IS NULL OR kept_until > ?)",
                (THIS_MACHINE, self._destination, micros(self._clock())),
            ).fetchone()
        return count

    def _queue(self, db: sqlite3.Connection, key: str, command: str, *, supersedes: bool = False) -> None:
        queue(db, self._destination, key, command, micros(self._clock()), supersedes=supersedes)

    def _is_pending(self, db: sqlite3.Connection, key: str) -> bool:
        return is_pending(db, self._destination, key)
