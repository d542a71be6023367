"""What the machine itself adds to an answer's time: measured beside the calls, and allowed to them on top of the bound.

Two heartbeats: how late a sleeping task of this loop is woken, and how long a small write takes to reach the disk.
"""

import asyncio
import contextlib
import os
import threading
import time
from collections import deque
from pathlib import Path
from typing import Self

BEAT_SECONDS = 0.01
FLUSH_BEAT_SECONDS = 0.05
REMEMBERED_SECONDS = 60.0
FLUSHES = 3
"""So many a save may wait for: its own, that of a save before it, and the one of a log that is emptied."""


class Machine:
    """Heartbeats in the background while entered; `folder` is on the disk that the journals use."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "heartbeat"
        self._lags: deque[tuple[float, float]] = deque()  # (when it should have been, how late it was)
        self._flushes: deque[tuple[float, float]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._flush, daemon=True)
        self._stop = threading.Event()
        self.worst = 0.0

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._beat())
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await asyncio.to_thread(self._thread.join)

    def allowance(self, began: float) -> float:
        """Seconds that the machine may have added to a call that began then (monotonic clock) and ends now."""
        lag = max((late for due, late in list(self._lags) if due + late >= began), default=0.0)
        # A flush still under way has no entry yet; the time since the last one stands for it.
        flushes = list(self._flushes)
        under_way = time.monotonic() - sum(flushes[-1]) - FLUSH_BEAT_SECONDS if flushes else 0.0
        flush = max((took for due, took in flushes if due + took >= began), default=0.0)
        allowed = lag + FLUSHES * max(flush, under_way, 0.0)
        self.worst = max(self.worst, allowed)
        return allowed

    async def _beat(self) -> None:
        while True:
            due = time.monotonic() + BEAT_SECONDS
            await asyncio.sleep(BEAT_SECONDS)
            _note(self._lags, due, time.monotonic() - due)

    def _flush(self) -> None:
        with self._file.open("wb") as file:
            while not self._stop.wait(FLUSH_BEAT_SECONDS):
                began = time.monotonic()
                file.seek(0)
                file.write(b"x" * 4096)
                file.flush()
                os.fsync(file.fileno())
                _note(self._flushes, began, time.monotonic() - began)


def _note(beats: deque[tuple[float, float]], due: float, seconds: float) -> None:
    beats.append((due, seconds))
    while beats and beats[0][0] < due - REMEMBERED_SECONDS:
        beats.popleft()
