"""A full disk: what waits there is still sent, what is new goes to Redis or is refused; then there is room again."""

import asyncio

from .fault import Fault

AWAY_SECONDS = (0.6, 1.2)


class FullDisk(Fault):
    """Redis A is away, saves wait in the journal, the disk fills up, Redis is back; later there is room again."""

    name = "full disk"
    beside = False

    async def strike(self) -> None:
        world, machine = self.world, "m0"
        disk = self.rng.choice(world.disks)
        world.a.cut_off()
        self.note("Redis A is away")
        await asyncio.sleep(self.rng.uniform(*AWAY_SECONDS))
        pids = [pid for seat in world.seats_of(machine) for pid in (seat.server.pid, *seat.server.children)]
        world.ledger.deaf.add(machine)
        await asyncio.to_thread(disk.fill, pids)
        self.note(f"the disk of {machine} is full ({type(disk).__name__})")
        await asyncio.sleep(self.rng.uniform(0, 0.5))
        world.a.let_in()
        self.note("Redis A is back")
        await self.others_arrive()
        pids = [pid for seat in world.seats_of(machine) for pid in (seat.server.pid, *seat.server.children)]
        await asyncio.to_thread(disk.free, pids)
        self.note("there is room again")
        world.ledger.deaf.discard(machine)
