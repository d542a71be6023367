"""One client's calls: sent to its seat's server, timed against the bound, written into the book."""

import itertools
import time
from typing import Any

from ..support.async_wire import Reply, ServerGone
from .book import Book
from .machine import Machine
from .seat import Seat

TIMEOUT_SECONDS = 1.0
"""FLYWHEEL_TIMEOUT_SECONDS of every server."""

BOUND_SECONDS = TIMEOUT_SECONDS + 0.5
FIRST_READ_SECONDS = 10.5
"""The bound of a read while its server may never have had a ready child."""

WRITES = frozenset({"save_session", "delete_session", "cache_result"})
SHOWN = ("saved", "deleted", "cached", "found", "revision", "provisional", "turns", "added_turns", "total_turns",
         "omitted_turns", "stored_in", "source", "stale", "scope", "reason")  # fmt: skip
"""Fields of answers that the log repeats."""


class Caller:
    """Calls tools at one seat."""

    def __init__(self, seat: Seat, book: Book, machine: Machine) -> None:
        self.seat = seat
        self.name = seat.name
        self.book = book
        self._machine = machine
        self._numbers = itertools.count(1)

    async def ready(self) -> int:
        """Wait until there is a server; which of the seat's servers it is."""
        await self.seat.up()
        return self.seat.life

    async def call(self, tool: str, /, about: str, **arguments: Any) -> dict[str, Any] | None:
        """The answer; `None` if the server ended before it answered. `about` is for the log."""
        seat, server = self.seat, self.seat.server
        name = f"{self.name} call {next(self._numbers)}"
        patient = tool not in WRITES and not seat.reached
        try:
            reply = await server.call(tool, **arguments)
        except ServerGone:
            self.book.event(self.name, tool, call=name, about=about, life=seat.life, answer=None)
            if seat.polite_end:
                text = "the call was sent before the end of the server's input, and not answered"
                self.book.violation("wrongly reported", name, text, tool=tool, arguments=about)
            elif seat.is_up:
                self.book.violation("wrongly reported", name, "the server ended by itself", tool=tool, arguments=about)
                await seat.revive()
            return None
        self._judge(name, tool, about, reply, patient=patient)
        return reply.answer

    def wrong(self, about: str, text: str, **known: Any) -> None:
        """Something was reported that is not so."""
        self.book.violation("wrongly reported", f"{self.name} {about} at {self.book.seconds()}", text, **known)

    def _judge(self, name: str, tool: str, about: str, reply: Reply, *, patient: bool) -> None:
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
            self.book.violation("wrongly reported", name, f"an error for right arguments: {reply.error}", tool=tool)
        bound = FIRST_READ_SECONDS if patient else BOUND_SECONDS
        if reply.seconds > bound and reply.seconds > bound + (allowed := self._machine.allowance(reply.sent_at)):
            text = (
                f"{tool} took {reply.seconds:.3f} s; the bound is {bound} s, and the machine is allowed {allowed:.3f} s"
            )
            self.book.violation("over the bound", name, text, sent_at=known["sent_at"], arguments=about, answer=shown)
