"""Passes an answer's structured content around the SDK's last models, which would walk through a session three times.

It was made of JSON and checked against the tool's schema by then. A middleware attaches it to the finished answer.
"""

from contextvars import ContextVar
from typing import Any, TypeVar

from mcp_types import CallToolResult

from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.server.sdk_internals import CallNext, HandlerResult, ServerRequestContext

ResultType = TypeVar("ResultType")

_detached: ContextVar[list[JSONObject] | None] = ContextVar("detached", default=None)


def detach_content(result: ResultType) -> ResultType:
    """The result without its structured content, if `attach_content` waits for that; else as it is."""
    detached = _detached.get()
    if detached is None or not isinstance(result, CallToolResult) or not result.structured_content:
        return result
    detached.append(result.structured_content)
    return result.model_copy(update={"structured_content": {}})


async def attach_content(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """The middleware: attaches to the answer what was detached for its request."""
    if ctx.method != "tools/call":
        return await call_next(ctx)
    detached: list[JSONObject] = []
    token = _detached.set(detached)
    try:
        answer = await call_next(ctx)
    finally:
        _detached.reset(token)
    if not detached or not isinstance(answer, dict):
        return answer
    return {**answer, "structuredContent": detached.pop()}  # and nobody else who has this context keeps it alive
