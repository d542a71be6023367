"""Traces each call of a tool into Langfuse, where `FLYWHEEL_TRACE=langfuse` asks for it; else there is none of it."""

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.settings import Settings

if TYPE_CHECKING:  # imported where something is traced
    from datetime import datetime

    from agentic_flywheel.sessions.tracing.tracer import Tracer

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 1.0
"""How long a server that ends waits for traces to be sent: as for what it keeps."""

Result = TypeVar("Result")


def open_tracing(settings: Settings) -> "ToolTracing | None":
    """What traces the tools, if the settings say so; what is missing for it is one line of the log."""
    if settings.trace == "off":
        return None
    from agentic_flywheel.sessions.wiring import open_tracer

    tracer = open_tracer(settings)
    if tracer is None:
        logger.warning("Nothing is traced: %s.", settings.langfuse)
        return None
    return ToolTracing(tracer, content=settings.trace_content, user=settings.user)


def tracing_told(settings: Settings, tracing: "ToolTracing | None") -> JSONObject:
    """What a status says of traces; nothing where they are off."""
    if settings.trace == "off":
        return {}
    off = {"state": "off", "last_error": settings.langfuse}
    return {"tracing": tracing.status() if tracing else off}


class ToolTracing:
    """Traces whole calls, once they are over: a trace, a span and two scores each, in the session's own group.

    `content`: with arguments and answers, redacted as saves are. `user` is who has what names nobody.
    """

    def __init__(self, tracer: "Tracer", *, content: bool, user: str) -> None:
        self._tracer = tracer
        self._content = content
        self._user = user

    def status(self) -> JSONObject:
        """Whether traces arrive."""
        return {**self._tracer.status(), "content": self._content}

    def close(self) -> None:
        """Send what waits, for a moment, and end the child; blocking."""
        self._tracer.sender.close(CLOSE_SECONDS)

    async def around(self, name: str, arguments: JSONObject, call: Callable[[], Awaitable[Result]]) -> Result:
        """Make the call, and trace it."""
        from agentic_flywheel.sessions.tracing.tracer import now

        began = now()
        try:
            result = await call()
        except BaseException as exc:
            self._trace(name, began, arguments, {}, exc)
            raise
        content: Any = getattr(result, "structured_content", None)
        self._trace(name, began, arguments, cast("JSONObject", content) if isinstance(content, dict) else {})
        return result

    def _trace(
        self, name: str, began: "datetime", sent: JSONObject, answer: JSONObject, exc: BaseException | None = None
    ) -> None:
        from agentic_flywheel.sessions.tracing.calls import WholeCall, error_of

        session = answer.get("session")
        ids = (sent.get("session_id"), answer.get("session_id"), _fields(session).get("id"))
        call = WholeCall(session_id=_first_text(*ids), user_id=_first_text(sent.get("user_id"), self._user))
        if self._content and answer.get("reason") != "disabled":  # what is off the record is told nobody
            call.input_data, call.output_data = sent, answer or None
        if exc is not None:
            call.error = error_of(exc, with_words=self._content)
        call.trace(self._tracer, name, began)


def _fields(value: object) -> JSONObject:
    return cast("JSONObject", value) if isinstance(value, dict) else {}


def _first_text(*values: object) -> str:
    return next((value for value in values if isinstance(value, str) and value), "")
