"""`python -m tests.bench.http`: what HTTP costs beside pipes, what a second process gains, what a killed one loses."""

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..conftest import clean_env
from ..support.http import HTTPProcess, http_server, token_of
from ..support.http_load import load, lost_or_doubled
from ..support.raw_http import RawClient
from ..support.redis_server import RedisServer
from ..support.waiting import eventually
from .cpu_share import held

CLIENTS = 64
"""Of the throughput: for a save of 32 at once one process takes 12 % less of a core than of 16, so half is many."""


class PipeClient:
    """A server over pipes of its own, one request at a time, as bytes."""

    async def start(self, env: dict[str, str]) -> None:
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agentic_flywheel", stdin=pipe, stdout=pipe, env=env, limit=2**26
        )
        about = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
        await self._asked("initialize", about)
        self._write({"jsonrpc": "2.0", "method": "notifications/initialized"})

    async def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        return (await self._asked("tools/call", {"name": name, "arguments": arguments}))["structuredContent"]

    async def _asked(self, method: str, params: dict[str, Any]) -> Any:
        self._write({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        assert self.process.stdout
        return json.loads(await self.process.stdout.readline())["result"]

    def _write(self, message: dict[str, Any]) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(message).encode() + b"\n")

    async def end(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        await self.process.wait()


async def latency(env: dict[str, str], server: HTTPProcess, rounds: int) -> dict[str, list[float]]:
    """ms of saves of 10 KB, one of each in turn."""
    pipes = PipeClient()
    await pipes.start(env)
    peers: dict[str, Any] = {"stdio": pipes, "http": RawClient(server.port)}
    took: dict[str, list[float]] = {name: [] for name in peers}
    for number in range(rounds + 10):
        for name, peer in peers.items():
            turns = [{"role": "user", "content": f"{number} {'x' * 10_000}"}]
            begun = time.perf_counter()
            answer = await peer.call("save_session", session_id=f"{name}-{number}", history=turns)
            assert answer["stored_in"] == "redis" or number < 10, answer
            if number >= 10:
                took[name].append(1000 * (time.perf_counter() - begun))
    await pipes.end()
    return took


async def throughput(servers: list[HTTPProcess], turns: int) -> None:
    """Saves a second of one process, then of all, from the same clients with new talks; the median of all ratios."""
    rates: dict[int, list[float]] = {1: [], len(servers): []}
    for _ in range(turns):
        for many in random.sample(list(rates), 2):
            done = await load(servers[:many], [""], CLIENTS, 4, None, f"talk-{time.monotonic_ns()}")
            rates[many].append(done.saves / done.seconds)
    for many, each in rates.items():
        say(f"{many} process(es), {CLIENTS} clients: {', '.join(f'{rate:.0f}' for rate in each)} saves a second")
    ratios = [two / one for one, two in zip(*rates.values(), strict=True)]
    say(f"two processes over one: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})\n")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main() -> int:
    """Measure, and say it in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.http", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument(
        "--seconds", type=float, default=60, help="of the load with a kill in it; 300 is what was promised"
    )
    parser.add_argument("--turns", type=int, default=10, help="of throughput, eight seconds each")
    parser.add_argument("--share", type=float, default=0.4, help="of one core, for each process and its child")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        redis = RedisServer(Path(folder) / "redis").start()
        stack.callback(redis.kill)
        env = clean_env(Path(folder) / "one", redis.url, "bench")
        one = stack.enter_context(http_server(env, "--rate", "0"))
        say(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {sys.version.split()[0]}\n")
        took = await latency(env, one, given.rounds)
        for name, times in took.items():
            say(f"save of 10 KB over {name}: p50 {statistics.median(times):.2f} ms, p99 {sorted(times)[-3]:.2f} ms")
        other_env = env | {"FLYWHEEL_DATA_DIR": str(Path(folder) / "other")}
        other = stack.enter_context(http_server(other_env, "--rate", "0"))
        await throughput([one, other], given.turns)
        with held([server.process.pid for server in (one, other) if server.process], given.share):
            say(
                f"Each process with its child held to {given.share} of one core (stopped when that is used up), "
                "whether one or both are asked, so that two, their clients and Redis find room on two cores:"
            )
            await throughput([one, other], given.turns)
        one.kill()
        other.kill()
        tokens = [token_of(env, name) for name in ("ann", "bob")]
        one.start()
        other.start()
        result = await load([one, other], tokens, given.clients, given.seconds, other)
        wrong = await lost_or_doubled(one, tokens, result)
        if wrong:  # some was acknowledged by the journal of the process that was killed, which sends it

            async def complete() -> bool:
                return not await lost_or_doubled(one, tokens, result)

            await eventually(complete, within=60, what=str(wrong)[:300])
        say(
            f"{given.clients} clients on two processes for {result.seconds:.0f} s, one killed and started again: "
            f"{result.saves} saves acknowledged, 0 lost or doubled; errors {dict(result.errors)}, all of them on "
            f"{'the killed one' if result.broken <= {other.port} else 'BOTH'}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
