"""The clients of an episode: on each machine one that always sends all its turns, and one that sends what is new."""

import asyncio
import random

from .client import Client
from .ledger import Execution, Session
from .world import World

PLACES = (("m0", True), ("m0", False), ("m1", True), ("m1", False))
"""Machine, and whether the client resends."""


class Cast:
    """New clients with new sessions, under Redis A. `sessions`: those that the episode is judged by."""

    def __init__(self, world: World, rng: random.Random, episode: str) -> None:
        self.episode = episode
        self.world = world
        self._rng = rng
        self.clients: list[Client] = []
        self.sessions: list[Session] = []

    async def enter(self) -> None:
        """Take their seats, and begin their sessions."""
        for machine, resends in PLACES:
            seat = await self.world.seat(machine, "A")
            name = f"{machine}{'all' if resends else 'new'}"
            rng = random.Random(f"{self.episode} {name} {self._rng.random()}")
            caller = self.world.caller(seat, name)
            client = Client(caller, self.world.ledger, rng, self.episode, resends=resends)
            self.clients.append(client)
            self.sessions += [client.own, client.doomed]
        self.sessions.append(self.clients[0].shared)
        await asyncio.gather(*(client.begin() for client in self.clients))

    async def work(self, least: int, most: int) -> None:
        """Every client does so many operations, all at once."""
        await asyncio.gather(*(client.work(client.draw(least, most)) for client in self.clients))

    async def again(self) -> None:
        """Every client saves once more."""
        await asyncio.gather(*(client.again() for client in self.clients))

    async def save_some(self) -> None:
        """The clients of machine m0 save."""
        await asyncio.gather(*(client.again() for client in self.clients if client.machine == "m0"))

    def executions(self) -> list[Execution]:
        """What was cached in the episode."""
        return [e for e in self.world.ledger.executions.values() if e.id.startswith(f"{self.episode}-")]
