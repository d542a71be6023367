#!/usr/bin/env bash
# In Python 3.11 `execute("PRAGMA incremental_vacuum").fetchall()` gives back one page, however many are free, and says
# nothing. The pragma works a page for each step of its statement; the sqlite3 module of 3.11 resets a statement without
# columns after its first step. 3.10, 3.12 and 3.13 step to the end in fetchall() (execute() alone frees one page there
# too), as does pysqlite3 under 3.11. executescript() steps to the end everywhere. A database that is to shrink by
# itself never does.
#
# Versions: the sqlite3 module of CPython 3.11 (3.11.2 and 3.11.7 tried), pysqlite3-binary 0.5.4.post2.
# Source: https://docs.python.org/3.11/library/sqlite3.html, https://sqlite.org/pragma.html#pragma_incremental_vacuum
# Seen, as free pages before, after execute().fetchall(), after executescript():
#       sqlite3: 1000 999 0
#       pysqlite3: 1000 0 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet pysqlite3-binary==0.5.4.post2
cat >ask.py <<'PY'
import importlib

for name in ("sqlite3", "pysqlite3"):
    db = importlib.import_module(name).connect(f"{name}.db", isolation_level=None)
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    db.execute("CREATE TABLE turns (text BLOB)")
    db.executemany("INSERT INTO turns VALUES (zeroblob(?))", [(8000,)] * 500)
    db.execute("DELETE FROM turns")

    def free():
        return db.execute("PRAGMA freelist_count").fetchone()[0]

    seen = [free()]
    db.execute("PRAGMA incremental_vacuum").fetchall()
    seen.append(free())
    db.executescript("PRAGMA incremental_vacuum")
    print(f"{name}:", *seen, free())
PY
venv/bin/python ask.py | tee seen
diff seen - <<'SEEN' || { echo "This has changed."; exit 1; }
sqlite3: 1000 999 0
pysqlite3: 1000 0 0
SEEN
