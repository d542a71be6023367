"""Turns what happens into events of Langfuse: traces, observations, scores; nothing here waits, and nothing raises."""

import json
import math
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.sessions.tracing.outbox import Event
from agentic_flywheel.sessions.tracing.place import Place, current_place, never_raising
from agentic_flywheel.sessions.tracing.records import Record, recall, remember
from agentic_flywheel.sessions.tracing.sender import TraceSender
from agentic_flywheel.sessions.tracing.snapshot import size_of, snapshot

CREATE, OBSERVE, PATCH = "coaia_fuse_trace_create", "coaia_fuse_add_observation", "coaia_fuse_trace_patch_output"
SCORE = "coaia_fuse_score_create"
"""The tools; where the child lacks the last, a score goes by a configuration of its name."""

SECONDS = 5.0
"""How long sending one event may take."""


class Tracer:
    """Traces into one Langfuse. All methods return at once, and answer whether the event was taken."""

    def __init__(self, sender: TraceSender, shown: str) -> None:
        self.sender = sender
        self._shown = shown

    def status(self) -> JSONObject:
        """Where traces go, whether they arrive, and how many did, wait, were dropped and failed."""
        return {"to": self._shown, **self.sender.status()}

    @never_raising
    def create_trace(
        self,
        name: str,
        *,
        metadata: JSONObject | None = None,
        input_data: object = None,
        parent_trace_id: str | None = None,
        seconds: float = SECONDS,
    ) -> str | None:
        """Begin a trace; its id."""
        trace_id, _ = self.begin(name, metadata, input_data, parent_trace_id, "")
        self.send_trace(trace_id, seconds=seconds)
        return trace_id

    def begin(
        self, name: str, metadata: JSONObject | None, input_data: object, parent: str | None, session_id: str
    ) -> tuple[str, Record]:
        """Remember a new trace, of which nothing is sent yet."""
        trace_id = f"trace-{uuid4().hex}"
        place = current_place.get()
        parent = parent or (place.trace_id if place else None)
        above = recall(parent) if parent else None
        known: JSONObject = {"name": str(name), "started_at": iso(now()), "metadata": snapshot(metadata or {})}
        if parent:
            known["parent_trace_id"] = parent
        if input_data is not None:
            known["input_data"] = snapshot(input_data)
        record = Record(self, known, session_id or (above.session_id if above else ""))
        remember(trace_id, record)
        return trace_id, record

    def send_trace(self, trace_id: str, *, user_id: str = "", seconds: float = SECONDS, whole: bool = False) -> None:
        """Send what is known of a trace; `whole`: with its output."""
        record = recall(trace_id)
        if record is None:
            return
        known = record.known
        metadata = dict(known["metadata"])
        if parent := known.get("parent_trace_id"):
            metadata["parent_trace_id"] = parent
        content = {"name": known["name"], "metadata": metadata, "input_data": _told(known.get("input_data"))}
        content |= {"session_id": record.session_id, "user_id": user_id}
        if whole:
            content["output_data"] = _told(known.get("output_data"))
        self._put(CREATE, trace_id, {"trace_id": trace_id}, content, seconds)

    @never_raising
    def end_trace(self, trace_id: str, output_data: object = None, *, seconds: float = SECONDS) -> bool:
        """End a trace, with what came out of it."""
        record = recall(trace_id)
        if record:
            record.known["ended_at"] = iso(now())
        if output_data is None:
            return record is not None
        copy = snapshot(output_data)
        if record:
            record.known["output_data"] = copy
        return self._put(PATCH, trace_id, {"trace_id": trace_id}, {"output_data": _told(copy)}, seconds)

    @never_raising
    def observe(
        self,
        trace_id: str,
        kind: str,
        data: JSONObject,
        *,
        duration_ms: float | None = None,
    ) -> bool:
        """Add an observation: an event with its data, or, with a duration, a span of an execution that ends now."""
        moment, data = now(), snapshot(data)
        if record := recall(trace_id):
            record.note(record.observations, {"type": kind, "data": data, "timestamp": iso(moment)})
        content: JSONObject = {"output_data": data}
        times: JSONObject = {"start_time": iso(moment)}
        if duration_ms is not None:
            began = moment - timedelta(milliseconds=max(0.0, float(duration_ms)))
            times = {"start_time": iso(began), "end_time": iso(moment)}
            content = {"input_data": _told(data.get("input")), "output_data": _told(data.get("output"))}
            content["metadata"] = {"duration_ms": data.get("duration_ms")}
        if kind == "error":
            content["metadata"] = {"level": "ERROR"}  # the tool has no argument for it
        return self._put_observation(trace_id, kind, times, content, span=duration_ms is not None)

    def _put_observation(
        self, trace_id: str, name: str, times: JSONObject, content: JSONObject, *, span: bool, own_id: str = ""
    ) -> bool:
        place = current_place.get()
        parent = place.observation_id if place and place.trace_id == trace_id else None
        arguments: JSONObject = {"observation_id": own_id or f"obs-{uuid4().hex}", "trace_id": trace_id}
        arguments |= {"observation_type": "SPAN" if span else "EVENT", "parent_id": parent, **times}
        return self._put(OBSERVE, trace_id, arguments, {"name": name, **content})

    @never_raising
    def score(self, trace_id: str, name: str, value: float, comment: str | None = None, **more: Any) -> bool:
        """Score a trace; `more` is remembered with it."""
        value = float(value)
        if not math.isfinite(value):
            return False
        if record := recall(trace_id):
            record.note(record.scores, {"name": name, "value": value, **more})
        arguments = {"trace_id": trace_id, "name": name, "value": value, "score_id": f"score-{uuid4().hex}"}
        return self._put(SCORE, trace_id, arguments, {"comment": snapshot(comment)})

    def send_span(
        self, trace_id: str, observation_id: str, name: str, began: datetime, duration_ms: float, *, failed: bool
    ) -> None:
        """Send the span of a whole call with its scores; input and output are those that the trace has."""
        record = recall(trace_id)
        known = record.known if record else {}
        duration_ms = round(duration_ms, 3)
        content: JSONObject = {"metadata": {"duration_ms": duration_ms, "status": "error" if failed else "success"}}
        content |= {"input_data": _told(known.get("input_data")), "output_data": _told(known.get("output_data"))}
        if record:
            data = {"input": known.get("input_data"), "output": known.get("output_data"), "duration_ms": duration_ms}
            record.note(record.observations, {"type": "execution", "data": data, "timestamp": iso(now())})
        times = {"start_time": iso(began), "end_time": iso(began + timedelta(milliseconds=duration_ms))}
        self._put_observation(trace_id, name, times, content, span=True, own_id=observation_id)
        self.score(trace_id, "success", 0.0 if failed else 1.0, error=None)
        self.score(trace_id, "latency", duration_ms, unit="ms")

    def send_nested(self, above: Place, name: str, trace_id: str, began: datetime, duration_ms: float) -> None:
        """Say in the trace above that a call was traced, and where."""
        times = {"start_time": iso(began), "end_time": iso(began + timedelta(milliseconds=duration_ms))}
        self._put_observation(above.trace_id, name, times, {"metadata": {"trace_id": trace_id}}, span=True)

    def _put(
        self, verb: str, trace_id: str, arguments: JSONObject, content: JSONObject, seconds: float = SECONDS
    ) -> bool:
        given = {name: value for name, value in content.items() if value not in (None, "", {})}
        arguments = {name: value for name, value in arguments.items() if value is not None}
        event = Event(verb, trace_id, arguments, given, 500 + size_of(given), time.monotonic(), seconds)
        return self.sender.put(event)


def _told(copy: object) -> Any:  # noqa: ANN401
    """A copy as the released client sends it on: it leaves out 0, false and what is empty, unless it is text."""
    return copy if copy or copy is None else json.dumps(copy)


def now() -> datetime:
    """The instant."""
    return datetime.now(UTC)


def iso(moment: datetime) -> str:
    """An instant as Langfuse takes it."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
