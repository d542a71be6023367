"""The journal's file while it is open: one thread at a time, errors mapped, replaced when it is damaged or gone."""

import contextlib
import functools
import sqlite3
import threading
import time
from collections.abc import Callable, Generator
from datetime import datetime
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from agentic_flywheel.errors import JournalUnavailable
from agentic_flywheel.journal.file import FILE_NAME, open_file
from agentic_flywheel.journal.rescue import identity, is_damage, rescue

_P = ParamSpec("_P")
_R = TypeVar("_R")
_File = TypeVar("_File", bound="JournalFile")


class _Replaced(JournalUnavailable):
    """The file that was open is not the journal any more: it was deleted, or damaged and moved aside."""


def again_if_replaced(verb: Callable[Concatenate[_File, _P], _R]) -> Callable[Concatenate[_File, _P], _R]:
    """A verb of the journal that is tried once more with the file that has taken the place of the one it met."""

    @functools.wraps(verb)
    def twice(self: _File, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return verb(self, *args, **kwargs)
        except _Replaced:
            return verb(self, *args, **kwargs)

    return twice


class JournalFile:
    """The file in `folder`, opened on first use; `clock` names what is moved aside."""

    def __init__(self, folder: Path, clock: Callable[[], datetime]) -> None:
        self.path = folder / FILE_NAME
        self._clock = clock
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._write_failed: tuple[float, str] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}, {'open' if self._connection else 'closed'})"

    def close(self) -> None:
        """Let go of the file; a later call opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _is_current(self) -> bool:
        """Whether the file that is open is still the one in the folder: what went into another would be lost."""
        try:
            return identity(self.path) == self._identity
        except FileNotFoundError:
            return False

    @contextlib.contextmanager
    def _use(self) -> Generator[sqlite3.Connection]:
        """The open connection, for one thread at a time, its errors mapped."""
        with self._lock:
            try:
                if self._connection and not self._is_current():
                    self.close()
                if self._connection is None:
                    self._identity = identity(self.path) if self.path.exists() else None
                    self._connection = open_file(self.path)
                    self._identity = identity(self.path)
                yield self._connection
            except (sqlite3.Error, OSError) as exc:
                if isinstance(exc, sqlite3.Error) and is_damage(exc):
                    self._rescue()
                raise JournalUnavailable(f"The journal {self.path} cannot be used: {exc}") from exc

    def _rescue(self) -> None:
        """Put a new file in the place of the damaged one.

        Raises:
            _Replaced: it is done; otherwise the journal cannot be used.

        """
        self.close()
        with contextlib.suppress(sqlite3.Error, OSError):
            rescue(self.path, self._identity, self._clock().strftime("%Y%m%dT%H%M%S"))
            raise _Replaced(f"The journal {self.path} was damaged.")

    @contextlib.contextmanager
    def _transaction(self, *, durable: bool = False) -> Generator[sqlite3.Connection]:
        with self._use() as db:
            # In WAL mode NORMAL survives the death of any process, FULL (an fsync a commit) the loss of power too.
            db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            db.execute("BEGIN IMMEDIATE")
            try:
                if not self._is_current():  # another process moved it aside while this one waited for its turn
                    raise _Replaced(f"The journal {self.path} was replaced.")
                yield db
                db.execute("COMMIT")
            except BaseException as exc:
                if isinstance(exc, sqlite3.Error):
                    self._write_failed = time.monotonic(), f"The journal {self.path} cannot be written: {exc}"
                if db.in_transaction:  # SQLite itself rolls back after some errors, a full disk among them
                    db.execute("ROLLBACK")
                raise
