"""What the journal knows: documents, the outbox, and what became of the Redis behind it.

One row per key holds the text last known here; the outbox holds the changes that the stash has not taken yet,
in the order in which they were made. Several processes may share the file. Calls block for at most
`BUSY_SECONDS`; the store runs them in worker threads.
"""

import contextlib
import json
import sqlite3
import time
from collections.abc import Callable, Generator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from agentic_flywheel.codec import instant, micros
from agentic_flywheel.errors import JournalUnavailable
from agentic_flywheel.journal.file import BUSY_SECONDS, FILE_NAME
from agentic_flywheel.journal.opened import JournalFile, again_if_replaced
from agentic_flywheel.journal.rescue import moved_aside
from agentic_flywheel.journal.words import Words
from agentic_flywheel.jsontext import size_of
from agentic_flywheel.keyvalue import Entry, Outcome, Write, revision_at_head
from agentic_flywheel.local import Head, JournalState, Known, Matches, Pending

PURGE_AFTER = timedelta(hours=1)
"""What expired is hidden at once and goes this long after that was noticed: a clock set wrong and right again costs
nothing."""

DRAINED_AT_ONCE = 100
"""Changes read from the outbox at once; their texts may be large."""

SEARCH_SECONDS = 1.5
"""For how long a search reads in sessions that are new to it: some 30 MB."""

LEFT_WHEN_FULL = 0.9
"""The part of the cap to which the replica shrinks when it has grown beyond it."""

FAILURE_SHOWN_SECONDS = 60.0
"""How long a write that failed is told of: on a full disk a small one may still succeed after it."""


class Journal(JournalFile):
    """The journal file in `folder`, made on first use. `clock` gives the time that expiry is judged by.

    `place` names the Redis that the stash is, empty for none. Copies of what that holds (the replica) are kept up to
    `cap` bytes; what is here alone is never dropped for room.
    """

    off = False

    def __init__(self, folder: Path, clock: Callable[[], datetime], place: str = "", cap: int = 500_000_000) -> None:
        super().__init__(folder, clock)
        self._place = place or None
        self._cap = cap
        self._grown = 0
        self._words = Words(folder)

    @again_if_replaced
    def commit(
        self, write: Write, pending: str | None = None, older: Write | None = None, *, durable: bool = False
    ) -> Outcome:
        """Write if what was seen is still there, and the `older` revision; `durable` survives power loss."""
        with self._transaction(durable=durable) as db:
            row = db.execute("SELECT text FROM documents WHERE key = ?", (write.key,)).fetchone()
            current = row[0] if row else None
            if current != write.seen:
                return Outcome(accepted=False, current=current)
            self._put(db, write, None)
            if older:
                self._put(db, older, None)
            if pending is not None:
                db.execute("INSERT INTO outbox (key, change) VALUES (?, ?)", (write.key, pending))
        if write.tombstone:
            self._forget_words(write.key)
        return Outcome(accepted=True)

    @again_if_replaced
    def keep(self, write: Write) -> None:
        """Put a text that is kept on this machine alone; it survives power loss."""
        with self._transaction(durable=True) as db:
            self._put(db, write, None)

    @again_if_replaced
    def drop(self, key: str) -> None:
        """Take such a text away, or a copy."""
        with self._transaction() as db:
            db.execute("DELETE FROM documents WHERE key = ?", (key,))

    @again_if_replaced
    def copy(self, key: str) -> Write | None:
        """What is known here of `key`, expired or not, ready to be written where there is nothing."""
        with self._use() as db:
            return _copy(db, key)

    @again_if_replaced
    def look(self, key: str) -> tuple[Pending | None, Write | None]:
        """The oldest change of `key` not yet in the stash, and what is known here of it."""
        with self._use() as db:
            return _next_pending(db, key), _copy(db, key)

    def glance(self, key: str) -> tuple[Pending | None, Write | None] | None:
        """The same, unless the file is not open, or somebody is using it."""
        if not self._lock.acquire(blocking=False):
            return None
        try:
            db = self._connection
            if db is None or not self._is_current():
                return None
            db.execute("PRAGMA busy_timeout = 0")
            try:
                return _next_pending(db, key), _copy(db, key)
            finally:
                db.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}")
        except (sqlite3.Error, OSError):
            return None  # whoever looks properly meets it again
        finally:
            self._lock.release()

    @again_if_replaced
    def remember(self, *writes: Write) -> set[str]:
        """Keep copies of what the stash holds, except of the keys, which it gives, that have a change pending."""
        with self._transaction() as db:
            pending = {write.key for write in writes if _is_pending(db, write.key)}
            for write in writes:
                if write.key not in pending:
                    self._put_copy(db, write)
        for write in writes:
            if write.tombstone:
                self._forget_words(write.key)
        return pending

    @again_if_replaced
    def bury(self, tombstones: Sequence[Write]) -> None:
        """Learn of deletions made elsewhere; each beats every revision up to its own that is here."""
        with self._transaction() as db:
            for write in tombstones:
                here = _copy(db, write.key)
                newer = here and revision_at_head(here.text) > revision_at_head(write.text)
                if not newer and not _is_pending(db, write.key):
                    self._put(db, write, self._place)
        for write in tombstones:
            self._forget_words(write.key)

    @again_if_replaced
    def known(self) -> Known | None:
        """What the stash was like when it was last looked at; `None` if it never was."""
        with self._use() as db:
            row = db.execute("SELECT epoch, run, after FROM stashes WHERE place = ?", (self._place,)).fetchone()
        return Known(*row) if row else None

    @again_if_replaced
    def has_known_one(self) -> bool:
        """Whether there ever was a stash behind this file: what is kept without it now must reach it one day."""
        with self._use() as db:
            return db.execute("SELECT 1 FROM stashes LIMIT 1").fetchone() is not None

    @again_if_replaced
    def alone(self) -> list[Write]:
        """The sessions that are listed here, were never in a stash, and have nothing pending that would send them."""
        with self._use() as db:
            rows = db.execute(
                "SELECT key FROM documents WHERE list IS NOT NULL AND place IS NULL AND NOT tombstone"
                " AND key NOT IN (SELECT key FROM outbox)"
            ).fetchall()
            return [copy for row in rows if (copy := _copy(db, row[0]))]

    @again_if_replaced
    def queue(self, key: str, change: str) -> None:
        """Have a change of a document that is here sent on, as if it had just been made."""
        with self._transaction(durable=True) as db:
            if not _is_pending(db, key):
                db.execute("INSERT INTO outbox (key, change) VALUES (?, ?)", (key, change))

    @again_if_replaced
    def know(self, now: Known, *, lost: bool) -> None:
        """What the stash is like; `lost`: of everything that it held, it may have nothing any more."""
        with self._transaction(durable=lost) as db:
            if lost:
                db.execute("UPDATE documents SET lost = 1 WHERE place = ?", (self._place,))
            row = (self._place, now.epoch, now.run, now.after)
            db.execute("INSERT OR REPLACE INTO stashes (place, epoch, run, after) VALUES (?, ?, ?, ?)", row)

    @again_if_replaced
    def doubtful(self, limit: int) -> list[str]:
        """The keys of what the stash may have lost, tombstones first."""
        with self._use() as db:
            rows = db.execute(
                "SELECT key FROM documents WHERE lost AND place = ? ORDER BY tombstone DESC LIMIT ?",
                (self._place, limit),
            ).fetchall()
        return [row[0] for row in rows]

    @again_if_replaced
    def is_there(self, keys: Sequence[str]) -> None:
        """The stash has these, or has something newer."""
        with self._transaction() as db:
            db.executemany("UPDATE documents SET lost = 0 WHERE key = ?", [(key,) for key in keys])

    @again_if_replaced
    def pending(self, *beginnings: str, after: int = 0) -> list[Pending]:
        """Up to `DRAINED_AT_ONCE` changes not yet in the stash whose keys begin so (none given: all), oldest first."""
        mine = " OR ".join("substr(key, 1, length(?)) = ?" for _ in beginnings) or "TRUE"
        with self._use() as db:
            rows = db.execute(
                f"SELECT position, key, change FROM outbox WHERE set_aside IS NULL AND position > ? AND ({mine})"  # noqa: S608  only ?s
                " ORDER BY position LIMIT ?",
                (after, *(text for beginning in beginnings for text in (beginning, beginning)), DRAINED_AT_ONCE),
            ).fetchall()
        return [Pending(*row) for row in rows]

    @again_if_replaced
    def next_pending(self, key: str) -> Pending | None:
        """The oldest change of one key not yet in the stash, without those set aside."""
        with self._use() as db:
            return _next_pending(db, key)

    @again_if_replaced
    def unsent_document(self, key: str) -> tuple[Write | None, list[int]]:
        """The document of `key` and the positions of the pending changes that it holds, as of one moment."""
        with self._transaction() as db:
            rows = db.execute("SELECT position FROM outbox WHERE key = ? AND set_aside IS NULL", (key,)).fetchall()
            return _copy(db, key), [row[0] for row in rows]

    @again_if_replaced
    def settle(self, positions: Sequence[int], write: Write | None) -> None:
        """Take changes out of the outbox; the last one of its key leaves behind what the stash holds now."""
        with self._transaction() as db:
            db.executemany("DELETE FROM outbox WHERE position = ?", [(position,) for position in positions])
            if write and not _is_pending(db, write.key):
                self._put_copy(db, write)

    @again_if_replaced
    def set_aside(self, position: int, why: str) -> None:
        """Keep a change that the stash will never take, out of the way of the others.

        The document here, which holds it, is dropped: it must not be taken for what the stash holds.
        """
        with self._transaction(durable=True) as db:
            db.execute("UPDATE outbox SET set_aside = ? WHERE position = ?", (why, position))
            db.execute("DELETE FROM documents WHERE key = (SELECT key FROM outbox WHERE position = ?)", (position,))

    @again_if_replaced
    def recent(self, index: str, before: tuple[int, str] | None, limit: int) -> list[Entry]:
        """A page of the list, newest first."""
        saved_at, member = before or (2**62, "")
        with self._use() as db:
            rows = db.execute(
                "SELECT list, member, saved_at, note FROM documents WHERE list = ?"
                " AND (saved_at < ? OR (saved_at = ? AND member < ?)) AND (kept_until IS NULL OR kept_until > ?)"
                " ORDER BY saved_at DESC, member DESC LIMIT ?",
                (index, saved_at, saved_at, member, self._now(), limit),
            ).fetchall()
        return [Entry(*row) for row in rows]

    @again_if_replaced
    def entries(self, index: str, members: Sequence[str]) -> list[Entry]:
        """The entries of these members of the list, as far as they are here and have not expired."""
        with self._use() as db:
            rows = db.execute(
                "SELECT list, member, saved_at, note FROM documents WHERE list = ?"
                " AND member IN (SELECT value FROM json_each(?)) AND (kept_until IS NULL OR kept_until > ?)",
                (index, json.dumps([*members]), self._now()),
            ).fetchall()
        return [Entry(*row) for row in rows]

    def search(self, index: str, words: Sequence[str], needed: int) -> Matches:
        """The sessions here with so many of the words, in their turns or what lists show of them."""

        def text_of(key: str) -> str | None:
            copy = self.copy(key)
            return copy.text if copy else None

        with self._searching():
            return self._words.find(index, self._heads(), text_of, words, needed, SEARCH_SECONDS)

    def excerpts(self, keys: Sequence[str], words: Sequence[str]) -> dict[str, str]:
        """A piece of the turns with some of the words, by key, where there is one."""
        with self._searching():
            return self._words.excerpts(keys, words)

    def _forget_words(self, key: str) -> None:
        """What was said in a session that was deleted goes; what cannot be done now is done at the next purge."""
        with contextlib.suppress(JournalUnavailable), self._searching():
            self._words.drop(key)

    @contextlib.contextmanager
    def _searching(self) -> Generator[None]:
        """Beside the journal: nobody else waits for a search, and what is wrong with it is not the journal's fault."""
        try:
            yield
        except (sqlite3.Error, OSError) as exc:
            raise JournalUnavailable(f"The turns cannot be searched now: {exc}") from exc

    @again_if_replaced
    def _heads(self) -> list[Head]:
        """All sessions that are listed and have not expired, newest first."""
        with self._use() as db:
            rows = db.execute(
                "SELECT list, key, member, saved_at FROM documents WHERE list IS NOT NULL AND (kept_until IS NULL OR"
                " kept_until > ?) ORDER BY saved_at DESC",
                (self._now(),),
            ).fetchall()
        return [Head(*row) for row in rows]

    @again_if_replaced
    def unsent(self, index: str) -> tuple[list[Entry], list[str]]:
        """The entries of the list that have a pending change, newest first; the keys of unsent deletions."""
        with self._use() as db:
            rows = db.execute(
                "SELECT list, member, saved_at, note FROM documents WHERE +list = ? AND (kept_until IS NULL OR"
                " kept_until > ?) AND key IN (SELECT key FROM outbox) ORDER BY saved_at DESC, member DESC",
                (index, self._now()),
            ).fetchall()
            deleted = db.execute(
                "SELECT key FROM documents WHERE tombstone AND key IN (SELECT key FROM outbox WHERE set_aside IS NULL)"
            ).fetchall()
        return [Entry(*row) for row in rows], [row[0] for row in deleted]

    @again_if_replaced
    def keys(self, prefix: str) -> list[str]:
        """The keys of live documents that begin with `prefix`."""
        with self._use() as db:
            rows = db.execute(
                "SELECT key FROM documents WHERE substr(key, 1, length(?1)) = ?1 AND NOT tombstone"
                " AND (kept_until IS NULL OR kept_until > ?2)",
                (prefix, self._now()),
            ).fetchall()
        return [row[0] for row in rows]

    @again_if_replaced
    def is_over(self, key: str) -> bool:
        """Whether a document expired so long ago that it may be forgotten."""
        with self._use() as db:
            row = db.execute("SELECT hidden_since FROM documents WHERE key = ?", (key,)).fetchone()
        return bool(row and row[0] is not None and row[0] <= micros(self._clock() - PURGE_AFTER))

    @again_if_replaced
    def purge_expired(self) -> list[Write]:
        """Remove what was seen to have expired `PURGE_AFTER` ago or earlier, with what is pending of it."""
        now, limit = self._now(), micros(self._clock() - PURGE_AFTER)
        with self._transaction() as db:
            db.execute(
                "UPDATE documents SET hidden_since = NULL WHERE hidden_since IS NOT NULL AND kept_until > ?", (now,)
            )
            # A clock that was ahead when it was noticed must not make it wait for ever.
            db.execute("UPDATE documents SET hidden_since = ?1 WHERE kept_until <= ?1 AND"
                       " (hidden_since IS NULL OR hidden_since > ?1)", (now,))  # fmt: skip
            rows = db.execute("SELECT key FROM documents WHERE hidden_since <= ?", (limit,)).fetchall()
            gone = [copy for row in rows if (copy := _copy(db, row[0]))]
            db.executemany("DELETE FROM outbox WHERE key = ? AND set_aside IS NULL", rows)
            db.executemany("DELETE FROM documents WHERE key = ?", rows)
            self._shrink(db, self._cap)
        self._give_back()
        with contextlib.suppress(JournalUnavailable), self._searching():
            self._words.keep_only(self._heads())
        return gone

    @again_if_replaced
    def purge(self) -> int:
        """Empty the replica; how many copies went. What is here alone stays: pending changes, and all without Redis."""
        with self._transaction() as db:
            gone = self._shrink(db, 0)
        self._give_back()
        with self._searching():
            self._words.delete()
        with self._use() as db:
            db.execute("VACUUM")
        return gone

    def state(self) -> JournalState:
        """What it says of itself; never raises."""
        try:
            with self._use() as db:
                (pending,) = db.execute("SELECT count(*) FROM outbox WHERE set_aside IS NULL").fetchone()
                aside = db.execute("SELECT key, set_aside FROM outbox WHERE set_aside IS NOT NULL LIMIT 20").fetchall()
                copies, replica = db.execute(
                    "SELECT count(*), ifnull(sum(bytes), 0) FROM documents INDEXED BY replica WHERE place IS NOT NULL"
                ).fetchone()
        except JournalUnavailable as exc:
            return JournalState(str(self.path), error=str(exc), damaged=tuple(moved_aside(self.path)))
        files = (self.path, self.path.with_name(FILE_NAME + "-wal"))
        size = sum(file.stat().st_size for file in files if file.exists())
        damaged = tuple(moved_aside(self.path))
        failed, error = self._write_failed or (0.0, None)
        error = error if time.monotonic() - failed < FAILURE_SHOWN_SECONDS else None
        return JournalState(str(self.path), pending, tuple(aside), size, copies, replica, damaged, error)

    def _now(self) -> int:
        return micros(self._clock())

    def _put_copy(self, db: sqlite3.Connection, write: Write) -> None:
        """Put what the stash held, unless another process has meanwhile put what it held later."""
        row = db.execute(
            "SELECT revision FROM documents INDEXED BY heads WHERE key = ? AND place = ?", (write.key, self._place)
        ).fetchone()
        if row is None or row[0] <= revision_at_head(write.text):
            self._put(db, write, self._place)

    def _put(self, db: sqlite3.Connection, write: Write, place: str | None) -> None:
        entry = None if write.tombstone else write.entry
        size = size_of(write.text)
        db.execute(
            "INSERT OR REPLACE INTO documents"
            " (key, text, kept_until, tombstone, list, member, saved_at, note, place, touched, bytes, revision)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                write.key,
                write.text,
                micros(write.kept_until) if write.kept_until else None,
                write.tombstone,
                *((entry.index, entry.member, entry.saved_at, entry.note) if entry else (None, None, None, None)),
                place,
                self._now(),
                size,
                revision_at_head(write.text),
            ),
        )
        if write.beside:
            rows = [(micros(write.kept_until) if write.kept_until else None, key) for key in write.beside]
            db.executemany("UPDATE documents SET kept_until = ?, hidden_since = NULL WHERE key = ?", rows)
        if write.gone:
            db.executemany("DELETE FROM documents WHERE key = ?", [(key,) for key in write.gone])
        self._grown += size
        if place and self._grown > self._cap * (1 - LEFT_WHEN_FULL) / 2:
            self._shrink(db, self._cap)

    def _shrink(self, db: sqlite3.Connection, cap: int) -> int:
        """Drop copies that are in Redis as well, those longest untouched first, once they pass the cap."""
        self._grown = 0
        (total,) = db.execute(
            "SELECT ifnull(sum(bytes), 0) FROM documents INDEXED BY replica WHERE place IS NOT NULL"
        ).fetchone()
        if total <= cap:
            return 0
        gone: list[tuple[str]] = []
        # Tombstones are small, and what was deleted must not come back.
        rows = db.execute(
            "SELECT key, bytes FROM documents INDEXED BY replica WHERE place IS NOT NULL AND NOT tombstone"
            " AND NOT lost AND key NOT IN (SELECT key FROM outbox) ORDER BY touched"
        )
        for key, size in rows:
            if total <= cap * LEFT_WHEN_FULL:
                break
            total -= size
            gone.append((key,))
        db.executemany("DELETE FROM documents WHERE key = ?", gone)
        return len(gone)

    def _give_back(self) -> None:
        """Give free pages back to the disk."""
        with self._use() as db:
            db.execute("PRAGMA incremental_vacuum").fetchall()
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _copy(db: sqlite3.Connection, key: str) -> Write | None:
    row = db.execute(
        "SELECT text, kept_until, tombstone, list, member, saved_at, note FROM documents WHERE key = ?", (key,)
    ).fetchone()
    if row is None:
        return None
    text, kept_until, tombstone, *entry = row
    return Write(
        key, text, None, instant(kept_until), tombstone=bool(tombstone), entry=Entry(*entry) if entry[0] else None
    )


def _next_pending(db: sqlite3.Connection, key: str) -> Pending | None:
    row = db.execute(
        "SELECT position, key, change FROM outbox WHERE key = ? AND set_aside IS NULL ORDER BY position LIMIT 1",
        (key,),
    ).fetchone()
    return Pending(*row) if row else None


def _is_pending(db: sqlite3.Connection, key: str) -> bool:
    return bool(db.execute("SELECT 1 FROM outbox WHERE key = ? AND set_aside IS NULL", (key,)).fetchone())
