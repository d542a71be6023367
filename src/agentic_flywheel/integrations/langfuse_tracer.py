"""Traces what a Python program does into Langfuse, through coaiapy-mcp's tools, beside the program's own work.

    @trace_mcp_tool("flowise_query")
    async def query(name: str, arguments: dict) -> dict:
        trace_id = get_current_trace_id()
        await LangfuseObservation.add_intent_classification(trace_id, "planting", 0.95, ["fern"])
        ...

It is on where `LANGFUSE_PUBLIC_KEY`, `LANGFUSE_SECRET_KEY` and `LANGFUSE_HOST` are set, and needs the extra `coaiapy`
(agentic-flywheel-state[coaiapy]) in this environment, or `FLYWHEEL_COAIA_PYTHON`; elsewhere nothing happens.
`LANGFUSE_ENABLED=false` switches it off, `AGENTIC_FLYWHEEL_PARENT_TRACE_ID` names the trace above all.

Nothing here waits for Langfuse or raises because of it. What is traced is copied, up to 50,000 characters, and sent by
a thread with a child process of its own. Credentials are replaced as in saves (`FLYWHEEL_REDACTION`). A thousand
events may wait; more are dropped and counted: `LangfuseTracerManager.status()`.
"""

import functools
import inspect
import logging
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from agentic_flywheel.langfuse_access import VARIABLES, LangfuseAccess, read_access
from agentic_flywheel.sessions.tracing.calls import TracedCall, Untraced, steps_of, traced_call
from agentic_flywheel.sessions.tracing.place import current_trace_id
from agentic_flywheel.sessions.tracing.records import recall
from agentic_flywheel.sessions.tracing.sender import TraceSender
from agentic_flywheel.sessions.tracing.tracer import Tracer

if TYPE_CHECKING:  # imported where it is made
    from agentic_flywheel.coaia.langfuse_calls import LangfuseCalls
    from agentic_flywheel.sessions.tracing.lane import Redact

__all__ = ["LangfuseObservation", "LangfuseScore", "LangfuseTracerManager", "get_current_trace_id", "trace_mcp_tool"]

logger = logging.getLogger(__name__)

ENABLED, PARENT = "LANGFUSE_ENABLED", "AGENTIC_FLYWHEEL_PARENT_TRACE_ID"
OFF = ("false", "0", "no", "off")

_Function = TypeVar("_Function", bound=Callable[..., Any])

_tracers: dict[LangfuseAccess, Tracer] = {}
"""One a Langfuse and project: they share its queue and its child."""


def get_current_trace_id() -> str | None:
    """The id of the trace that the running code is in; `None` outside of every traced function."""
    return current_trace_id()


def trace_mcp_tool(
    name: str,
    capture_input: bool = True,  # noqa: FBT001, FBT002  the signature that other projects call
    capture_output: bool = True,  # noqa: FBT001, FBT002
) -> Callable[[_Function], _Function]:
    """Trace each call of an async function: a trace of its own, a span, and the scores `success` and `latency`.

    Args:
        name: what the trace and its span are called.
        capture_input: whether arguments are sent, by the function's names for them.
        capture_output: whether what it returns is sent.

    Where either is not captured, of an exception its type alone is sent, since its words may be content. A traced
    function that calls another has that one's span in its trace, which names the other's trace. Of an async generator
    a call lasts until it ends or is closed, and what it returns is a list of what it gave. A plain function is awaited
    from then on, too.

    """

    def decorate(function: _Function) -> _Function:
        begun = _begins(name, _names(function), captures_input=capture_input, captures_output=capture_output)

        @functools.wraps(function)
        async def traced(*args: Any, **kwargs: Any) -> object:
            tracer = _tracer_of_environment()
            if tracer is None:
                return await _answer(function(*args, **kwargs))
            with begun(tracer, args, kwargs) as call:
                answer = await _answer(function(*args, **kwargs))
                call.returned(answer)
            return answer

        @functools.wraps(function)
        def traced_steps(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            tracer, steps = _tracer_of_environment(), function(*args, **kwargs)
            return steps_of(lambda: begun(tracer, args, kwargs), steps) if tracer else steps

        return cast("_Function", traced_steps if inspect.isasyncgenfunction(function) else traced)

    return decorate


async def _answer(given: object) -> object:
    """What a function answers, awaited where that is to be."""
    return await given if inspect.isawaitable(given) else given


def _begins(
    name: str, names: list[str], *, captures_input: bool, captures_output: bool
) -> "Callable[[Tracer, tuple[object, ...], dict[str, object]], TracedCall | Untraced]":
    """What begins a call with these arguments, of a function that calls them by these `names`."""

    def begun(tracer: Tracer, args: tuple[object, ...], kwargs: dict[str, object]) -> TracedCall | Untraced:
        return traced_call(
            tracer,
            name,
            {**dict(zip(names, args, strict=False)), **kwargs} if captures_input else None,
            captures_output=captures_output,
            captures_errors=captures_input and captures_output,
            parent_trace_id=os.environ.get(PARENT),
        )

    return begun


def _names(function: Callable[..., Any]) -> list[str]:
    """What the function calls its arguments, in order."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    return [each.name for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]


def _tracer_of_environment() -> Tracer | None:
    """The tracer that the environment names now; asked at each call, it costs a microsecond where there is none."""
    environ = os.environ
    if not environ.get(VARIABLES[1]) or environ.get(ENABLED, "").strip().lower() in OFF:
        return None
    access = read_access({name: environ.get(name, "") for name in VARIABLES})
    return _tracer(access) if isinstance(access, LangfuseAccess) else None


def _tracer(access: LangfuseAccess) -> Tracer | None:
    try:
        if access not in _tracers:
            _tracers.setdefault(access, Tracer(TraceSender(functools.partial(_connect, access)), access.shown))
        return _tracers[access]
    except Exception as exc:  # noqa: BLE001  whatever is the matter with tracing, the program goes on
        logger.debug("Nothing is traced: %s.", type(exc).__name__)
        return None


def _connect(access: LangfuseAccess) -> "tuple[LangfuseCalls, Redact]":
    """What sends; its imports take a quarter of a second, in the sender's thread."""
    from agentic_flywheel.sessions.wiring import open_langfuse
    from agentic_flywheel.settings import Settings

    return open_langfuse(access, Settings.of_this_process())


class LangfuseTracerManager:
    """Begins and ends traces by hand.

    Args:
        enabled: `False` traces nothing; by default, and with `True`, it is on where the three variables are set.
        parent_trace_id: the trace above those that it begins; by default `AGENTIC_FLYWHEEL_PARENT_TRACE_ID`, else the
            one that the code is in.
        timeout_ms: how long sending an event may take, in the background.

    """

    def __init__(
        self,
        enabled: bool | None = None,  # noqa: FBT001  the signature that other projects call
        parent_trace_id: str | None = None,
        timeout_ms: int = 5000,
    ) -> None:
        self.parent_trace_id = parent_trace_id or os.environ.get(PARENT) or None
        self.timeout_ms = timeout_ms
        wanted = os.environ.get(ENABLED, "").strip().lower() not in OFF if enabled is None else enabled
        access = read_access(os.environ)
        self._tracer: Tracer | None = None
        if wanted and isinstance(access, LangfuseAccess):
            self._tracer = _tracer(access)
        elif wanted and (enabled or any(os.environ.get(name) for name in VARIABLES)):
            logger.warning("Nothing is traced into Langfuse: %s.", access)
        self.enabled = self._tracer is not None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.status()['state'] if self.enabled else 'off'})"

    async def create_trace(
        self, name: str, metadata: dict[str, Any] | None = None, input_data: object = None
    ) -> str | None:
        """Begin a trace; its id, at once, or `None` where nothing is traced."""
        if self._tracer is None or not self.enabled:
            return None
        return self._tracer.create_trace(
            name,
            metadata=metadata,
            input_data=input_data,
            parent_trace_id=self.parent_trace_id,
            seconds=max(0.001, self.timeout_ms / 1000),
        )

    async def end_trace(self, trace_id: str | None, output_data: object = None) -> None:
        """End a trace, with what came out."""
        if self._tracer and self.enabled and trace_id:
            self._tracer.end_trace(trace_id, output_data, seconds=max(0.001, self.timeout_ms / 1000))

    def get_trace_info(self, trace_id: str) -> dict[str, Any] | None:
        """What is known of one of this process' newest 100 traces, as a copy; `None` of any other.

        `name`, `started_at`, `metadata`, `observations`, `scores`, and where there are such `ended_at`, `input_data`,
        `output_data`, `parent_trace_id`.
        """
        record = recall(trace_id)
        return record.told() if record else None

    def status(self) -> dict[str, Any]:
        """Whether traces arrive: `state`, `to`, `sent`, `pending`, `dropped`, `failed`, `last_error`."""
        return self._tracer.status() if self._tracer else {"state": "off"}


def _tracer_for(trace_id: str | None) -> Tracer | None:
    """Who sends what belongs to this trace: whoever began it, else whom the environment names."""
    if not trace_id:
        return None
    record = recall(trace_id)
    return record.tracer if record else _tracer_of_environment()


class LangfuseObservation:
    """Adds observations to a trace. Each answers `True` once it is on its way, `False` where nothing is traced."""

    @staticmethod
    async def add_intent_classification(
        trace_id: str | None, intent: str, confidence: float, matched_keywords: Sequence[str] | None = None
    ) -> bool:
        """Say what was taken for the intent, how surely (0 to 1), and by which words."""
        data = {"intent": intent, "confidence": confidence, "matched_keywords": list(matched_keywords or ())}
        return _observed(trace_id, "intent_classification", data)

    @staticmethod
    async def add_flow_selection(
        trace_id: str | None, flow_id: str, flow_name: str, backend: str, reasoning: str | None = None
    ) -> bool:
        """Say which flow of which backend was chosen, and why."""
        data = {"flow_id": flow_id, "flow_name": flow_name, "backend": backend, "reasoning": reasoning}
        return _observed(trace_id, "flow_selection", data)

    @staticmethod
    async def add_execution(
        trace_id: str | None, input_data: object, output_data: object, duration_ms: float = 0.0
    ) -> bool:
        """Say what went into an execution that ends now, what came out, and how long it took."""
        data = {"input": input_data, "output": output_data, "duration_ms": duration_ms}
        return _observed(trace_id, "execution", data, duration_ms)

    @staticmethod
    async def add_error(
        trace_id: str | None, error_type: str, error_message: str, stack_trace: str | None = None
    ) -> bool:
        """Say what failed."""
        data = {"error_type": error_type, "error_message": error_message, "stack_trace": stack_trace}
        return _observed(trace_id, "error", data)


def _observed(trace_id: str | None, kind: str, data: dict[str, Any], duration_ms: float | None = None) -> bool:
    tracer = _tracer_for(trace_id)
    return bool(tracer and trace_id and tracer.observe(trace_id, kind, data, duration_ms=duration_ms))


class LangfuseScore:
    """Scores a trace. Each answers `True` once it is on its way, `False` where nothing is traced."""

    @staticmethod
    async def add_success_score(trace_id: str | None, success: bool, error: str | None = None) -> bool:  # noqa: FBT001
        """`success`: 1 or 0, with the error as its comment."""
        return _scored(trace_id, "success", 1.0 if success else 0.0, error, error=error)

    @staticmethod
    async def add_latency_score(trace_id: str | None, duration_ms: float) -> bool:
        """`latency`: milliseconds."""
        return _scored(trace_id, "latency", duration_ms, None, unit="ms")

    @staticmethod
    async def add_quality_score(trace_id: str | None, score: float, reasoning: str | None = None) -> bool:
        """`quality`: 0 (poor) to 1 (excellent), with the reasoning as its comment."""
        return _scored(trace_id, "quality", score, reasoning, reasoning=reasoning)

    @staticmethod
    async def add_cost_score(trace_id: str | None, tokens: int, cost_usd: float) -> bool:
        """`cost`: dollars, with the number of tokens as its comment."""
        return _scored(trace_id, "cost", cost_usd, f"{tokens} tokens", tokens=tokens, unit="USD")


def _scored(trace_id: str | None, name: str, value: float, comment: str | None, **more: object) -> bool:
    tracer = _tracer_for(trace_id)
    return bool(tracer and trace_id and tracer.score(trace_id, name, value, comment, **more))
