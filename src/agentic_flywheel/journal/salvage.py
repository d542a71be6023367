"""Reads what can be read of a damaged journal, row by row: through its tables, then through its indexes."""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import UnionType
from typing import Any

from agentic_flywheel.documents.commands import as_copy
from agentic_flywheel.documents.model import instant
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.errors import Damaged, DocumentError
from agentic_flywheel.journal.migrations import migrate
from agentic_flywheel.journal.old_schemas import OLD_COLUMNS, create_old
from agentic_flywheel.journal.rows import listed_in
from agentic_flywheel.journal.texts import read_text
from agentic_flywheel.json_text import load_object, size_of

_Row = tuple[Any, ...]
_Types = Sequence["type | UnionType"]

_DOCUMENT = "id, destination, key, bytes, kept_until, tombstone, list, member, saved_at, note, replica, touched"
_DOCUMENT_TYPES: _Types = (int, int, str, int, int | None, int, *[str | None] * 2, int | None, str | None, int, int)
_CHANGE = "position, destination, key, attempts, next_attempt, cause, dead, queued_at, text"
_CHANGE_TYPES: _Types = (int, int, str, int, int, str | None, int, int, int)
_OLD_DOCUMENT = "key, text, kept_until, tombstone, list, member, saved_at, note"
_OLD_CHANGE = "position, key, change, set_aside"


@dataclass(frozen=True, slots=True)
class SavedDocument:
    """A document of a destination, last written at `touched`; `replica`: the destination holds the same."""

    destination: int
    write: Write
    replica: bool
    touched: int


@dataclass(frozen=True, slots=True)
class SavedChange:
    """A row of the outbox."""

    position: int
    destination: int
    key: str
    attempts: int
    next_attempt: int
    cause: str | None
    dead: int
    queued_at: int
    command: str


@dataclass(frozen=True, slots=True)
class Salvage:
    """What can be read of a journal; its documents one by one, those that are nowhere else first."""

    destinations: list[tuple[int, str, str, str, str]] = field(default_factory=list[tuple[int, str, str, str, str]])
    addresses: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    changes: list[SavedChange] = field(default_factory=list[SavedChange])
    documents: Iterable[SavedDocument] = ()


def salvage(db: sqlite3.Connection, version: int, addresses: Sequence[str]) -> Salvage:
    """Read a file of that version; one of an older version is migrated for the Redis in use."""
    if version in OLD_COLUMNS:
        db = _migrated(db, version, addresses)
        documents = _and_close(db, _documents(db))
    else:
        documents = _documents(db)
    return Salvage(
        [*_readable(db, "SELECT id, epoch, run, after, shown FROM destinations")],
        [*_readable(db, "SELECT address, destination FROM addresses")],
        [*_changes(db)],
        documents,
    )


def _and_close(db: sqlite3.Connection, documents: Iterator[SavedDocument]) -> Iterator[SavedDocument]:
    with contextlib.closing(db):
        yield from documents


def _documents(db: sqlite3.Connection) -> Iterator[SavedDocument]:
    rows = _rows(db, "documents", _DOCUMENT, "id", ("names", "recent", "members", "expiry"))
    sound = [row for row in rows.values() if _fits(row, _DOCUMENT_TYPES)]
    for row in sorted(sound, key=lambda row: (row[10], not row[5], -row[11])):
        if document := _document(db, row):
            yield document
    yield from _named(db, rows.keys())


def _document(db: sqlite3.Connection, row: _Row) -> SavedDocument | None:
    number, destination, key, size, kept_until, tombstone, *entry, replica, touched = row
    text = _text(db, number)
    if text is None or size_of(text) != size:
        return None
    listed, part_of = listed_in(*entry)
    write = Write(key, text, None, instant(kept_until), tombstone=bool(tombstone), list_row=listed, part_of=part_of)
    return SavedDocument(destination, write, bool(replica), touched)


def _named(db: sqlite3.Connection, known: Iterable[int]) -> Iterator[SavedDocument]:
    """Documents whose row cannot be read: an index has their key, and their text the rest."""
    names = _rows(db, "documents INDEXED BY names", "id, destination, key", "destination, key", ())
    lists = _rows(
        db, "documents INDEXED BY members WHERE list IS NOT NULL", "id, list, member", "destination, list", ()
    )
    replicas = {row[0] for row in _readable(db, "SELECT id FROM documents INDEXED BY replica WHERE replica")}
    for number in names.keys() - known:
        if not _fits(names[number], (int, int, str)):
            continue
        _, destination, key = names[number]
        _, index, member = lists.get(number, (number, "", ""))
        if member == key:  # an execution, in the set of its session
            index, member = "", ""
        text = _text(db, number)
        with contextlib.suppress(DocumentError):
            if text is not None:
                yield SavedDocument(destination, as_copy(key, text, member, index), number in replicas, 0)


def _changes(db: sqlite3.Connection) -> Iterator[SavedChange]:
    rows = _rows(db, "outbox", _CHANGE, "position", ("pending", "dead_letters"))
    names = "position, destination, key, text"
    for row in _rows(db, "outbox INDEXED BY pending WHERE NOT dead", names, "destination, key", ()).values():
        rows.setdefault(row[0], (*row[:3], 0, 0, None, 0, 0, row[3]))
    for position in sorted(rows):
        if not _fits(rows[position], _CHANGE_TYPES):
            continue
        _, destination, key, attempts, next_attempt, cause, dead, queued_at, text = rows[position]
        command = _text(db, text)
        if command is not None:
            yield SavedChange(position, destination, key, attempts, next_attempt, cause, dead, queued_at, command)


def _text(db: sqlite3.Connection, number: int) -> str | None:
    """The text, if it is whole and JSON."""
    with contextlib.suppress(sqlite3.Error, TypeError, Damaged):
        text = read_text(db, number)
        load_object(text, "a row of the journal")
        return text
    return None


def _rows(db: sqlite3.Connection, table: str, columns: str, order: str, indexes: Sequence[str]) -> dict[int, _Row]:
    """The rows that can be read, by their first column: from both ends, and as the indexes name them."""
    rows: dict[int, _Row] = {}
    for direction in ("ASC", "DESC"):
        ordered = ", ".join(f"{column} {direction}" for column in order.split(", "))
        for row in _readable(db, f"SELECT {columns} FROM {table} ORDER BY {ordered}"):  # noqa: S608
            if row[0] in rows and direction == "DESC":
                break
            rows[row[0]] = row
    for index in indexes:
        condition = _CONDITIONS[index]
        for (number,) in _readable(db, f"SELECT rowid FROM {table} INDEXED BY {index} WHERE {condition}"):  # noqa: S608
            if number not in rows:
                rows |= {row[0]: row for row in _readable(db, f"SELECT {columns} FROM {table} WHERE rowid = ?", number)}  # noqa: S608
    return rows


_CONDITIONS = {
    "names": "TRUE",
    "recent": "list IS NOT NULL",
    "members": "list IS NOT NULL",
    "expiry": "kept_until IS NOT NULL",
    "pending": "NOT dead",
    "dead_letters": "dead",
}
"""The condition of each index."""


def _fits(row: _Row, types: _Types) -> bool:
    """Whether the values of a row have the types of their columns."""
    return all(isinstance(value, kind) for value, kind in zip(row, types, strict=True))


def _readable(db: sqlite3.Connection, query: str, *values: object) -> Iterator[_Row]:
    """The rows up to the first that cannot be read."""
    with contextlib.suppress(sqlite3.Error):
        yield from db.execute(query, values)


def _migrated(db: sqlite3.Connection, version: int, addresses: Sequence[str]) -> sqlite3.Connection:
    """Copy what can be read of an older version into a temporary file, and migrate that."""
    fresh = sqlite3.connect("", isolation_level=None)
    create_old(fresh, max(OLD_COLUMNS))
    columns = f"{_OLD_DOCUMENT}, {OLD_COLUMNS[version]}"
    names = f"{_OLD_DOCUMENT}, place, lost, hidden_since, touched"
    fresh.execute("BEGIN")
    for row in _old_documents(db, columns):
        fresh.execute(f"INSERT OR IGNORE INTO documents ({names}) VALUES ({_slots(names)})", row)  # noqa: S608
    for row in _old_changes(db):
        fresh.execute(f"INSERT OR IGNORE INTO outbox ({_OLD_CHANGE}) VALUES ({_slots(_OLD_CHANGE)})", row)  # noqa: S608
    for row in _readable(db, "SELECT place, epoch, run, after FROM stashes"):
        fresh.execute("INSERT OR IGNORE INTO stashes VALUES (?, ?, ?, ?)", row)
    migrate(fresh, max(OLD_COLUMNS), addresses)
    fresh.execute("COMMIT")
    return fresh


def _slots(columns: str) -> str:
    return ", ".join("?" for _ in columns.split(","))


def _old_documents(db: sqlite3.Connection, columns: str) -> Iterator[_Row]:
    """The documents that can be read: from both ends, and by the keys that the indexes name."""
    rows: dict[str, _Row] = {}
    for direction in ("ASC", "DESC"):
        for row in _readable(db, f"SELECT {columns} FROM documents ORDER BY key {direction}"):  # noqa: S608
            if row[0] in rows and direction == "DESC":
                break
            rows[row[0]] = row
    for index in ("recent WHERE list IS NOT NULL", "expiry WHERE kept_until NOT NULL"):
        for (key,) in _readable(db, f"SELECT key FROM documents INDEXED BY {index}"):  # noqa: S608
            if key not in rows:
                rows.update((key, row) for row in _readable(db, f"SELECT {columns} FROM documents WHERE key = ?", key))  # noqa: S608
    return (row for row in rows.values() if isinstance(row[0], str) and _is_sound(row[1]))


def _old_changes(db: sqlite3.Connection) -> Iterator[_Row]:
    """The pending changes that can be read, in their order."""
    rows = _rows(db, "outbox", _OLD_CHANGE, "position", ())
    for (position,) in _readable(db, "SELECT position FROM outbox INDEXED BY pending"):
        if position not in rows:
            query = f"SELECT {_OLD_CHANGE} FROM outbox WHERE position = ?"  # noqa: S608
            rows.update((position, row) for row in _readable(db, query, position))
    return (rows[position] for position in sorted(rows) if _is_sound(rows[position][2]))


def _is_sound(text: object) -> bool:
    """Whether the JSON in a column of a row is whole."""
    try:
        load_object(text, "a row of the journal")  # pyright: ignore[reportArgumentType]  it may be anything
    except (Damaged, TypeError, AttributeError):
        return False
    return True
