#!/usr/bin/env bash
# redis-py 8 says that nobody listens only after eleven tries and some four seconds. A refused connection is known in a
# millisecond, and socket_connect_timeout bounds each try, not the whole: a caller with a deadline of two seconds misses
# it although nothing was slow. redis-py 5 raises at the first refusal; so does 8 with Retry(NoBackoff(), 0).
#
# Versions: redis 8.1.0 and 5.2.1. Source: the default `retry` in redis/client.py of redis 8.1.0.
# Seen: 5.2.1: ConnectionError after 1 connects, over a second: False
#       8.1.0: ConnectionError after 11 connects, over a second: True
#       8.1.0 with Retry(NoBackoff(), 0): ConnectionError after 1 connects, over a second: False
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
cat >ask.py <<'PY'
import socket
import sys
import time

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

more = dict(retry=Retry(NoBackoff(), 0)) if "once" in sys.argv else {}
connects = 0
plain = socket.socket.connect


def counted(self, address):
    global connects
    if self.family == socket.AF_INET:
        connects += 1
    return plain(self, address)


socket.socket.connect = counted
began = time.monotonic()
try:  # nobody listens on port 1
    redis.Redis(host="127.0.0.1", port=1, socket_connect_timeout=1, **more).ping()
except redis.ConnectionError as exc:
    name = redis.__version__ + (" with Retry(NoBackoff(), 0)" if more else "")
    print(f"{name}: {type(exc).__name__} after {connects} connects, over a second: {time.monotonic() - began > 1}")
PY
for release in redis==5.2.1 redis==8.1.0; do
  venv/bin/pip install --quiet "$release"
  venv/bin/python ask.py
done | tee seen
venv/bin/python ask.py once | tee -a seen
diff seen - <<'SEEN' || { echo "This has changed."; exit 1; }
5.2.1: ConnectionError after 1 connects, over a second: False
8.1.0: ConnectionError after 11 connects, over a second: True
8.1.0 with Retry(NoBackoff(), 0): ConnectionError after 1 connects, over a second: False
SEEN
