#!/usr/bin/env bash
# Two MCP servers may each have a tool called "search"; the specification asks for names that are unique within a server.
# Most programs put the server's name before the tool's. Two do not, and say nothing of it. nanocoder offers its model the
# tool of the server that is named last in its settings; that of the other one cannot be called any more. Continue offers
# both under the one name, with their two descriptions, and sends every call to the server that is named first.
#
# Versions: @nanocollective/nanocoder 1.30.0, @continuedev/cli 1.5.47, node 24.21.0 (of npm), Python for servers and model.
# Source: the programs themselves, in front of a model that this script is; https://modelcontextprotocol.io/specification/2025-11-25/server/tools
# Seen: nanocoder offers: Search in mail
#       nanocoder is answered by: mail
#       Continue offers: Search in docs, Search in mail
#       Continue is answered by: docs
set -euo pipefail
folder=$(mktemp -d)
model=""
trap '[ -z "$model" ] || kill "$model"; rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-save --prefix "$folder" node@24.21.0 @nanocollective/nanocoder@1.30.0 @continuedev/cli@1.5.47 >log 2>&1
python=$(command -v "${PYTHON:-python3}")
port=$("$python" -c "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1])")
cat >server.py <<'PY'
import json
import sys

where = sys.argv[1]
TOOL = {"name": "search", "description": f"Search in {where}", "inputSchema": {"type": "object", "properties": {}}}
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    result = {
        "initialize": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": where, "version": "1"}},
        "tools/list": {"tools": [TOOL]},
        "tools/call": {"content": [{"type": "text", "text": f"found in {where}"}]},
    }.get(asked["method"], {})
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)
PY
cat >model.py <<'PY'
"""A model that calls `search` once, and writes down what it was offered and answered."""
import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Model(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        self.answer(json.dumps({"object": "list", "data": [{"id": "m", "object": "model"}]}), "application/json")

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        tools = [tool["function"] for tool in body.get("tools", [])]
        offered = [re.search(r"Search in \w+", tool["description"])[0] for tool in tools if tool["name"] == "search"]
        results = [message["content"] for message in body["messages"] if message["role"] == "tool"]
        if results:
            with open("seen", "w", encoding="utf-8") as seen:
                print("offers:", ", ".join(offered), file=seen)
                print("is answered by:", re.search(r"found in (\w+)", str(results))[1], file=seen)
        call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "search", "arguments": "{}"}}
        says = {"content": "Done."} if results or not offered else {"tool_calls": [call]}
        ends = "tool_calls" if "tool_calls" in says else "stop"
        of_it = {"id": "r", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        parts = [{"delta": {"role": "assistant"} | says, "finish_reason": None}, {"delta": {}, "finish_reason": ends}]
        lines = [f"data: {json.dumps(of_it | {'choices': [{'index': 0} | part]})}\n\n" for part in parts]
        self.answer("".join(lines) + "data: [DONE]\n\n", "text/event-stream")

    def answer(self, text, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Model).serve_forever()
PY
cat >agents.config.json <<JSON
{"nanocoder": {"providers": [{"name": "fake", "baseUrl": "http://127.0.0.1:$port/v1", "apiKey": "none", "models": ["m"]}]}}
JSON
cat >.mcp.json <<JSON
{"mcpServers": {"docs": {"transport": "stdio", "command": "$python", "args": ["$folder/server.py", "docs"]},
                "mail": {"transport": "stdio", "command": "$python", "args": ["$folder/server.py", "mail"]}}}
JSON
cat >config.yaml <<YAML
name: two
version: 0.0.1
schema: v1
models: [{name: m, provider: openai, model: m, apiKey: none, apiBase: "http://127.0.0.1:$port/v1", roles: [chat], capabilities: [tool_use]}]
mcpServers:
  - {name: docs, command: "$python", args: ["$folder/server.py", docs]}
  - {name: mail, command: "$python", args: ["$folder/server.py", mail]}
YAML
"$python" model.py "$port" >>log 2>&1 &
model=$!
for _ in $(seq 100); do "$python" -c "import socket; socket.create_connection(('127.0.0.1', $port))" 2>/dev/null && break; sleep 0.1; done
run() { # name, program and its arguments
    local name=$1; shift
    rm -f seen
    env -i HOME="$folder/home" PATH="$folder/node_modules/.bin:/usr/bin:/bin" TERM=dumb timeout 120 "$@" </dev/null >>log 2>&1 ||
        { tail -n 5 log >&2; exit 1; }
    sed "s/^/$name /" seen
}
mkdir home
{
    run nanocoder nanocoder --provider fake --model m --mode yolo --trust-directory --plain run "Search."
    run Continue cn --config config.yaml -p --auto "Search."
} | tee all
diff all - <<'SEEN' || { echo "This has changed."; exit 1; }
nanocoder offers: Search in mail
nanocoder is answered by: mail
Continue offers: Search in docs, Search in mail
Continue is answered by: docs
SEEN
