"""Holds the journal's file open: who may use it when, its errors mapped, a damaged or missing file replaced.

One connection writes and another reads, so that reading never waits for a writer, in this process or another.
"""

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Generator
from datetime import datetime
from pathlib import Path
from typing import ParamSpec, TypeVar

from agentic_flywheel.documents.model import micros
from agentic_flywheel.errors import JournalUnavailable
from agentic_flywheel.journal.address import Address
from agentic_flywheel.journal.migrations import SCHEMA
from agentic_flywheel.journal.open_file import OpenFile, ThreadState, held, keep_private
from agentic_flywheel.journal.recovery import cause, damaged_files, is_damage, recover
from agentic_flywheel.journal.retry import Replaced
from agentic_flywheel.journal.schema import (
    BUSY_SECONDS,
    FILE_NAME,
    NO_ROOM,
    delete_log,
    exclusive,
    identity,
    is_at_rest,
    open_file,
    open_immutable,
    open_to_read,
    shorten_log,
    size_of_log,
)

_P = ParamSpec("_P")
_R = TypeVar("_R")

logger = logging.getLogger(__name__)

RECOVERIES_TOLD = 5
"""How many files that vanished the journal names: the newest."""

TAKEOVER_SECONDS = 1.0
"""For how long replica rows are taken over from a file that vanished; all other rows always are."""


class _NoRoom(JournalUnavailable):
    """The journal exists, nobody has it open, and it cannot be opened to write: the disk is full or read-only."""


class JournalFile:
    """The file in `folder`, opened on first use; `clock` names what is moved aside, `address` is the Redis in use."""

    def __init__(self, folder: Path, clock: Callable[[], datetime], address: Address) -> None:
        self.path = folder / FILE_NAME
        self._clock = clock
        self._address = address
        self._thread = ThreadState()
        self._lock = threading.RLock()  # of those who write, and of those who open the file
        self._open: OpenFile | None = None
        self._write_failed: tuple[float, str] | None = None
        self._was_held = False  # whether that was because another program held it
        self._has_long_log = False
        self._recovered: list[str] = []
        self._made_private: list[str] = []

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}, {'open' if self._open else 'closed'})"

    def nowait(self, verb: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """What a reading verb gives, on the event loop: it waits for nobody and reads little.

        Raises:
            JournalUnavailable: it must be run in a worker thread.

        """
        self._thread.waits = False
        try:
            return verb(*args, **kwargs)
        finally:
            self._thread.waits = True

    def close(self) -> None:
        """Close the file; a later call opens it again."""
        with self._lock:
            if self._open and self._is_lost(self._open):
                with contextlib.suppress(JournalUnavailable):
                    self._ensure_open(BUSY_SECONDS)
            self._close_connections()

    def _close_connections(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def _is_lost(self, opened: OpenFile) -> bool:
        """Whether the open file has left the folder and holds rows that are nowhere else."""
        has_unsent = "SELECT EXISTS (SELECT 1 FROM outbox) OR EXISTS (SELECT 1 FROM documents WHERE NOT replica)"
        with contextlib.suppress(sqlite3.Error, OSError):
            return not self._is_current(opened) and opened.writer.execute(has_unsent).fetchone() == (1,)
        return False

    def _now(self) -> int:
        return micros(self._clock())

    @property
    def _destination(self) -> int:
        """The destination of the verb that this thread runs, as of its beginning."""
        return self._thread.destination

    def _is_current(self, opened: OpenFile) -> bool:
        """Whether the open file is still the one in the folder: a write into another would be lost."""
        try:
            return identity(self.path) == opened.identity
        except FileNotFoundError:
            return False

    @contextlib.contextmanager
    def one_moment(self) -> Generator[None]:
        """Have all that this thread reads meanwhile be as of one moment; each moment of its own takes longer.

        Raises:
            JournalUnavailable: the file cannot be read.

        """
        with self._snapshot() as self._thread.snapshot:
            try:
                yield
            finally:
                self._thread.snapshot = None

    @contextlib.contextmanager
    def _snapshot(self) -> Generator[sqlite3.Connection]:
        """Give one thread at a time a connection that reads the file as of one moment; map its errors."""
        if self._thread.snapshot is not None:
            yield self._thread.snapshot
            return
        if not self._thread.waits:
            with self._snapshot_now() as db:
                yield db
            return
        try:
            opened = self._ensure_open(BUSY_SECONDS)
        except _NoRoom:
            with self._immutable() as db:
                yield db
            return
        try:
            with held(opened.reading, BUSY_SECONDS, self.path), self._read_transaction(opened, BUSY_SECONDS) as db:
                yield db
        except (sqlite3.Error, OSError) as exc:
            raise self._failure(exc, opened.identity) from exc

    @contextlib.contextmanager
    def _snapshot_now(self) -> Generator[sqlite3.Connection]:
        """The same at once, if the file is open and not in use."""
        opened = self._open
        if opened is None or not self._is_current(opened):
            raise JournalUnavailable(f"The journal {self.path} is not open.")
        with held(opened.reading, 0, self.path):
            try:
                with self._read_transaction(opened, 0) as db:
                    yield db
            except (sqlite3.Error, OSError) as exc:
                raise JournalUnavailable(f"The journal {self.path} cannot be read at once.") from exc

    @contextlib.contextmanager
    def _immutable(self) -> Generator[sqlite3.Connection]:
        """Read the file as immutable, which needs no room on the disk: nobody has it open.

        Another process may open it meanwhile, so an error is no sign of damage.
        """
        try:
            with contextlib.closing(open_immutable(self.path)) as db:
                self._thread.destination = self._address.find(db)
                yield db
        except sqlite3.Error as exc:
            raise JournalUnavailable(f"The journal {self.path} cannot be used: {cause(exc)}") from exc

    @contextlib.contextmanager
    def _read_transaction(self, opened: OpenFile, timeout: float) -> Generator[sqlite3.Connection]:
        if opened.closed:
            raise Replaced(f"The journal {self.path} was closed.")
        db = opened.reader
        opened.have_wait(db, timeout)
        db.execute("BEGIN")
        try:
            self._thread.destination = self._address.find(db)
            yield db
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")

    @contextlib.contextmanager
    def _transaction(self, *, durable: bool = False, timeout: float = BUSY_SECONDS) -> Generator[sqlite3.Connection]:
        """Give the connection that writes, in a transaction that begins within `timeout` seconds or not at all."""
        deadline = time.monotonic() + timeout
        with held(self._lock, timeout, self.path):
            opened = self._ensure_open(deadline - time.monotonic())
            try:
                with self._write_transaction(opened, deadline - time.monotonic(), durable=durable) as db:
                    yield db
                if self._was_held:  # by another program, which has let go of it
                    self._was_held, self._write_failed = False, None
                if size_of_log(self.path) > opened.log_bytes:
                    shorten_log(opened.writer)
            except (sqlite3.Error, OSError) as exc:
                if isinstance(exc, sqlite3.Error):
                    self._write_failed = time.monotonic(), f"The journal {self.path} cannot be written: {cause(exc)}"
                    self._was_held = getattr(exc, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
                raise self._failure(exc, opened.identity) from exc

    @contextlib.contextmanager
    def _write_transaction(self, opened: OpenFile, timeout: float, *, durable: bool) -> Generator[sqlite3.Connection]:
        db = opened.writer
        opened.set_up(durable=durable, timeout=timeout, has_long_log=self._has_long_log)
        db.execute("BEGIN IMMEDIATE")
        try:
            if not self._is_current(opened):  # another process moved it aside meanwhile
                raise Replaced(f"The journal {self.path} was replaced.")
            self._thread.destination = self._address.register(db)
            yield db
            db.execute("COMMIT")
        finally:
            if db.in_transaction:  # SQLite itself rolls back after some errors, a full disk among them
                db.execute("ROLLBACK")

    @contextlib.contextmanager
    def _held_open(self, timeout: float) -> Generator[sqlite3.Connection]:
        """Give the connection that writes, outside of a transaction."""
        with held(self._lock, timeout, self.path):
            yield self._ensure_open(timeout).writer

    def _failure(self, exc: Exception, file: tuple[int, int] | None) -> JournalUnavailable:
        """Map an error that was met in a file; replace the file first if it is damaged."""
        if is_damage(exc):
            with held(self._lock, BUSY_SECONDS, self.path), contextlib.suppress(sqlite3.Error, OSError):
                self._close_connections()
                recover(self.path, file, self._clock(), self._address.spellings)
                return Replaced(f"The journal {self.path} was damaged.")
        no_room = getattr(exc, "sqlite_errorcode", 0) & 0xFF in NO_ROOM and is_at_rest(self.path)
        error = _NoRoom if no_room else JournalUnavailable
        return error(f"The journal {self.path} cannot be used: {cause(exc)}")

    def _ensure_open(self, timeout: float) -> OpenFile:
        """Open the file in the folder, unless it is open, within `timeout` seconds."""
        found = None
        try:
            if (opened := self._open) and self._is_current(opened):
                return opened
            with held(self._lock, timeout, self.path):
                before = self._open
                if before and self._is_current(before):  # another thread was faster
                    return before
                self._made_private += keep_private(self.path)
                found = identity(self.path) if self.path.exists() else None
                self._open = opened = self._reopen(before, timeout)
                if before:
                    before.close()
                return opened
        except (sqlite3.Error, OSError) as exc:
            raise self._failure(exc, found) from exc

    def _reopen(self, before: OpenFile | None, timeout: float) -> OpenFile:
        """Open the file in the folder; take over the rows of the one open `before`, which has left the folder."""
        log = self.path.with_name(FILE_NAME + "-wal")
        if before and log.exists():
            with exclusive(self.path):  # the log of an earlier file is not that of this one
                if log.exists() and identity(log) == before.log and not self._is_current(before):
                    delete_log(self.path)
        with contextlib.ExitStack() as stack:
            writer = stack.enter_context(contextlib.closing(open_file(self.path, self._address.spellings, timeout)))
            if before:
                self._take_over_from(before, writer)
            with contextlib.suppress(sqlite3.OperationalError):  # no room: the next start tries again
                self._address.adopt(writer)
            reader = stack.enter_context(contextlib.closing(open_to_read(self.path)))
            opened = OpenFile(writer, reader, identity(self.path), identity(log))
            stack.pop_all()
        return opened

    def _take_over_from(self, before: OpenFile, writer: sqlite3.Connection) -> None:
        if before.identity in (identity(self.path.with_name(name)) for name in damaged_files(self.path)):
            return  # it was damaged, and what can be read of it is in this one
        from agentic_flywheel.journal.salvage import salvage
        from agentic_flywheel.journal.takeover import take_over

        saved = salvage(before.writer, SCHEMA, self._address.spellings)
        documents, changes = take_over(writer, saved, self._clock(), TAKEOVER_SECONDS)
        if documents or changes:
            message = (
                f"The journal vanished, or was replaced, while it was in use: {changes} pending changes and {documents}"
                " documents that it had were brought into the new one."
            )
            self._recovered = [*self._recovered, message][-RECOVERIES_TOLD:]
            logger.error("%s (%s)", message, self.path)
