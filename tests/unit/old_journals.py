"""Journals as the versions before made them, by their own words, and what a program of then had put into one."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from agentic_flywheel.journal import FILE_NAME

TABLES = {
    1: """
CREATE TABLE documents (
    key TEXT PRIMARY KEY, text TEXT NOT NULL, kept_until INTEGER, tombstone INTEGER NOT NULL,
    list TEXT, member TEXT, saved_at INTEGER, note TEXT
) WITHOUT ROWID;
CREATE INDEX recent ON documents (list, saved_at DESC, member DESC) WHERE list IS NOT NULL;
CREATE INDEX expiry ON documents (kept_until) WHERE kept_until IS NOT NULL;
CREATE TABLE outbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, change TEXT NOT NULL, set_aside TEXT
);
CREATE INDEX pending ON outbox (key, position);
""",
    2: """
ALTER TABLE documents ADD COLUMN place TEXT;
ALTER TABLE documents ADD COLUMN lost INTEGER NOT NULL DEFAULT 0;
ALTER TABLE documents ADD COLUMN hidden_since INTEGER;
ALTER TABLE documents ADD COLUMN touched INTEGER NOT NULL DEFAULT 0;
ALTER TABLE documents ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
UPDATE documents SET bytes = length(CAST(text AS BLOB));
CREATE INDEX doubtful ON documents (tombstone DESC) WHERE lost;
CREATE INDEX replica ON documents (touched) WHERE place IS NOT NULL;
CREATE TABLE stashes (place TEXT PRIMARY KEY, epoch TEXT NOT NULL, run TEXT NOT NULL, after TEXT NOT NULL);
""",
    3: """
ALTER TABLE documents ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
DROP INDEX replica;
CREATE INDEX replica ON documents (touched, bytes, tombstone, lost) WHERE place IS NOT NULL;
CREATE INDEX heads ON documents (key, place, revision);
""",
}
INDEX = "p:index"
DIGEST, OTHER_DIGEST = "0a1b2c3d4e5f6071", "ffffffffffffffff"
"""What named a Redis then."""
UNTIL = datetime(2027, 1, 1, tzinfo=UTC)
MICROS = int(UTC and UNTIL.timestamp()) * 1_000_000


def text(member: str, revision: int = 1, words: str = "été 漢字 👩") -> str:
    document = {"schema_version": 1, "id": member, "revision": revision, "words": words}
    return json.dumps(document | {"operations": [[f"aa.{revision}", revision, 1, 1]]}, ensure_ascii=False)


def command(member: str, number: int = 1) -> str:
    return json.dumps({"kind": "save", "key": f"p:session:{member}", "operation": f"bb.{number}"})


def make_old(folder: Path, version: int, *stashes: str, many: int = 0) -> Path:
    """A file of that version with some of everything that its program kept, and `many` documents besides."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE_NAME
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        if version > 1:
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("PRAGMA journal_mode = WAL")
        for number in range(1, version + 1):
            for statement in TABLES[number].split(";"):
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {version}")
        db.execute("BEGIN")
        _put_rows(db, version, many)
        for stash in stashes if version > 1 else ():
            _put_stash(db, stash)
        db.execute("COMMIT")
    return path


def _put(db: sqlite3.Connection, key: str, document: str, member: str = "", **more: object) -> None:
    row: dict[str, object] = {"key": key, "text": document, "tombstone": 0}
    if member:
        row |= {"list": INDEX, "member": member, "saved_at": 7, "note": json.dumps({"id": member})}
    row |= more
    slots = ", ".join("?" for _ in row)
    db.execute(f"INSERT INTO documents ({', '.join(row)}) VALUES ({slots})", [*row.values()])  # noqa: S608


def _put_rows(db: sqlite3.Connection, version: int, many: int) -> None:
    _put(db, "p:session:pending", text("pending", 2), "pending", kept_until=MICROS)
    _put(db, "p:session:here", text("here"), "here")
    _put(db, "p:revision:pending:1", text("pending"))
    _put(db, "p:session:deleted", text("deleted", 3), tombstone=1)
    _put(db, "p:session:large", text("large", 1, "ü" * 300_000), "large")
    for i in range(many):
        _put(db, f"p:session:many-{i}", text(f"many-{i}", 1, "x" * 2_000), f"many-{i}")
    changes = (("pending", 1, None), ("refused", 1, "too large"), ("deleted", 1, None), ("pending", 2, None))
    for member, number, cause in changes:
        row = (f"p:session:{member}", command(member, number), cause)
        db.execute("INSERT INTO outbox (key, change, set_aside) VALUES (?, ?, ?)", row)
    if version > 1:
        db.execute("UPDATE documents SET touched = 5, bytes = length(CAST(text AS BLOB))")


def _put_stash(db: sqlite3.Connection, stash: str) -> None:
    db.execute("INSERT INTO stashes VALUES (?, ?, 'run', '9-0')", (stash, f"epoch of {stash}"))
    _put(db, f"p:session:copy in {stash}", text("copy", 4), "copy", place=stash, touched=6)
    _put(db, f"p:session:lost by {stash}", text("lost", 4), "lost", place=stash, lost=1)
    _put(db, f"p:session:buried in {stash}", text("buried", 4), place=stash, tombstone=1)
