"""Doing the faults of a schedule, one after the other; those that last end by themselves while the next one begins."""

import asyncio
import signal
import time
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any

from ...support.processes import kill
from ...support.redis_server import RedisServer
from ...support.waiting import eventually
from ..book import Book
from ..seat import Seat
from .schedule import Fault

DOWN_AT_ONCE = 2
"""Servers that are being started again: a machine that does nothing else has no clients to be unkind to."""

LOOK_AGAIN_SECONDS = 0.01
"""The pause after a fault that would hit nothing now, before the next one of the schedule."""

CALM_WITHIN = 8.0
"""Seconds that a calm waits for all to be well: the contract's five, and a server's start on a busy machine."""


class Faults:
    """Hits one Redis and the servers of `seats`."""

    def __init__(self, redis: RedisServer, seats: Sequence[Seat], book: Book) -> None:
        self._redis = redis
        self._seats = seats
        self._book = book
        self._redis_busy = False
        self._frozen: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, schedule: Iterator[Fault], count: int) -> None:
        """Do `count` faults that hit something, then wait until all that was done is over."""
        done = 0
        while done < count:
            fault = next(schedule)
            if not (act := self._begin(fault)):
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
                continue
            done += 1
            self._book.faults[fault.kind] += 1
            self._book.event(
                "faults", fault.kind, number=done, seat=self._seats[fault.seat].name, seconds=fault.seconds
            )
            self._spawn(act)
            await asyncio.sleep(fault.pause)  # the schedule's own pause
            if fault.calm:
                await self._calm()
            self._raise_failures()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._raise_failures()

    async def _calm(self) -> None:
        """Wait until every client has been served by Redis again; on a busy machine, not for ever."""
        if self._tasks:
            await asyncio.wait(self._tasks)
        began = time.monotonic()
        try:
            await eventually(lambda: all(seat.reached_at > began for seat in self._seats), within=CALM_WITHIN)
        except AssertionError:
            self._book.event("faults", "no calm", away=[seat.name for seat in self._seats if seat.reached_at <= began])
        else:
            self._book.event("faults", "calm", seconds=round(time.monotonic() - began, 3))

    def _begin(self, fault: Fault) -> Coroutine[Any, Any, None] | None:
        """What is to be done; `None` if the fault would hit nothing now."""
        seat = self._seats[fault.seat]
        if fault.kind in ("redis killed", "redis frozen", "connections cut"):
            if self._redis_busy:
                return None
            self._redis_busy = True
            return self._redis_fault(fault)
        if not seat.is_up:
            return None
        if fault.kind in ("server killed", "server ended"):
            if sum(not each.is_up for each in self._seats) >= DOWN_AT_ONCE:
                return None
            return seat.kill() if fault.kind == "server killed" else seat.end()
        child = seat.child()
        if child is None or child in self._frozen:
            return None
        if fault.kind == "child killed":
            kill(child)
            return self._nothing()
        kill(child, signal.SIGSTOP)
        return self._thaw_child(child, fault.seconds)

    async def _redis_fault(self, fault: Fault) -> None:
        try:
            if fault.kind == "redis killed":
                await asyncio.to_thread(self._redis.kill)
                await asyncio.sleep(fault.seconds)
                await asyncio.to_thread(self._redis.start)
            elif fault.kind == "redis frozen":
                self._redis.freeze()
                await asyncio.sleep(fault.seconds)
                self._redis.thaw()
            else:
                await asyncio.to_thread(self._cut)
        finally:
            self._redis_busy = False
            self._book.event("faults", f"{fault.kind}: over")

    def _cut(self) -> None:
        with self._redis.client() as client:
            client.client_kill_filter(_type="normal", skipme=True)

    async def _thaw_child(self, child: int, seconds: float) -> None:
        self._frozen.add(child)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._frozen.discard(child)
            kill(child, signal.SIGCONT)  # if it still lives

    async def _nothing(self) -> None:
        pass

    def _spawn(self, act: Coroutine[Any, Any, None]) -> None:
        self._tasks.add(asyncio.create_task(act))

    def _raise_failures(self) -> None:
        for task in [task for task in self._tasks if task.done()]:
            self._tasks.discard(task)
            task.result()
