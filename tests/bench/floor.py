"""The floor: what MCP SDK 2 costs by itself. Servers as small as they can be, run as `floor.py empty|outer|inner`.

`empty` has one tool and keeps text in memory. `outer` hands each call to an `inner` of its own over stdio, and that
one does a Redis SET or GET: two plain hops with no revision, no expiry, no journal.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mcp.server.mcpserver import MCPServer

STORED = "stored"


def empty() -> MCPServer[None]:
    """One tool, nothing behind it."""
    server = MCPServer("empty")
    kept: dict[str, str] = {}

    @server.tool()
    def echo(key: str, value: str) -> str:
        """Keep a text; without one, say what was kept."""
        if not value:
            return kept[key]
        kept[key] = value
        return STORED

    return server


def inner() -> MCPServer[None]:
    """SET and GET."""
    import redis

    server = MCPServer("inner")
    client: Any = redis.from_url(os.environ["REDIS_URL"], decode_responses=True)

    @server.tool()
    def put(key: str, value: str) -> str:
        """Keep a text."""
        client.set(key, value)
        return STORED

    @server.tool()
    def get(key: str) -> str:
        """Say what was kept."""
        return client.get(key) or ""

    return server


def outer() -> MCPServer[None]:
    """The same two tools, which ask the inner server."""
    from mcp import Client, StdioServerParameters
    from mcp_types import TextContent

    command = StdioServerParameters(
        command=sys.executable, args=["-P", __file__, "inner"], env={"REDIS_URL": os.environ["REDIS_URL"]}
    )
    clients: list[Client] = []

    @asynccontextmanager
    async def lifespan(_: MCPServer[None]) -> AsyncIterator[None]:
        async with Client(command) as client:
            clients.append(client)
            yield

    server = MCPServer[None]("outer", lifespan=lifespan)

    async def ask(tool: str, **arguments: str) -> str:
        result = await clients[0].call_tool(tool, arguments)
        (content,) = result.content
        assert isinstance(content, TextContent)
        return content.text

    @server.tool()
    async def put(key: str, value: str) -> str:
        """Keep a text."""
        return await ask("put", key=key, value=value)

    @server.tool()
    async def get(key: str) -> str:
        """Say what was kept."""
        return await ask("get", key=key)

    return server


if __name__ == "__main__":
    {"empty": empty, "inner": inner, "outer": outer}[sys.argv[1]]().run()
