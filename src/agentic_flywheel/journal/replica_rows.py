"""Reads and writes the rows of the replica, and the state in which its destination was last met."""

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from agentic_flywheel.documents.model import instant
from agentic_flywheel.documents.writes import Append, Version, Write
from agentic_flywheel.journal.address import Address
from agentic_flywheel.journal.kin import Kin, note_kin
from agentic_flywheel.journal.list_rows import place_no_later
from agentic_flywheel.journal.records import LeftOut, ReplicaRow, SyncState
from agentic_flywheel.journal.retry import retry_once_if_replaced
from agentic_flywheel.journal.room import ReplicaRoom
from agentic_flywheel.journal.rows import MISSING, Row, append, copy_of, holds, is_pending, put
from agentic_flywheel.journal.schema import BUSY_SECONDS
from agentic_flywheel.journal.search_rows import SearchRows

_COPY = "id, key, revision, ending, tombstone, bytes, unverified"
"""The columns of a `ReplicaRow`."""

PUT_SECONDS = 0.2
"""How long copies wait to be written: without them nothing is lost."""


class ReplicaRows(Kin, SearchRows):
    """The verbs of the replica, each about the destination in use. The replica has at most `cap` bytes."""

    def __init__(self, folder: Path, clock: Callable[[], datetime], address: Address, cap: int) -> None:
        super().__init__(folder, clock, address)
        self._room = ReplicaRoom(cap)
        self.marks = 0
        """How often this process has marked all copies as unverified."""

    @retry_once_if_replaced
    def put_replica(self, *writes: Write | Append, since: int | None = None, timeout: float = PUT_SECONDS) -> LeftOut:
        """Put copies of what the destination holds; the keys that are left as they are.

        `since`: the `marks` when it took them. Where all was marked since, it may have lost these as well.
        """
        with self._transaction(timeout=timeout) as db:
            left = LeftOut({write.key for write in writes if is_pending(db, self._destination, write.key)})
            for write in writes:
                if write.key not in left.pending:
                    if not self._put_copy(db, write):
                        left.apart.add(write.key)
                    if since is not None and since != self.marks:
                        self._mark_unverified(db, write.key)
        self._unindex(*(write.key for write in writes if isinstance(write, Write) and write.tombstone))
        return left

    @retry_once_if_replaced
    def overwrite_replica(self, write: Write, *, timeout: float = PUT_SECONDS) -> bool:
        """Put a copy of what the destination holds over the one that was seen here, unless a change is pending.

        Whether that was still here: a process beside this one may have put a newer one, which is verified then.
        """
        with self._transaction(timeout=timeout) as db:
            if is_pending(db, self._destination, write.key):
                return True
            if not holds(db, self._destination, write.key, write.seen):
                self._mark_unverified(db, write.key)
                return False
            self._put(db, write, replica=True)
            return True

    @retry_once_if_replaced
    def ack(self, positions: Sequence[int], write: Write | None, *, timeout: float = BUSY_SECONDS) -> None:
        """Delete changes that were taken; the last one of its key leaves behind what the destination holds now."""
        with self._transaction(timeout=timeout) as db:
            db.executemany("DELETE FROM outbox WHERE position = ?", [(position,) for position in positions])
            if write and not is_pending(db, self._destination, write.key):
                self._put_copy(db, write)

    @retry_once_if_replaced
    def sync_state(self) -> SyncState | None:
        """The destination as of the last poll; `None` if it was never polled."""
        with self._snapshot() as db:
            row = db.execute(
                "SELECT epoch, run, after FROM destinations WHERE id = ? AND epoch != ''", (self._destination,)
            ).fetchone()
        return SyncState(*row) if row else None

    @retry_once_if_replaced
    def save_sync_state(self, state: SyncState, *, lost: bool) -> None:
        """Note what the destination is like; `lost`: it may have lost what it held, so every copy is unverified."""
        with self._transaction(durable=lost) as db:
            if lost:
                self._mark_unverified(db)
            row = (state.epoch, state.run, state.after, self._destination)
            db.execute("UPDATE destinations SET epoch = ?, run = ?, after = ? WHERE id = ?", row)

    @retry_once_if_replaced
    def recognise(self, epoch: str) -> None:
        """Find out by its epoch which destination the Redis in use is.

        Goes on with one that was met under another address. What was kept for this address so far moves to it, unless
        the address led to another Redis before: then it waits for that one.
        """
        query = "SELECT id FROM destinations WHERE epoch = ? AND epoch != '' AND id != ?"
        with self._snapshot() as db:
            if not db.execute(query, (epoch, self._destination)).fetchone():
                return
        with self._transaction() as db:
            own = self._destination
            row = db.execute(query, (epoch, own)).fetchone()
            if row:  # and no other process was faster
                if db.execute("SELECT epoch FROM destinations WHERE id = ?", (own,)).fetchone() == ("",):
                    from agentic_flywheel.journal.destinations import merge_destination

                    merge_destination(db, own, row[0], self._now())
                db.execute("INSERT OR REPLACE INTO addresses VALUES (?, ?)", (self._address.spellings[0], row[0]))

    @retry_once_if_replaced
    def list_unverified(self, limit: int, after: tuple[int, int] = (1, 0)) -> list[ReplicaRow]:
        """Copies that the destination may have lost, tombstones first, behind `after` (whether tombstone, id)."""
        tombstone, number = after
        with self._snapshot() as db:
            rows = db.execute(
                f"SELECT {_COPY} FROM documents INDEXED BY unverified WHERE destination = ? AND unverified"  # noqa: S608
                " AND (tombstone < ? OR (tombstone = ? AND id > ?)) ORDER BY tombstone DESC, id LIMIT ?",
                (self._destination, tombstone, tombstone, number, limit),
            ).fetchall()
        return [ReplicaRow(*row) for row in rows]

    @retry_once_if_replaced
    def list_replica(self, limit: int, after: int) -> list[ReplicaRow]:
        """Copies of what the destination holds, behind the one with the id `after`."""
        with self._snapshot() as db:
            rows = db.execute(
                f"SELECT {_COPY} FROM documents WHERE id > ? AND destination = ? AND replica ORDER BY id LIMIT ?",  # noqa: S608
                (after, self._destination, limit),
            ).fetchall()
        return [ReplicaRow(*row) for row in rows]

    @retry_once_if_replaced
    def tombstone_revisions(self, keys: Sequence[str]) -> dict[str, int]:
        """The revisions deleted under these keys, by key, as far as tombstones here tell."""
        with self._snapshot() as db:
            rows = db.execute(
                "SELECT key, revision FROM documents WHERE destination = ? AND tombstone"
                " AND key IN (SELECT value FROM json_each(?))",
                (self._destination, json.dumps([*keys])),
            ).fetchall()
        return dict(rows)

    @retry_once_if_replaced
    def mark_verified(self, versions: Sequence[Version]) -> None:
        """Note that the destination holds these, or something newer; not of what another process put meanwhile."""
        self._mark(versions, 0)

    @retry_once_if_replaced
    def mark_missing(self, versions: Sequence[Version]) -> None:
        """Note that the destination has certainly lost these."""
        self._mark(versions, MISSING)

    def _mark(self, versions: Sequence[Version], unverified: int) -> None:
        if versions:
            with self._transaction() as db:
                query = "UPDATE documents SET unverified = ? WHERE destination = ? AND key = ? AND replica"
                rows = [(unverified, self._destination, *version) for version in versions]
                db.executemany(f"{query} AND revision = ? AND ending = ?", rows)

    @retry_once_if_replaced
    def mark_unverified(self, key: str | None = None) -> None:
        """Have one copy verified again, or all of them."""
        with self._transaction() as db:
            self._mark_unverified(db, key)

    def _mark_unverified(self, db: sqlite3.Connection, key: str | None = None) -> None:
        query = "UPDATE documents SET unverified = 1 WHERE destination = ? AND replica"
        if key is None:
            self.marks += 1
            db.execute(query, (self._destination,))
        else:
            db.execute(f"{query} AND key = ?", (self._destination, key))

    def _put_copy(self, db: sqlite3.Connection, write: Write | Append) -> bool:
        """Put what the destination held, unless what is here is newer, or was lost there and is to be put back.

        Whether what is here then goes on from that, as far as it is known.
        """
        if isinstance(write, Append):
            takes = holds(db, self._destination, write.key, write.seen)  # else another writer put something else
        else:
            takes = self._takes(db, write)
        if takes:
            self._put_joined(db, write)
        return takes is not None and (takes or isinstance(write, Write))

    def _takes(self, db: sqlite3.Connection, write: Write) -> bool | None:
        """Whether a copy may take the place of what is here; `None` where neither goes on from the other.

        That is verified then.
        """
        from agentic_flywheel.documents.lineage import covers, is_of_a_later_life, tombstone_beats

        query = "SELECT replica FROM documents WHERE destination = ? AND key = ?"
        row = db.execute(query, (self._destination, write.key)).fetchone()
        if row is None or not row[0] or holds(db, self._destination, write.key, write.seen):
            return True
        stored = copy_of(db, self._destination, write.key)
        if stored is None or stored.tombstone:
            return stored is None or write.tombstone or not tombstone_beats(stored.text, write.text)
        if write.tombstone and not tombstone_beats(write.text, stored.text):
            self._mark_unverified(db, write.key)  # it was begun anew since, or by somebody who knew nothing of it
            return False
        if covers(write.text, stored.text):
            return True
        if covers(stored.text, write.text) or is_of_a_later_life(stored.text, write.text):
            return False
        if is_of_a_later_life(write.text, stored.text):
            return True
        self._mark_unverified(db, write.key)
        return None

    def _put_joined(self, db: sqlite3.Connection, write: Write | Append) -> None:
        """Put a copy; of two deletions of a session, none of which knew of the other, what is left says both."""
        from agentic_flywheel.documents.delete import joined

        stored = copy_of(db, self._destination, write.key) if isinstance(write, Write) and write.tombstone else None
        both = joined(stored.text, write) if isinstance(write, Write) and stored and stored.tombstone else write
        self._put(db, both, replica=True)
        if both is not write:
            self._mark_unverified(db, write.key)  # the destination is to have it too

    def _put(self, db: sqlite3.Connection, write: Write | Append, *, replica: bool, stored: Row | None = None) -> None:
        now = self._now()
        if isinstance(write, Append):
            size = append(db, self._destination, write, now, replica=replica)
        else:
            if replica:
                write = _no_longer(write, now)
            if write.list_row:
                place_no_later(db, self._destination, write.list_row.index, now)
            size = put(db, self._destination, write, now, replica=replica, stored=stored)
            if write.list_row and note_kin(db, self._destination, write.key, write.list_row):
                self._none_until = 0.0
        if replica:
            self._room.take(db, size)

    @retry_once_if_replaced
    def _replica_state(self) -> tuple[int, int]:
        """How many copies there are, and their bytes."""
        with self._snapshot() as db:
            return db.execute(
                "SELECT count(*), ifnull(sum(bytes), 0) FROM documents INDEXED BY replica WHERE replica"
            ).fetchone()


def _no_longer(write: Write, now: int) -> Write:
    """The copy with an end by this machine's clock: by one that is behind, what expired would pass for lost."""
    until = instant(now + write.life * 1_000_000) if write.life else None
    return replace(write, kept_until=until) if until and write.kept_until and until < write.kept_until else write
