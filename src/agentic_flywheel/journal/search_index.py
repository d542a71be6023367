"""The words of this machine's sessions, in a full-text index beside the journal, made when somebody searches.

It is a cache: what the journal holds by then is read into it first, what the journal no longer holds goes. Whoever
deletes the file loses nothing. Without SQLite's FTS5 nothing is searched here.
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
from agentic_flywheel.documents.parse import decode
from agentic_flywheel.documents.turn_text import said_in
from agentic_flywheel.errors import DocumentError
from agentic_flywheel.journal.records import Head, Match, Matches
from agentic_flywheel.journal.recovery import is_damage
from agentic_flywheel.journal.tokens import beginnings, excerpt, variants

FILE_NAME = "words.sqlite3"

BUSY_SECONDS = 0.2
"""How long to wait for another process that reads sessions in; then what is there is searched, or forgotten later."""

READ_AT_ONCE = 20
"""Sessions read in by one transaction: so long do other processes wait."""

EXCERPT_SECONDS = 0.5
"""For how long excerpts are looked for in one answer; the rows behind have none."""

_SHAPE = 4
"""Of the tables, in SQLite's `user_version`; a file of another shape is made anew."""

_TABLES = (
    "CREATE TABLE heads (number INTEGER PRIMARY KEY, destination INTEGER NOT NULL, key TEXT NOT NULL,"
    " saved_at INTEGER NOT NULL, UNIQUE (destination, key))",
    "CREATE VIRTUAL TABLE talks USING fts5("
    "id, title, tags, summary, turns, variants, tokenize = 'unicode61 remove_diacritics 2')",
    f"PRAGMA user_version = {_SHAPE}",
)

_WEIGHTS = "3, 6, 4, 3, 1, 1"
"""What a word counts in an id, a title, tags, a summary, the turns: about as many times as it may stand in the last."""


class Words:
    """The index in `folder`. Whoever needs it while another thread uses it waits, for the bound of one search.

    `sqlite3.Error` or `OSError` is raised if it cannot be used.
    """

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
        seconds: float,
    ) -> Matches:
        """The sessions of the list `index` that have so many of the words.

        `heads` are all that there are here of their destinations, the newest first, and `text_of` gives the document of
        one; for so many `seconds` at the most are new ones read. Where one key is in two destinations, the later of
        them is searched.
        """
        with self._open() as db:
            self._read_in(db, heads, text_of, time.monotonic() + seconds)
            db.execute("BEGIN")  # one moment for all that is read
            numbers, unread = _searched(db, index, heads)
            having: dict[int, set[int]] = {}
            rarity: list[float] = []
            for place, word in enumerate(words):
                found = db.execute("SELECT rowid FROM talks WHERE talks MATCH ?", (_any([word]),))
                hits = [number for (number,) in found if number in numbers]
                rarity.append(math.log(1 + (len(numbers) - len(hits) + 0.5) / (len(hits) + 0.5)))
                for number in hits:
                    having.setdefault(number, set()).add(place)
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
        """A piece of the turns with one of the words, for each session whose turns have one, by key.

        Of a key that is in several of the destinations, that of the last.
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
        """Forget what is not as it is there, in whichever destination: what has expired, or was deleted by others."""
        if self._path.exists():
            with self._open() as db:
                _forget(db, heads, {row[0] for row in db.execute("SELECT DISTINCT destination FROM heads")})
                # What was deleted is only marked so in the lists of words, until they are written anew.
                db.execute("INSERT INTO talks (talks) VALUES ('optimize')")

    def drop(self, destination: int, key: str) -> None:
        """Forget what was said in one session."""
        if self._path.exists():
            with self._open() as db:
                db.execute("BEGIN IMMEDIATE")
                _drop(db, destination, key)
                db.execute("COMMIT")

    def delete(self) -> None:
        """Forget all of it."""
        for ending in ("", "-journal", "-wal", "-shm"):
            self._path.with_name(FILE_NAME + ending).unlink(missing_ok=True)

    def _read_in(
        self, db: sqlite3.Connection, heads: Sequence[Head], text_of: Callable[[Head], str | None], until: float
    ) -> None:
        """Make the index what the journal holds, the first of `heads` first, as far as time and others allow."""
        try:
            known = _forget(db, heads, {head.destination for head in heads})
            new = [head for head in heads if (head.destination, head.key) not in known]
            for place in range(0, len(new), READ_AT_ONCE):
                if time.monotonic() > until:
                    return
                db.execute("BEGIN IMMEDIATE")
                for head in new[place : place + READ_AT_ONCE]:
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
        """The index, open for one verb; a damaged file is deleted, and made anew by the next one."""
        with self._lock:
            try:
                with contextlib.suppress(FileExistsError):
                    os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
                with contextlib.closing(sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)) as db:
                    if not _is_ours(db):
                        _make(db)
                    db.execute("PRAGMA synchronous = OFF")  # a cache: after a loss of power it is made anew, if need be
                    db.execute("PRAGMA secure_delete = ON")
                    yield db
            except sqlite3.DatabaseError as exc:
                if is_damage(exc):
                    self.delete()
                raise


def _is_ours(db: sqlite3.Connection) -> bool:
    return db.execute("PRAGMA user_version").fetchone() == (_SHAPE,)


def _make(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode = WAL")  # who reads what is there need not wait for who reads in
    db.execute("BEGIN IMMEDIATE")
    if not _is_ours(db):  # or another process was quicker
        for table in ("talks", "heads"):
            db.execute(f"DROP TABLE IF EXISTS {table}")
        for statement in _TABLES:
            db.execute(statement)
    db.execute("COMMIT")


def _searched(db: sqlite3.Connection, index: str, heads: Sequence[Head]) -> tuple[dict[int, str], int]:
    """The key of each row that is searched, and how many sessions are not as they are now."""
    now = {head.key: head for head in sorted(heads, key=lambda head: head.destination) if head.index == index}
    numbers: dict[int, str] = {}
    read = 0
    for number, destination, key, saved_at in db.execute("SELECT number, destination, key, saved_at FROM heads"):
        head = now.get(key)
        if head and head.destination == destination:
            numbers[number] = key
            read += head.saved_at == saved_at
    return numbers, len(now) - read


def _forget(db: sqlite3.Connection, heads: Sequence[Head], destinations: Collection[int]) -> set[tuple[int, str]]:
    """What is known as it is now; all else of these destinations goes."""
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


def _drop(db: sqlite3.Connection, destination: int, key: str) -> None:
    row = db.execute("SELECT number FROM heads WHERE destination = ? AND key = ?", (destination, key)).fetchone()
    if row:
        db.execute("DELETE FROM talks WHERE rowid = ?", row)
        db.execute("DELETE FROM heads WHERE number = ?", row)


def _put(db: sqlite3.Connection, head: Head, columns: tuple[str, ...]) -> None:
    _drop(db, head.destination, head.key)
    put = "INSERT INTO heads (destination, key, saved_at) VALUES (?, ?, ?)"
    number = db.execute(put, (head.destination, head.key, head.saved_at)).lastrowid
    put = "INSERT INTO talks (rowid, id, title, tags, summary, turns, variants) VALUES (?, ?, ?, ?, ?, ?, ?)"
    db.execute(put, (number, *columns))


def _columns(text: str | None, member: str) -> tuple[str, ...]:
    """What is searched of a session; nothing of one that is gone or cannot be read."""
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
    """What matches any of the words: a row of words in one of its ways of writing, the last as a beginning."""
    ways = [way for word in words for way in beginnings(word)]
    return " OR ".join(f"{_quoted(way)} *" for way in ways) or '""'


def _quoted(text: str) -> str:
    return '"' + text.replace('"', " ").replace("\0", " ") + '"'
