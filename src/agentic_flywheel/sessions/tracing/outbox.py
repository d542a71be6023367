"""Takes events of traces from any thread without ever waiting, within bounds, and counts what becomes of them."""

import threading
from collections import deque
from dataclasses import dataclass, field

from agentic_flywheel.json_text import JSONObject

LANES = 4
"""Events of one trace go one after another; those of so many traces side by side."""

MOST_EVENTS = 1_000
"""That wait to be sent; what comes while there are as many is dropped."""

MOST_BYTES = 16_000_000
"""Of their content, about."""


@dataclass(frozen=True, slots=True)
class Event:
    """One call of a tool. `content` is redacted before it is sent; `arguments` are ours, and are not."""

    verb: str
    trace_id: str
    arguments: JSONObject
    content: JSONObject
    size: int
    made: float
    """When, in seconds of `time.monotonic`."""
    seconds: float
    """How long sending it may take, once."""


@dataclass(slots=True)
class Counts:
    """What became of the events so far."""

    sent: int = 0
    dropped: int = 0
    """For want of room."""
    failed: int = 0
    """Refused, or given up."""
    last_error: str | None = None
    failing: bool = False
    """Whether the last attempt failed."""


@dataclass(slots=True)
class TraceOutbox:
    """The events that wait, by lane."""

    counts: Counts = field(default_factory=Counts)
    lanes: list[deque[Event]] = field(default_factory=lambda: [deque() for _ in range(LANES)])
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _events: int = 0
    _bytes: int = 0

    @property
    def pending(self) -> int:
        """Events that are not sent yet, with those that are being sent."""
        return self._events

    def put(self, event: Event) -> bool:
        """Take an event; `False` if there is no room, which is counted."""
        with self._lock:
            if self._events >= MOST_EVENTS or self._bytes + event.size > MOST_BYTES:
                self.counts.dropped += 1
                return False
            self._events += 1
            self._bytes += event.size
            self.lanes[hash(event.trace_id) % LANES].append(event)
        return True

    def done(self, event: Event, *, error: str | None = None) -> None:
        """Count an event that was sent, or that failed for good."""
        with self._lock:
            self._events -= 1
            self._bytes -= event.size
            if error is None:
                self.counts.sent += 1
            else:
                self.counts.failed += 1
                self.counts.last_error = error

    def empty(self, why: str) -> None:
        """Count all that waits as failed."""
        with self._lock:
            self.counts.failed += self._events
            self.counts.last_error = why
            self._events = self._bytes = 0
            for lane in self.lanes:
                lane.clear()
