"""What every kind of fault is: something prepared, a strike while clients work, and all well again."""

import asyncio
import random
from typing import ClassVar

from ..cast import Cast
from ..judge import Judge
from ..world import World

EVERYTHING = float("-inf")
"""The moment before all others."""

IN_FLIGHT_SECONDS = 0.05
"""Until what was answered before a kill has been read from the pipes."""


class Fault:
    """One fault of an episode; a kind overrides what it needs. This one is none: the judge must find nothing then."""

    name: ClassVar[str] = "nothing"
    beside: ClassVar[bool] = True  # whether a server or a child may be killed at the same time
    here_counts: ClassVar[bool] = False  # whether a session that is listed as a machine's own need not be in Redis
    rests: ClassVar[float] = 0.0  # seconds for which what was refused may wait, once it is taken again

    def __init__(self, world: World, rng: random.Random, cast: Cast) -> None:
        self.world = world
        self.rng = rng
        self.cast = cast

    async def prepare(self) -> None:
        """What is done before the saves that the fault takes away."""

    async def strike(self) -> None:
        """The fault, while clients work."""

    async def mend(self) -> None:
        """Make all well again, and leave nothing for the next one."""

    def note(self, what: str, **known: object) -> None:
        """Into the story."""
        self.world.book.event("fault", what, **known)

    async def lost_by_redis(self, since: float) -> None:
        """Redis A holds only what it held at that moment."""
        await asyncio.sleep(IN_FLIGHT_SECONDS)
        self.world.ledger.forget("A", since)

    async def others_arrive(self, but: str = "") -> None:
        """All is in its Redis soon, though something is still wrong: but a session, and what begins with it."""
        sessions = [session for session in self.cast.sessions if not but or not session.id.startswith(but)]
        await Judge(self.world).arrives(sessions)
