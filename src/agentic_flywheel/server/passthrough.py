"""An answer's structured content goes around the SDK's last models, which would walk through a session three times.

It was made of JSON and checked against the tool's schema by then. A middleware puts it into the finished answer.
"""

from contextvars import ContextVar
from typing import Any, TypeVar

from mcp_types import CallToolResult

from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.server.sdk_internals import CallNext, HandlerResult, ServerRequestContext

ResultType = TypeVar("ResultType")

_held: ContextVar[list[JSONObject] | None] = ContextVar("held", default=None)


def detach_content(result: ResultType) -> ResultType:
    """The result without its structured content, if `attach_content` awaits that; else as it is."""
    held = _held.get()
    if held is None or not isinstance(result, CallToolResult) or not result.structured_content:
        return result
    held.append(result.structured_content)
    return result.model_copy(update={"structured_content": {}})


async def attach_content(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """The middleware: what was held back for this request comes into its answer."""
    if ctx.method != "tools/call":
        return await call_next(ctx)
    held: list[JSONObject] = []
    token = _held.set(held)
    try:
        answer = await call_next(ctx)
    finally:
        _held.reset(token)
    if not held or not isinstance(answer, dict):
        return answer
    return {**answer, "structuredContent": held.pop()}  # and nobody else who has this context keeps it alive
