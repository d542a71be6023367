"""Makes the tables of the journal, and migrates those of older versions."""

import contextlib
import sqlite3
from collections.abc import Sequence

from agentic_flywheel.documents.writes import etag, revision_at_head
from agentic_flywheel.journal.old_schemas import OLD_COLUMNS
from agentic_flywheel.journal.texts import put_text
from agentic_flywheel.json_text import size_of

SCHEMA = 5
"""The journal file's own version, kept in SQLite's `user_version`; a newer one is refused untouched."""

THIS_MACHINE = 0
"""The destination of what was saved while no Redis was named."""

# `destination`: where a row belongs. `replica`: the destination holds the same text; else it is here alone, or pending.
# `unverified`: the destination may have lost it (1), or has (2). `expired_seen_at`: when it was first seen to have
# expired. `touched`: when it was last written here. `revision` and `ending` are the etag of the text, `bytes` is its
# size. `dead`: a dead letter; `text`: which of `texts` its command is.
# Times are microseconds since 1970.
TABLES = """
CREATE TABLE destinations (
    id INTEGER PRIMARY KEY, epoch TEXT NOT NULL DEFAULT '', run TEXT NOT NULL DEFAULT '',
    after TEXT NOT NULL DEFAULT '0-0', shown TEXT NOT NULL DEFAULT ''
);
INSERT INTO destinations (id) VALUES (0);
CREATE TABLE addresses (address TEXT PRIMARY KEY, destination INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE documents (
    id INTEGER PRIMARY KEY, destination INTEGER NOT NULL, key TEXT NOT NULL, revision INTEGER NOT NULL,
    ending TEXT NOT NULL, bytes INTEGER NOT NULL, tombstone INTEGER NOT NULL, kept_until INTEGER,
    expired_seen_at INTEGER, touched INTEGER NOT NULL, replica INTEGER NOT NULL, unverified INTEGER NOT NULL DEFAULT 0,
    list TEXT, member TEXT, saved_at INTEGER, note TEXT
);
CREATE UNIQUE INDEX names ON documents (destination, key);
CREATE INDEX recent ON documents (destination, list, saved_at DESC, member DESC, key, kept_until)
    WHERE list IS NOT NULL;
CREATE INDEX members ON documents (destination, list, member) WHERE list IS NOT NULL;
CREATE INDEX expiry ON documents (kept_until, expired_seen_at) WHERE kept_until IS NOT NULL;
CREATE INDEX unverified ON documents (destination, tombstone DESC) WHERE unverified;
CREATE INDEX missing ON documents (destination, list, saved_at DESC, member DESC) WHERE unverified = 2;
CREATE INDEX replica ON documents (touched, bytes, tombstone, unverified, destination, key, replica) WHERE replica;
CREATE TABLE texts (id INTEGER PRIMARY KEY, piece BLOB NOT NULL, room BLOB);
CREATE TRIGGER texts_go AFTER DELETE ON documents BEGIN
    DELETE FROM texts WHERE id >= OLD.id * 1048576 AND id < (OLD.id + 1) * 1048576
; END;
CREATE TABLE outbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT, destination INTEGER NOT NULL, key TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, next_attempt INTEGER NOT NULL DEFAULT 0, cause TEXT,
    dead INTEGER NOT NULL DEFAULT 0, queued_at INTEGER NOT NULL DEFAULT 0, text INTEGER NOT NULL
);
CREATE INDEX pending ON outbox (destination, key, position, dead, text) WHERE NOT dead;
CREATE INDEX failed ON outbox (destination, position, cause) WHERE cause IS NOT NULL AND NOT dead;
CREATE INDEX dead_letters ON outbox (position) WHERE dead;
CREATE INDEX commands ON outbox (text);
CREATE TRIGGER commands_go AFTER DELETE ON outbox BEGIN
    DELETE FROM texts WHERE id >= OLD.text * 1048576 AND id < (OLD.text + 1) * 1048576
; END;
"""
"""Documents and commands lie in `texts`, in pieces: what is asked of the other tables never walks over them, what is
changed there does not write them anew. What an index is limited to is among its columns: else SQLite looks at the rows.
"""

NOBODY_KNOWS = "It is not known for which Redis this was saved."

MOVED_AT_ONCE = 20
"""Documents migrated at once: each makes room for the next."""


def create(db: sqlite3.Connection) -> None:
    """Make the tables of a new file."""
    for statement in TABLES.split(";\n"):
        db.execute(statement)


def prepare(db: sqlite3.Connection) -> None:
    """Make a file of the first version able to release free pages, as all others are."""
    if db.execute("PRAGMA auto_vacuum").fetchone() == (0,):
        with contextlib.suppress(sqlite3.OperationalError):  # no room, or others use it: it goes on as it is
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            db.execute("VACUUM")


def migrate(db: sqlite3.Connection, version: int, addresses: Sequence[str]) -> None:
    """Migrate the tables of an older version to this one; `addresses` are those of the Redis in use, if one is.

    A step for each version that changed the tables. That of 4 makes them as they are now: 5 brought but a column.
    """
    if version < 4:
        _to_4(db, version, addresses)
    elif version < 5:
        db.execute("ALTER TABLE texts ADD COLUMN room BLOB")


def _to_4(db: sqlite3.Connection, version: int, addresses: Sequence[str]) -> None:
    """Give each row its destination, and texts in pieces.

    What was pending belongs to the one Redis that the file names, or, if it names none, to the one in use. Where it
    names several, none can be told from the others: it stays with this machine until a person has it sent.
    """
    for table in ("documents", "outbox"):
        db.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    for index in ("recent", "expiry", "pending", "doubtful", "replica", "heads"):
        db.execute(f"DROP INDEX IF EXISTS {index}")
    create(db)
    known: dict[str, int] = {}
    for place, epoch, run, after in _stashes(db, version):
        known[place] = _add(db, place, epoch, run, after)
    if len(known) == 1:
        (pending,) = known.values()
    elif not known and addresses:
        pending = _add(db, addresses[0])
    else:
        pending = THIS_MACHINE
    _move_changes(db, pending)
    _move_documents(db, version, known, pending)
    for table in ("old_documents", "old_outbox", "stashes"):
        db.execute(f"DROP TABLE IF EXISTS {table}")


def _stashes(db: sqlite3.Connection, version: int) -> list[tuple[str, str, str, str]]:
    if version < 2:  # which brought them
        return []
    return db.execute("SELECT place, epoch, run, after FROM stashes").fetchall()


def _add(db: sqlite3.Connection, address: str, *seen: str) -> int:
    epoch, run, after = seen or ("", "", "0-0")
    row = db.execute("INSERT INTO destinations (epoch, run, after) VALUES (?, ?, ?)", (epoch, run, after))
    number = row.lastrowid or THIS_MACHINE
    db.execute("INSERT INTO addresses VALUES (?, ?)", (address, number))
    return number


def _move_changes(db: sqlite3.Connection, pending: int) -> None:
    """Move pending changes and dead letters; of what stays with this machine, only what is nowhere else."""
    rows = db.execute(
        "SELECT position, key, set_aside, EXISTS (SELECT 1 FROM old_documents WHERE old_documents.key = old_outbox.key)"
        " FROM old_outbox ORDER BY position"
    ).fetchall()
    for position, key, cause, has_document in rows:
        dead = cause is not None
        if not dead and pending == THIS_MACHINE:
            if has_document:  # which holds it
                continue
            dead, cause = True, NOBODY_KNOWS
        insert = "INSERT INTO outbox (position, destination, key, cause, dead, text) VALUES (?, ?, ?, ?, ?, ?)"
        db.execute(insert, (position, pending, key, cause, dead, -position))
        (text,) = db.execute("SELECT change FROM old_outbox WHERE position = ?", (position,)).fetchone()
        put_text(db, -position, text)


def _move_documents(db: sqlite3.Connection, version: int, known: dict[str, int], pending: int) -> None:
    with_pending = {row[0] for row in db.execute("SELECT key FROM old_outbox WHERE set_aside IS NULL")}
    query = (
        "SELECT key, text, kept_until, tombstone, list, member, saved_at, note,"  # noqa: S608
        f" {OLD_COLUMNS[version]} FROM old_documents ORDER BY key LIMIT {MOVED_AT_ONCE}"
    )
    while rows := db.execute(query).fetchall():
        for key, text, kept_until, tombstone, index, member, saved_at, note, place, lost, hidden, touched in rows:
            if place is not None and place not in known:
                known[place] = _add(db, place)
            # An older revision that is here alone goes with its session; of the rest, what was never sent stays here.
            local_only = THIS_MACHINE if index is not None and key not in with_pending else pending
            destination = known[place] if place is not None else local_only
            number = db.execute(
                "INSERT INTO documents (destination, key, revision, ending, bytes, tombstone, kept_until,"
                " expired_seen_at, touched, replica, unverified, list, member, saved_at, note)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (destination, key, revision_at_head(text), etag(text)[1], size_of(text), tombstone, kept_until,
                 hidden, touched, place is not None, lost, index, member, saved_at, note),
            ).lastrowid  # fmt: skip
            put_text(db, number or 0, text)
        db.executemany("DELETE FROM old_documents WHERE key = ?", [(row[0],) for row in rows])
