"""What the servers say of themselves, asked all the time: what waits has a named cause after a while."""

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from ..support.async_wire import ServerGone
from .caller import Caller
from .seat import Seat

if TYPE_CHECKING:
    from .world import World

POLL_SECONDS = 0.8
UNNAMED_SECONDS = 5.0
"""The contract's time after which whatever is still pending has a named cause in the status."""

PLAIN = "keeps the shared copy."
"""How the reason ends when nothing is to be complained of."""


class Watch:
    """Asks one seat's server for its status again and again until cancelled."""

    def __init__(self, world: "World", seat: Seat, caller: Caller) -> None:
        self._world = world
        self._seat = seat
        self._caller = caller
        self._unnamed: tuple[int, float] | None = None  # the server's life, and since when

    async def run(self) -> None:
        while True:
            with suppress(ServerGone):
                await self._ask()
            await asyncio.sleep(POLL_SECONDS)

    async def _ask(self) -> None:
        await self._seat.up()
        asked = time.monotonic()
        answer = await self._caller.call("persistence_status", "status")
        if not answer or "journal" not in answer:
            self._unnamed = None
            return
        if answer["child"]["state"] not in ("ready", "not used"):
            self._seat.childless_at = time.monotonic()
        if answer["journal"]["pending"] == 0:
            self._world.ledger.drained(self._seat.destination, self._seat.machine, asked)
        if answer["journal"]["pending"] == 0 or names_a_cause(answer):
            self._unnamed = None
        elif self._unnamed is None or self._unnamed[0] != self._seat.life:
            self._unnamed = self._seat.life, asked
        elif asked - self._unnamed[1] > UNNAMED_SECONDS:
            text = f"{answer['journal']['pending']} pending for over {UNNAMED_SECONDS:g} s, and no cause is named"
            about = f"{self._seat.name} life {self._seat.life} status"
            self._caller.book.violation("wrongly reported", about, text, reason=answer["reason"])


def names_a_cause(status: dict[str, object]) -> bool:
    """Whether a status says of anything that it is not as it should be."""
    redis = status["redis"]
    assert isinstance(redis, dict)
    return status["mode"] != "redis" or bool(redis.get("last_error")) or not str(status["reason"]).endswith(PLAIN)
