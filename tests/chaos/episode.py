"""One episode: clients work, the fault is prepared, it strikes, all send again, and all must be right."""

import asyncio
import random

from ..support.processes import kill
from .cast import Cast
from .judge import HEALED_WITHIN, Judge
from .kinds import KINDS, NOTHING, Fault
from .ledger import Session
from .world import World

EARLIER = 6  # sessions of earlier episodes that are judged again
BESIDE = {NOTHING: 9, "a server is killed": 1, "a server is ended": 1, "a child is killed": 1}


async def play(world: World, kind: str, number: int, rng: random.Random) -> None:
    """Play one fault of that kind, and judge it."""
    book = world.book
    book.during = kind
    book.faults[kind] += 1
    earlier = [session for session in world.ledger.sessions.values() if session.turns]
    cast = Cast(world, rng, f"e{number}")
    fault = (Fault if kind == NOTHING else KINDS[kind])(world, random.Random(f"{number} {rng.random()}"), cast)
    befalls = random.Random(f"{number} {rng.random()}")  # what runs at the same time draws from its own
    await cast.enter()
    await cast.work(1, 2)
    await asyncio.gather(fault.prepare(), cast.work(0, 1))
    await cast.work(1, 3)
    await asyncio.gather(fault.strike(), cast.work(2, 4), _beside(world, fault, befalls))
    await cast.again()
    await cast.work(0, 2)
    await fault.mend()
    if rng.random() < 0.5:
        await cast.again()
    seconds = await _judged(world, cast.sessions + rng.sample(earlier, min(EARLIER, len(earlier))), cast, fault)
    book.event("judge", "judged", seconds=round(seconds, 3), number=number)


async def _judged(world: World, sessions: list[Session], cast: Cast, fault: Fault) -> float:
    judge = Judge(world, here_counts=fault.here_counts, within=HEALED_WITHIN + fault.rests)
    return await judge.judge(sessions, cast.executions())


async def _beside(world: World, fault: Fault, rng: random.Random) -> None:
    """Something that may befall a server at the same time."""
    what = rng.choices(list(BESIDE), list(BESIDE.values()))[0] if fault.beside else NOTHING
    seat = rng.choice(list(world.seats.values()))
    await asyncio.sleep(rng.uniform(0, 0.6))
    if what == NOTHING or not seat.is_up:
        return
    world.book.event("fault", what, seat=seat.name)
    if what == "a server is killed":
        await world.kill(seat)
    elif what == "a server is ended":
        await seat.end()
    elif child := seat.child():
        kill(child)
