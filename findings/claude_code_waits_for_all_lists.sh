#!/usr/bin/env bash
# Claude Code offers its model none of a server's tools at the first request while the acknowledgement of
# subscriptions/listen, resources/list or prompts/list is outstanding, though tools/list was answered at once: the server
# stays "pending", and its tools are absent from the list with which a headless session begins. One that declares
# resources and builds their list slowly (from a database, over a network) loses its tools for that request.
#
# Versions: @anthropic-ai/claude-code-linux-x64 2.1.332 (native program of @anthropic-ai/claude-code), Node's npm to fetch it.
# Source: the program itself; https://modelcontextprotocol.io/specification/2026-07-28 (subscriptions, resources, prompts)
# Seen: all at once: connected, 1 tool
#       subscriptions/listen in 4 s: pending, 0 tools
#       resources/list in 4 s: pending, 0 tools
#       prompts/list in 4 s: pending, 0 tools
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --ignore-scripts --no-save --prefix "$folder" @anthropic-ai/claude-code-linux-x64@2.1.332 >log 2>&1
claude="$folder/node_modules/@anthropic-ai/claude-code-linux-x64/claude"
cat >server.py <<'PY'
"""Answers a client of 2026-07-28 at once, but for one method, which takes four seconds."""
import json
import sys
import threading
import time

slow = sys.argv[1]
lock = threading.Lock()
TOOL = {"name": "count", "description": "Count to three.", "inputSchema": {"type": "object", "properties": {}}}
CAN = {"tools": {"listChanged": True}, "resources": {"listChanged": True}, "prompts": {"listChanged": True}}
SELF = {"name": "s", "version": "1"}
LISTS = {"tools/list": {"tools": [TOOL]}, "resources/list": {"resources": []}, "prompts/list": {"prompts": []},
         "resources/templates/list": {"resourceTemplates": []}}


def say(message, after):
    time.sleep(after)
    with lock:
        print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


for line in sys.stdin:
    asked = json.loads(line)
    method, params = asked.get("method"), asked.get("params") or {}
    if "id" not in asked:
        continue
    after = 4 if method == slow else 0
    new = "io.modelcontextprotocol/protocolVersion" in params.get("_meta", {})
    more = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"} if new else {}
    if method == "server/discover":
        result = {"supportedVersions": ["2026-07-28"], "capabilities": CAN, "serverInfo": SELF, **more}
    elif method == "initialize":
        result = {"protocolVersion": params["protocolVersion"], "capabilities": CAN, "serverInfo": SELF}
    elif method in LISTS:
        result = LISTS[method] | more
    elif method == "subscriptions/listen":
        told = {"_meta": {"io.modelcontextprotocol/subscriptionId": asked["id"]}, "notifications": params["notifications"]}
        message = {"method": "notifications/subscriptions/acknowledged", "params": told}
        threading.Thread(target=say, args=(message, after), daemon=True).start()
        continue
    else:
        result = None
    error = {"error": {"code": -32601, "message": "Method not found"}}
    message = {"id": asked["id"], **({"result": result} if result is not None else error)}
    threading.Thread(target=say, args=(message, after), daemon=True).start()
PY
cat >begun.py <<'PY'
import json
import sys

begun = next(event for event in map(json.loads, sys.stdin) if event.get("subtype") == "init")
(server,) = begun["mcp_servers"]
print(f"{sys.argv[1]}: {server['status']}, {sum('count' in tool for tool in begun['tools'])} tool{sys.argv[2]}")
PY
python=$(command -v "${PYTHON:-python3}")
ask() { # what is slow, how that is said, plural
    home=$(mktemp -d -p "$folder")
    # Port 9 is closed: the model is never reached, the session begins all the same.
    alone=(env -i PATH=/usr/bin:/bin HOME="$home" TERM=dumb ANTHROPIC_BASE_URL=http://127.0.0.1:9 ANTHROPIC_API_KEY=dummy
        DISABLE_TELEMETRY=1 CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1)
    cd "$home"
    "${alone[@]}" "$claude" mcp add --scope user s -- "$python" "$folder/server.py" "$1" >/dev/null
    "${alone[@]}" "$claude" -p go --output-format stream-json --verbose </dev/null >events 2>&1 &
    for _ in $(seq 150); do grep -q '"subtype":"init"' events && break; sleep 0.1; done
    kill $! && wait $! 2>/dev/null || true
    "$python" "$folder/begun.py" "$2" "$3" < <(grep '"subtype":"init"' events)
    cd "$folder"
}
{
    ask none "all at once" ""
    for slow in subscriptions/listen resources/list prompts/list; do ask "$slow" "$slow in 4 s" "s"; done
} | tee seen
diff seen - <<'SEEN' || { echo "This has changed."; exit 1; }
all at once: connected, 1 tool
subscriptions/listen in 4 s: pending, 0 tools
resources/list in 4 s: pending, 0 tools
prompts/list in 4 s: pending, 0 tools
SEEN
