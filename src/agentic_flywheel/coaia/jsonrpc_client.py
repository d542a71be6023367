"""Asks a child's MCP server: the handshake, its list of tools, and calls, over lines of JSON-RPC.

The SDK's client would cost a program that only reads the journal half a second, and validates every answer several
times. What a `coaiapy-mcp` needs of a client is this much, whatever SDK it is built on.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, cast

from pydantic_core import from_json, to_json

from agentic_flywheel import __version__
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.pipes import Write, passed

logger = logging.getLogger(__name__)

PROTOCOL_VERSION = "2025-11-25"
"""The newest with a handshake; a server that knows only older ones answers with one of those, which is as good."""

PAGES = 20
"""Pages of tools that are asked for."""

METHOD_NOT_FOUND, INTERNAL_ERROR = -32601, -32603


class RequestError(Exception):
    """The server answered with a JSON-RPC error; its words may be those of a conversation."""

    def __init__(self, code: object) -> None:
        super().__init__(f"error {code}")
        self.code = code


class ConnectionEndedError(Exception):
    """The server has gone, or reads nothing more."""


class JSONRPCClient:
    """A client of one server. Requests that nobody waits for any more are not cancelled: that kills the stock child."""

    def __init__(self, next_line: Callable[[], Awaitable[bytes]], write: Write) -> None:
        self._next_line = next_line
        self._write = write
        self._last_id = 0
        self._waiting: dict[str, asyncio.Future[JSONObject]] = {}
        self._closed = False
        self.heard_at = 0.0
        """When the server last wrote a message, in the event loop's time."""

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncGenerator[None]:
        """Take in answers meanwhile."""
        task = asyncio.create_task(self._read(), name="coaia client")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def initialize(self) -> None:
        """Shake hands, as every MCP server knows it."""
        client = {"name": "agentic-flywheel-state", "version": __version__}
        params = {"protocolVersion": PROTOCOL_VERSION, "capabilities": {}, "clientInfo": client}
        answer = await self.request("initialize", params)
        if not isinstance(answer.get("protocolVersion"), str) or not isinstance(answer.get("capabilities"), dict):
            raise ValueError("its answer to the handshake is none")
        await self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    async def tools(self) -> list[JSONObject]:
        """What the server offers, on up to `PAGES` pages."""
        found: list[JSONObject] = []
        params: JSONObject = {}
        for _ in range(PAGES):
            page = await self.request("tools/list", params)
            listed = page.get("tools")
            if not isinstance(listed, list):
                raise ValueError("its list of tools is no list")
            found += [cast("JSONObject", tool) for tool in cast("list[object]", listed) if isinstance(tool, dict)]
            if not page.get("nextCursor"):
                break
            params = {"cursor": page["nextCursor"]}
        return found

    async def request(self, method: str, params: JSONObject) -> JSONObject:
        """The result of a request.

        Raises:
            RequestError: the server answered with an error.
            ConnectionEndedError: it cannot answer any more.
            PydanticSerializationError: the parameters hold what JSON cannot carry; nothing was sent.

        """
        if self._closed:
            raise ConnectionEndedError("connection closed")
        self._last_id += 1
        identity = self._last_id
        answer: asyncio.Future[JSONObject] = asyncio.get_running_loop().create_future()
        self._waiting[str(identity)] = answer
        try:
            await self._send({"jsonrpc": "2.0", "id": identity, "method": method, "params": params})
            return await answer
        finally:
            del self._waiting[str(identity)]
            if answer.done() and not answer.cancelled():
                answer.exception()  # seen: where sending failed meanwhile nobody waits for it, and asyncio complains

    async def _send(self, message: JSONObject) -> None:
        line = to_json(message) + b"\n"
        passed(line)
        try:
            await self._write(line)
        except OSError as exc:
            raise ConnectionEndedError("connection closed") from exc

    async def _read(self) -> None:
        try:
            while line := await self._next_line():
                passed(line)
                try:
                    message: Any = from_json(line)
                except ValueError:
                    message = None
                if isinstance(message, dict):
                    self.heard_at = asyncio.get_running_loop().time()
                    await self._take(cast("JSONObject", message))
                else:  # a stray print
                    logger.debug("The coaia child wrote a line that is no message (%d bytes).", len(line))
        except ConnectionEndedError:  # said below to whoever waits
            pass
        finally:
            self._closed = True
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(ConnectionEndedError("connection closed"))

    async def _take(self, message: JSONObject) -> None:
        """An answer, a request, which but for a ping is beyond us, or a notification, which says us nothing."""
        identity = message.get("id")
        if "method" in message:
            if identity is not None:
                known = message["method"] == "ping"
                error = {"code": METHOD_NOT_FOUND, "message": "Method not found"}
                await self._send({"jsonrpc": "2.0", "id": identity} | ({"result": {}} if known else {"error": error}))
            return
        answer = self._waiting.get(str(identity))
        if answer is None or answer.done():
            return
        if isinstance(result := message.get("result"), dict):
            answer.set_result(cast("JSONObject", result))
        else:
            error = message.get("error")
            code = cast("JSONObject", error).get("code") if isinstance(error, dict) else INTERNAL_ERROR
            answer.set_exception(RequestError(code))
