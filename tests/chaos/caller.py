"""One client's calls: sent to its seat's server, timed against the deadline, written into the book."""

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Iterable
from typing import Any

from ..support.async_wire import NotSent, Reply, ServerGone
from ..support.own_time import OwnTime
from .book import Book
from .machine import Machine
from .seat import Seat

TIMEOUT_SECONDS = 1.0
"""FLYWHEEL_TIMEOUT_SECONDS of every server."""

SLACK_SECONDS = 0.5
BYTES_A_SECOND = 1_000_000  # the contract's second per MB
FIRST_READ_SECONDS = 10.0
"""What takes the timeout's place for a read while its server may never have had a ready child."""

NEVER_SECONDS = 60.0
"""After this a call counts as not answered at all, and its server is ended."""

WRITES = frozenset({"save_session", "delete_session", "cache_result"})
SHOWN = ("saved", "deleted", "cached", "found", "revision", "provisional", "turns", "added_turns", "total_turns",
         "omitted_turns", "stored_in", "source", "stale", "scope", "reason")  # fmt: skip
"""Fields of answers that the log repeats."""

Facts = Callable[[Seat, str, Reply], Iterable[str]]
"""Tells what of a server's answer to a tool is contrary to the facts."""


class Caller:
    """Calls tools at one seat. `facts` looks at every answer."""

    def __init__(self, seat: Seat, book: Book, machine: Machine, facts: Facts | None = None, name: str = "") -> None:
        self.seat = seat
        self.name = name or seat.name
        self.book = book
        self._machine = machine
        self._facts = facts
        self._numbers = itertools.count(1)

    async def ready(self) -> int:
        """Wait until there is a server; which of the seat's servers it is."""
        await self.seat.up()
        return self.seat.life

    async def call(self, tool: str, /, about: str, **arguments: Any) -> dict[str, Any] | None:
        """The answer; `None` if the server ended before it answered. `about` is for the log."""
        seat, server = self.seat, self.seat.server
        name = f"{self.name} call {next(self._numbers)} at {self.book.seconds()}"
        patient = tool not in WRITES and not seat.reached
        own = OwnTime(server.pid)
        try:
            async with asyncio.timeout(NEVER_SECONDS):
                reply = await server.call(tool, **arguments)
        except TimeoutError:
            text = f"no answer to {tool} in {NEVER_SECONDS:g} s; the server was ended"
            self.book.violation("over the deadline", name, text, arguments=about)
            server.kill()
            await seat.revive()
            return None
        except ServerGone as exc:
            self.book.event(self.name, tool, call=name, about=about, life=seat.life, answer=None)
            if seat.polite_end and isinstance(exc, NotSent):
                return None
            if seat.polite_end:
                text = "the call was sent before the end of the server's input, and not answered"
                self.book.violation("wrongly reported", name, text, tool=tool, arguments=about)
            elif seat.is_up and seat.server is server:
                self.book.violation("wrongly reported", name, "the server ended by itself", tool=tool, arguments=about)
                await seat.revive()
            return None
        size = len(json.dumps(arguments)) + len(json.dumps(reply.answer))
        self._judge(name, tool, about, reply, patient=patient, size=size, waited=own.waited())
        return reply.answer

    def wrong(self, about: str, text: str, **known: Any) -> None:
        """Something was reported that is not so."""
        self.book.violation("wrongly reported", f"{about} {self.name} at {self.book.seconds()}", text, **known)

    def _judge(
        self, name: str, tool: str, about: str, reply: Reply, *, patient: bool, size: int, waited: float
    ) -> None:
        answer = reply.answer
        shown = {field: answer[field] for field in SHOWN if field in answer}
        known = {"seconds": round(reply.seconds, 4), "sent_at": self.book.seconds(reply.sent_at)}
        self.book.event(self.name, tool, call=name, about=about, life=self.seat.life, **known, **shown)
        self.book.operations += 1
        self.book.times.append(reply.seconds)
        if stored_in := answer.get("stored_in"):
            self.book.stored_in[stored_in] += 1
        if answer.get("scope") == "shared" or "redis" in (stored_in, answer.get("source")):
            self.seat.reached, self.seat.reached_at = True, time.monotonic()
        if reply.error:
            text = f"an error for right arguments of {tool}: {reply.error}"
            self.book.violation("wrongly reported", f"{about} {self.name} error", text)
            return
        for text in self._facts(self.seat, tool, reply) if self._facts else ():
            self.book.violation("wrongly reported", f"{about} {name}", text, **shown)
        bound = (FIRST_READ_SECONDS if patient else TIMEOUT_SECONDS) + SLACK_SECONDS + size / BYTES_A_SECOND
        allowed = waited + self._machine.allowance(reply.sent_at)
        if reply.seconds > bound + allowed:
            text = (
                f"{tool} took {reply.seconds:.3f} s; the deadline is {bound:.2f} s, "
                f"and the machine is allowed {allowed:.3f} s"
            )
            about_call = f"{about} {name}"
            self.book.violation("over the deadline", about_call, text, sent_at=known["sent_at"], answer=shown)
