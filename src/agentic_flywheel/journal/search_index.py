"""Indexes the words of sessions in a full-text file beside the journal: by turn, by what lists show, and by session.

It is a cache: it is made what the journal and the shared list hold, a session at a time, and compared with them by the
times of their last saves. Rows of another version, damaged tables and a deleted file are made anew. Without SQLite's
FTS5 nothing is searched here.
"""

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from pathlib import Path
from typing import cast

from agentic_flywheel.documents.model import Document
from agentic_flywheel.documents.parse import decode
from agentic_flywheel.documents.turn_text import said_in
from agentic_flywheel.documents.writes import ListRow
from agentic_flywheel.errors import Damaged, DocumentError
from agentic_flywheel.journal.folding import terms
from agentic_flywheel.journal.ranking import TURNS, Question, ranked
from agentic_flywheel.journal.records import Head, Matches
from agentic_flywheel.journal.recovery import is_damage
from agentic_flywheel.journal.schema import refuse_foreign
from agentic_flywheel.json_text import JSONObject, load_object
from agentic_flywheel.private_files import create, make_private

FILE_NAME = "words.sqlite3"

BUSY_SECONDS = 0.2
"""How long to wait for another process that adds sessions; after that the index is searched as it is."""

READ_AT_ONCE = 20
"""Sessions added by one transaction, for which other processes wait."""

MERGED_UP_TO = 4_000_000
"""Bytes of an index in which the lists of words are merged after a deletion; a larger one is made anew instead."""

VERSION = 1
"""The version of the terms, noted with each session: those of another one answer until they are made anew."""

PIECE = 2_000
"""Characters of a turn that are a row; a longer turn is several."""

NAMES = ("name", "speaker", "author", "sender")
"""Fields of a turn that name who speaks: a question names them too."""

_FORGETS = sqlite3.sqlite_version_info >= (3, 42)
"""Whether FTS5 can take a word out of its lists at once. SQLite before that cannot read the lists then."""

_SHAPE = 7 if _FORGETS else 6
"""The version of the tables, in SQLite's `user_version`; a file of another one is made anew."""

_TABLES = (
    # saved_at is that of what lists show; turns_at that of the turns, 0 if they are not here.
    "CREATE TABLE heads (number INTEGER PRIMARY KEY, destination INTEGER NOT NULL, list TEXT NOT NULL,"
    " key TEXT NOT NULL, member TEXT NOT NULL, saved_at INTEGER NOT NULL, turns_at INTEGER NOT NULL,"
    " version INTEGER NOT NULL, pieces INTEGER NOT NULL, note TEXT NOT NULL, UNIQUE (destination, key))",
    "CREATE INDEX places ON heads (destination, list, turns_at)",
    "CREATE TABLE passes (destination INTEGER NOT NULL, list TEXT NOT NULL, PRIMARY KEY (destination, list))",
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
        self._path = folder / FILE_NAME
        self._lock = threading.Lock()
        self._memory = _in_memory() if in_memory else None

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

    def titles(self, index: str, destinations: Sequence[int], most: int) -> list[tuple[str, str]]:
        """Member and note of the newest sessions."""
        places = ", ".join(map(str, destinations))
        with self._open() as db:
            query = f"SELECT member, note FROM heads WHERE list = ? AND destination IN ({places})"  # noqa: S608
            return db.execute(f"{query} ORDER BY saved_at DESC LIMIT ?", (index, most)).fetchall()

    def bring_up_to_date(
        self, heads: Sequence[Head], text_of: Callable[[Head], str | None], destinations: Collection[int], until: float
    ) -> int:
        """Index what the journal holds, in the order of `heads`, as far as time and other processes allow.

        How many sessions are still to be read. `heads` are all sessions of the destinations.
        """
        unread = len(heads)
        with self._open() as db, self._unless_busy(db):
            outdated = _compared(db, heads, destinations)
            unread = len(outdated)
            for first in range(0, len(outdated), READ_AT_ONCE):
                db.execute("BEGIN IMMEDIATE")
                for head in outdated[first : first + READ_AT_ONCE]:
                    if time.monotonic() > until:
                        break
                    _put(db, head, text_of(head))
                    unread -= 1
                db.execute("COMMIT")
                if time.monotonic() > until:
                    break
        return unread

    def is_whole(self, destination: int, index: str) -> bool:
        """Whether all of a list was read once: only what is newer is read then."""
        with self._open() as db:
            return (
                db.execute("SELECT 1 FROM passes WHERE (destination, list) = (?, ?)", (destination, index)).fetchone()
                is not None
            )

    def note_whole(self, destination: int, index: str) -> None:
        """Note that all of a list was read."""
        with self._open() as db, self._unless_busy(db):
            db.execute("INSERT OR IGNORE INTO passes VALUES (?, ?)", (destination, index))

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
                new += _put_row(db, destination, key_of(row.member), row)
            db.execute("COMMIT")
        return new

    def keep_only(self, heads: Sequence[Head], gone: Callable[[str], bool]) -> None:
        """Remove, of all destinations, the turns that are not among `heads`, and rows of lists that are `gone`.

        Sessions of which rows are missing are marked, so that they are made anew.
        """
        if self._path.exists():
            with self._open() as db:
                _compared(db, heads, {row[0] for row in db.execute("SELECT DISTINCT destination FROM heads")})
                _mark_incomplete(db)
                notes = db.execute("SELECT number, note FROM heads WHERE NOT turns_at").fetchall()
                _remove(db, [number for number, note in notes if gone(note)])
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
        for statement in _TABLES:
            db.execute(statement)
    db.execute("COMMIT")


def _compared(db: sqlite3.Connection, heads: Sequence[Head], destinations: Collection[int]) -> list[Head]:
    """Those whose turns are not indexed as they are now. What is no longer in these destinations is removed."""
    now = {(head.destination, head.key): head for head in heads}
    rows = db.execute("SELECT number, destination, key, turns_at, version FROM heads WHERE turns_at").fetchall()
    _remove(db, [row[0] for row in rows if row[1] in destinations and (row[1], row[2]) not in now])
    for _, destination, key, turns_at, version in rows:
        head = now.get((destination, key))
        if head and head.saved_at == turns_at and version == VERSION:
            del now[destination, key]
    return [*now.values()]


def _remove(db: sqlite3.Connection, numbers: Sequence[int]) -> None:
    if numbers:
        db.execute("BEGIN IMMEDIATE")
        for number in numbers:
            _drop_number(db, number)
        db.execute("COMMIT")


def _mark_incomplete(db: sqlite3.Connection) -> None:
    """Have sessions made anew of which rows are missing, or of which there are too many."""
    counted = f"SELECT id / {TURNS} AS number, count(*) AS pieces FROM turns_docsize GROUP BY 1"  # noqa: S608
    db.execute(
        "UPDATE heads SET version = 0 WHERE turns_at AND pieces !="  # noqa: S608  numbers of ours
        f" ifnull((SELECT c.pieces FROM ({counted}) c WHERE c.number = heads.number), 0)"
    )


def _forget_words(db: sqlite3.Connection) -> None:
    """Merge the lists of words: till then FTS5 only marks in them what was deleted."""
    for table in ("turns", "talks"):
        db.execute(f"INSERT INTO {table} ({table}) VALUES ('optimize')")  # noqa: S608


def _drop(db: sqlite3.Connection, destination: int, key: str) -> bool:
    """Remove a session; whether it was there."""
    row = db.execute("SELECT number FROM heads WHERE destination = ? AND key = ?", (destination, key)).fetchone()
    if row:
        _drop_number(db, row[0])
    return row is not None


def _drop_number(db: sqlite3.Connection, number: int) -> None:
    db.execute("DELETE FROM turns WHERE rowid BETWEEN ? AND ?", (number * TURNS, number * TURNS + TURNS - 1))
    db.execute("DELETE FROM talks WHERE rowid = ?", (number,))
    db.execute("DELETE FROM heads WHERE number = ?", (number,))


def _put(db: sqlite3.Connection, head: Head, text: str | None) -> None:
    """Index a session: what the list shows in row 0, its turns from row 1 on."""
    shown = db.execute(
        "SELECT saved_at, note FROM heads WHERE destination = ? AND key = ?", (head.destination, head.key)
    ).fetchone()
    _drop(db, head.destination, head.key)
    saved_at, note = shown if shown and shown[0] > head.saved_at else (head.saved_at, head.note)
    rows = [(shown_in(note, head.member), ""), *_pieces(text, head.member)]
    values = (head.destination, head.index, head.key, head.member, saved_at, head.saved_at, VERSION, len(rows), note)
    _insert(db, values, rows)


def _put_row(db: sqlite3.Connection, destination: int, key: str, row: ListRow) -> bool:
    """Index what a list shows of a session, unless that is known; whether it was not."""
    known = db.execute(
        "SELECT number, saved_at FROM heads WHERE destination = ? AND key = ?", (destination, key)
    ).fetchone()
    shown = shown_in(row.note, row.member)
    if known is None:
        values = (destination, row.index, key, row.member, row.saved_at, 0, VERSION, 1, row.note)
        _insert(db, values, [(shown, "")])
        return True
    number, saved_at = known
    if saved_at >= row.saved_at:
        return False
    db.execute("UPDATE heads SET saved_at = ?, note = ? WHERE number = ?", (row.saved_at, row.note, number))
    db.execute("UPDATE turns SET said = ? WHERE rowid = ?", (" ".join(terms(shown)), number * TURNS))
    (before,) = db.execute("SELECT terms FROM talks WHERE rowid = ?", (number,)).fetchone() or ("",)
    db.execute("UPDATE talks SET terms = ? WHERE rowid = ?", (_each_once([before, *terms(shown)]), number))
    return True


def _insert(db: sqlite3.Connection, values: tuple[object, ...], rows: Sequence[tuple[str, str]]) -> None:
    put = (
        "INSERT INTO heads (destination, list, key, member, saved_at, turns_at, version, pieces, note)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    )
    number = db.execute(put, values).lastrowid or 0
    said = [" ".join(terms(text)) for text, _ in rows]
    put = "INSERT INTO turns (rowid, said, raw) VALUES (?, ?, ?)"
    db.executemany(put, [(number * TURNS + at, said[at], raw) for at, (_, raw) in enumerate(rows)])
    db.execute("INSERT INTO talks (rowid, terms) VALUES (?, ?)", (number, _each_once(said)))


def _each_once(lines: Sequence[str]) -> str:
    return " ".join(dict.fromkeys(" ".join(lines).split()))


def shown_in(note: str, member: str) -> str:
    """What a list shows of a session, as far as it is searched; others may have written anything there."""
    try:
        shown = load_object(note, "a row of the list")
    except Damaged:
        return member
    return " ".join([member, *(str(shown.get(name) or "") for name in ("title", "summary")), _tags(shown)])


def _tags(shown: JSONObject) -> str:
    tags = shown.get("tags")
    return " ".join(tag for tag in cast("list[object]", tags) if isinstance(tag, str)) if isinstance(tags, list) else ""


def _pieces(text: str | None, member: str) -> Iterator[tuple[str, str]]:
    """The turns of a session in pieces: what is searched, and what is shown. None if it is gone or cannot be read."""
    try:
        document = decode(text, member) if text is not None else None
    except DocumentError:
        document = None
    if isinstance(document, Document):
        for turn in document.session.history:
            said = said_in(turn)
            while said:
                cut = len(said) if len(said) <= PIECE else max(said.rfind(" ", 1, PIECE), 0) or PIECE
                yield f"{_speaker(turn)} {said[:cut]}", said[:cut]
                said = said[cut:]


def _speaker(turn: JSONObject) -> str:
    return " ".join(name for field in NAMES if isinstance(name := turn.get(field), str))
