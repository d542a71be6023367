"""Sends events from a thread of its own, with an event loop and a child of its own: a program never waits for it."""

import asyncio
import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from agentic_flywheel.errors import FlywheelError
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.sessions.tracing.arrival import Arrival
from agentic_flywheel.sessions.tracing.lane import Lane, Redact
from agentic_flywheel.sessions.tracing.outbox import Event, TraceOutbox

if TYPE_CHECKING:  # imported in the thread
    from agentic_flywheel.coaia.langfuse_calls import LangfuseCalls

logger = logging.getLogger(__name__)

Connect = Callable[[], "tuple[LangfuseCalls, Redact]"]
"""What makes the calls of a child, which is not started yet."""

EXIT_SECONDS = 10.0
"""How long a program that ends waits for what it has not sent: the child alone may take some seconds to start. Nothing
is waited for once an attempt has failed."""

SETTLED_STEP = 0.01
"""From one look at whether all is sent to the next."""

END_SECONDS = 2.0
"""How long ending the child may take beyond that."""


class TraceSender:
    """Sends what is put into it, in the order of each trace.

    `connect` is called in the thread, where its imports and what it reads hold up nobody.
    """

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._begin_anew()
        _senders.add(self)

    def _begin_anew(self) -> None:
        self._outbox = TraceOutbox()
        self._arrival = Arrival(self._outbox, self._wake_all)  # each lane ends then
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wakes: list[asyncio.Event] = []
        self._end: asyncio.Event | None = None
        self._woken = False
        self._until: float | None = None  # once it is to end

    def put(self, event: Event) -> bool:
        """Take an event, whatever state all else is in; `False` if it is dropped."""
        if self._arrival.useless or self._until is not None:
            self._outbox.counts.dropped += 1
            return False
        taken = self._outbox.put(event)
        if not taken and self._outbox.counts.dropped == 1:
            logger.warning("Traces are dropped: %d events wait for Langfuse already.", self._outbox.pending)
        self._wake()
        return taken

    def status(self) -> JSONObject:
        """Whether traces arrive, what became of all so far, and the last error; no content and no key."""
        return self._arrival.status()

    def settle(self, seconds: float) -> None:
        """Wait, blocking, until all is sent, or the first attempt has failed, `seconds` at most."""
        deadline = time.monotonic() + seconds
        here = self._arrival
        while self._outbox.pending and not (here.useless or here.failing) and time.monotonic() < deadline:
            time.sleep(SETTLED_STEP)

    def close(self, seconds: float = EXIT_SECONDS) -> None:
        """Send what waits, for `seconds` at most, and end the child; blocking. What comes later is dropped.

        Nothing is waited for where the last attempt failed.
        """
        with self._lock:
            thread, loop = self._thread, self._loop
            if self._until is None:
                self._until = time.monotonic() + (0.0 if self._arrival.failing else seconds)
        if thread is None or thread is threading.current_thread():
            return
        with suppress(RuntimeError):  # its loop has just ended
            if loop:
                loop.call_soon_threadsafe(self._wake_all)
        thread.join(seconds + END_SECONDS)
        self._outbox.empty(self._outbox.counts.last_error or "the program ended before")

    def _wake(self) -> None:
        """Tell the thread that there is something, once until it has looked; start it if there is none."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="langfuse traces", daemon=True)
                self._thread.start()
                atexit.register(self.close)
                return
            if self._woken or self._loop is None:
                return
            self._woken = True
            loop = self._loop
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(self._wake_all)

    def _wake_all(self) -> None:
        self._woken = False
        for wake in self._wakes:
            wake.set()
        if self._until is not None and self._end:
            self._end.set()

    # All below runs in the thread.

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as exc:  # noqa: BLE001  whatever it is, the program goes on without traces
            why = str(exc) if isinstance(exc, FlywheelError) else f"tracing failed ({type(exc).__name__})"
            self._arrival.useless = why
            logger.warning("Nothing is traced any more: %s.", why.rstrip("."))
        if self._until is None:
            self._outbox.empty(self._arrival.useless or "tracing has ended")
        atexit.unregister(self.close)

    async def _serve(self) -> None:
        calls, redact = self._connect()
        try:
            self._end = end = asyncio.Event()
            self._wakes = [asyncio.Event() for _ in self._outbox.lanes]
            with self._lock:
                self._loop = asyncio.get_running_loop()
            self._wake_all()  # it may be that all is to end already
            lanes = [
                asyncio.create_task(Lane(self._outbox, self._arrival, calls, redact, waiting, wake, end).send_all())
                for waiting, wake in zip(self._outbox.lanes, self._wakes, strict=True)
            ]
            over = asyncio.create_task(self._over(end))
            work = asyncio.create_task(asyncio.wait(lanes, return_when=asyncio.FIRST_EXCEPTION))
            await asyncio.wait({work, over}, return_when=asyncio.FIRST_COMPLETED)
            for task in (over, work, *lanes):
                task.cancel()
            await asyncio.wait({over, work, *lanes})
            for lane in lanes:
                if not lane.cancelled() and (exc := lane.exception()):
                    raise exc
        finally:
            await calls.aclose()

    async def _over(self, end: asyncio.Event) -> None:
        """Wait until all is to end, and the time for that has passed."""
        await end.wait()
        await asyncio.sleep(max(0.0, (self._until or 0.0) - time.monotonic()))


_senders: "weakref.WeakSet[TraceSender]" = weakref.WeakSet()


def _in_a_fork() -> None:
    """A process that was forked has none of our threads, and sends for itself."""
    for sender in list(_senders):
        sender._begin_anew()  # pyright: ignore[reportPrivateUsage]  # noqa: SLF001


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_a_fork)
