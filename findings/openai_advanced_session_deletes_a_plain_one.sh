#!/usr/bin/env bash
# OpenAI Agents' AdvancedSQLiteSession is a SQLiteSession and keeps its items in the same two tables, but a talk that a
# SQLiteSession began is empty in it: it reads only items that have a row in its own table of branches and turns, and makes
# none for what is there. The agent goes on without what was said, without an error. The old items still stand in the file
# at first; the next pop_item() (which takes back what was added last) deletes all of them as orphans. Whoever moves a
# program from the plain class to the advanced one has to copy the items over first.
#
# Versions: openai-agents 0.24.0
# Source: agents/extensions/memory/advanced_sqlite_session.py; https://openai.github.io/openai-agents-python/sessions/advanced_sqlite_session/
# Seen: kept by SQLiteSession: 2
#       AdvancedSQLiteSession of the same file and id: 0
#       after one more item: plain 3, advanced 1
#       after taking it back: plain 0, advanced 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check openai-agents==0.24.0
cat >"$folder/look.py" <<'PY'
import asyncio
import sys

from agents import SQLiteSession
from agents.extensions.memory import AdvancedSQLiteSession


async def main(file: str) -> None:
    plain = SQLiteSession("garden", file)
    await plain.add_items([{"role": "user", "content": "Beans or peas?"}, {"role": "assistant", "content": "Beans."}])
    print("kept by SQLiteSession:", len(await plain.get_items()))
    advanced = AdvancedSQLiteSession(session_id="garden", db_path=file, create_tables=True)
    print("AdvancedSQLiteSession of the same file and id:", len(await advanced.get_items()))
    await advanced.add_items([{"role": "user", "content": "And when?"}])
    print(f"after one more item: plain {len(await plain.get_items())}, advanced {len(await advanced.get_items())}")
    await advanced.pop_item()
    print(f"after taking it back: plain {len(await plain.get_items())}, advanced {len(await advanced.get_items())}")


asyncio.run(main(sys.argv[1]))
PY
seen=$(OPENAI_AGENTS_DISABLE_TRACING=1 "$folder/venv/bin/python" "$folder/look.py" "$folder/talks.db")
echo "$seen"
[ "$seen" = "kept by SQLiteSession: 2
AdvancedSQLiteSession of the same file and id: 0
after one more item: plain 3, advanced 1
after taking it back: plain 0, advanced 0" ] || exit 1
