"""Sends the events of some traces one after another, and again while nothing takes them."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from agentic_flywheel.errors import TraceRefused, TraceUnreached
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.sessions.tracing.arrival import Arrival
from agentic_flywheel.sessions.tracing.outbox import Event, TraceOutbox

if TYPE_CHECKING:
    from agentic_flywheel.coaia.langfuse_calls import LangfuseCalls

Redact = Callable[[JSONObject], JSONObject]
"""What takes credentials out of content."""

FIRST_DELAY, LONGEST_DELAY = 0.5, 15.0
"""From one attempt to the next while nothing takes what is sent, doubled each time."""

PATIENCE_SECONDS = 300.0
"""How old an event may become before it is given up; while it waits, others may have to be dropped."""

NOT_INSTALLED = (
    "the child has no tools for Langfuse: install agentic-flywheel-state[coaiapy], or set FLYWHEEL_COAIA_PYTHON or"
    " FLYWHEEL_COAIA_COMMAND to where coaiapy-mcp is"
)


class Lane:
    """Sends the events of one lane, one after another."""

    def __init__(
        self,
        outbox: TraceOutbox,
        arrival: Arrival,
        calls: "LangfuseCalls",
        redact: Redact,
        waiting: deque[Event],
        wake: asyncio.Event,
        end: asyncio.Event,
    ) -> None:
        self._outbox = outbox
        self._arrival = arrival
        self._calls = calls
        self._redact = redact
        self._waiting = waiting
        self._wake = wake
        self._end = end

    async def send_all(self) -> None:
        """Send until all is to end, or nothing ever can be sent."""
        while not self._arrival.useless:
            self._wake.clear()
            while self._waiting and not self._arrival.useless and not self._is_over:
                event = self._waiting.popleft()
                self._outbox.done(event, error=await self._outcome(event))
            if self._end.is_set():
                return
            await self._wake.wait()

    @property
    def _is_over(self) -> bool:
        """Whether all is to end, and an attempt has failed."""
        return self._end.is_set() and self._arrival.failing

    async def _outcome(self, event: Event) -> str | None:
        """Send an event, again if need be; why that failed for good, if it did."""
        began = time.monotonic()
        try:
            arguments = event.arguments | self._redact(event.content)
        except Exception as exc:  # noqa: BLE001  what cannot be redacted is not sent
            return f"it could not be looked through for credentials ({type(exc).__name__})"
        await asyncio.sleep(time.monotonic() - began)  # leaves the interpreter to the program half of the time
        delay = FIRST_DELAY
        while True:
            try:
                await self._send(event, arguments)
            except TraceRefused as exc:
                self._arrival.failed(str(exc), all_alike=exc.all_alike)
                return str(exc)
            except TraceUnreached as exc:
                self._arrival.failed(str(exc), all_alike=True)
                if self._end.is_set() or time.monotonic() - event.made > PATIENCE_SECONDS:
                    return str(exc)
            else:
                self._arrival.took(confirmed=self._calls.confirms)
                return None
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._end.wait()
            delay = min(2 * delay, LONGEST_DELAY)

    async def _send(self, event: Event, arguments: JSONObject) -> None:
        await self._calls.ready()
        if not self._calls.installed:
            self._arrival.give_up(NOT_INSTALLED)
            raise TraceRefused(NOT_INSTALLED, all_alike=True)
        await self._calls.send(event.verb, arguments, event.seconds)
