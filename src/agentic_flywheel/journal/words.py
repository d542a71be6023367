"""The words of this machine's sessions, in a full-text index beside the journal, made when somebody searches.

It is a cache: what the journal holds by then is read into it first, what the journal no longer holds goes. Whoever
deletes the file loses nothing. Without SQLite's FTS5 nothing is searched here.
"""

import contextlib
import json
import math
import os
import re
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

FILE_NAME = "words.sqlite3"

BUSY_SECONDS = 0.5
"""How long to wait for another process that reads sessions into the index: what is there meanwhile is searched."""

MOST_FOUND = 1_000
"""The best of what is found: nobody reads on beyond that."""

EXCERPT_WORDS = 24
"""Words of an excerpt."""

_SHAPE = 1
"""Of the tables, in SQLite's `user_version`; a file of another shape is made anew."""

_TABLES = (
    "CREATE TABLE heads (number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, saved_at INTEGER NOT NULL)",
    "CREATE VIRTUAL TABLE talks USING fts5("
    "id, title, tags, summary, turns, tokenize = 'porter unicode61 remove_diacritics 2')",
    f"PRAGMA user_version = {_SHAPE}",
)

_WEIGHTS = "3, 6, 4, 3, 1"
"""What a word counts in an id, a title, tags, a summary, the turns: about as many times as it may stand in the last."""

_STARTS, _ENDS = "\x02", "\x03"
"""Around what matched in an excerpt while it is looked at."""


class Words:
    """The index in `folder`, for one thread at a time; `sqlite3.Error` or `OSError` is raised if it cannot be used."""

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
            unread = self._read_in(db, heads, text_of, seconds)
            keys = {head.key for head in heads if head.index == index}
            numbers = {n: key for n, key in db.execute("SELECT number, key FROM heads") if key in keys}
            having: dict[int, set[int]] = {}
            rarity: list[float] = []
            for place, word in enumerate(words):
                rows = db.execute("SELECT rowid FROM talks WHERE talks MATCH ?", (_phrase(word),)).fetchall()
                rarity.append(math.log(1 + (len(numbers) - len(rows) + 0.5) / (len(rows) + 0.5)))
                for (number,) in rows:
                    having.setdefault(number, set()).add(place)
            scores = db.execute(
                f"SELECT rowid, bm25(talks, {_WEIGHTS}) FROM talks WHERE talks MATCH ?",  # noqa: S608  numbers of ours
                (_any(words),),
            )
            found = [
                Match(numbers[number], frozenset(having[number]), score)
                for number, score in scores
                if number in numbers and len(having[number]) >= needed
            ]
        found.sort(key=lambda match: (-len(match.words), match.score))
        return Matches(found[:MOST_FOUND], len(numbers), unread, rarity)

    def excerpts(self, keys: Sequence[str], words: Sequence[str]) -> dict[str, str]:
        """A piece of the turns with some of the words, for each session whose turns have one, by key."""
        with self._open() as db:
            rows = db.execute(
                f"SELECT key, snippet(talks, 4, '{_STARTS}', '{_ENDS}', '…', {EXCERPT_WORDS}) FROM talks"  # noqa: S608
                f" JOIN heads ON number = talks.rowid WHERE talks MATCH ? AND key IN (SELECT value FROM json_each(?))",
                (_any(words), json.dumps([*keys])),
            ).fetchall()
        return {
            key: " ".join(text.replace(_STARTS, "").replace(_ENDS, "").split()) for key, text in rows if _STARTS in text
        }

    def keep_only(self, heads: Sequence[Head]) -> None:
        """Forget what is not as it is there: what has expired, or was deleted by others."""
        if self._path.exists():
            with self._open() as db:
                self._forget(db, heads)
                # What was deleted is only marked so in the lists of words, until they are written anew.
                db.execute("INSERT INTO talks (talks) VALUES ('optimize')")

    def drop(self, key: str) -> None:
        """Forget one session."""
        if self._path.exists():
            with self._open() as db:
                db.execute("BEGIN IMMEDIATE")
                db.execute("DELETE FROM talks WHERE rowid = (SELECT number FROM heads WHERE key = ?)", (key,))
                db.execute("DELETE FROM heads WHERE key = ?", (key,))
                db.execute("COMMIT")

    def delete(self) -> None:
        """Forget all of it."""
        for name in (FILE_NAME, f"{FILE_NAME}-journal"):
            self._path.with_name(name).unlink(missing_ok=True)

    def _read_in(
        self, db: sqlite3.Connection, heads: Sequence[Head], text_of: Callable[[str], str | None], seconds: float
    ) -> int:
        """Make the index what the journal holds, the first of `heads` first; how many are still unread."""
        until = time.monotonic() + seconds
        known = self._forget(db, heads)
        new = [head for head in heads if head.key not in known]
        if not new:
            return 0
        db.execute("BEGIN IMMEDIATE")
        read = 0
        for head in new:
            if time.monotonic() > until:
                break
            row = _columns(text_of(head.key), head.member)
            put = "INSERT OR REPLACE INTO heads (key, saved_at) VALUES (?, ?)"
            number = db.execute(put, (head.key, head.saved_at)).lastrowid
            put = "INSERT INTO talks (rowid, id, title, tags, summary, turns) VALUES (?, ?, ?, ?, ?, ?)"
            db.execute(put, (number, *row))
            read += 1
        db.execute("COMMIT")
        return len(new) - read

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
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            db = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)
            try:
                if not _is_ours(db):
                    _make(db)
                db.execute("PRAGMA synchronous = OFF")  # a cache: after a loss of power it is made anew, if need be
                db.execute("PRAGMA secure_delete = ON")
                yield db
            except sqlite3.DatabaseError as exc:
                if is_damage(exc):
                    self.delete()
                raise
            finally:
                db.close()


def _is_ours(db: sqlite3.Connection) -> bool:
    return db.execute("PRAGMA user_version").fetchone() == (_SHAPE,)


def _make(db: sqlite3.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    if not _is_ours(db):  # or another process was quicker
        for table in ("talks", "heads"):
            db.execute(f"DROP TABLE IF EXISTS {table}")
        for statement in _TABLES:
            db.execute(statement)
    db.execute("COMMIT")


def _columns(text: str | None, member: str) -> tuple[str, str, str, str, str]:
    """What is searched of a session; nothing of one that is gone or cannot be read."""
    try:
        document = decode(text, member) if text is not None else None
    except DocumentError:
        document = None
    if not isinstance(document, Document):
        return "", "", "", "", ""
    said = "\n".join(said_in(turn) for turn in document.session.history)
    return member, document.title, " ".join(document.tags), document.summary, _plain(said)


def _plain(text: str) -> str:
    return text.replace(_STARTS, " ").replace(_ENDS, " ")


def _phrase(word: str) -> str:
    """What matches a word and those that begin with it; its parts, where it has signs inside, in a row."""
    return f'"{word.replace(chr(34), " ")}" *' if re.search(r"\w", word) else '""'


def _any(words: Sequence[str]) -> str:
    return " OR ".join(_phrase(word) for word in words)
