"""Rows of the outbox that cannot be read: of an unknown kind, cut JSON, JSON of another shape, no text."""

import asyncio

from ...support.processes import alive
from ...support.waiting import eventually
from ..journals import OutsideJournal
from ..world import PREFIX
from .fault import Fault

ROWS: dict[str, str | bytes] = {
    "of an unknown kind": '{"kind": "of-the-future", "key": "agentic_flywheel:session:poison", "much": [1]}',
    "cut JSON": '{"kind": "session", "key": "agentic_flywheel:se',
    "a list": "[1, 2, 3]",
    "no text": b"\x00\xff\xfe poison",
}
WAITING_WITHIN = 20.0
LEFT_WITHIN = 20.0


class Poison(Fault):
    """Redis A is away, saves wait, poison comes among them, Redis is back: all but the poison gets there."""

    name = "poison rows"

    async def strike(self) -> None:
        machine = self.rng.choice(("m0", "m1"))
        journal = OutsideJournal(self.world.data(machine))
        self.world.a.cut_off()
        try:
            await eventually(lambda: journal.waiting() > 0, within=WAITING_WITHIN, what="something to wait")
            for _ in range(self.rng.randint(1, 2)):
                what, first = self.rng.choice(list(ROWS)), self.rng.random() < 0.7
                key = None if self.rng.random() < 0.5 else f"{PREFIX}:session:poison-{self.rng.randrange(1000)}"
                if await asyncio.to_thread(lambda: journal.poison(ROWS[what], key, first=first)):  # noqa: B023
                    self.world.dead_letters[machine] = self.world.dead_letters.get(machine, 0) + 1
                    self.note(f"{machine} has a row {what} under {key or 'the key of a waiting save'}")
        finally:
            self.world.a.let_in()

    async def mend(self) -> None:
        if self.rng.random() < 0.4:  # poison or not, a server ends, and its child with it
            seat = self.rng.choice(list(self.world.seats.values()))
            below = seat.server.children
            await seat.end()
            try:
                await eventually(lambda: not any(map(alive, below)), within=LEFT_WITHIN)
            except AssertionError:
                self.world.book.violation("left behind", f"{seat.name} {below}", "a child outlives its server")
