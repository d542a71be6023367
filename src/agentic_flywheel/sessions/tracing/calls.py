"""Traces calls: one that is under way, with what happens in it, and one that is over."""

import time
import traceback
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import contextmanager, suppress
from contextvars import Token
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.sessions.tracing.place import Place, current_place, never_raising
from agentic_flywheel.sessions.tracing.records import Record, forget
from agentic_flywheel.sessions.tracing.snapshot import snapshot
from agentic_flywheel.sessions.tracing.tracer import Tracer, iso, now

FRAMES = 20
"""Of a stack that are traced: the innermost."""

MOST_STEPS = 1000
"""Of what a generator gives."""


@dataclass(slots=True)
class WholeCall:
    """What is to be traced of a call that is over."""

    input_data: object = None
    output_data: object = None
    error: JSONObject | None = None
    session_id: str = ""
    user_id: str = ""

    @never_raising
    def trace(self, tracer: Tracer, name: str, began: datetime) -> None:
        """Send all of it."""
        trace_id, record = tracer.begin(name, {"tool_name": name}, self.input_data, None, self.session_id)
        try:
            self._send(tracer, name, began, trace_id, record)
        finally:
            forget(trace_id)

    def _send(self, tracer: Tracer, name: str, began: datetime, trace_id: str, record: Record) -> None:
        record.known |= {"started_at": iso(began), "ended_at": iso(now())}
        if self.output_data is not None:
            record.known["output_data"] = snapshot(self.output_data)
        tracer.send_trace(trace_id, user_id=self.user_id, whole=True)
        if self.error:
            tracer.observe(trace_id, "error", self.error)
        duration_ms = (now() - began).total_seconds() * 1000
        tracer.send_span(trace_id, f"obs-{uuid4().hex}", name, began, duration_ms, failed=bool(self.error))


class TracedCall:
    """A traced call that is under way. Entered, its trace is the current one; left, it is over."""

    def __init__(
        self,
        tracer: Tracer,
        name: str,
        input_data: object = None,
        *,
        captures_output: bool = True,
        captures_errors: bool = True,
        parent_trace_id: str | None = None,
    ) -> None:
        trace_id, _ = tracer.begin(name, {"tool_name": name}, input_data, parent_trace_id, "")
        tracer.send_trace(trace_id)
        self._tracer = tracer
        self._name = name
        self._captures_output = captures_output
        self._captures_errors = captures_errors
        self._place = Place(trace_id, f"obs-{uuid4().hex}")
        self._above = current_place.get()
        self._token: Token[Place | None] | None = None
        self._began = now()
        self._clock = time.perf_counter()

    def __enter__(self) -> Self:
        self._token = current_place.set(self._place)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        duration_ms = (time.perf_counter() - self._clock) * 1000
        self._finish(exc, duration_ms)
        if self._token:
            with suppress(ValueError):  # left in another context than entered, by whoever drives the coroutine
                current_place.reset(self._token)
        self._tell_above(duration_ms)

    @contextmanager
    def inside(self) -> Generator[None]:
        """Have its trace be the current one for one step of it."""
        token = current_place.set(self._place)
        try:
            yield
        finally:
            current_place.reset(token)

    @never_raising
    def returned(self, output_data: object) -> None:
        """Take what came out, as it is now."""
        if self._captures_output:
            self._tracer.end_trace(self._place.trace_id, output_data)

    @never_raising
    def _finish(self, exc: BaseException | None, duration_ms: float) -> None:
        trace_id, tracer = self._place.trace_id, self._tracer
        if exc is not None:
            tracer.observe(trace_id, "error", error_of(exc, with_words=self._captures_errors))
        observation_id = self._place.observation_id or ""
        current_place.set(Place(trace_id, None))  # the span itself is at the top
        tracer.send_span(trace_id, observation_id, self._name, self._began, duration_ms, failed=exc is not None)
        tracer.end_trace(trace_id)

    @never_raising
    def _tell_above(self, duration_ms: float) -> None:
        if self._above:
            self._tracer.send_nested(self._above, self._name, self._place.trace_id, self._began, duration_ms)


def error_of(exc: BaseException, *, with_words: bool) -> JSONObject:
    """What is traced of an exception. Its words may be content; its type's name is not."""
    if not with_words:
        return {"error_type": type(exc).__name__}
    stack = traceback.format_exception(type(exc), exc, exc.__traceback__, limit=-FRAMES)
    return {"error_type": type(exc).__name__, "error_message": str(exc), "stack_trace": "".join(stack)}


def traced_call(
    tracer: Tracer,
    name: str,
    input_data: object,
    *,
    captures_output: bool,
    captures_errors: bool,
    parent_trace_id: str | None,
) -> "TracedCall | Untraced":
    """A call to enter, which is traced unless that fails."""
    try:
        return TracedCall(
            tracer,
            name,
            input_data,
            captures_output=captures_output,
            captures_errors=captures_errors,
            parent_trace_id=parent_trace_id,
        )
    except Exception:  # noqa: BLE001  whatever is the matter with tracing, the call is made
        return Untraced()


class Untraced:
    """A call of which nothing is traced."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing was begun."""

    @contextmanager
    def inside(self) -> Generator[None]:
        """There is no trace to be in."""
        yield

    def returned(self, output_data: object) -> None:
        """Leave it aside."""


async def steps_of(
    begun: Callable[[], TracedCall | Untraced], steps: AsyncGenerator[Any, Any]
) -> AsyncGenerator[Any, Any]:
    """What a traced generator gives, as one call that lasts until it ends: the code between two steps is not in it."""
    call, given, sent, thrown = begun(), list[object](), None, None
    ended: BaseException | None = None
    try:
        while True:
            with call.inside():
                each = await (steps.asend(sent) if thrown is None else steps.athrow(thrown))
            given += [each] if len(given) < MOST_STEPS else []
            sent, thrown = None, None
            try:
                sent = yield each
            except Exception as exc:  # noqa: BLE001  thrown into it, so it is the generator's
                thrown = exc
    except StopAsyncIteration:
        return
    except GeneratorExit:
        with call.inside():
            await steps.aclose()
        raise
    except BaseException as exc:
        ended = exc
        raise
    finally:
        call.returned(given)
        call.__enter__()
        call.__exit__(type(ended) if ended else None, ended, ended.__traceback__ if ended else None)
