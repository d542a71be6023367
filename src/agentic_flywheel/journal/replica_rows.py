"""The replica: this machine's copies of what a destination holds, and what is known of the destination itself."""

import json
import sqlite3
import time
from collections.abc import Sequence

from agentic_flywheel.documents.lineage import covers, tombstone_beats
from agentic_flywheel.documents.model import micros
from agentic_flywheel.documents.writes import Append, ListRow, Write
from agentic_flywheel.journal.connection import again_if_replaced
from agentic_flywheel.journal.destinations import merge_destination
from agentic_flywheel.journal.outbox_rows import OutboxRows
from agentic_flywheel.journal.records import Copy, Known
from agentic_flywheel.journal.rows import append, copy_of, holds, put
from agentic_flywheel.journal.schema import BUSY_SECONDS

LEFT_WHEN_FULL = 0.9
"""The part of the cap to which the replica shrinks when it has grown beyond it."""

MISSING = 2
"""The value of `unverified` for a copy that the destination has certainly lost."""

_COPY = "id, key, revision, ending, tombstone, bytes, unverified"
"""The columns of a `Copy`."""

ROOM_SECONDS = 0.01
"""How long a copy that is put may take to make room for itself."""

DROPPED_AT_ONCE = 50
"""Copies looked at at once to be dropped."""

REMEMBER_SECONDS = 0.2
"""How long copies wait for their turn to be written: without them nothing is lost."""


class ReplicaRows(OutboxRows):
    """The verbs of the replica, each about the destination in use. The replica has at most `cap` bytes."""

    _cap = 500_000_000
    _grown = 0
    """Bytes of copies that were put since the replica was last measured."""
    _excess = 0.0
    """Bytes by which it must still shrink."""

    @again_if_replaced
    def remember(self, *writes: Write | Append, timeout: float = REMEMBER_SECONDS) -> set[str]:
        """Keep copies of what the destination holds; the keys with a pending change, which are left as they are."""
        with self._transaction(timeout=timeout) as db:
            pending = {write.key for write in writes if self._is_pending(db, write.key)}
            for write in writes:
                if write.key not in pending:
                    self._put_copy(db, write)
        self._forget_words(*(write.key for write in writes if isinstance(write, Write) and write.tombstone))
        return pending

    @again_if_replaced
    def adopt(self, write: Write, *, timeout: float = REMEMBER_SECONDS) -> None:
        """Keep a copy of what the destination holds, whatever is here, unless a change is pending."""
        with self._transaction(timeout=timeout) as db:
            if not self._is_pending(db, write.key):
                self._put(db, write, replica=True)

    @again_if_replaced
    def settle(self, positions: Sequence[int], write: Write | None, *, timeout: float = BUSY_SECONDS) -> None:
        """Take changes out of the outbox; the last one of its key leaves behind what the destination holds now."""
        with self._transaction(timeout=timeout) as db:
            db.executemany("DELETE FROM outbox WHERE position = ?", [(position,) for position in positions])
            if write and not self._is_pending(db, write.key):
                self._put_copy(db, write)

    @again_if_replaced
    def bury(self, tombstones: Sequence[Write]) -> None:
        """Learn of deletions made elsewhere; each beats what is here of the same line, up to its own revision."""
        with self._transaction() as db:
            for write in tombstones:
                here = copy_of(db, self._destination, write.key)
                if (here is None or tombstone_beats(write.text, here.text)) and not self._is_pending(db, write.key):
                    self._put(db, write, replica=True)
        self._forget_words(*(write.key for write in tombstones))

    @again_if_replaced
    def known(self) -> Known | None:
        """What the destination was like when it was last looked at; `None` if it never was."""
        with self._use() as db:
            row = db.execute(
                "SELECT epoch, run, after FROM destinations WHERE id = ? AND epoch != ''", (self._destination,)
            ).fetchone()
        return Known(*row) if row else None

    @again_if_replaced
    def know(self, now: Known, *, lost: bool) -> None:
        """What the destination is like; `lost`: of everything that it held, it may have nothing any more."""
        with self._transaction(durable=lost) as db:
            if lost:
                db.execute(
                    "UPDATE documents SET unverified = 1 WHERE destination = ? AND replica", (self._destination,)
                )
            row = (now.epoch, now.run, now.after, self._destination)
            db.execute("UPDATE destinations SET epoch = ?, run = ?, after = ? WHERE id = ?", row)

    @again_if_replaced
    def recognise(self, epoch: str) -> None:
        """Find out by its epoch which destination the Redis in use is.

        One that was known under another address is gone on with; what was kept for the address so far goes along if it
        never led to another Redis, else it waits for that one.
        """
        query = "SELECT id FROM destinations WHERE epoch = ? AND epoch != '' AND id != ?"
        with self._use() as db:
            if not db.execute(query, (epoch, self._destination)).fetchone():
                return
        with self._transaction() as db:
            mine = self._destination
            row = db.execute(query, (epoch, mine)).fetchone()
            if row:  # and no other process was faster
                if db.execute("SELECT epoch FROM destinations WHERE id = ?", (mine,)).fetchone() == ("",):
                    merge_destination(db, mine, row[0], micros(self._clock()))
                db.execute("INSERT OR REPLACE INTO addresses VALUES (?, ?)", (self._addresses[0], row[0]))

    @again_if_replaced
    def unverified(self, limit: int, after: tuple[int, int] = (1, 0)) -> list[Copy]:
        """Copies that the destination may have lost, tombstones first, behind `after` (whether tombstone, id)."""
        tombstone, number = after
        with self._use() as db:
            rows = db.execute(
                f"SELECT {_COPY} FROM documents INDEXED BY unverified WHERE destination = ? AND unverified"  # noqa: S608
                " AND (tombstone < ? OR (tombstone = ? AND id > ?)) ORDER BY tombstone DESC, id LIMIT ?",
                (self._destination, tombstone, tombstone, number, limit),
            ).fetchall()
        return [Copy(*row) for row in rows]

    @again_if_replaced
    def copies(self, limit: int, after: int) -> list[Copy]:
        """Copies of what the destination holds, behind the one with the id `after`."""
        with self._use() as db:
            rows = db.execute(
                f"SELECT {_COPY} FROM documents WHERE id > ? AND destination = ? AND replica ORDER BY id LIMIT ?",  # noqa: S608
                (after, self._destination, limit),
            ).fetchall()
        return [Copy(*row) for row in rows]

    @again_if_replaced
    def putting_back(self, index: str, before: tuple[int, str] | None, limit: int) -> list[ListRow]:
        """A page of the list: sessions that the destination has lost, and that are still to be put back."""
        saved_at, member = before or (2**62, "")
        with self._use() as db:
            rows = db.execute(
                "SELECT list, member, saved_at, note FROM documents INDEXED BY missing WHERE destination = ?"  # noqa: S608
                f" AND list = ? AND unverified = {MISSING}"
                " AND (saved_at < ? OR (saved_at = ? AND member < ?)) AND (kept_until IS NULL OR kept_until > ?)"
                " ORDER BY saved_at DESC, member DESC LIMIT ?",
                (self._destination, index, saved_at, saved_at, member, micros(self._clock()), limit),
            ).fetchall()
        return [ListRow(*row, here_alone=True) for row in rows]

    @again_if_replaced
    def buried(self, keys: Sequence[str]) -> dict[str, int]:
        """Of these keys, those of which this machine knows the deletion, with the revision that was deleted."""
        with self._use() as db:
            rows = db.execute(
                "SELECT key, revision FROM documents WHERE destination = ? AND tombstone"
                " AND key IN (SELECT value FROM json_each(?))",
                (self._destination, json.dumps([*keys])),
            ).fetchall()
        return dict(rows)

    @again_if_replaced
    def mark_verified(self, keys: Sequence[str]) -> None:
        """Note that the destination has these, or has something newer."""
        self._mark(keys, 0)

    @again_if_replaced
    def mark_missing(self, keys: Sequence[str]) -> None:
        """Note that the destination has certainly lost these."""
        self._mark(keys, MISSING)

    def _mark(self, keys: Sequence[str], unverified: int) -> None:
        if keys:
            with self._transaction() as db:
                query = "UPDATE documents SET unverified = ? WHERE destination = ? AND key = ? AND replica"
                db.executemany(query, [(unverified, self._destination, key) for key in keys])

    @again_if_replaced
    def doubt(self, key: str | None = None) -> None:
        """Have one copy verified again, or all of them."""
        with self._transaction() as db:
            query = "UPDATE documents SET unverified = 1 WHERE destination = ? AND replica"
            if key is None:
                db.execute(query, (self._destination,))
            else:
                db.execute(f"{query} AND key = ?", (self._destination, key))

    def _put_copy(self, db: sqlite3.Connection, write: Write | Append) -> None:
        """Put what the destination held, unless what is here is newer, or was lost there and is still to go back."""
        if isinstance(write, Append):
            if holds(db, self._destination, write.key, write.seen):  # else somebody else put something newer
                self._put(db, write, replica=True)
            return
        row = db.execute(
            "SELECT replica FROM documents WHERE destination = ? AND key = ?", (self._destination, write.key)
        ).fetchone()
        if row and row[0] and not holds(db, self._destination, write.key, write.seen):
            here = None if write.tombstone else copy_of(db, self._destination, write.key)
            if here and here.tombstone and tombstone_beats(here.text, write.text):
                return
            if here and not here.tombstone and not covers(write.text, here.text):
                if not covers(here.text, write.text):
                    self._doubt_row(db, write.key)
                return
        self._put(db, write, replica=True)

    def _doubt_row(self, db: sqlite3.Connection, key: str) -> None:
        query = "UPDATE documents SET unverified = 1 WHERE destination = ? AND key = ?"
        db.execute(query, (self._destination, key))

    def _put(self, db: sqlite3.Connection, write: Write | Append, *, replica: bool) -> None:
        now = micros(self._clock())
        if isinstance(write, Append):
            size = append(db, self._destination, write, now, replica=replica)
        else:
            size = put(db, self._destination, write, now, replica=replica)
        if not replica:
            return
        self._grown += size
        if self._grown > self._cap * (1 - LEFT_WHEN_FULL) / 2:
            self._measure(db)
        if self._excess > 0:  # a little with each: nobody shall wait until all of it is gone
            self._make_room(db, min(self._excess, 2 * size), time.monotonic() + ROOM_SECONDS)

    @again_if_replaced
    def _replica_state(self) -> tuple[int, int]:
        """How many copies there are, and their bytes."""
        with self._use() as db:
            return db.execute(
                "SELECT count(*), ifnull(sum(bytes), 0) FROM documents INDEXED BY replica WHERE replica"
            ).fetchone()

    def _measure(self, db: sqlite3.Connection) -> None:
        """See by how much the replica must shrink: once it has passed its cap, to a part of it."""
        self._grown = 0
        (total,) = db.execute("SELECT ifnull(sum(bytes), 0) FROM documents INDEXED BY replica WHERE replica").fetchone()
        too_much = total - self._cap * LEFT_WHEN_FULL
        self._excess = too_much if total > self._cap else min(self._excess, max(too_much, 0.0))

    def _make_room(self, db: sqlite3.Connection, needed: float, until: float) -> int:
        """Drop copies that are in their Redis as well, those longest untouched first; how many."""
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
            self._excess -= size
            gone += 1
        if not rows:
            self._excess = 0.0  # nothing more may go
        return gone

    def _forget_words(self, *keys: str) -> None:
        """Take what was said in deleted sessions out of the search index."""
        raise NotImplementedError
