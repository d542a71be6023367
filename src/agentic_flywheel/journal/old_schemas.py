"""Makes the tables of older versions, by which their damaged files are read."""

import sqlite3

# `place` names the Redis that holds the same text; without one the text is nowhere else. `lost`: that Redis may have
# lost it. `hidden_since`: when it was first seen to have expired. `touched`: when it was last written.
_VERSIONS = (
    """
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
    """
ALTER TABLE documents ADD COLUMN place TEXT;
ALTER TABLE documents ADD COLUMN lost INTEGER NOT NULL DEFAULT 0;
ALTER TABLE documents ADD COLUMN hidden_since INTEGER;
ALTER TABLE documents ADD COLUMN touched INTEGER NOT NULL DEFAULT 0;
ALTER TABLE documents ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
CREATE INDEX doubtful ON documents (tombstone DESC) WHERE lost;
CREATE INDEX replica ON documents (touched) WHERE place IS NOT NULL;
CREATE TABLE stashes (place TEXT PRIMARY KEY, epoch TEXT NOT NULL, run TEXT NOT NULL, after TEXT NOT NULL);
""",
    """
ALTER TABLE documents ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
DROP INDEX replica;
CREATE INDEX replica ON documents (touched, bytes, tombstone, lost) WHERE place IS NOT NULL;
CREATE INDEX heads ON documents (key, place, revision);
""",
)
"""The statements that each version added."""

OLD_COLUMNS = {
    1: "NULL AS place, 0 AS lost, NULL AS hidden_since, 0 AS touched",
    2: "place, lost, hidden_since, touched",
    3: "place, lost, hidden_since, touched",
}
"""The further columns of a document in each version."""


def create_old(db: sqlite3.Connection, version: int) -> None:
    """Make the tables of a new file of that version."""
    for statements in _VERSIONS[:version]:
        for statement in statements.split(";"):
            db.execute(statement)
    db.execute(f"PRAGMA user_version = {version}")
