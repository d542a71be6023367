"""What the journal knows: documents and the lists of them, for one destination and for this machine.

One row per key and destination holds the text last known here; the outbox holds the changes that the destination has
not taken yet, in the order in which they were made. Several processes may share the file. Calls block; the store runs
them in worker threads.
"""

import contextlib
import json
import sqlite3
import time
from collections.abc import Callable, Generator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from agentic_flywheel.documents.model import micros
from agentic_flywheel.documents.writes import Append, Ends, ListRow, Outcome, Write
from agentic_flywheel.errors import JournalUnavailable
from agentic_flywheel.journal.connection import again_if_replaced
from agentic_flywheel.journal.migrations import THIS_MACHINE
from agentic_flywheel.journal.records import Head, JournalState, Matches, Pending
from agentic_flywheel.journal.recovery import cause, moved_aside
from agentic_flywheel.journal.replica_rows import MISSING
from agentic_flywheel.journal.retention import PURGE_AFTER, Retention
from agentic_flywheel.journal.rows import copy_of, drop, ends_of, holds, next_pending
from agentic_flywheel.journal.schema import BUSY_SECONDS, FILE_NAME
from agentic_flywheel.journal.search_index import Words

SEARCH_SECONDS = 1.5
"""For how long a search reads in sessions that are new to it: some 30 MB."""

FAILURE_SHOWN_SECONDS = 60.0
"""How long a write that failed is told of: on a full disk a small one may still succeed after it."""

NAMED = 20
"""Dead letters that the journal names when it is asked how it is: the newest."""

LARGEST_GLANCE = 256 * 1024
"""Bytes of a document that is read on the event loop: they take less than a millisecond."""

_ENTRY = "list, member, saved_at, note, destination, unverified"
"""The columns of a `ListRow`, where it belongs, and whether it is there."""


class Journal(Retention):
    """The journal file in `folder`, made on first use. `clock` gives the time that expiry is judged by.

    `addresses` name the Redis that is the destination, newest spelling first; none: this machine is. Copies of what the
    destination holds (the replica) are kept up to `cap` bytes; what is here alone is never dropped for room.
    """

    off = False

    def __init__(
        self,
        folder: Path,
        clock: Callable[[], datetime],
        addresses: Sequence[str] = (),
        shown: str = "",
        cap: int = 500_000_000,
        *,
        switched_off: bool = False,
    ) -> None:
        super().__init__(folder, clock, addresses, shown, switched_off=switched_off)
        self._cap = cap
        self._words = Words(folder)

    @again_if_replaced
    def commit(
        self,
        write: Write | Append,
        pending: str | None = None,
        older: Write | None = None,
        *,
        durable: bool = False,
        supersedes: bool = False,
        timeout: float = BUSY_SECONDS,
    ) -> Outcome:
        """Write if what was seen is still there, and the `older` revision; `durable` survives power loss.

        `supersedes`: the pending change makes the earlier ones of its key needless.
        """
        with self._transaction(durable=durable, timeout=timeout) as db:
            if not holds(db, self._destination, write.key, write.seen):
                there = copy_of(db, self._destination, write.key)
                return Outcome(accepted=False, current=there.text if there else None)
            self._put(db, write, replica=False)
            if older:
                self._put(db, older, replica=False)
            if pending is not None:
                self._queue(db, write.key, pending, supersedes=supersedes)
        if isinstance(write, Write) and write.tombstone:
            self._forget_words(write.key)
        return Outcome(accepted=True)

    @again_if_replaced
    def has_destination(self) -> bool:
        """Whether what is kept here belongs to a Redis."""
        with self._use():
            return self._destination != THIS_MACHINE

    @again_if_replaced
    def keep(self, write: Write, *, timeout: float = BUSY_SECONDS) -> None:
        """Put a text that is kept on this machine alone; it survives power loss."""
        with self._transaction(durable=True, timeout=timeout) as db:
            self._put(db, write, replica=False)

    @again_if_replaced
    def drop(self, key: str, *, timeout: float = BUSY_SECONDS) -> None:
        """Take such a text away, or a copy."""
        with self._transaction(timeout=timeout) as db:
            drop(db, self._destination, [key])

    @again_if_replaced
    def copy(self, key: str) -> Write | None:
        """What is known here of `key`, expired or not, ready to be written where there is nothing."""
        with self._use() as db:
            return copy_of(db, self._destination, key)

    @again_if_replaced
    def ends(self, key: str) -> tuple[bool, Ends | None]:
        """Whether a change of `key` is not in its destination yet; the ends of the document here, if it is large."""
        with self._use() as db:
            return self._is_pending(db, key), ends_of(db, self._destination, key, LARGEST_GLANCE)

    @again_if_replaced
    def copy_of_this_machine(self, key: str) -> Write | None:
        """What belongs to this machine under `key`, while a Redis is in use."""
        with self._use() as db:
            return copy_of(db, THIS_MACHINE, key) if self._destination != THIS_MACHINE else None

    @again_if_replaced
    def leave_this_machine(self, key: str, *, timeout: float = BUSY_SECONDS) -> None:
        """Take away what belonged to this machine under `key`: the destination in use has it now."""
        with self._transaction(timeout=timeout) as db:
            if self._destination != THIS_MACHINE:
                drop(db, THIS_MACHINE, [key])

    @again_if_replaced
    def move_from_this_machine(self, key: str) -> bool:
        """Have the destination in use own what belonged to this machine under `key`; whether there was any."""
        if not self.copy_of_this_machine(key):
            return False
        with self._transaction(durable=True) as db:
            query = "UPDATE OR IGNORE documents SET destination = ? WHERE destination = ? AND key = ?"
            return db.execute(query, (self._destination, THIS_MACHINE, key)).rowcount == 1

    @again_if_replaced
    def look(self, key: str) -> tuple[Pending | None, Write | None]:
        """The oldest change of `key` not yet in its destination, and what is known here of it."""
        with self._use() as db:
            return next_pending(db, self._destination, key), copy_of(db, self._destination, key)

    def glance(self, key: str) -> tuple[Pending | None, Write | None] | None:
        """The same, unless the file is not open, somebody is reading in it, or the document is large."""
        opened = self._open
        if opened is None or not opened.reading.acquire(blocking=False):
            return None
        try:
            if not self._is_current(opened):
                return None
            opened.reader.execute("PRAGMA busy_timeout = 0")
            with self._moment(opened) as db:
                query = "SELECT bytes FROM documents WHERE destination = ? AND key = ?"
                row = db.execute(query, (self._destination, key)).fetchone()
                if row and row[0] > LARGEST_GLANCE:
                    return None
                return next_pending(db, self._destination, key), copy_of(db, self._destination, key)
        except (sqlite3.Error, OSError, JournalUnavailable):
            return None  # whoever looks properly meets it again
        finally:
            with contextlib.suppress(sqlite3.Error):
                opened.reader.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}")
            opened.reading.release()

    @again_if_replaced
    def recent(self, index: str, before: tuple[int, str] | None, limit: int) -> list[ListRow]:
        """A page of the list, newest first: of the destination in use, and of this machine."""
        with self._use() as db:
            found = self._recent(db, self._destination, index, before, limit)
            found += self._recent_of_this_machine(db, index, before, limit)
        return sorted(found, key=lambda entry: (entry.saved_at, entry.member), reverse=True)[:limit]

    @again_if_replaced
    def recent_of_this_machine(self, index: str, before: tuple[int, str] | None, limit: int) -> list[ListRow]:
        """A page of what belongs to this machine, while a Redis is in use; what that is known to have is left out."""
        with self._use() as db:
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

    @again_if_replaced
    def entries(self, index: str, members: Sequence[str]) -> list[ListRow]:
        """The entries of these members of the list, as far as they are here and have not expired."""
        with self._use() as db:
            rows = db.execute(
                f"SELECT {_ENTRY} FROM documents WHERE destination IN (0, ?) AND list = ?"  # noqa: S608
                " AND member IN (SELECT value FROM json_each(?)) AND (kept_until IS NULL OR kept_until > ?)"
                " ORDER BY destination",
                (self._destination, index, json.dumps([*members]), self._now()),
            ).fetchall()
        return [*{row[1]: self._entry(row) for row in rows}.values()]

    def search(self, index: str, words: Sequence[str], needed: int) -> Matches:
        """The sessions here with so many of the words, in their turns or what lists show of them."""
        with self._searching():
            return self._words.find(index, self._heads(), self._text_of, words, needed, SEARCH_SECONDS)

    @again_if_replaced
    def _text_of(self, head: Head) -> str | None:
        with self._use() as db:
            copy = copy_of(db, head.destination, head.key)
        return copy.text if copy else None

    def excerpts(self, keys: Sequence[str], words: Sequence[str]) -> dict[str, str]:
        """A piece of the turns with some of the words, by key, where there is one."""
        with self._searching():
            with self._use():
                destinations = THIS_MACHINE, self._destination
            return self._words.excerpts(destinations, keys, words)

    def _forget_words(self, *keys: str) -> None:
        """What was said in a session that was deleted goes; what cannot be done now is done at the next purge."""
        with contextlib.suppress(JournalUnavailable), self._searching():
            for key in keys:
                self._words.drop(self._destination, key)

    @contextlib.contextmanager
    def _searching(self) -> Generator[None]:
        """Beside the journal: nobody else waits for a search, and what is wrong with it is not the journal's fault."""
        try:
            yield
        except (sqlite3.Error, OSError) as exc:
            raise JournalUnavailable(f"The turns cannot be searched now: {cause(exc)}") from exc

    @again_if_replaced
    def _heads(self, *, everywhere: bool = False) -> list[Head]:
        """All sessions here, or in every destination, that are listed and have not expired, newest first."""
        where = "destination IS NOT NULL" if everywhere else f"destination IN ({THIS_MACHINE}, ?)"
        with self._use() as db:
            rows = db.execute(
                f"SELECT destination, list, key, member, saved_at FROM documents INDEXED BY recent WHERE {where}"  # noqa: S608
                " AND list IS NOT NULL AND (kept_until IS NULL OR kept_until > ?)",
                (self._now(),) if everywhere else (self._destination, self._now()),
            ).fetchall()
        return sorted((Head(*row) for row in rows), key=lambda head: head.saved_at, reverse=True)

    @again_if_replaced
    def unsent(self, index: str) -> tuple[list[ListRow], list[str]]:
        """The entries of the list that have a pending change, newest first; the keys of unsent deletions."""
        with self._use() as db:
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

    @again_if_replaced
    def keys(self, prefix: str) -> list[str]:
        """The keys of live documents that begin with `prefix`."""
        with self._use() as db:
            return self._keys(db, self._destination, prefix)

    @again_if_replaced
    def keys_of_this_machine(self, prefix: str) -> list[str]:
        """The keys of live documents that begin with `prefix` and belong to this machine, whatever is in use."""
        with self._use() as db:
            return self._keys(db, THIS_MACHINE, prefix)

    def _keys(self, db: sqlite3.Connection, destination: int, prefix: str) -> list[str]:
        rows = db.execute(
            "SELECT key FROM documents WHERE destination = ? AND key >= ? AND key < ? AND NOT tombstone"
            " AND (kept_until IS NULL OR kept_until > ?) ORDER BY key",
            (destination, prefix, prefix + chr(0x10FFFF), self._now()),
        )
        return [row[0] for row in rows]

    @again_if_replaced
    def is_over(self, key: str) -> bool:
        """Whether a document expired so long ago that it may be forgotten."""
        with self._use() as db:
            query = "SELECT expired_seen_at FROM documents WHERE destination = ? AND key = ?"
            row = db.execute(query, (self._destination, key)).fetchone()
        return bool(row and row[0] is not None and row[0] <= micros(self._clock() - PURGE_AFTER))

    def _forget_words_of_what_is_gone(self) -> None:
        with contextlib.suppress(JournalUnavailable), self._searching():
            self._words.keep_only(self._heads(everywhere=True))

    def _delete_words(self) -> None:
        with self._searching():
            self._words.delete()

    def state(self) -> JournalState:
        """What it says of itself; never raises."""
        damaged = tuple(moved_aside(self.path))
        try:
            pending, seconds, cause = self._pending_state()
            copies, replica = self._replica_state()
            dead = tuple((letter.key, letter.cause) for letter in self.dead_letters()[-NAMED:])
            waiting = tuple(self.waiting())
        except JournalUnavailable as exc:
            return JournalState(str(self.path), error=str(exc), damaged=damaged, recovered=tuple(self._recovered))
        files = (self.path, self.path.with_name(FILE_NAME + "-wal"))
        failed, error = self._write_failed or (0.0, None)
        return JournalState(
            str(self.path),
            pending,
            dead,
            sum(file.stat().st_size for file in files if file.exists()),
            copies,
            replica,
            damaged,
            error if time.monotonic() - failed < FAILURE_SHOWN_SECONDS else None,
            waiting,
            seconds,
            cause,
            tuple(self._recovered),
        )

    def _now(self) -> int:
        return micros(self._clock())


class NoJournal(Journal):
    """The journal when `FLYWHEEL_JOURNAL` is false: it holds nothing and takes nothing."""

    off = True

    def __init__(self) -> None:
        super().__init__(Path(), datetime.now)

    def _opened(self, seconds: float) -> NoReturn:  # noqa: ARG002
        raise JournalUnavailable("The journal is switched off (FLYWHEEL_JOURNAL=false).")

    @contextlib.contextmanager
    def _searching(self) -> Generator[None]:
        with self._use():
            yield

    def glance(self, key: str) -> tuple[Pending | None, Write | None] | None:  # noqa: ARG002
        """Nothing."""
        return None, None

    def state(self) -> JournalState:
        """Switched off."""
        return JournalState(None)
