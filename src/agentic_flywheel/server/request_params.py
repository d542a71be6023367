"""Takes the parameters of a request as clients write them, and says of those that cannot be taken what is wrong.

Some write the arguments of a tool as JSON text, and PHP writes an empty object as a list. The SDK refuses both, and
whatever else does not fit, with the same three words.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, cast

from mcp import MCPError
from mcp_types import INVALID_PARAMS
from pydantic import ValidationError

from agentic_flywheel.json_text import JSONObject, mended
from agentic_flywheel.plain_text import one_line
from agentic_flywheel.server.arguments import not_an_object
from agentic_flywheel.server.halves import META
from agentic_flywheel.server.sdk_internals import CallNext, HandlerResult, ServerRequestContext

UNEXPLAINED = "Invalid request parameters"
"""All that the SDK says of them, and of a request before the handshake."""

TIMES = 2
"""How often an object may have been written as JSON text: some write the text as text again."""


Schemas = Callable[[], Awaitable[Mapping[str, JSONObject]]]
"""The schemas of the tools' arguments, by tool."""


async def take_params(schemas: Schemas, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """The middleware: hands on a request whose arguments are an object, and explains why one was refused."""
    try:
        taken = await _with_object(schemas, ctx) if ctx.method in ("tools/call", "prompts/get") else ctx
        return await call_next(_with_texts(taken) if ctx.method == "prompts/get" else taken)
    except ValidationError as exc:
        raise MCPError(INVALID_PARAMS, f"{UNEXPLAINED} of {ctx.method}: {_first_fault(exc)}.", "") from None
    except MCPError as exc:
        if exc.error.message != UNEXPLAINED:
            raise
        why = "send initialize first, or the protocol version of every request in its _meta"
        raise MCPError(INVALID_PARAMS, f"{UNEXPLAINED}: {why}.", "") from None


async def _with_object(schemas: Schemas, ctx: ServerRequestContext[Any, Any]) -> ServerRequestContext[Any, Any]:
    params = ctx.params or {}
    sent = params.get("arguments")
    if sent is None or isinstance(sent, dict):
        return ctx
    read, places = _object_of(sent)
    if read is None:
        name = named if isinstance(named := params.get("name"), str) else "a call"
        schema = (await schemas()).get(name) if ctx.method == "tools/call" else None
        raise MCPError(INVALID_PARAMS, not_an_object(one_line(name[:80]), sent, schema))
    meta = cast("Any", {**(ctx.meta or {}), META: places}) if places else ctx.meta
    return replace(ctx, params={**params, "arguments": read}, meta=meta)


def _with_texts(ctx: ServerRequestContext[Any, Any]) -> ServerRequestContext[Any, Any]:
    """The request with the arguments of a prompt as text, which they all are; null is absent, as it is for a tool."""
    params = ctx.params or {}
    sent = params.get("arguments")
    if not isinstance(sent, dict):
        return ctx
    given = {name: value for name, value in cast("JSONObject", sent).items() if value is not None}
    numbers = {name: str(value) for name, value in given.items() if type(value) is int}
    return replace(ctx, params={**params, "arguments": given | numbers})


def _object_of(sent: object) -> tuple[JSONObject | None, list[str]]:
    """The object that was meant, and where halves of surrogate pairs were in it; `None` where it is none."""
    value = sent
    for _ in range(TIMES):
        if isinstance(value, str):
            try:
                value = json.loads(value) if value.strip() else None
            except (ValueError, RecursionError):
                return None, []
    if value is None or value == []:
        return {}, []
    return mended(cast("JSONObject", value)) if isinstance(value, dict) else (None, [])


def _first_fault(error: ValidationError) -> str:
    """Which parameter does not fit, and how; never its value, which may be the caller's conversation."""
    faults: list[Mapping[str, Any]] = [*error.errors(include_url=False, include_input=False, include_context=False)]
    place = ".".join(str(part)[:40] for part in faults[0]["loc"])
    return f"{place or 'params'}: {faults[0]['msg'].replace('dictionary', 'object')}"
