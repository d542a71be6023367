"""Runs coroutines for code that does not await, in an event loop of its own thread."""

import asyncio
import os
import sys
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError
from typing import Any, TypeVar

from agentic_flywheel.errors import Unavailable

CALL_SECONDS = 120.0
"""The longest that a call is waited for: far beyond the time-outs of the storage operations that it is made of."""

STOP_SECONDS = 10.0
"""The longest that the thread is waited for when it is to end: closing a child takes three seconds at most."""

ENDED = "The program has ended: nothing can be kept any more."

_Answer = TypeVar("_Answer")


class BackgroundLoop:
    """Begins with the first call and ends with `close`, or with the program; a call after that begins another one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._running: tuple[int, asyncio.AbstractEventLoop, threading.Thread] | None = None

    def run(self, work: Coroutine[Any, Any, _Answer]) -> _Answer:
        """What the work answers. It is cancelled where the caller is interrupted.

        Raises:
            Unavailable: it took more than `CALL_SECONDS`, the loop was closed meanwhile, or the program has ended and
                no thread runs or begins any more.

        """
        try:
            future = asyncio.run_coroutine_threadsafe(work, self._loop())
        except BaseException:
            work.close()
            raise
        try:
            return future.result(CALL_SECONDS)
        except (TimeoutError, CancelledError) as exc:
            raise Unavailable(f"The store did not answer in {CALL_SECONDS:.0f} s, or was closed.") from exc
        finally:
            future.cancel()

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Do the `last` work in the loop, if there is one, and end it."""
        with self._lock:
            running, self._running = self._running, None
        if running is None or running[0] != os.getpid():
            last.close()
            return
        _, loop, thread = running
        try:
            asyncio.run_coroutine_threadsafe(last, loop).result(CALL_SECONDS)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(STOP_SECONDS)

    def _loop(self) -> asyncio.AbstractEventLoop:
        if sys.is_finalizing():
            raise Unavailable(ENDED)
        with self._lock:
            if self._running is None or self._running[0] != os.getpid():  # a fork has no thread of its parent's
                loop = asyncio.new_event_loop()
                thread = threading.Thread(target=_run, args=(loop,), name=self._name, daemon=True)
                try:
                    thread.start()
                except RuntimeError as exc:
                    loop.close()
                    raise Unavailable(ENDED) from exc
                self._running = os.getpid(), loop, thread
            return self._running[1]


def _run(loop: asyncio.AbstractEventLoop) -> None:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.get_loop().run_forever()
