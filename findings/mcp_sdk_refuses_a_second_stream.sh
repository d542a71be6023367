#!/usr/bin/env bash
# A client whose network changed, or whose machine slept, does not know that its event stream is lost, and neither does the
# server: the connection stays open on its side. The client asks for a stream again under the same session. The
# specification says that a client may stay connected to several streams at once; the MCP SDK's server answers 409 until
# it has noticed that the first is dead, which over an idle TCP connection may take hours, so that the session goes on
# without being told of anything. Only the end of the first connection makes room.
#
# Versions: mcp 2.3.0, uvicorn 0.54.0, httpx 0.28.1
# Source: the package mcp; https://modelcontextprotocol.io/specification/2025-06-18/basic/transports (Multiple Connections)
# Seen: first stream: 200
#       another while it is open: 409
#       another after it ended: 200
set -euo pipefail
folder=$(mktemp -d)
server=""
trap '[ -z "$server" ] || kill "$server"; rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv env
env/bin/pip install --quiet mcp==2.3.0 uvicorn==0.54.0 httpx==0.28.1
port=$(env/bin/python -c "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1])")
cat >server.py <<'PY'
import sys

from mcp.server import MCPServer

server = MCPServer("counts")


@server.tool()
def count() -> str:
    """Count to three."""
    return "one two three"


server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
PY
cat >client.py <<'PY'
import sys
import time

import httpx

url = f"http://127.0.0.1:{sys.argv[1]}/mcp"
both = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
about = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "listener", "version": "1"}}
transport = httpx.HTTPTransport(retries=8)  # it waits until the server listens
with httpx.Client(timeout=20, transport=transport) as http:
    begun = http.post(url, headers=both, json={"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": about})
    session = {"mcp-session-id": begun.headers["mcp-session-id"], "mcp-protocol-version": "2025-06-18"}
    http.post(url, headers=both | session, json={"jsonrpc": "2.0", "method": "notifications/initialized"})
    listening = {"accept": "text/event-stream"} | session
    with http.stream("GET", url, headers=listening) as first:
        print(f"first stream: {first.status_code}")
        with http.stream("GET", url, headers=listening) as other:
            print(f"another while it is open: {other.status_code}")
    ends_by = time.monotonic() + 20
    while True:
        with http.stream("GET", url, headers=listening) as other:
            if other.status_code == 200 or time.monotonic() > ends_by:
                break
        time.sleep(0.05)
    print(f"another after it ended: {other.status_code}")
PY
env/bin/python server.py "$port" >server.log 2>&1 &
server=$!
seen=$(env/bin/python client.py "$port")
echo "$seen"
expected="first stream: 200
another while it is open: 409
another after it ended: 200"
[ "$seen" = "$expected" ] || { echo "That has changed." >&2; exit 1; }
