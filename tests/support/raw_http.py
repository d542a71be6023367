"""A client that costs next to nothing: one connection, one request of 2026-07-28 at a time, as bytes."""

import asyncio
import json
from typing import Any

from .http import META


class RawClient:
    """One kept connection to a server over HTTP; opened when it is needed."""

    def __init__(self, port: int, token: str = "") -> None:
        self.port = port
        self._token = f"authorization: Bearer {token}\r\n" if token else ""
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        """The structured answer of a tool.

        Raises:
            OSError, EOFError: the connection broke; it is opened anew by the next call.

        """
        params = {"name": name, "arguments": arguments, "_meta": META}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
        head = (
            f"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\n{self._token}content-type: application/json\r\n"
            "accept: application/json, text/event-stream\r\nmcp-protocol-version: 2026-07-28\r\n"
            f"mcp-method: tools/call\r\nmcp-name: {name}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        try:
            status, answer = await self._exchanged(head.encode() + body)
        except (OSError, EOFError):
            self.close()
            raise
        assert status == 200, (status, answer[:500])
        return json.loads(answer)["result"]["structuredContent"]

    async def _exchanged(self, data: bytes) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self._streams
        writer.write(data)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        size = next(int(line.partition(":")[2]) for line in head.splitlines() if line.startswith("content-length:"))
        return int(head.split()[1]), await reader.readexactly(size)

    def close(self) -> None:
        if self._streams:
            self._streams[1].close()
            self._streams = None
