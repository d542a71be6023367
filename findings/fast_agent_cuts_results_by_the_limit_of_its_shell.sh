#!/usr/bin/env bash
# fast-agent has a setting for its shell tool, shell_execution.output_byte_limit: "Model-facing shell output preview bytes",
# 16,000 if nothing is said. It also decides how much of any MCP tool's result the model is shown, in a program without a
# shell too: of a longer one the middle is gone. The model is advised to ask for less; that the reason is the setting of
# another tool, which somebody may have made small for that tool's sake, is not said.
#
# Versions: fast-agent-mcp 0.10.48 with its own model `passthrough`, mcp 2.3.0, Python 3.13.
# Source: fast_agent/mcp/tool_result_truncation.py and _prepare_planned_tool_result in fast_agent/agents/mcp_agent.py
# Seen: nothing said about a shell: 16000 of 31901 bytes
#       shell_execution.output_byte_limit 4000: 4000 of 31901 bytes
#       shell_execution.output_byte_limit 50000: all
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3.13}" -m venv env
env/bin/pip install --quiet --disable-pip-version-check fast-agent-mcp==0.10.48 mcp==2.3.0
cat >server.py <<'PY'
from mcp.server import MCPServer

server = MCPServer("book")


@server.tool()
def lines() -> str:
    """Three thousand lines."""
    return "\n".join(f"line {number}" for number in range(3000))


server.run("stdio")
PY
cat >look.py <<'PY'
import re
import sys

shown = sys.stdin.read()
cut = re.search(r"showing first (\d+) bytes and last (\d+) bytes of (\d+) bytes", shown)
if not cut and not ("line 0" in shown and "line 2999" in shown):
    sys.exit(shown[-500:])
print(f"{int(cut[1]) + int(cut[2])} of {cut[3]} bytes" if cut else "all")
PY
ask() { # the setting
    cat >fastagent.config.yaml <<YAML
default_model: passthrough
$1
mcp:
  servers:
    book: {command: "$folder/env/bin/python", args: ["$folder/server.py"]}
YAML
    env -i HOME="$folder" PATH=/usr/bin:/bin env/bin/fast-agent go --quiet --servers book --model passthrough \
        --message '***CALL_TOOL book__lines {}' </dev/null 2>log | env/bin/python look.py || { cat log >&2; exit 1; }
}
{
    echo "nothing said about a shell: $(ask "")"
    for limit in 4000 50000; do
        echo "shell_execution.output_byte_limit $limit: $(ask "shell_execution: {output_byte_limit: $limit}")"
    done
} | tee seen
diff seen - <<'SEEN' || { echo "This has changed."; exit 1; }
nothing said about a shell: 16000 of 31901 bytes
shell_execution.output_byte_limit 4000: 4000 of 31901 bytes
shell_execution.output_byte_limit 50000: all
SEEN
