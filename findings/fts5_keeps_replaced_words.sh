#!/usr/bin/env bash
# A full-text index over a table, kept by the three triggers that SQLite's own page on FTS5 shows, goes wrong at the
# first INSERT OR REPLACE: what it replaces is deleted without the delete trigger, so the old words stay in the index
# and lead to a row that is gone. The plain integrity-check says nothing; only the one with rank = 1, which compares with
# the table, finds it. PRAGMA recursive_triggers = ON lets the trigger fire; ON CONFLICT DO UPDATE needs no pragma.
#
# Versions: SQLite 3.51.1 of pysqlite3-binary 0.5.4.post2.
# Source: https://sqlite.org/fts5.html#external_content_tables, https://sqlite.org/lang_conflict.html
# Seen: OR REPLACE: 'ferns' in 1 rows, which hold [None]; check: fine; check against the table: database disk image is malformed
#       OR REPLACE, recursive_triggers: 'ferns' in 0 rows, which hold []; check: fine; check against the table: fine
#       ON CONFLICT: 'ferns' in 0 rows, which hold []; check: fine; check against the table: fine
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet pysqlite3-binary==0.5.4.post2
cat >ask.py <<'PY'
import pysqlite3 as sqlite3

TABLES = """
CREATE TABLE talks (id TEXT PRIMARY KEY, body TEXT);
CREATE VIRTUAL TABLE words USING fts5 (body, content = talks);
CREATE TRIGGER added AFTER INSERT ON talks BEGIN
  INSERT INTO words (rowid, body) VALUES (new.rowid, new.body);
END;
CREATE TRIGGER gone AFTER DELETE ON talks BEGIN
  INSERT INTO words (words, rowid, body) VALUES ('delete', old.rowid, old.body);
END;
CREATE TRIGGER changed AFTER UPDATE ON talks BEGIN
  INSERT INTO words (words, rowid, body) VALUES ('delete', old.rowid, old.body);
  INSERT INTO words (rowid, body) VALUES (new.rowid, new.body);
END;
"""
OR_REPLACE = "INSERT OR REPLACE INTO talks VALUES ('a', ?)"
ON_CONFLICT = "INSERT INTO talks VALUES ('a', ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body"


def checked(db, columns):
    try:
        db.execute(f"INSERT INTO words ({columns}) VALUES ('integrity-check'{', 1' if 'rank' in columns else ''})")
    except sqlite3.DatabaseError as exc:
        return str(exc)
    return "fine"


for name, statement, recursive in (
    ("OR REPLACE", OR_REPLACE, "OFF"),
    ("OR REPLACE, recursive_triggers", OR_REPLACE, "ON"),
    ("ON CONFLICT", ON_CONFLICT, "OFF"),
):
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.execute(f"PRAGMA recursive_triggers = {recursive}")
    db.executescript(TABLES)
    db.execute(statement, ("all about ferns",))
    db.execute(statement, ("all about clover",))
    rows = [row for (row,) in db.execute("SELECT rowid FROM words WHERE words MATCH 'ferns'")]
    held = [db.execute("SELECT body FROM talks WHERE rowid = ?", (row,)).fetchone() for row in rows]
    print(f"{name}: 'ferns' in {len(rows)} rows, which hold {held}; check: {checked(db, 'words')};"
          f" check against the table: {checked(db, 'words, rank')}")
PY
venv/bin/python ask.py | tee seen
diff seen - <<'SEEN' || { echo "This has changed."; exit 1; }
OR REPLACE: 'ferns' in 1 rows, which hold [None]; check: fine; check against the table: database disk image is malformed
OR REPLACE, recursive_triggers: 'ferns' in 0 rows, which hold []; check: fine; check against the table: fine
ON CONFLICT: 'ferns' in 0 rows, which hold []; check: fine; check against the table: fine
SEEN
