#!/usr/bin/env bash
# A prompt of an MCP server may hold a resource: the document itself, with its address and its media type, which is how
# the specification (2025-06-18, Prompts, "Embedded Resources") has a server bring material into a talk without putting it
# into the person's words. The adapters of LangChain and of LlamaIndex take prompts of text alone: one such part, in
# whichever message, and all of the prompt is refused with an error, its text too. Both read the same document without
# trouble where it is asked for as a resource.
#
# Versions: langchain-mcp-adapters 0.3.2 with mcp 1.30.0, llama-index-tools-mcp 0.6.0 with mcp 2.1.1; the server is of mcp 1.30.0.
# Source: langchain_mcp_adapters/prompts.py convert_mcp_prompt_message_to_langchain_message; llama_index/tools/mcp/client.py
#         BasicMCPClient.get_prompt
# Seen: LangChain: the prompt: ValueError: Unsupported prompt message content type: resource
#       LangChain: the resource: pH 6.3
#       LlamaIndex: the prompt: NotImplementedError: Embedded resources are not supported yet
#       LlamaIndex: the resource: pH 6.3
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >server.py <<'PY'
from mcp.server.fastmcp import FastMCP
from mcp.server.fastmcp.prompts.base import UserMessage
from mcp.types import EmbeddedResource, TextResourceContents

server = FastMCP("garden")


@server.resource("notes://soil", mime_type="text/plain")
def soil() -> str:
    return "pH 6.3"


@server.prompt()
def review() -> list[UserMessage]:
    notes = TextResourceContents(uri="notes://soil", mimeType="text/plain", text="pH 6.3")
    return [
        UserMessage("What do the notes say?"),
        UserMessage(EmbeddedResource(type="resource", resource=notes)),
    ]


server.run()
PY
cat >of_langchain.py <<'PY'
import asyncio
import sys

from langchain_mcp_adapters.client import MultiServerMCPClient


async def main() -> None:
    client = MultiServerMCPClient({"garden": {"command": sys.executable, "args": ["server.py"], "transport": "stdio"}})
    try:
        print("LangChain: the prompt:", await client.get_prompt("garden", "review"))
    except Exception as error:
        while isinstance(error, ExceptionGroup):  # of the tasks in which it ran
            error = error.exceptions[0]
        print(f"LangChain: the prompt: {type(error).__name__}: {error}")
    found = await client.get_resources("garden", uris=["notes://soil"])
    print("LangChain: the resource:", found[0].as_string())


asyncio.run(main())
PY
cat >of_llama_index.py <<'PY'
import asyncio
import sys

from llama_index.tools.mcp import BasicMCPClient


async def main() -> None:
    client = BasicMCPClient(sys.argv[1], args=["server.py"])
    try:
        print("LlamaIndex: the prompt:", await client.get_prompt("review"))
    except Exception as error:
        while isinstance(error, ExceptionGroup):  # of the tasks in which it ran
            error = error.exceptions[0]
        print(f"LlamaIndex: the prompt: {type(error).__name__}: {error}")
    found = await client.read_resource("notes://soil")
    print("LlamaIndex: the resource:", found.contents[0].text)


asyncio.run(main())
PY
"${PYTHON:-python3.11}" -m venv langchain-venv
"${PYTHON:-python3.11}" -m venv llama-venv
langchain-venv/bin/pip install --quiet langchain-mcp-adapters==0.3.2 mcp==1.30.0
llama-venv/bin/pip install --quiet llama-index-tools-mcp==0.6.0 mcp==2.1.1
{ langchain-venv/bin/python of_langchain.py && llama-venv/bin/python of_llama_index.py langchain-venv/bin/python; } 2>log | tee seen || { cat log; exit 1; }
diff seen - <<'SEEN' || { echo "This has changed."; exit 1; }
LangChain: the prompt: ValueError: Unsupported prompt message content type: resource
LangChain: the resource: pH 6.3
LlamaIndex: the prompt: NotImplementedError: Embedded resources are not supported yet
LlamaIndex: the resource: pH 6.3
SEEN
