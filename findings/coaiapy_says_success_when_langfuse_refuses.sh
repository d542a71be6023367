#!/usr/bin/env bash
# The tracing tools of coaiapy-mcp answer success whatever Langfuse says: the status of its answer is never read, so a wrong
# key (401), a fault (500) and a login page (HTML) look like a trace that arrived. Inputs and outputs that are false in
# Python (0, false, an empty list) are left out of what is sent. Who wants to know whether traces arrive must ask for one.
#
# Versions: coaiapy-mcp 0.4.3 with coaiapy 0.6.2
# Source: the packages themselves, against a server on this machine
# Seen: 200 True
#       401 True
#       500 True
#       html True
#       sent of input 0 and output []: none
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check coaiapy-mcp==0.4.3 coaiapy==0.6.2
cat >"$folder/look.py" <<'PY'
import asyncio
import http.server
import json
import os
import sys
import threading

mood, bodies = ["200"], []


class Langfuse(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        bodies.append(self.rfile.read(int(self.headers["content-length"])).decode())
        text = "<html>log in</html>" if mood[0] == "html" else json.dumps({"message": "no"} if mood[0] != "200" else {})
        self.send_response(200 if mood[0] == "html" else int(mood[0]))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Langfuse)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ |= {
    "LANGFUSE_PUBLIC_KEY": "pk-lf-of-nobody",
    "LANGFUSE_SECRET_KEY": "sk-lf-of-nobody",
    "LANGFUSE_HOST": f"http://127.0.0.1:{server.server_port}",
}
from coaiapy_mcp import tools  # noqa: E402  it reads the environment

for mood[0] in ("200", "401", "500", "html"):
    answer = asyncio.run(tools.coaia_fuse_trace_create("3f2b8c1e-0000-4000-8000-000000000001", name="fern"))
    print(mood[0], answer.get("success"), file=sys.stderr)
mood[0] = "200"
bodies.clear()
asyncio.run(
    tools.coaia_fuse_trace_create("3f2b8c1e-0000-4000-8000-000000000002", name="fern", input_data=0, output_data=[])
)
body = json.loads(bodies[-1])["batch"][0]["body"] if "batch" in bodies[-1] else json.loads(bodies[-1])
sent = [name for name in ("input", "output") if body.get(name) is not None]
print("sent of input 0 and output []:", ", ".join(sent) or "none", file=sys.stderr)
PY
seen=$(cd "$folder" && env -i PATH="$PATH" HOME="$folder" "$folder/venv/bin/python" "$folder/look.py" 2>&1 >/dev/null | grep -E '^(200|401|500|html|sent) ')
echo "$seen"
[ "$seen" = "200 True
401 True
500 True
html True
sent of input 0 and output []: none" ] || exit 1
