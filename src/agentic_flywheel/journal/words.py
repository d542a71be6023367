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
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from agentic_flywheel.codec import Document, decode
from agentic_flywheel.errors import DocumentError
from agentic_flywheel.journal.rescue import is_damage
from agentic_flywheel.local import Head, Match, Matches
from agentic_flywheel.turns import said_in
from agentic_flywheel.wording import beginnings, excerpt, variants

FILE_NAME = "words.sqlite3"

BUSY_SECONDS = 0.2
"""How long to wait for another process that reads sessions in; then what is there is searched, or forgotten later."""

READ_AT_ONCE = 20
"""Sessions read in by one transaction: so long do other processes wait."""

EXCERPT_SECONDS = 0.5
"""For how long excerpts are looked for in one answer; the rows behind have none."""

_SHAPE = 3
"""Of the tables, in SQLite's `user_version`; a file of another shape is made anew."""

_TABLES = (
    "CREATE TABLE heads (number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, saved_at INTEGER NOT NULL)",
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
        text_of: Callable[[str], str | None],
        words: Sequence[str],
        needed: int,
        seconds: float,
    ) -> Matches:
        """The sessions of the list `index` that have so many of the words.

        `heads` are all that there are here, the newest first, and `text_of` gives the document under a key; for so many
        `seconds` at the most are new ones read.
        """
        with self._open() as db:
            self._read_in(db, heads, text_of, time.monotonic() + seconds)
            now = {head.key: head.saved_at for head in heads if head.index == index}
            db.execute("BEGIN")  # one moment for all that is read
            rows = db.execute("SELECT number, key, saved_at FROM heads").fetchall()
            numbers = {number: key for number, key, _ in rows if key in now}
            unread = len(now) - sum(now.get(key) == saved_at for _, key, saved_at in rows)
            having: dict[int, set[int]] = {}
            rarity: list[float] = []
            for place, word in enumerate(words):
                hits = db.execute("SELECT rowid FROM talks WHERE talks MATCH ?", (_any([word]),)).fetchall()
                rarity.append(math.log(1 + (len(numbers) - len(hits) + 0.5) / (len(hits) + 0.5)))
                for (number,) in hits:
                    having.setdefault(number, set()).add(place)
            scores = db.execute(
                f"SELECT rowid, bm25(talks, {_WEIGHTS}) FROM talks WHERE talks MATCH ?",  # noqa: S608  numbers of ours
                (_any(words),),
            )
            found = [
                Match(numbers[number], frozenset(having[number]), score)
                for number, score in scores
                if number in numbers and len(having.get(number, ())) >= needed
            ]
            db.execute("COMMIT")
        return Matches(found, len(numbers), unread, rarity)

    def excerpts(self, keys: Sequence[str], words: Sequence[str]) -> dict[str, str]:
        """A piece of the turns with one of the words, for each session whose turns have one, by key."""
        until = time.monotonic() + EXCERPT_SECONDS
        found: dict[str, str] = {}
        with self._open() as db:
            rows = db.execute(
                "SELECT key, turns FROM heads JOIN talks ON talks.rowid = number"
                " WHERE key IN (SELECT value FROM json_each(?))",
                (json.dumps([*keys]),),
            )
            for key, turns in rows:
                if time.monotonic() > until:
                    break
                if piece := excerpt(turns, words):
                    found[key] = piece
        return found

    def keep_only(self, heads: Sequence[Head]) -> None:
        """Forget what is not as it is there: what has expired, or was deleted by others."""
        if self._path.exists():
            with self._open() as db:
                self._forget(db, heads)
                # What was deleted is only marked so in the lists of words, until they are written anew.
                db.execute("INSERT INTO talks (talks) VALUES ('optimize')")

    def drop(self, key: str) -> None:
        """Forget what was said in one session."""
        if self._path.exists():
            with self._open() as db:
                db.execute("BEGIN IMMEDIATE")
                db.execute("DELETE FROM talks WHERE rowid = (SELECT number FROM heads WHERE key = ?)", (key,))
                db.execute("DELETE FROM heads WHERE key = ?", (key,))
                db.execute("COMMIT")

    def delete(self) -> None:
        """Forget all of it."""
        for ending in ("", "-journal", "-wal", "-shm"):
            self._path.with_name(FILE_NAME + ending).unlink(missing_ok=True)

    def _read_in(
        self, db: sqlite3.Connection, heads: Sequence[Head], text_of: Callable[[str], str | None], until: float
    ) -> None:
        """Make the index what the journal holds, the first of `heads` first, as far as time and others allow."""
        try:
            known = self._forget(db, heads)
            new = [head for head in heads if head.key not in known]
            for place in range(0, len(new), READ_AT_ONCE):
                if time.monotonic() > until:
                    return
                db.execute("BEGIN IMMEDIATE")
                for head in new[place : place + READ_AT_ONCE]:
                    if time.monotonic() > until:
                        break
                    _put(db, head, _columns(text_of(head.key), head.member))
                db.execute("COMMIT")
        except sqlite3.OperationalError as exc:
            if db.in_transaction:
                db.execute("ROLLBACK")
            if exc.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_READONLY):
                raise

    def _forget(self, db: sqlite3.Connection, heads: Sequence[Head]) -> set[str]:
        """The keys of what is known as it is now; all else goes."""
        now = {head.key: head.saved_at for head in heads}
        rows = db.execute("SELECT number, key, saved_at FROM heads").fetchall()
        gone = [(number,) for number, key, saved_at in rows if now.get(key) != saved_at]
        if gone:
            db.execute("BEGIN IMMEDIATE")
            db.executemany("DELETE FROM talks WHERE rowid = ?", gone)
            db.executemany("DELETE FROM heads WHERE number = ?", gone)
            db.execute("COMMIT")
        return {key for _, key, saved_at in rows if now.get(key) == saved_at}

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


def _put(db: sqlite3.Connection, head: Head, columns: tuple[str, ...]) -> None:
    db.execute("DELETE FROM talks WHERE rowid = (SELECT number FROM heads WHERE key = ?)", (head.key,))
    put = "INSERT OR REPLACE INTO heads (key, saved_at) VALUES (?, ?)"
    number = db.execute(put, (head.key, head.saved_at)).lastrowid
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
