"""Reads and writes single rows on an open connection: documents, and the pending changes of a key."""

import re
import sqlite3
from collections.abc import Iterable
from typing import Any, NamedTuple

from agentic_flywheel.documents.model import instant, micros
from agentic_flywheel.documents.writes import Append, Ends, ListRow, Write, etag, revision_at_head
from agentic_flywheel.journal.records import Pending
from agentic_flywheel.journal.texts import (
    PIECE,
    PIECES,
    put_over_piece,
    put_text,
    read_command,
    read_ends,
    read_text,
    replace_text,
    splice_text,
)
from agentic_flywheel.json_text import size_of

_KIND = re.compile(rb'"kind":"(\w+)"')
"""The field of a command that names its kind."""

MISSING = 2
"""The value of `unverified` for a copy that the destination has certainly lost."""

PART = -1
"""The value of `saved_at` for an execution, which is in the set of its session, and in no list."""

_GLANCE = """SELECT EXISTS (SELECT 1 FROM outbox WHERE destination = place.id AND key = ?2 AND NOT dead),
    bytes, kept_until, tombstone, list, member, saved_at, note, piece
FROM {place} AS place
LEFT JOIN documents ON documents.destination = place.id AND key = ?2
LEFT JOIN texts ON texts.id >= documents.id * {pieces} AND texts.id < (documents.id + 1) * {pieces} AND bytes <= ?3
ORDER BY texts.id
"""

BY_ADDRESS = _GLANCE.format(place="(SELECT destination AS id FROM addresses WHERE address = ?1)", pieces=PIECES)
BY_NUMBER = _GLANCE.format(place="(SELECT id FROM destinations WHERE id = ?1)", pieces=PIECES)
"""Statements of `glance`, for the destination to which an address leads and for one by its number."""

_PENDING_OF_KEY = "destination = ? AND key = ? AND NOT dead"


class Glance(NamedTuple):
    """Whether a change of a key is pending, and the document here."""

    is_pending: bool
    copy: Write | None


class Row(NamedTuple):
    """What the row of a document says of its place and of its text."""

    id: int
    in_list: str | None
    member: str | None
    revision: int
    ending: str
    size: int


def copy_of(db: sqlite3.Connection, destination: int, key: str) -> Write | None:
    """The document under `key`, expired or not, as a write where there is nothing."""
    row = db.execute(
        "SELECT id, bytes, kept_until, tombstone, list, member, saved_at, note FROM documents"
        " WHERE destination = ? AND key = ?",
        (destination, key),
    ).fetchone()
    if row is None:
        return None
    number, size, *about = row
    return _as_write(key, read_text(db, number, size), *about)


def glance(db: sqlite3.Connection, statement: str, place: str | int, key: str, largest: int) -> Glance | None:
    """A look at what is under `key` by one `statement`, which needs no transaction of several.

    `None`: the `place` is no destination yet, the document has more bytes than `largest`, or its text is not as it was
    put.
    """
    found = db.execute(statement, (place, key, largest)).fetchall()
    if not found:
        return None
    is_pending, size, *about = found[0][:-1]
    if size is None:
        return Glance(bool(is_pending), None)
    content = b"".join(row[-1] or b"" for row in found)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    return Glance(bool(is_pending), _as_write(key, text, *about)) if len(content) == size else None


def _as_write(key: str, text: str, kept_until: int | None, tombstone: int, *entry: Any) -> Write:
    listed, part_of = listed_in(*entry)
    return Write(key, text, None, instant(kept_until), tombstone=bool(tombstone), list_row=listed, part_of=part_of)


def listed_in(index: str | None, member: str, saved_at: int | None, note: str) -> tuple[ListRow | None, str]:
    """The list row of a session, or the set that an execution belongs to."""
    if index is None or saved_at == PART:
        return None, index or ""
    return ListRow(index, member, saved_at or 0, note), ""


def is_there(db: sqlite3.Connection, destination: int, key: str) -> bool:
    """Whether there is a document under `key`."""
    return row_of(db, destination, key) is not None


def ends_of(db: sqlite3.Connection, destination: int, key: str, larger_than: int) -> Ends | None:
    """The ends of the text under `key`, for a document of more than `larger_than` bytes."""
    row = db.execute(
        "SELECT id, bytes FROM documents WHERE destination = ? AND key = ? AND bytes > ? AND NOT tombstone",
        (destination, key, larger_than),
    ).fetchone()
    return Ends(*read_ends(db, row[0]), row[1]) if row else None


def holds(db: sqlite3.Connection, destination: int, key: str, seen: str | Ends | None) -> bool:
    """Whether the text under `key` is the one that a writer saw (`None`: there is none)."""
    return has_text(db, row_of(db, destination, key), seen)


def row_of(db: sqlite3.Connection, destination: int, key: str) -> Row | None:
    """The row of a document, which is asked for once where it is compared and then changed."""
    query = "SELECT id, list, member, revision, ending, bytes FROM documents WHERE destination = ? AND key = ?"
    row = db.execute(query, (destination, key)).fetchone()
    return Row(*row) if row else None


def has_text(db: sqlite3.Connection, row: Row | None, seen: str | Ends | None) -> bool:
    """Whether the text of a row is the one that a writer saw (`None`: there is none)."""
    if row is None or seen is None:
        return row is None and seen is None
    # By its size as well: a tombstone has the revision and the ending of what was deleted.
    if isinstance(seen, Ends):
        return row[3:] == (revision_at_head(seen.head), etag(seen.head + seen.tail)[1], seen.size)
    ending = etag(seen)[1]
    if ending:
        return row[3:] == (revision_at_head(seen), ending, size_of(seen))
    return read_text(db, row.id) == seen  # not written as we write: it has no etag


def put(
    db: sqlite3.Connection, destination: int, write: Write, now: int, *, replica: bool, stored: Row | None = None
) -> int:
    """Put a document; its size in bytes. `replica`: the destination holds the same. `stored`: its row, if known."""
    entry = None if write.tombstone else write.list_row
    size = size_of(write.text)
    until = micros(write.kept_until) if write.kept_until else None
    row: dict[str, object] = {
        "revision": revision_at_head(write.text),
        "ending": etag(write.text)[1],
        "bytes": size,
        "tombstone": write.tombstone,
        "kept_until": until,
        "expired_seen_at": None,
        "touched": now,
        "replica": replica,
        "unverified": 0,
        "saved_at": entry.saved_at if entry else PART if write.part_of else None,
        "note": entry.note if entry else None,
    }
    part = (write.part_of, write.key) if write.part_of and not write.tombstone else (None, None)
    listed = (entry.index, entry.member) if entry else part
    _put_row(db, destination, write, row, listed, stored or row_of(db, destination, write.key))
    if write.extend_keys:
        live = "UPDATE documents SET kept_until = ?, expired_seen_at = NULL WHERE destination = ? AND key = ?"
        db.executemany(live, ((until, destination, key) for key in write.extend_keys))
    if write.delete_keys:
        drop(db, destination, write.delete_keys)
    return size


def _put_row(
    db: sqlite3.Connection,
    destination: int,
    write: Write,
    row: dict[str, object],
    listed: tuple[str, str] | tuple[None, None],
    stored: Row | None,
) -> None:
    """Insert or update the `stored` row of a document, and put its text; `listed` are its list and its member."""
    if stored is None or (stored.in_list, stored.member) != listed:  # setting them rewrites their index
        row |= {"list": listed[0], "member": listed[1]}
    if stored is None:
        number = _insert(db, row | {"destination": destination, "key": write.key})
        put_text(db, number, write.text, grows=write.list_row is not None)  # no older revision, nor an execution
    else:
        _put_over(db, write, stored)
        changes = ", ".join(f"{column} = ?" for column in row)
        db.execute(f"UPDATE documents SET {changes} WHERE id = ?", (*row.values(), stored.id))  # noqa: S608


def _insert(db: sqlite3.Connection, row: dict[str, object]) -> int:
    """Insert a document; its id."""
    slots = ", ".join("?" for _ in row)
    insert = f"INSERT INTO documents ({', '.join(row)}) VALUES ({slots})"  # noqa: S608
    return db.execute(insert, [*row.values()]).lastrowid or 0


def append(db: sqlite3.Connection, destination: int, write: Append, now: int, *, replica: bool) -> int:
    """Change the document that the writer saw at its ends; the bytes by which it grew."""
    row = db.execute("SELECT id, bytes FROM documents WHERE destination = ? AND key = ?", (destination, write.key))
    number, before = row.fetchone()
    splice_text(db, number, write.splice)
    until = micros(write.kept_until) if write.kept_until else None
    revision, ending = revision_at_head(write.splice.prefix), write.after[1]
    db.execute(
        "UPDATE documents SET revision = ?, ending = ?, bytes = ?, kept_until = ?, expired_seen_at = NULL,"
        " touched = ?, replica = ?, unverified = 0 WHERE id = ?",
        (revision, ending, write.size, until, now, replica, number),
    )
    return write.size - before


def drop(db: sqlite3.Connection, destination: int, keys: Iterable[str]) -> None:
    """Delete documents."""
    db.executemany("DELETE FROM documents WHERE destination = ? AND key = ?", ((destination, key) for key in keys))


def queue(
    db: sqlite3.Connection, destination: int, key: str, command: str, now: int, *, supersedes: bool = False
) -> None:
    """Queue a change of `key` behind its pending ones; one that `supersedes` them takes their place."""
    text = _taken_over(db, destination, key) if supersedes else None
    if text is None:
        text = free_text_number(db)
    insert = "INSERT INTO outbox (destination, key, queued_at, text) VALUES (?, ?, ?, ?)"
    db.execute(insert, (destination, key, now, text))
    replace_text(db, text, command)


def free_text_number(db: sqlite3.Connection) -> int:
    """A text number that no command has."""
    (number,) = db.execute("SELECT ifnull(min(text), 0) - 1 FROM outbox").fetchone()
    return number


def _taken_over(db: sqlite3.Connection, destination: int, key: str) -> int | None:
    """Delete the pending changes of `key`; the number of the newest text, which stays for the next to go on from."""
    newest = f"SELECT max(position), text FROM outbox WHERE {_PENDING_OF_KEY}"  # noqa: S608
    position, text = db.execute(newest, (destination, key)).fetchone()
    db.execute("UPDATE outbox SET text = 0 WHERE position = ?", (position,))
    db.execute(f"DELETE FROM outbox WHERE {_PENDING_OF_KEY}", (destination, key))  # noqa: S608
    return text


def all_pending(db: sqlite3.Connection, destination: int, key: str, most: int = -1, after: int = 0) -> list[Pending]:
    """Up to `most` pending changes of `key` behind a position, oldest first."""
    rows = db.execute(
        f"SELECT position, text, attempts, next_attempt, cause FROM outbox WHERE {_PENDING_OF_KEY}"  # noqa: S608
        " AND position > ? ORDER BY position LIMIT ?",
        (destination, key, after, most),
    ).fetchall()
    return [Pending(position, key, read_command(db, text), *attempt) for position, text, *attempt in rows]


def next_pending(db: sqlite3.Connection, destination: int, key: str, after: int = 0) -> Pending | None:
    """The oldest pending change of `key` behind a position."""
    return next(iter(all_pending(db, destination, key, 1, after)), None)


def kind_and_size(db: sqlite3.Connection, text: int) -> tuple[str, int]:
    """The kind of a command, empty where it cannot be read, and its size in bytes."""
    first, last = text * PIECES, (text + 1) * PIECES
    (size,) = db.execute("SELECT sum(length(piece)) FROM texts WHERE id >= ? AND id < ?", (first, last)).fetchone()
    row = db.execute("SELECT piece FROM texts WHERE id = ?", (first,)).fetchone()
    kind = _KIND.search(row[0]) if row else None
    return kind[1].decode() if kind else "", size or 0


def is_pending(db: sqlite3.Connection, destination: int, key: str) -> bool:
    """Whether a change of `key` is pending."""
    query = "SELECT 1 FROM outbox WHERE destination = ? AND key = ? AND NOT dead LIMIT 1"
    return db.execute(query, (destination, key)).fetchone() is not None


def _put_over(db: sqlite3.Connection, write: Write, stored: Row) -> None:
    """Splice the stored text where the write says how; else replace it, as is quicker where it is one piece."""
    if stored.size <= PIECE:
        put_over_piece(db, stored.id, write.text)
    elif write.splice and write.seen and has_text(db, stored, write.seen):
        splice_text(db, stored.id, write.splice)
    else:
        replace_text(db, stored.id, write.text)
