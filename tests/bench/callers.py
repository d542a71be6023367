"""Many callers at once on one connection, each saving a session of its own."""

import asyncio
import random
import time
from collections.abc import Sequence

import redis as redis_py
from mcp import MCPError

from .by_size import SIZES, make_sure
from .corpus import Talk, changed, history_of
from .measure import Progress, Run, Spot, timed
from .peers import ENGINE, Peer

OPERATION = "save 1 KB, callers at once"
CALLERS = {1: 32, 8: 16, 32: 8}
"""How many callers, and how many saves each of them does in a round; in a quick run a quarter of these."""


async def measure_callers(
    run: Run, peers: Sequence[Peer], redis: redis_py.Redis, rounds: int, rng: random.Random, progress: Progress
) -> None:
    """So many rounds of every number of callers at every peer, in shuffled order; the first round does not count."""
    turns = [(peer, callers) for peer in peers if peer.name != ENGINE for callers in CALLERS]
    history = history_of(SIZES["1 KB"], rng)
    share = 1 if rounds > 1 else 4
    for number in range(-1 if rounds > 1 else 0, rounds):
        rng.shuffle(turns)
        for place, (peer, callers) in enumerate(turns):
            progress.tell(f"{OPERATION}, round {number + 1} of {rounds}", place + 1, len(turns))
            found = Run()
            saves = range(CALLERS[callers] // share)
            talks = [[changed(history, f"{number}-{i}-{j}:", rng) for j in saves] for i in range(callers)]
            await _at_once(found, peer, talks)
            if not found.errors:
                for i in range(callers):
                    make_sure(found, peer, f"caller {i}", talks[i][-1], redis)
            run.checked.update(found.checked)
            spot = Spot(OPERATION, str(callers), peer.name)
            run.errors[spot] += found.errors.total()
            if number >= 0:
                run.add(spot, *found.times.get(spot, ()))
                run.rates.setdefault(spot, []).extend(found.rates[spot])


async def _at_once(run: Run, peer: Peer, talks: Sequence[Sequence[Talk]]) -> None:
    """One caller for each row of talks, all at once; each saves its talks one after the other."""
    spot = Spot(OPERATION, str(len(talks)), peer.name)

    async def caller(i: int) -> None:
        for talk in talks[i]:
            try:
                milliseconds, answer = await timed(peer.save(f"caller {i}", talk))
            except MCPError:
                run.errors[spot] += 1
                continue
            if peer.kept(answer):
                run.add(spot, milliseconds)
            else:
                run.errors[spot] += 1

    began = time.perf_counter()
    await asyncio.gather(*(caller(i) for i in range(len(talks))))
    run.rates[spot] = [sum(map(len, talks)) / (time.perf_counter() - began)]
