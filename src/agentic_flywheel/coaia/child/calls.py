"""Answers calls of the child's verbs: which there are, what each takes, and how its reply goes over the wire.

Every reply is `{"success": true, …}` or `{"success": false, "error": "…"}`, as coaiapy-mcp's own are. No key and no
value is ever logged.
"""

# pyright: basic
# redis-py has no types that hold for all its versions; in strict mode every line that touches it would be an error.

import asyncio
import json
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import redis

from bulk_tools import Bulk
from document_tools import Documents, Reply, ScriptCall
from front import Result
from health_tools import Health
from index_repair import IndexRepair
from index_tools import Index
from inline_redis import InlineRedis
from read_tools import Reads
from redis_errors import words_of
from script_runner import Scripts
from stock_tools import stock_tools

THREADS = 40
"""Calls that Redis is asked at once."""


def _property(kind: str | list[str]) -> dict[str, Any]:
    return {"type": kind}


_TEXT, _NUMBER, _LIST = _property("string"), _property("number"), _property(["array", "null"])
_SCHEMAS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "coaia_tash": ({"key": _TEXT, "value": _TEXT, "ttl_seconds": _NUMBER}, ("key", "value")),
    "coaia_fetch": ({"key": _TEXT}, ("key",)),
    "coaia_list": ({"pattern": _TEXT, "limit": _NUMBER, "seconds": _NUMBER}, ()),
    "coaia_drop": ({"key": _TEXT}, ("key",)),
    "coaia_swap": ({"key": _TEXT, "seen": _TEXT, "value": _TEXT, "field": _TEXT}, ("key", "seen", "value")),
    "coaia_read": ({"key": _TEXT, "tombstone_key": _TEXT}, ("key", "tombstone_key")),
    "coaia_read_some": ({"items": _LIST}, ("items",)),
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
            "index": _TEXT, "documents": _TEXT, "limit": _NUMBER, "before": _LIST, "texts": _LIST,
            "ids": _LIST, "seconds": _NUMBER, "members": _LIST,
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
    "coaia_status": ({}, ()),
    "coaia_erase": ({"items": _LIST, "deletions": _TEXT, "announced": _LIST}, ("items",)),
}  # fmt: skip


_STOCK_SHAPED = ("coaia_tash", "coaia_fetch", "coaia_list", "coaia_drop")
"""The verbs that answer as coaiapy-mcp's own do: JSON in text. The others answer structured content."""


def _tool(name: str, description: str | None) -> dict[str, Any]:
    properties, required = _SCHEMAS[name]
    schema = {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}
    return {"name": name, "description": description, "inputSchema": schema}


class Calls:
    """Calls of the verbs, over our Redis client."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401  it is untyped
        scripts = Scripts(client, by_name=type(client) is redis.Redis)
        repair = IndexRepair(client)
        index = Index(client, scripts, repair)
        self._documents = Documents(stock_tools(client), client, scripts, index)
        bulk = Bulk(client, scripts, self._documents, index)
        parts = (self._documents, Reads(scripts, self._documents), index, repair, bulk, Health(client))
        self._threads = ThreadPoolExecutor(THREADS)
        self._inline_redis = InlineRedis(client, self._threads)
        self._verbs: dict[str, Callable[..., Any]] = {
            name: next(getattr(part, name) for part in parts if hasattr(part, name)) for name in _SCHEMAS
        }

    def listed(self) -> dict[str, Any]:
        """The verbs as tools, as they go over the wire."""
        return {"tools": [_tool(name, verb.__doc__) for name, verb in self._verbs.items()]}

    def answer(self, name: str, arguments: dict[str, Any]) -> Result | Awaitable[Result]:
        """The result of a call, as it goes over the wire; what to wait for, where Redis does not answer at once."""
        try:
            reply = self._reply(name, arguments)
        except _KNOWN as exc:
            reply = _failure(exc)
        return _result(name, reply) if isinstance(reply, dict) else self._answer_later(name, reply)

    async def _answer_later(self, name: str, reply: Awaitable[Reply]) -> Result:
        try:
            return _result(name, await reply)
        except _KNOWN as exc:
            return _result(name, _failure(exc))

    def _reply(self, name: str, arguments: dict[str, Any]) -> Reply | Awaitable[Reply]:
        verb = self._verbs.get(name)
        if verb is None:
            return {"success": False, "error": "Unknown tool"}
        if not self._documents.asks_one_script(name, arguments):
            return self._in_thread(partial(verb, **arguments))
        call: ScriptCall = verb(**arguments)
        answer = self._inline_redis.ask(call.script, call.keys, call.args)
        if isinstance(answer, Awaitable):
            return self._reply_later(name, arguments, call, answer)
        reply = call.then(answer)
        return self._in_thread(reply) if callable(reply) else reply

    async def _reply_later(
        self, name: str, arguments: dict[str, Any], call: ScriptCall, answer: Awaitable[Any]
    ) -> Reply:
        try:
            reply = call.then(await answer)
        except redis.ResponseError:
            if self._documents.asks_one_script(name, arguments):
                raise
            reply = partial(self._verbs[name], **arguments)  # scripts turn out to be forbidden, and it can do without
        return await self._in_thread(reply) if callable(reply) else reply

    def _in_thread(self, verb: Callable[[], Reply]) -> Awaitable[Reply]:
        return asyncio.get_running_loop().run_in_executor(self._threads, verb)


_KNOWN = (redis.RedisError, ImportError, TypeError, ValueError, IndexError)


def _failure(exc: Exception) -> Reply:
    """What is replied to a call that came to this."""
    if isinstance(exc, redis.RedisError):
        error = f"Redis error: {words_of(exc)}"
    elif isinstance(exc, UnicodeDecodeError):
        error = "Redis error: DAMAGED the value is not UTF-8 text"
    else:
        error = str(exc) if isinstance(exc, ImportError) else "Wrong arguments"
    return {"success": False, "error": error}


def _result(name: str, reply: Reply) -> Result:
    """The result of a call that is replied to so."""
    if name not in _STOCK_SHAPED:  # a document inside of text would be escaped twice
        return {"content": [], "structuredContent": reply, "isError": False}
    text = json.dumps(reply, ensure_ascii=False, separators=(",", ":"))
    return {"content": [{"type": "text", "text": text}], "isError": False}
