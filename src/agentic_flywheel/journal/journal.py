"""Keeps documents in one SQLite file, for the destination in use and for this machine.

One row per key and destination holds the newest text known here; the outbox holds the changes that the destination has
not taken yet, in the order in which they were made. Several processes may share the file. Verbs block; the store runs
them in worker threads.
"""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from agentic_flywheel.documents.writes import Append, Ends, Outcome, Write
from agentic_flywheel.errors import JournalUnavailable
from agentic_flywheel.journal.address import Address
from agentic_flywheel.journal.forks import Lock, know
from agentic_flywheel.journal.list_rows import ListRows
from agentic_flywheel.journal.migrations import THIS_MACHINE
from agentic_flywheel.journal.outbox_rows import OutboxRows
from agentic_flywheel.journal.readings import Readings
from agentic_flywheel.journal.records import JournalState, Pending
from agentic_flywheel.journal.recovery import damaged_files
from agentic_flywheel.journal.retention import Retention
from agentic_flywheel.journal.retry import retry_once_if_replaced
from agentic_flywheel.journal.rows import (
    BY_ADDRESS,
    BY_NUMBER,
    Glance,
    copy_of,
    drop,
    ends_of,
    glance,
    has_text,
    holds,
    is_pending,
    is_there,
    next_pending,
    queue,
    row_of,
)
from agentic_flywheel.journal.schema import BUSY_SECONDS, FILE_NAME, shorten_log

_R = TypeVar("_R")

FAILURE_SHOWN_SECONDS = 60.0
"""How long a failed write is shown: on a full disk a small one may still succeed after it."""

NAMED = 20
"""Dead letters that its state names: the newest."""

LARGE = 256 * 1024
"""Bytes from which on a document may be appended to by its ends alone."""

LARGEST_NOWAIT = 2 * 2**20
"""Bytes of a document that may be read on the event loop: that takes less than a millisecond."""


class Journal(ListRows, OutboxRows, Readings, Retention):
    """The journal file in `folder`, made on first use. `clock` gives the time by which documents expire.

    `addresses` name the Redis that is the destination, the newest spelling first; with none this machine is. The
    replica of what the destination holds takes up to `cap` bytes; what is only here is never dropped for room.
    `unnamed` is the address that earlier versions used where none was named.
    """

    off = False
    _synced_later = False

    def __init__(
        self,
        folder: Path,
        clock: Callable[[], datetime],
        addresses: Sequence[str] = (),
        shown: str = "",
        cap: int = 500_000_000,
        *,
        switched_off: bool = False,
        unnamed: Sequence[str] = (),
    ) -> None:
        super().__init__(folder, clock, Address(tuple(addresses), shown, switched_off, tuple(unnamed)), cap)
        know(self)

    def locks(self) -> Iterator[Lock]:
        """What is held while a process forks: by then nobody opens the file, writes or reads."""
        yield self._lock
        if self._open:
            yield self._open.reading

    def forget_connections(self) -> None:
        """Close the connections of the process that was forked."""
        self._close_connections()

    @retry_once_if_replaced
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
        """Write if what was seen is still stored, and the `older` revision; `durable` survives power loss.

        `supersedes`: the pending change makes the earlier ones of its key needless.
        """
        with self._transaction(durable=durable and not self._synced_later, timeout=timeout) as db:
            row = row_of(db, self._destination, write.key)
            if not has_text(db, row, write.seen):
                stored = copy_of(db, self._destination, write.key)
                return Outcome(accepted=False, current=stored.text if stored else None)
            self._put(db, write, replica=False, stored=row)
            if older:
                self._put(db, older, replica=False)
            if pending is not None:
                queue(db, self._destination, write.key, pending, self._now(), supersedes=supersedes)
        if isinstance(write, Write) and write.tombstone:
            self._unindex(write.key)
        return Outcome(accepted=True)

    @contextlib.contextmanager
    def synced_at_end(self) -> Generator[None]:
        """Sync what is committed meanwhile once, at the end: nobody is told before that it survives power loss.

        Until then its pages go into the file from a longer log: a page that many of them change goes there once.
        """
        self._synced_later = self._has_long_log = True
        try:
            yield
        finally:
            self._synced_later = self._has_long_log = False
            if self.path.with_name(FILE_NAME + "-wal").exists():
                self._sync_log()
                # Where others hold it, the next write does it.
                with contextlib.suppress(JournalUnavailable), self._held_open(BUSY_SECONDS) as db:
                    shorten_log(db)

    @retry_once_if_replaced
    def has_destination(self) -> bool:
        """Whether what is kept belongs to a Redis."""
        if not self._address.spellings:
            return False
        with self._snapshot():
            return self._destination != THIS_MACHINE

    @retry_once_if_replaced
    def keep(self, write: Write, *, timeout: float = BUSY_SECONDS) -> None:
        """Put a text that is kept on this machine only; it survives power loss."""
        with self._transaction(durable=True, timeout=timeout) as db:
            self._put(db, write, replica=False)

    @retry_once_if_replaced
    def drop(self, key: str, *, timeout: float = BUSY_SECONDS) -> None:
        """Delete such a text, or a copy."""
        with self._transaction(timeout=timeout) as db:
            drop(db, self._destination, [key])

    @retry_once_if_replaced
    def copy(self, key: str) -> Write | None:
        """The document here under `key`, expired or not, as a write where there is nothing."""
        with self._snapshot() as db:
            return copy_of(db, self._destination, key)

    @retry_once_if_replaced
    def ends(self, key: str) -> tuple[bool, Ends | None]:
        """Whether a change of `key` is pending; the ends of the document here, if it is large."""
        with self._snapshot() as db:
            return is_pending(db, self._destination, key), ends_of(db, self._destination, key, LARGE)

    @retry_once_if_replaced
    def copy_or_ends(self, key: str) -> Write | Ends | None:
        """The document here under `key`, or its ends, if it is large."""
        with contextlib.suppress(JournalUnavailable):
            if found := self._glance(key, LARGE):
                return found.copy
        with self._snapshot() as db:
            return ends_of(db, self._destination, key, LARGE) or copy_of(db, self._destination, key)

    @retry_once_if_replaced
    def copy_of_this_machine(self, key: str) -> Write | None:
        """The document that belongs to this machine under `key`, while a Redis is in use."""
        if not self._address.spellings:
            return None
        with self._snapshot() as db:
            return copy_of(db, THIS_MACHINE, key) if self._destination != THIS_MACHINE else None

    @retry_once_if_replaced
    def leave_this_machine(self, key: str, text: str, *, timeout: float = BUSY_SECONDS) -> bool:
        """Delete what belonged to this machine under `key`, if it is still this text: the destination in use has it.

        Another process, for which no Redis is named, may have added to it meanwhile; then `False`.
        """
        with self._transaction(timeout=timeout) as db:
            if self._destination == THIS_MACHINE or not holds(db, THIS_MACHINE, key, text):
                return self._destination == THIS_MACHINE or copy_of(db, THIS_MACHINE, key) is None
            drop(db, THIS_MACHINE, [key])
            return True

    @retry_once_if_replaced
    def move_from_this_machine(self, key: str) -> bool:
        """Move what belonged to this machine under `key` to the destination in use; whether there was any."""
        if not self.copy_of_this_machine(key):
            return False
        with self._transaction(durable=True) as db:
            query = "UPDATE OR IGNORE documents SET destination = ? WHERE destination = ? AND key = ?"
            return db.execute(query, (self._destination, THIS_MACHINE, key)).rowcount == 1

    @retry_once_if_replaced
    def lookup(self, key: str) -> tuple[Pending | None, Write | None]:
        """The oldest pending change of `key`, and the document here."""
        with self._snapshot() as db:
            return next_pending(db, self._destination, key), copy_of(db, self._destination, key)

    def lookup_nowait(self, key: str, largest: int = LARGEST_NOWAIT) -> tuple[Pending | None, Write | None] | None:
        """The same; `None` where that needs a thread: the file is not open, in use, or the document too large."""
        try:
            if (found := self._glance(key, largest)) and not found.is_pending:
                return None, found.copy
            return self.nowait(self._lookup_if_small, key, largest)
        except JournalUnavailable:
            return None  # `lookup` meets it again

    def _lookup_if_small(self, key: str, largest: int) -> tuple[Pending | None, Write | None] | None:
        with self._snapshot() as db:
            query = "SELECT 1 FROM documents WHERE destination = ? AND key = ? AND bytes > ?"
            if db.execute(query, (self._destination, key, largest)).fetchone():
                return None
            return next_pending(db, self._destination, key), copy_of(db, self._destination, key)

    def has_none_here(self, key: str) -> bool:
        """Whether it can be told at once that this machine has no document of its own under `key`."""
        if not self._address.spellings:
            return True
        with contextlib.suppress(JournalUnavailable):
            return not self._read_now(lambda db: is_there(db, THIS_MACHINE, key))
        return False

    def _glance(self, key: str, largest: int) -> Glance | None:
        """The quickest look at the document under `key` in the destination in use; `None` where it tells nothing.

        Raises:
            JournalUnavailable: the file is not open, or in use.

        """
        if not self._address.spellings:
            return self._read_now(lambda db: glance(db, BY_NUMBER, THIS_MACHINE, key, largest))
        address = self._address.certain
        return self._read_now(lambda db: glance(db, BY_ADDRESS, address, key, largest)) if address else None

    def _read_now(self, ask: Callable[[sqlite3.Connection], _R]) -> _R:
        """What one statement answers, at once and without a transaction, which would take longer than it does.

        Raises:
            JournalUnavailable: the file is not open, or in use.

        """
        opened = self._open if self._thread.snapshot is None else None
        if opened is None or not self._is_current(opened) or not opened.reading.acquire(blocking=False):
            raise JournalUnavailable(f"The journal {self.path} cannot be read at once.")
        try:
            opened.have_wait(opened.reader, 0)
            return ask(opened.reader)
        except (sqlite3.Error, OSError) as exc:
            raise JournalUnavailable(f"The journal {self.path} cannot be read at once.") from exc
        finally:
            opened.reading.release()

    def state(self) -> JournalState:
        """The journal's account of itself; never raises."""
        damaged = tuple(damaged_files(self.path))
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
            tuple(self._made_private),
        )
