#!/usr/bin/env bash
# Two frameworks give an "id" to the turns of a talk that names no turn. LangChain's dumpd() puts the class path under
# "id", so all human messages of all talks have the same one; the message's own id is one level deeper. OpenAI Agents,
# with a model of the Chat Completions kind, gives "__fake_id__" to every answer and every tool call in to_input_list().
# A store that takes turns of one id for one turn drops all but the first.
#
# Versions: langchain-core 1.8.3, openai-agents 0.24.0, openai 3.57.0. The model is a loopback server in this script.
# Source: langchain_core/load/serializable.py of langchain-core, FAKE_RESPONSES_ID in agents/models/fake_id.py of openai-agents.
# Seen: langchain-core: 4 messages, 2 ids: HumanMessage AIMessage
#       openai-agents: 6 items, 3 with an id, 1 ids: __fake_id__
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet langchain-core==1.8.3 openai-agents==0.24.0 openai==3.57.0
cat >ask.py <<'PY'
import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool, set_tracing_disabled
from langchain_core.load import dumpd
from langchain_core.messages import AIMessage, HumanMessage
from openai import AsyncOpenAI

talk = [HumanMessage("When do beans go out?"), AIMessage("In May."), HumanMessage("And kale?"), AIMessage("In June.")]
ids = dict.fromkeys(tuple(dumpd(message)["id"]) for message in talk)
print(f"langchain-core: {len(talk)} messages, {len(ids)} ids:", *(each[-1] for each in ids))

CALL = {"id": "call_1", "type": "function", "function": {"name": "last_frost", "arguments": "{}"}}
ANSWERS = iter([
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "assistant", "content": "After the last frost, on 15 May."},
    {"role": "assistant", "content": "In June."},
])


class Model(BaseHTTPRequestHandler):
    """Chat Completions, one answer after the other."""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        choice = {"index": 0, "finish_reason": "stop", "message": next(ANSWERS)}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@function_tool
def last_frost() -> str:
    """The day of the last frost."""
    return "15 May"


async def main(port):
    client = AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none")
    agent = Agent(name="gardener", model=OpenAIChatCompletionsModel("m", client), tools=[last_frost])
    first = (await Runner.run(agent, "When do beans go out?")).to_input_list()
    second = await Runner.run(agent, [*first, {"role": "user", "content": "And kale?"}])
    items = second.to_input_list()
    named = [item["id"] for item in items if "id" in item]
    print(f"openai-agents: {len(items)} items, {len(named)} with an id, {len(set(named))} ids:", *set(named))


set_tracing_disabled(True)
server = HTTPServer(("127.0.0.1", 0), Model)
threading.Thread(target=server.serve_forever, daemon=True).start()
asyncio.run(main(server.server_port))
PY
venv/bin/python ask.py | tee seen
diff seen - <<'SEEN' || { echo "This has changed."; exit 1; }
langchain-core: 4 messages, 2 ids: HumanMessage AIMessage
openai-agents: 6 items, 3 with an id, 1 ids: __fake_id__
SEEN
