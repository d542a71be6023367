"""Serves the child's verbs by the MCP SDK: what the front does not answer itself, and both eras of the protocol."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.runner import serve_dual_era_loop
from mcp.shared.message import SessionMessage

from front import Answers


def server_of(calls: Answers) -> Server[Any]:
    """The SDK's server of these verbs."""

    async def list_tools(_context: object, _params: object) -> types.ListToolsResult:
        return types.ListToolsResult.model_validate(calls.listed())

    async def call_tool(_context: object, params: types.CallToolRequestParams) -> types.CallToolResult:
        result = calls.answer(params.name, params.arguments or {})
        return types.CallToolResult.model_validate(result if isinstance(result, dict) else await result)

    return Server("coaia", on_list_tools=list_tools, on_call_tool=call_tool)


class SdkServer:
    """The SDK's server for one client, whose lines it is given; its own go to `write`."""

    def __init__(self, calls: Answers, write: Callable[[bytes], Awaitable[None]]) -> None:
        self._write = write
        self._unheard: object = None
        """The request whose answer the client has had already."""
        self._lines, incoming = anyio.create_memory_object_stream[SessionMessage | Exception]()
        outgoing, self._messages = anyio.create_memory_object_stream[SessionMessage]()
        self._streams = (self._lines, incoming, outgoing, self._messages)
        serving = serve_dual_era_loop(server_of(calls), incoming, outgoing, lifespan_state=None)
        self._tasks = [asyncio.create_task(serving), asyncio.create_task(self._pass_on())]

    async def take(self, line: bytes) -> None:
        """Answer a line; what is no message is left aside."""
        try:
            message = types.jsonrpc_message_adapter.validate_json(line, by_name=False)
        except ValueError:
            return
        await self._lines.send(SessionMessage(message))

    async def take_handshake(self, line: bytes) -> None:
        """Take a handshake that the client has been through."""
        message = types.jsonrpc_message_adapter.validate_json(line, by_name=False)
        self._unheard = getattr(message, "id", None)
        await self._lines.send(SessionMessage(message))
        done = types.JSONRPCNotification(jsonrpc="2.0", method="notifications/initialized")
        await self._lines.send(SessionMessage(done))

    async def aclose(self) -> None:
        """End it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        for stream in self._streams:
            stream.close()

    async def _pass_on(self) -> None:
        async for item in self._messages:
            identity = getattr(item.message, "id", None)
            if self._unheard is not None and identity == self._unheard:
                self._unheard = None
                continue
            await self._write(item.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")


async def serve_stdio(calls: Answers, answers: int) -> None:
    """Serve standard input over the SDK's own streams, where asyncio has no pipes."""
    from mcp.server.stdio import stdio_server

    stdout = anyio.wrap_file(os.fdopen(answers, "w", encoding="utf-8"))
    async with stdio_server(stdout=stdout) as (read, write):
        await serve_dual_era_loop(server_of(calls), read, write, lifespan_state=None)
