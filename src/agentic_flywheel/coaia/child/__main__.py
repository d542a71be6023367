"""The program: serves coaiapy-mcp's Redis tools under MCP SDK 2, with the verbs they lack.

It uses the Redis client that coaiapy-mcp's own tools use. Every reply is `{"success": true, …}` or `{"success": false,
"error": "…"}`, as coaiapy-mcp's own are. It never logs a key or a value.

Environment: `REDIS_URL` (validated by the parent), `REDIS_CLUSTER` ("true"), `FLYWHEEL_CHILD_SOCKET_TIMEOUT`
(seconds), `FLYWHEEL_CHILD_PARENT` (its pid). The parent also sees to a private folder and HOME (`coaia/launch.py`).
"""

# pyright: basic
# redis-py 4 and coaiapy have no types; in strict mode every line that touches them would be an error.

import asyncio
import ctypes
import importlib.util
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import mcp_types as types
import redis
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.runner import serve_loop

from bulk_tools import Bulk
from document_tools import Documents
from health_tools import Health
from index_repair import IndexRepair
from index_tools import Index
from inline_redis import InlineRedis
from redis_client import connect
from redis_errors import words_of
from script_runner import Scripts
from stock_tools import stock_tools

THREADS = 40
"""Calls that Redis is asked at once."""

LAST_WRITE_SECONDS = 0.2
"""How long the parent may take to read the last answer."""


def _property(kind: str | list[str]) -> dict[str, Any]:
    return {"type": kind}


_TEXT, _NUMBER, _LIST = _property("string"), _property("number"), _property(["array", "null"])
_SCHEMAS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "coaia_tash": ({"key": _TEXT, "value": _TEXT, "ttl_seconds": _NUMBER}, ("key", "value")),
    "coaia_fetch": ({"key": _TEXT}, ("key",)),
    "coaia_list": ({"pattern": _TEXT, "limit": _NUMBER, "seconds": _NUMBER}, ()),
    "coaia_drop": ({"key": _TEXT}, ("key",)),
    "coaia_read": ({"key": _TEXT, "tombstone_key": _TEXT}, ("key", "tombstone_key")),
    "coaia_commit": (
        {
            "key": _TEXT, "value": _TEXT, "expected": _TEXT, "ending": _TEXT, "tombstone_key": _TEXT,
            "seen_tombstone": _TEXT, "ttl_seconds": _NUMBER, "delete": _property("boolean"), "entry": _LIST,
            "deletions": _TEXT, "splice": _LIST, "older": _TEXT, "extend_keys": _LIST, "delete_keys": _LIST,
            "forget_before": _NUMBER,
        },
        ("key", "value", "expected", "tombstone_key"),
    ),
    "coaia_index": (
        {"index": _TEXT, "member": _TEXT, "score": _NUMBER, "note": _TEXT, "ttl_seconds": _NUMBER},
        ("index", "member", "score"),
    ),
    "coaia_recent": (
        {
            "index": _TEXT, "documents": _TEXT, "limit": _NUMBER, "before": _LIST, "words": _LIST, "needed": _NUMBER,
            "texts": _LIST, "ids": _LIST, "seconds": _NUMBER, "members": _LIST,
        },
        ("index", "documents"),
    ),
    "coaia_heal": ({"index": _TEXT, "documents": _TEXT, "place": _TEXT}, ("index", "documents")),
    "coaia_marks": ({"keys": _LIST, "tombstone_keys": _LIST}, ("keys", "tombstone_keys")),
    "coaia_parts": ({"members_of": _TEXT, "patterns": _LIST, "seconds": _NUMBER}, ("members_of", "patterns")),
    "coaia_restore": ({"items": _LIST, "index": _TEXT}, ("items", "index")),
    "coaia_watch": (
        {"epoch": _TEXT, "offer": _TEXT, "deletions": _TEXT, "after": _TEXT, "index": _TEXT},
        ("epoch", "offer", "deletions", "after", "index"),
    ),
    "coaia_status": ({}, ()), "coaia_erase": ({"items": _LIST}, ("items",)),
}  # fmt: skip


_STOCK_SHAPED = ("coaia_tash", "coaia_fetch", "coaia_list", "coaia_drop")
"""The verbs that answer as coaiapy-mcp's own do: JSON in text. The others answer structured content."""


def _tool(name: str, description: str | None) -> types.Tool:
    properties, required = _SCHEMAS[name]
    schema = {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}
    return types.Tool(name=name, description=description, input_schema=schema)


class Calls:
    """Calls of the verbs, over our Redis client."""

    def __init__(self) -> None:
        timeout = float(os.environ.get("FLYWHEEL_CHILD_SOCKET_TIMEOUT", "1.5"))
        client = connect(os.environ["REDIS_URL"], timeout, cluster=os.environ.get("REDIS_CLUSTER") == "true")
        scripts = Scripts(client, by_name=type(client) is redis.Redis)
        repair = IndexRepair(client)
        index = Index(client, scripts, repair)
        self._documents = Documents(stock_tools(client), client, scripts, index)
        bulk = Bulk(client, scripts, self._documents, index)
        parts = (self._documents, index, repair, bulk, Health(client))
        self._threads = ThreadPoolExecutor(THREADS)
        self._inline_redis = InlineRedis(client, self._threads)
        self._verbs: dict[str, Callable[..., Any]] = {
            name: next(getattr(part, name) for part in parts if hasattr(part, name)) for name in _SCHEMAS
        }

    def listed(self) -> types.ListToolsResult:
        """The verbs as tools."""
        return types.ListToolsResult(tools=[_tool(name, verb.__doc__) for name, verb in self._verbs.items()])

    async def answer(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The result of a call, as it goes over the wire."""
        try:
            reply = await self._reply(name, arguments)
        except redis.RedisError as exc:
            reply = {"success": False, "error": f"Redis error: {words_of(exc)}"}
        except UnicodeDecodeError:
            reply = {"success": False, "error": "Redis error: DAMAGED the value is not UTF-8 text"}
        except ImportError as exc:
            reply = {"success": False, "error": str(exc)}
        except (TypeError, ValueError, IndexError):
            reply = {"success": False, "error": "Wrong arguments"}
        if name not in _STOCK_SHAPED:  # a document inside of text would be escaped twice
            return {"content": [], "structuredContent": reply}
        text = json.dumps(reply, ensure_ascii=False, separators=(",", ":"))
        return {"content": [{"type": "text", "text": text}]}

    async def _reply(self, name: str, arguments: dict[str, Any]) -> Any:  # noqa: ANN401  what a verb replies
        loop = asyncio.get_running_loop()
        verb = self._verbs.get(name)
        if verb is None:
            return {"success": False, "error": "Unknown tool"}
        if not self._documents.asks_one_script(name, arguments):
            return await loop.run_in_executor(self._threads, partial(verb, **arguments))
        script_call = verb(**arguments)
        try:
            reply = script_call.then(
                await self._inline_redis.ask(script_call.script, script_call.keys, script_call.args)
            )
        except redis.ResponseError:
            if self._documents.asks_one_script(name, arguments):
                raise
            reply = partial(verb, **arguments)  # scripts turn out to be forbidden, and it can do without
        return await loop.run_in_executor(self._threads, reply) if callable(reply) else reply


async def _serve(calls: Calls, answers: int) -> None:
    async def list_tools(_context: object, _params: object) -> types.ListToolsResult:
        return calls.listed()

    async def call_tool(_context: object, params: types.CallToolRequestParams) -> types.CallToolResult:
        return types.CallToolResult.model_validate(await calls.answer(params.name, params.arguments or {}))

    async def calls_first(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Answer a call as it is: the SDK's models of it would walk through each document several times."""
        params = ctx.params or {}
        if ctx.method == "tools/call" and isinstance(params.get("arguments"), dict):
            return await calls.answer(str(params.get("name")), params["arguments"])
        return await call_next(ctx)

    server: Server[Any] = Server("coaia", on_list_tools=list_tools, on_call_tool=call_tool)
    server.middleware[:] = [calls_first]
    async with _stdio(answers) as (read, write):
        await serve_loop(server, read, write, lifespan_state=None)


@asynccontextmanager
async def _stdio(answers: int) -> AsyncGenerator[tuple[Any, Any]]:
    """Standard input and `answers` as the streams of `jsonrpc_lines.py`, or the SDK's where asyncio has no pipes."""
    if sys.platform == "win32":
        from mcp.server.stdio import stdio_server

        async with stdio_server(stdout=anyio.wrap_file(os.fdopen(answers, "w", encoding="utf-8"))) as streams:
            yield streams
        return
    lines = _jsonrpc_lines()
    lines.settle_memory()
    reader = await lines.reader_of(0)
    async with lines.writer_of(answers, LAST_WRITE_SECONDS) as writer:

        async def write(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        async def skip(_line: bytes) -> None:
            """It was no message."""

        yield lines.Incoming(reader.readline, skip), lines.Outgoing(write)


def _jsonrpc_lines() -> ModuleType:
    """The package's module, by its path: this interpreter may be that of an environment without the package."""
    path = Path(__file__).parents[2] / "jsonrpc_lines.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(path.stem)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _die_with_parent() -> None:
    """On Linux the kernel ends this process with its parent, even while a call is stuck; elsewhere EOF does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if str(os.getppid()) != os.environ.get("FLYWHEEL_CHILD_PARENT", str(os.getppid())):
            sys.exit(0)  # it died before we could ask


def main() -> None:
    """Serve until standard input ends."""
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair: it ends this process in its own time
    answers = os.dup(1)
    os.dup2(2, 1)  # coaiapy prints while it is imported: that must not get between two messages
    anyio.run(_serve, Calls(), answers)
    os._exit(0)  # a call that a frozen Redis holds up must not hold up the end


if __name__ == "__main__":
    main()
