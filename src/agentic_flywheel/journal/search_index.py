"""Indexes the words of this machine's sessions in a full-text file beside the journal, made by the first search.

It is a cache: a search adds what the journal holds by then, and removes what it no longer holds. Deleting the file
loses nothing. Without SQLite's FTS5 nothing is searched here.
"""

import contextlib
import json
import math
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Generator, Sequence
from pathlib import Path

from agentic_flywheel.documents.model import Document
from agentic_flywheel.documents.turn_text import said_in
from agentic_flywheel.errors import DocumentError
from agentic_flywheel.journal.records import Head, Match, Matches
from agentic_flywheel.journal.recovery import is_damage
from agentic_flywheel.journal.schema import refuse_foreign
from agentic_flywheel.journal.tokens import beginnings, excerpt, variants
from agentic_flywheel.private_files import create, make_private

FILE_NAME = "words.sqlite3"

BUSY_SECONDS = 0.2
"""How long to wait for another process that adds sessions; after that the index is searched as it is."""

READ_AT_ONCE = 20
"""Sessions added by one transaction, for which other processes wait."""

EXCERPT_SECONDS = 0.5
"""How long one answer looks for excerpts; the rows behind have none."""

MERGED_UP_TO = 4_000_000
"""Bytes of an index in which the lists of words are merged after a deletion; a larger one is made anew instead."""

_FORGETS = sqlite3.sqlite_version_info >= (3, 42)
"""Whether FTS5 can take a word out of its lists at once. SQLite before that cannot read the lists then."""

_SHAPE = 5 if _FORGETS else 4
"""The version of the tables, in SQLite's `user_version`; a file of another one is made anew."""

_TABLES = (
    "CREATE TABLE heads (number INTEGER PRIMARY KEY, destination INTEGER NOT NULL, key TEXT NOT NULL,"
    " saved_at INTEGER NOT NULL, UNIQUE (destination, key))",
    "CREATE VIRTUAL TABLE talks USING fts5("
    "id, title, tags, summary, turns, variants, tokenize = 'unicode61 remove_diacritics 2')",
    *(("INSERT INTO talks (talks, rank) VALUES ('secure-delete', 1)",) if _FORGETS else ()),
    f"PRAGMA user_version = {_SHAPE}",
)

_TABLES_OF_OURS = (b"heads", b"talks")
"""The tables that every version of the index has."""

_WEIGHTS = "3, 6, 4, 3, 1, 1"
"""The weights of a word in an id, a title, tags, a summary, the turns and the variants."""


class SearchIndex:
    """The index in `folder`, for one thread at a time. Its verbs raise `sqlite3.Error` or `OSError` if it fails."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._lock = threading.Lock()

    def find(
        self,
        index: str,
        heads: Sequence[Head],
        text_of: Callable[[Head], str | None],
        words: Sequence[str],
        needed: int,
        timeout: float,
    ) -> Matches:
        """The sessions of the list `index` with `needed` of the words.

        `heads` are all sessions of their destinations, the newest first, and `text_of` gives the document of one; new
        ones are added for `timeout` seconds at most. Where two destinations have a key, the later one is searched.
        """
        with self._open() as db:
            self._add_new(db, heads, text_of, time.monotonic() + timeout)
            db.execute("BEGIN")  # one moment for all that is read
            numbers, unread = _searched(db, index, heads)
            having: dict[int, set[int]] = {}
            rarity: list[float] = []
            for position, word in enumerate(words):
                found = db.execute("SELECT rowid FROM talks WHERE talks MATCH ?", (_any([word]),))
                hits = [number for (number,) in found if number in numbers]
                rarity.append(math.log(1 + (len(numbers) - len(hits) + 0.5) / (len(hits) + 0.5)))
                for number in hits:
                    having.setdefault(number, set()).add(position)
            scores = db.execute(
                f"SELECT rowid, bm25(talks, {_WEIGHTS}) FROM talks WHERE talks MATCH ?",  # noqa: S608  numbers of ours
                (_any(words),),
            )
            matches = [
                Match(numbers[number], frozenset(having[number]), score)
                for number, score in scores
                if len(having.get(number, ())) >= needed
            ]
            db.execute("COMMIT")
        return Matches(matches, len(numbers), unread, rarity)

    def excerpts(self, destinations: Sequence[int], keys: Sequence[str], words: Sequence[str]) -> dict[str, str]:
        """An excerpt of the turns with one of the words, by key, of each session whose turns have one.

        Of a key that several of the destinations have, that of the last.
        """
        until = time.monotonic() + EXCERPT_SECONDS
        found: dict[str, str] = {}
        with self._open() as db:
            for destination in destinations:
                rows = db.execute(
                    "SELECT key, turns FROM heads JOIN talks ON talks.rowid = number"
                    " WHERE destination = ? AND key IN (SELECT value FROM json_each(?))",
                    (destination, json.dumps([*keys])),
                )
                for key, turns in rows:
                    if time.monotonic() > until:
                        break
                    found.pop(key, None)
                    if piece := excerpt(turns, words):
                        found[key] = piece
        return found

    def keep_only(self, heads: Sequence[Head]) -> None:
        """Remove, of all destinations, what is not among `heads` as it is there: the expired and the deleted."""
        if self._path.exists():
            with self._open() as db:
                _remove_outdated(db, heads, {row[0] for row in db.execute("SELECT DISTINCT destination FROM heads")})
                _forget_words(db)
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def drop(self, destinations: Sequence[int], key: str) -> bool:
        """Remove one session, so that none of its words is left in the file; whether it is so."""
        if not self._path.exists():
            return True
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            dropped = [_drop(db, destination, key) for destination in destinations]
            large = self._path.stat().st_size > MERGED_UP_TO
            if any(dropped) and not (_FORGETS or large):
                _forget_words(db)
            db.execute("COMMIT")
            wiped = not db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if any(dropped) and large and not _FORGETS:
            self.delete()
            return True
        return wiped

    def delete(self) -> None:
        """Delete the file, unless it is another program's."""
        if self._path.exists():
            with contextlib.suppress(sqlite3.Error), self._open():
                pass
        self._delete()

    def _delete(self) -> None:
        for ending in ("", "-journal", "-wal", "-shm"):
            self._path.with_name(FILE_NAME + ending).unlink(missing_ok=True)

    def _add_new(
        self, db: sqlite3.Connection, heads: Sequence[Head], text_of: Callable[[Head], str | None], until: float
    ) -> None:
        """Make the index what the journal holds, in the order of `heads`, as far as time and other processes allow."""
        try:
            indexed = _remove_outdated(db, heads, {head.destination for head in heads})
            new = [head for head in heads if (head.destination, head.key) not in indexed]
            for first in range(0, len(new), READ_AT_ONCE):
                if time.monotonic() > until:
                    return
                db.execute("BEGIN IMMEDIATE")
                for head in new[first : first + READ_AT_ONCE]:
                    if time.monotonic() > until:
                        break
                    _put(db, head, _columns(text_of(head), head.member))
                db.execute("COMMIT")
        except sqlite3.OperationalError as exc:
            if db.in_transaction:
                db.execute("ROLLBACK")
            if exc.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_READONLY):
                raise

    @contextlib.contextmanager
    def _open(self) -> Generator[sqlite3.Connection]:
        """Open the index for one verb; delete a damaged file, which the next verb makes anew."""
        with self._lock:
            try:
                for ending in ("", "-wal", "-shm"):
                    make_private(self._path.with_name(FILE_NAME + ending))
                with contextlib.suppress(FileExistsError):
                    os.close(create(self._path))
                with contextlib.closing(sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)) as db:
                    refuse_foreign(db, self._path, _TABLES_OF_OURS)
                    if not _is_ours(db):
                        _make(db)
                    db.execute("PRAGMA synchronous = OFF")  # a cache: it is made anew if a loss of power damages it
                    db.execute("PRAGMA secure_delete = ON")
                    yield db
            except sqlite3.DatabaseError as exc:
                if is_damage(exc):
                    self._delete()
                raise


def _is_ours(db: sqlite3.Connection) -> bool:
    return db.execute("PRAGMA user_version").fetchone() == (_SHAPE,)


def _make(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode = WAL")  # readers do not wait for a writer
    db.execute("BEGIN IMMEDIATE")
    if not _is_ours(db):  # or another process was quicker
        for table in ("talks", "heads"):
            db.execute(f"DROP TABLE IF EXISTS {table}")
        for statement in _TABLES:
            db.execute(statement)
    db.execute("COMMIT")


def _searched(db: sqlite3.Connection, index: str, heads: Sequence[Head]) -> tuple[dict[int, str], int]:
    """The key of each row that is searched, and the number of sessions that are missing or outdated in it."""
    now = {head.key: head for head in sorted(heads, key=lambda head: head.destination) if head.index == index}
    numbers: dict[int, str] = {}
    read = 0
    for number, destination, key, saved_at in db.execute("SELECT number, destination, key, saved_at FROM heads"):
        head = now.get(key)
        if head and head.destination == destination:
            numbers[number] = key
            read += head.saved_at == saved_at
    return numbers, len(now) - read


def _remove_outdated(
    db: sqlite3.Connection, heads: Sequence[Head], destinations: Collection[int]
) -> set[tuple[int, str]]:
    """Remove the outdated rows of these destinations; which sessions are indexed as they are now."""
    now = {(head.destination, head.key): head.saved_at for head in heads}
    rows = db.execute("SELECT number, destination, key, saved_at FROM heads").fetchall()
    gone = [
        (number,)
        for number, destination, key, saved_at in rows
        if destination in destinations and now.get((destination, key)) != saved_at
    ]
    if gone:
        db.execute("BEGIN IMMEDIATE")
        db.executemany("DELETE FROM talks WHERE rowid = ?", gone)
        db.executemany("DELETE FROM heads WHERE number = ?", gone)
        db.execute("COMMIT")
    return {(destination, key) for _, destination, key, saved_at in rows if now.get((destination, key)) == saved_at}


def _forget_words(db: sqlite3.Connection) -> None:
    """Merge the lists of words: till then FTS5 only marks in them what was deleted."""
    db.execute("INSERT INTO talks (talks) VALUES ('optimize')")


def _drop(db: sqlite3.Connection, destination: int, key: str) -> bool:
    """Remove a session; whether it was there."""
    row = db.execute("SELECT number FROM heads WHERE destination = ? AND key = ?", (destination, key)).fetchone()
    if row:
        db.execute("DELETE FROM talks WHERE rowid = ?", row)
        db.execute("DELETE FROM heads WHERE number = ?", row)
    return row is not None


def _put(db: sqlite3.Connection, head: Head, columns: tuple[str, ...]) -> None:
    _drop(db, head.destination, head.key)
    put = "INSERT INTO heads (destination, key, saved_at) VALUES (?, ?, ?)"
    number = db.execute(put, (head.destination, head.key, head.saved_at)).lastrowid
    put = "INSERT INTO talks (rowid, id, title, tags, summary, turns, variants) VALUES (?, ?, ?, ?, ?, ?, ?)"
    db.execute(put, (number, *columns))


def _columns(text: str | None, member: str) -> tuple[str, ...]:
    """The texts of a session that are searched; empty for one that is gone or cannot be read."""
    from agentic_flywheel.documents.parse import decode

    try:
        document = decode(text, member) if text is not None else None
    except DocumentError:
        document = None
    if not isinstance(document, Document):
        return "", "", "", "", "", ""
    said = "\n".join(said_in(turn) for turn in document.session.history)
    tags = " ".join(document.tags)
    return member, document.title, tags, document.summary, said, variants(f"{document.title} {tags} {said}")


def _any(words: Sequence[str]) -> str:
    """The query for any of the words: a phrase for each way of writing one, whose last word is a prefix."""
    ways = [way for word in words for way in beginnings(word)]
    return " OR ".join(f"{_quoted(way)} *" for way in ways) or '""'


def _quoted(text: str) -> str:
    return '"' + text.replace('"', " ").replace("\0", " ") + '"'
