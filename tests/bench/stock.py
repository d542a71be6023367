"""`python -m tests.bench.stock --before PYTHON`: save and resume of 10 KB over the stock child, beside an older build.

`PYTHON` has the older build installed. All take turns behind the same client, in one run; ratios are of medians.
The stock child knows the handshake alone, while a client of today has ours speak 2026-07-28, which costs both more:
so it is measured by what each chooses (`auto`), and by the handshake for all (`legacy`).
"""

import argparse
import asyncio
import random
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Literal

from ..support.redis_server import RedisServer
from .by_size import RESUME, SAVE, BySize
from .lineup import floor, ours, stock
from .measure import Progress, Run, Spot
from .ours import Ours
from .peers import OURS, STOCK, TWO_HOPS, Server

SIZE, BEFORE = "10 KB", "before"
MUST = {SAVE: (1.1, 1.0), RESUME: (1.15, 1.0)}
"""The most and the goal, over the stock child."""


async def measure(before: str, rounds: int, folder: Path, mode: Literal["auto", "legacy"]) -> Run:
    """Save and resume with the older build, this one, the stock child, and a plain chain of two servers, all warm."""
    run, rng, redis = Run(), random.Random("stock"), RedisServer(folder / "redis").start()
    try:
        older = ours(folder / BEFORE, redis.url)
        older.name, older.command = BEFORE, [before, *older.command[1:]]
        older.env, older.redis_key = {**older.env, "FLYWHEEL_KEY_PREFIX": BEFORE}, f"{BEFORE}:session:{{key}}"
        floors = [stock(folder / "stock", redis.url), floor("outer", folder / "hops", redis.url)]
        peers: list[Server] = [ours(folder / "ours", redis.url), older, *floors]
        for peer in peers:
            peer.mode = mode
        async with AsyncExitStack() as stack:
            for peer in peers:
                await stack.enter_async_context(peer.connected())
                if isinstance(peer, Ours):
                    await peer.ready()
            with redis.client() as client:
                by_size = BySize(run, peers, client, rng, Progress())
                await by_size.measure(SIZE, rounds, frozenset({SAVE, RESUME}))
    finally:
        redis.kill()
    return run


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.stock", description=__doc__)
    parser.add_argument("--before", required=True, help="the Python that has the older build")
    parser.add_argument("--rounds", type=int, default=40, help="of ten calls each (40)")
    given = parser.parse_args()
    head = f"| {SIZE} | before | now | stock | two hops | before ÷ stock | now ÷ stock | must | goal | now ÷ hops |"
    lines = ["", head, "|" + " --- |" * 10]
    for mode in ("auto", "legacy"):
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            run = asyncio.run(measure(given.before, given.rounds, Path(folder), mode))
        for operation, (must, goal) in MUST.items():
            spots = (Spot(operation, SIZE, name) for name in (BEFORE, OURS, STOCK, TWO_HOPS))
            older, now, child, hops = (median(run.times[spot]) for spot in spots)
            times = " | ".join(f"{each:.2f} ms" for each in (older, now, child, hops))
            ratios = f"{older / child:.2f} | {now / child:.2f} | {must} | {goal} | {now / hops:.2f}"
            lines.append(f"| {operation}, {mode} | {times} | {ratios} |")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
