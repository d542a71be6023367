#!/usr/bin/env bash
# A talk begun with llm before its log had messages by hash, and continued since, stands in logs.db twice: the first turns
# stay as rows of `responses` under their conversation, and are written again as messages of a thread that has the same id.
# Whoever reads both families of tables (a log from before and after an update has both) counts the beginning twice;
# whoever reads one only misses the talks that were never continued, or the new ones. `llm logs` shows each once.
#
# Versions: llm 0.27.1 (with httpx, which its newest dependencies no longer bring), then llm 0.36, llm-echo 0.4
# Source: the program itself; https://llm.datasette.io/en/stable/logging.html
# Seen: responses: ['Where do ferns grow?']
#       messages of the user: ['Where do ferns grow?', 'And moss?']
#       one id for conversation and thread: True
#       shown by llm logs: 2
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export LLM_USER_PATH="$folder/home" HOME="$folder"
python3 -m venv "$folder/0.27.1"
"$folder/0.27.1/bin/pip" install --quiet --disable-pip-version-check llm==0.27.1 llm-echo==0.4 httpx==0.28.1
python3 -m venv "$folder/0.36"
"$folder/0.36/bin/pip" install --quiet --disable-pip-version-check llm==0.36 llm-echo==0.4
mkdir "$LLM_USER_PATH"
"$folder/0.27.1/bin/llm" -m echo "Where do ferns grow?" >"$folder/log"
"$folder/0.36/bin/llm" -c -m echo "And moss?" >>"$folder/log"
cat >"$folder/look.py" <<'PY'
import sqlite3
import sys

db = sqlite3.connect(sys.argv[1])
said = "SELECT text FROM parts JOIN messages ON hash = message_hash WHERE role = 'user' ORDER BY parts.id"
print("responses:", [row[0] for row in db.execute("SELECT prompt FROM responses")])
print("messages of the user:", [row[0] for row in db.execute(said)])
print("one id for conversation and thread:",
      db.execute("SELECT id FROM conversations").fetchall() == db.execute("SELECT id FROM threads").fetchall())
PY
seen=$("$folder/0.36/bin/python" "$folder/look.py" "$LLM_USER_PATH/logs.db"
    echo "shown by llm logs: $("$folder/0.36/bin/llm" logs list -n 9 | grep -c '^## Prompt')")
echo "$seen"
[ "$seen" = "responses: ['Where do ferns grow?']
messages of the user: ['Where do ferns grow?', 'And moss?']
one id for conversation and thread: True
shown by llm logs: 2" ] || exit 1
