#!/usr/bin/env bash
# A client whose event stream broke asks for it again with GET and the header Last-Event-ID. A server of the MCP SDK over
# Streamable HTTP that keeps no events, which is the default, gives a stream without that header, and with it nothing:
# its application returns before it has answered, so uvicorn answers 500 and writes an error for each try. A client that
# takes 500 for a broken server never listens again; the specification lets a server leave the header alone.
#
# Versions: mcp 2.3.0, uvicorn 0.54.0, httpx 0.28.1
# Source: the package mcp; https://modelcontextprotocol.io/specification/2025-06-18/basic/transports (Resumability and Redelivery)
# Seen: without the header: 200 text/event-stream
#       with the header: 500 text/plain; charset=utf-8
#       the server: ERROR:    ASGI callable returned without starting response.
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

import httpx

url = f"http://127.0.0.1:{sys.argv[1]}/mcp"
both = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
about = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "listener", "version": "1"}}
transport = httpx.HTTPTransport(retries=8)  # it waits until the server listens
with httpx.Client(timeout=20, transport=transport) as http:
    begun = http.post(url, headers=both, json={"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": about})
    session = {"mcp-session-id": begun.headers["mcp-session-id"], "mcp-protocol-version": "2025-06-18"}
    http.post(url, headers=both | session, json={"jsonrpc": "2.0", "method": "notifications/initialized"})
    for name, more in (("without", {}), ("with", {"last-event-id": "7"})):
        with http.stream("GET", url, headers={"accept": "text/event-stream"} | session | more) as answer:
            print(f"{name} the header: {answer.status_code} {answer.headers['content-type']}", flush=True)
PY
env/bin/python server.py "$port" >server.log 2>&1 &
server=$!
seen=$(env/bin/python client.py "$port")
seen+=$'\n'"the server: $(grep -m1 'ERROR' server.log)"
echo "$seen"
expected="without the header: 200 text/event-stream
with the header: 500 text/plain; charset=utf-8
the server: ERROR:    ASGI callable returned without starting response."
[ "$seen" = "$expected" ] || { echo "That has changed." >&2; exit 1; }
