"""One whole run: a Redis and servers of its own, every wanted operation, and what came of it."""

import os
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis as redis_py
from mcp import MCPError

from ..support.redis_server import RedisServer
from .by_size import SIZES, BySize
from .callers import measure_callers
from .lineup import PEERS, STARTED, AbsentError
from .measure import Progress, Run, innermost
from .ours import Ours
from .peers import REDIS_MCP, Peer, Server
from .process import measure_cold, measure_memory
from .stores import STORES, measure_lists

BY_PEER = ("save", "append", "resume", "results", "callers")
OPERATIONS = (*BY_PEER, "list", "cold", "memory")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run measures. `rounds` is for small sessions; all else has a share of it."""

    rounds: int
    wanted: frozenset[str] = frozenset(OPERATIONS)
    sizes: Sequence[str] = tuple(SIZES)
    stores: Sequence[int] = STORES
    peers: Sequence[str] = tuple(PEERS)

    def share(self, of: int) -> int:
        """A part of the rounds, one at least."""
        return max(1, self.rounds // of)


async def whole_run(plan: Plan, folder: Path, seed: int, progress: Progress) -> Run:
    """Measure all that the plan wants; `folder` is empty. Nothing is left running."""
    run = Run()
    rng = random.Random(f"bench {seed}")
    redis = RedisServer(folder / "redis").start()
    try:
        with _environment(folder), redis.client() as client:
            run.about["Redis"] = client.info("server")["redis_version"]
            if not plan.wanted.isdisjoint(BY_PEER):
                await _measure_peers(run, plan, folder, redis.url, client, rng, progress)
            if "list" in plan.wanted:
                await measure_lists(run, plan.stores, redis, folder, plan.share(2), rng, progress)
            if "cold" in plan.wanted:
                makers = {name: _maker(name, folder / f"cold-{name}", redis.url) for name in STARTED}
                await measure_cold(run, makers, plan.share(6), rng, progress)
            if "memory" in plan.wanted:
                await measure_memory(run, folder / "memory", redis.url, rng, progress)
    finally:
        redis.kill()
    return run


async def _measure_peers(
    run: Run, plan: Plan, folder: Path, redis_url: str, client: redis_py.Redis, rng: random.Random, progress: Progress
) -> None:
    async with _open(plan, folder, redis_url, run, progress) as peers:
        by_size = BySize(run, peers, client, rng, progress)
        for size in plan.sizes:
            await by_size.measure(size, plan.rounds, plan.wanted)
        if "callers" in plan.wanted:
            await measure_callers(run, peers, client, plan.share(10), rng, progress)


@asynccontextmanager
async def _open(
    plan: Plan, folder: Path, redis_url: str, run: Run, progress: Progress
) -> AsyncIterator[Sequence[Peer]]:
    """The peers of the plan, all warm; one that cannot be had here is noted and left out."""
    peers: list[Peer] = []
    async with AsyncExitStack() as stack:
        for number, name in enumerate(plan.peers):
            progress.tell(f"starting {name}")
            try:
                peer = PEERS[name](folder / f"peer-{number}", redis_url)
                await stack.enter_async_context(peer.connected())
            except AbsentError as exc:
                run.absent[name] = str(exc)
                continue
            except (MCPError, OSError, ExceptionGroup) as exc:
                if name != REDIS_MCP:
                    raise
                run.absent[name] = f"it does not start here ({innermost(exc)})"
                continue
            if isinstance(peer, Ours):
                await peer.ready()
            peers.append(peer)
        yield peers


def _maker(name: str, folder: Path, url: str) -> Callable[[], Server]:
    """Makes what is started again and again, behind the handshake that every server knows."""

    def make() -> Server:
        server = PEERS[name](folder, url)
        assert isinstance(server, Server)
        server.mode = "legacy"
        return server

    return make


@contextmanager
def _environment(folder: Path) -> Iterator[None]:
    """This process's environment for the library: a data folder of its own, none of the user's settings."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(("REDIS_", "FLYWHEEL_", "KV_", "UPSTASH_")):
            del os.environ[name]
    os.environ["FLYWHEEL_DATA_DIR"] = str(folder / "library")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
