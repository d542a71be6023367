"""A machine's journal, looked at and changed from outside whatever its schema, by the names of its columns."""

import contextlib
import sqlite3
from collections.abc import Generator
from pathlib import Path

FILE = "journal.sqlite3"
BUSY_SECONDS = 10.0
CHANGE = "change"
"""The column of the outbox that holds what is to be sent, up to schema 3; from 4 on it lies in `texts`."""

PIECES = 2**20
"""Ids that each text has there for its pieces; those of the outbox are below zero."""


class OutsideJournal:
    """The journal in a data folder, which servers may have open."""

    def __init__(self, data: Path) -> None:
        self.path = data / FILE

    def backup(self, to: Path) -> None:
        """A whole copy as of now."""
        with self._open() as db, contextlib.closing(sqlite3.connect(to)) as copy:
            db.backup(copy)

    def put_in_place(self, backup: Path) -> None:
        """Put a backup in the place of the file; no server has it open."""
        for ending in ("-wal", "-shm"):
            self.path.with_name(FILE + ending).unlink(missing_ok=True)
        self.path.write_bytes(backup.read_bytes())

    def write_over(self, backup: Path) -> None:
        """Make the contents those of a backup, by SQLite, while servers have the file open."""
        with contextlib.closing(sqlite3.connect(backup)) as copy, self._open() as db:
            copy.backup(db)

    def waiting(self) -> int:
        """The rows of the outbox."""
        with self._open() as db:
            return int(db.execute("SELECT count(*) FROM outbox").fetchone()[0])

    def poison(self, change: str | bytes, key: str | None, *, first: bool) -> bool:
        """Put a copy of a waiting row with this change into the outbox, before all others or behind; if one waits."""
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            columns = [row[1] for row in db.execute("PRAGMA table_info(outbox)")]
            copied = [name for name in columns if name not in ("position", "key", CHANGE)]
            names = ", ".join(["position", "key", *copied])
            row = db.execute(f"SELECT {names} FROM outbox ORDER BY position").fetchone()  # noqa: S608
            if row is None:
                return False
            position = row[0] - 1 if first and row[0] > 1 else None
            values = [position, key or row[1], *row[2:], *([change] if CHANGE in columns else [])]
            names, marks = f"{names}, {CHANGE}" if CHANGE in columns else names, ", ".join("?" * len(values))
            number = db.execute(f"INSERT INTO outbox ({names}) VALUES ({marks})", values).lastrowid or 0  # noqa: S608
            if CHANGE not in columns:
                piece = change.encode() if isinstance(change, str) else change
                (text,) = db.execute("SELECT min(text) - 1 FROM outbox").fetchone()
                db.execute("UPDATE outbox SET text = ? WHERE position = ?", (text, number))
                db.execute("INSERT INTO texts (id, piece) VALUES (?, ?)", (text * PIECES, piece))
            db.execute("COMMIT")
            return True

    @contextlib.contextmanager
    def _open(self) -> Generator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)) as db:
            yield db
