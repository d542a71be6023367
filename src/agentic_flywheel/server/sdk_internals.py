"""Reaches for the private and provisional parts of the MCP SDK, each in one small function that says why.

No other file of this package may. `tests/unit/test_sdk_internals.py` fails where a release moves any of them.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from mcp.server.context import CallNext, HandlerResult, ServerMiddleware, ServerRequestContext
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.tools import Tool
from mcp.server.models import InitializationOptions
from mcp.shared._stream_protocols import ReadStream, WriteStream
from mcp.shared.message import SessionMessage
from mcp_types import RequestParams
from pydantic import BaseModel

from agentic_flywheel.json_text import JSONObject

__all__ = [
    "CallNext",
    "HandlerResult",
    "ServerRequestContext",
    "add_middleware",
    "add_request_handler",
    "lowlevel_of",
    "options_of",
    "run_over",
    "schemas_of",
    "set_schemas",
]

Params = TypeVar("Params", bound=RequestParams)


async def run_over(
    server: MCPServer[Any], incoming: ReadStream[SessionMessage | Exception], outgoing: WriteStream[SessionMessage]
) -> None:
    """Serve over these streams: `MCPServer` runs only over transports of its own.

    Reaches for `run` of its low-level server and for the names of the types of its streams.
    """
    lowlevel = lowlevel_of(server)
    await lowlevel.run(incoming, outgoing, options_of(lowlevel))


def lowlevel_of(server: MCPServer[Any]) -> Server[Any]:
    """What our transport over HTTP serves: `MCPServer` builds an application of its own, whose limits are not ours.

    Reaches for `MCPServer._lowlevel_server`.
    """
    return server._lowlevel_server  # pyright: ignore[reportPrivateUsage]  # noqa: SLF001


def options_of(lowlevel: Server[Any]) -> InitializationOptions:
    """What `initialize` answers: that lists may change, as newer clients hear it by `server/discover`."""
    changes = NotificationOptions(prompts_changed=True, resources_changed=True, tools_changed=True)
    return lowlevel.create_initialization_options(changes)


def add_request_handler(
    server: MCPServer[Any],
    method: str,
    params: type[Params],
    handler: Callable[[ServerRequestContext[Any, Any], Params], Awaitable[BaseModel]],
) -> None:
    """Handle a request that `MCPServer` has no decorator for: the subscriptions of clients before 2026-07-28.

    Reaches for `add_request_handler` of its low-level server.
    """
    lowlevel_of(server).add_request_handler(method, params, handler)


def add_middleware(server: MCPServer[Any], middleware: ServerMiddleware[Any]) -> None:
    """Put a middleware inside of those that are there: only these see each request and its finished answer.

    Reaches for `MCPServer.middleware`, whose signature the SDK calls provisional.
    """
    server.middleware.append(middleware)


def schemas_of(tool: Tool) -> tuple[JSONObject, JSONObject | None]:
    """The schemas of a tool's arguments and of its result, as the SDK made them."""
    return tool.parameters, tool.fn_metadata.output_schema


def set_schemas(tool: Tool, parameters: JSONObject, output: JSONObject | None) -> None:
    """Publish other schemas than the SDK made: shorter ones that say the same.

    Reaches for `Tool.parameters` and `Tool.fn_metadata.output_schema`, which the SDK calls internal.
    """
    tool.parameters = parameters
    tool.fn_metadata.output_schema = output
