"""A machine's journal from a backup: what it knew, what it had to send and what it buried is as it was."""

import asyncio
import time

from ..client import Client
from ..journals import OutsideJournal
from .fault import Fault

AWAY_SECONDS = (0.3, 1.0)
OPERATIONS = 4


class OlderJournal(Fault):
    """Backed up, acknowledged saves, put back: while the servers are stopped, or under a running one by SQLite."""

    name = "older journal"
    beside = False

    async def prepare(self) -> None:
        self._machine = self.rng.choice(("m0", "m1"))
        self._here = await self._enter() if self._machine == "m0" and self.rng.random() < 0.4 else None
        self._journal = OutsideJournal(self.world.data(self._machine))
        self._backup = self.world.folder / f"backup-{time.monotonic_ns()}.sqlite3"
        self._away = self.rng.random() < 0.5
        if self._away:  # the backup has saves that are sent afterwards, and are sent again when it is put back
            self.world.a.cut_off()
            await asyncio.sleep(self.rng.uniform(*AWAY_SECONDS))
        self._away_again = self.rng.random() < 0.5
        self._since = time.monotonic()
        await asyncio.to_thread(self._journal.backup, self._backup)
        if self._away:
            self.world.a.let_in()
        self.note(f"the journal of {self._machine} is backed up{', Redis A being away' if self._away else ''}")

    async def strike(self) -> None:
        ledger, machine = self.world.ledger, self._machine
        if self._here:
            await self._here.work(OPERATIONS)
        await asyncio.sleep(self.rng.uniform(0, 0.4))
        running = self.rng.random() < 0.5
        for client in self.cast.clients:  # a replace made without Redis loses to saves that the journal has forgotten
            client.may_replace = (running and not self._away_again) or client.machine != machine
        if running:
            await asyncio.to_thread(self._journal.write_over, self._backup)
            ledger.set_back(machine, self._since)
        else:
            seats = [seat for seat in self.world.seats_of(machine) if seat.is_up]
            politely = self.rng.random() < 0.5
            await asyncio.gather(*(seat.stop(politely=politely) for seat in seats))
            await asyncio.to_thread(self._journal.put_in_place, self._backup)
            ledger.set_back(machine, self._since)
            await asyncio.gather(*(seat.start() for seat in seats))
        self.note(f"the backup is the journal of {machine} again{', under a running server' if running else ''}")
        if self._away_again:
            self.world.a.cut_off()
            await asyncio.sleep(self.rng.uniform(*AWAY_SECONDS))
            self.world.a.let_in()
        if self._here:
            await self._here.again()
            await self._here.work(OPERATIONS)

    async def _enter(self) -> Client:
        """A client of this machine without a Redis, whose journal is all that there is."""
        caller = self.world.caller(await self.world.seat("m0", "here"), "m0here-all")
        client = Client(caller, self.world.ledger, self.rng, f"{self.cast.episode}-here", resends=True)
        self.cast.sessions += [client.own, client.doomed, client.shared]
        await client.begin()
        return client
