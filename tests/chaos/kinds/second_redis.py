"""A second Redis on the same data folder and prefix, and no Redis at all, while saves wait for the first."""

import random

from ..client import Client
from .fault import Fault

OPERATIONS = 5
MOVES = "dogwood"
"""The word of what moves from this machine to Redis A, in the place of a destination's."""


class SecondRedis(Fault):
    """Machine m0 works with Redis A, Redis B and none, with sessions of the same ids; A, B or both are away."""

    name = "second redis"

    async def prepare(self) -> None:
        self._away = [a for a in (self.world.a, self.world.b) if self.rng.random() < 0.7]
        self._restart = self.rng.random() < 0.4

    async def strike(self) -> None:
        world = self.world
        for address in self._away:
            address.cut_off()
        self.note(f"away: {' '.join(address.name for address in self._away) or 'none'}")
        first = await world.seat("m0", "A")
        await self.cast.save_some()
        if self._restart:
            await first.stop(politely=self.rng.random() < 0.5)
        b = await self._client("B")
        here = await self._client("here")
        for client in (b, here):
            await client.begin()
            await client.work(OPERATIONS)
        await self._look_for_others(b)
        await self._look_for_others(here)
        for address in self._away:
            address.let_in()
        self.note("all are back")
        if self._restart:
            await first.start()
        for client in (b, here):
            await client.work(OPERATIONS)
        await self._move()

    async def _client(self, destination: str) -> Client:
        """A client of another destination; under B the ids are those of a client of A."""
        seat = await self.world.seat("m0", destination)
        caller = self.world.caller(seat, f"m0{destination}-all")
        client = Client(caller, self.world.ledger, self._rng(destination), f"{self.cast.episode}", resends=True)
        if destination == "B":
            first = self.cast.clients[0]
            client.own = self.world.ledger.session("B", first.own.id, client.name)
            client.doomed = self.world.ledger.session("B", f"{self.cast.episode}-b-gone", client.name)
        else:
            client.shared = self.world.ledger.session("here", f"{self.cast.episode}-here-shared", client.name)
        self.cast.sessions += [client.own, client.doomed, client.shared]
        return client

    def _rng(self, destination: str) -> random.Random:
        return random.Random(f"{self.cast.episode} {destination} {self.rng.random()}")

    async def _look_for_others(self, client: Client) -> None:
        """Ids that this destination has never had are not found there; another's may be."""
        for session in self.world.ledger.of("A")[-6:]:
            if session.turns and (client.destination, session.id) not in self.world.ledger.sessions:
                await client.caller.ready()
                answer = await client.caller.call("resume_session", session.id, session_id=session.id)
                if answer and answer.get("found"):
                    text = f"a session of Redis A alone is found under {client.destination}"
                    self.world.book.violation("crossed", f"{session.id} {client.name}", text)
        latest = await client.caller.call("resume_session", "the latest")
        if latest and latest.get("found"):
            known = (client.destination, latest["session"]["id"]) in self.world.ledger.sessions
            is_here = ("here", latest["session"]["id"]) in self.world.ledger.sessions
            if not known and not is_here:
                self.world.book.violation(
                    "crossed", f"{latest['session']['id']} latest {client.name}", "the latest is another destination's"
                )

    async def _move(self) -> None:
        """What is here shows under Redis A as well, and goes there when it is saved there next."""
        callers = [self.world.caller(await self.world.seat("m0", to), f"m0{to}-moves") for to in ("here", "A")]
        session = self.world.ledger.session("here", f"{self.cast.episode}-moves", "mover")
        mover = Client(callers[0], self.world.ledger, self.rng, f"{self.cast.episode}-mover", resends=True)
        mover.name, mover.marker = "mover", MOVES
        await mover.save(session)
        mover.caller = callers[1]
        answer = await mover.read(session)
        if answer and not answer.get("found"):
            text = f"{answer.get('reason')} under Redis A, though this machine has it"
            mover.caller.wrong(session.id, text)
        self.world.ledger.move(session, "A")
        await mover.save(session)
        self.cast.sessions.append(session)
