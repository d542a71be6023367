"""Indexes the words of sessions in a full-text file beside the journal: by turn, by what lists show, and by session.

It is a cache: it is made what the journal and the shared list hold, a session at a time, and compared with them by the
times of their last saves. Rows of another version, damaged tables and a deleted file are made anew. Without SQLite's
FTS5 nothing is searched here.
"""

import contextlib
import os
import secrets
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from pathlib import Path

from agentic_flywheel.documents.writes import ListRow
from agentic_flywheel.journal.forks import Lock, know
from agentic_flywheel.journal.index_rows import (
    compared,
    drop,
    forget_words,
    indexed,
    mark_incomplete,
    put,
    put_row,
    remove,
)
from agentic_flywheel.journal.question import Question
from agentic_flywheel.journal.ranking import ranked
from agentic_flywheel.journal.records import Head, Lists, Matches
from agentic_flywheel.journal.recovery import is_damage
from agentic_flywheel.journal.schema import refuse_foreign
from agentic_flywheel.journal.sqlite import connect
from agentic_flywheel.private_files import create, make_private

FILE_NAME = "words.sqlite3"

BUSY_SECONDS = 0.2
"""How long to wait for another process that adds sessions; after that the index is searched as it is."""

READ_AT_ONCE = 20
"""Sessions added by one transaction, for which other processes wait."""

MERGED_UP_TO = 4_000_000
"""Bytes of an index in which the lists of words are merged after a deletion; a larger one is made anew instead."""

_FORGETS = sqlite3.sqlite_version_info >= (3, 42)
"""Whether FTS5 can take a word out of its lists at once. SQLite before that cannot read the lists then."""

_SHAPE = 9 if _FORGETS else 8
"""The version of the tables, in SQLite's `user_version`; a file of another one is made anew."""

_TABLES = (
    # saved_at is that of what lists show; turns_at that of the turns, 0 if they are not here.
    "CREATE TABLE heads (number INTEGER PRIMARY KEY, destination INTEGER NOT NULL, list TEXT NOT NULL,"
    " key TEXT NOT NULL, member TEXT NOT NULL, saved_at INTEGER NOT NULL, turns_at INTEGER NOT NULL,"
    " version INTEGER NOT NULL, pieces INTEGER NOT NULL, note TEXT NOT NULL, UNIQUE (destination, key))",
    "CREATE INDEX places ON heads (destination, list, turns_at, version)",
    "CREATE TABLE passes (destination INTEGER NOT NULL, list TEXT NOT NULL, at INTEGER NOT NULL,"
    " PRIMARY KEY (destination, list))",
    "CREATE VIRTUAL TABLE turns USING fts5(said, raw UNINDEXED, tokenize = 'ascii')",
    "CREATE VIRTUAL TABLE talks USING fts5(terms, tokenize = 'ascii')",
    "CREATE VIRTUAL TABLE words USING fts5vocab(turns, 'row')",
    *(f"INSERT INTO {name} ({name}, rank) VALUES ('secure-delete', 1)" for name in ("turns", "talks") if _FORGETS),  # noqa: S608
    f"PRAGMA user_version = {_SHAPE}",
)

_TABLES_OF_OURS = (b"heads", b"talks")
"""The tables that every version of the index has."""


class SearchIndex:
    """The index in `folder`, for one thread at a time. Its verbs raise `sqlite3.Error` or `OSError` if it fails.

    With `in_memory` it is no file, and lasts as long as this.
    """

    def __init__(self, folder: Path, *, in_memory: bool = False) -> None:
        self.path = folder / FILE_NAME
        self._lock = threading.Lock()
        know(self)
        self._memory = _in_memory() if in_memory else None
        self.made = 0
        """Which file the last verb saw: another number for each that is made anew, here or by another process."""
        if self._memory:
            weakref.finalize(self, self._memory.close)

    def find(self, index: str, destinations: Sequence[int], question: Question) -> Matches:
        """The sessions of the list `index` that answer the question, the best first.

        Of a key that several of the destinations have, that of the last.
        """
        with self._open() as db:
            db.execute("BEGIN")  # one moment for all that is read
            matches = ranked(db, index, destinations, question)
            db.execute("COMMIT")
        return matches

    def texts(self, rows: Collection[int]) -> dict[int, str]:
        """What was said in these rows."""
        with self._open() as db:
            found = (db.execute("SELECT rowid, raw FROM turns WHERE rowid = ?", (row,)).fetchone() for row in rows)
            return {row[0]: row[1] for row in found if row}

    def terms_like(self, beginning: str, most: int) -> list[str]:
        """Up to so many terms that begin so, of all that was said."""
        with self._open() as db:
            query = "SELECT term FROM words WHERE term >= ? AND term < ? LIMIT ?"
            return [row[0] for row in db.execute(query, (beginning, beginning + chr(0x10FFFF), most))]

    def terms_among(self, terms: Sequence[str]) -> list[str]:
        """Those of these terms that are among all that was said."""
        with self._open() as db:
            return [term for term in terms if db.execute("SELECT 1 FROM words WHERE term = ?", (term,)).fetchone()]

    def titles(self, index: str, destinations: Sequence[int], most: int) -> list[tuple[str, str]]:
        """Member and note of the newest sessions."""
        places = ", ".join(map(str, destinations))
        with self._open() as db:
            query = f"SELECT member, note FROM heads WHERE list = ? AND destination IN ({places})"  # noqa: S608
            return db.execute(f"{query} ORDER BY saved_at DESC LIMIT ?", (index, most)).fetchall()

    def indexed(self, destinations: Collection[int]) -> Lists:
        """What is indexed of each list."""
        with self._open() as db:
            return indexed(db, destinations)

    def outdated(self, heads: Sequence[Head], destinations: Collection[int]) -> Sequence[Head]:
        """Those of `heads`, all sessions of the destinations, that are not indexed as they are; others are removed."""
        with self._open() as db, self._unless_busy(db):
            return compared(db, heads, destinations)
        return heads

    def put(self, heads: Sequence[Head], text_of: Callable[[Head], str | None], seconds: float) -> int:
        """Index these sessions in their order for so long, at least one if no other process does; how many are left."""
        unread = len(heads)
        with self._open() as db, self._unless_busy(db):
            until = time.monotonic() + seconds  # to list many sessions may have taken as long
            for first in range(0, len(heads), READ_AT_ONCE):
                db.execute("BEGIN IMMEDIATE")
                for head in heads[first : first + READ_AT_ONCE]:
                    put(db, head, text_of(head))
                    unread -= 1
                    if time.monotonic() > until:
                        break
                db.execute("COMMIT")
                if time.monotonic() > until:
                    break
        return unread

    def count(self, destination: int, index: str) -> int:
        """How many sessions of a list are indexed."""
        with self._open() as db:
            query = "SELECT count(*) FROM heads WHERE (destination, list) = (?, ?)"
            return db.execute(query, (destination, index)).fetchone()[0]

    def read_whole_at(self, destination: int, index: str) -> int | None:
        """When all of a list was read, if it was: only what is newer is read then."""
        with self._open() as db:
            query = "SELECT at FROM passes WHERE (destination, list) = (?, ?)"
            row = db.execute(query, (destination, index)).fetchone()
        return row[0] if row else None

    def note_whole(self, destination: int, index: str, at: int) -> None:
        """Note that all of a list was read."""
        with self._open() as db, self._unless_busy(db):
            db.execute("INSERT OR REPLACE INTO passes VALUES (?, ?, ?)", (destination, index, at))

    def put_rows(self, destination: int, rows: Sequence[ListRow], key_of: Callable[[str], str]) -> int:
        """Index what a list shows; how many of the rows were not known so."""
        new = 0
        with self._open() as db, self._unless_busy(db):
            query = "SELECT 1 FROM heads WHERE destination = ? AND key = ? AND saved_at >= ?"
            known = (db.execute(query, (destination, key_of(row.member), row.saved_at)).fetchone() for row in rows)
            rows = [row for row, seen in zip(rows, known, strict=True) if seen is None]
            if not rows:
                return 0
            db.execute("BEGIN IMMEDIATE")
            for row in rows:
                new += put_row(db, destination, key_of(row.member), row)
            db.execute("COMMIT")
        return new

    def keep_only(self, heads: Sequence[Head], gone: Callable[[str], bool]) -> None:
        """Remove, of all destinations, the turns that are not among `heads`, and rows of lists that are `gone`.

        Sessions of which rows are missing are marked, so that they are made anew.
        """
        if self.path.exists():
            with self._open() as db:
                compared(db, heads, {row[0] for row in db.execute("SELECT DISTINCT destination FROM heads")})
                mark_incomplete(db)
                notes = db.execute("SELECT number, note FROM heads WHERE NOT turns_at").fetchall()
                remove(db, [number for number, note in notes if gone(note)])
                forget_words(db)
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def drop(self, destinations: Sequence[int], key: str) -> bool:
        """Remove one session, so that none of its words is left in the file; whether it is so."""
        if not self.path.exists():
            return True
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            dropped = [drop(db, destination, key) for destination in destinations]
            large = self.path.stat().st_size > MERGED_UP_TO
            if any(dropped) and not (_FORGETS or large):
                forget_words(db)
            db.execute("COMMIT")
            wiped = not db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if any(dropped) and large and not _FORGETS:
            self.delete()
            return True
        return wiped

    def delete(self) -> None:
        """Delete the file, unless it is another program's."""
        if self.path.exists():
            with contextlib.suppress(sqlite3.Error), self._open():
                pass
        self._delete()

    def _delete(self) -> None:
        for ending in ("", "-journal", "-wal", "-shm"):
            self.path.with_name(FILE_NAME + ending).unlink(missing_ok=True)

    def locks(self) -> Iterator[Lock]:
        """What is held while a process forks: between its verbs it has no connection to its file."""
        yield self._lock

    def forget_connections(self) -> None:
        """Do nothing: it has none."""

    @contextlib.contextmanager
    def _unless_busy(self, db: sqlite3.Connection) -> Generator[None]:
        """Leave it for later while another process writes, or nobody can."""
        try:
            yield
        except sqlite3.OperationalError as exc:
            if db.in_transaction:
                db.execute("ROLLBACK")
            if exc.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_READONLY):
                raise

    @contextlib.contextmanager
    def _open(self) -> Generator[sqlite3.Connection]:
        """Open the index for one verb; delete a damaged file, which the next verb makes anew."""
        with self._lock:
            if self._memory:
                yield self._memory
                return
            try:
                for ending in ("", "-wal", "-shm"):
                    make_private(self.path.with_name(FILE_NAME + ending))
                with contextlib.suppress(FileExistsError):
                    os.close(create(self.path))
                with contextlib.closing(connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)) as db:
                    refuse_foreign(db, self.path, _TABLES_OF_OURS)
                    if not _is_ours(db):
                        _make(db)
                    (self.made,) = db.execute("PRAGMA application_id").fetchone()
                    db.execute("PRAGMA synchronous = OFF")  # a cache: it is made anew if a loss of power damages it
                    db.execute("PRAGMA secure_delete = ON")
                    yield db
            except sqlite3.DatabaseError as exc:
                if is_damage(exc) or exc.sqlite_errorcode == sqlite3.SQLITE_ERROR:  # a table is not what it was
                    self._delete()
                raise


def _in_memory() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    _make(db)
    return db


def _is_ours(db: sqlite3.Connection) -> bool:
    return db.execute("PRAGMA user_version").fetchone() == (_SHAPE,)


def _make(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode = WAL")  # readers do not wait for a writer
    db.execute("BEGIN IMMEDIATE")
    if not _is_ours(db):  # or another process was quicker
        for table in ("words", "turns", "talks", "heads", "passes"):
            db.execute(f"DROP TABLE IF EXISTS {table}")
        for statement in (*_TABLES, f"PRAGMA application_id = {secrets.randbits(31)}"):
            db.execute(statement)
    db.execute("COMMIT")
