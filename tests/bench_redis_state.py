"""How long a save and a load of a 10 KB session take through the library, beside the bare stock tools.

    python -m tests.bench_redis_state [ROUNDS]

Both children are warm and use the same Redis; each round does one of everything, so that whatever else the machine
does hits all alike. Prints a Markdown table of medians in milliseconds. Not collected by pytest.
"""

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from agentic_flywheel.backends.base import BackendType, UniversalSession
from agentic_flywheel.codec import Document, encode
from agentic_flywheel.integrations.redis_state import RedisSessionManager
from agentic_flywheel.settings import Settings
from agentic_flywheel.store import open_client

from .support.redis_server import RedisServer
from .support.stock import build

ROUNDS = 300
CALL_SECONDS = 30.0  # far above everything measured here


def conversation(size: int) -> UniversalSession:
    """A session whose history is about `size` bytes of JSON."""
    turn = {"role": "user", "content": "What did we decide about the harvest in the north field? " * 8}
    return UniversalSession(id="s", backend=BackendType.CUSTOM, history=[turn] * (size // (len(str(turn)))))


async def timed(call: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await call()
    return (time.perf_counter() - began) * 1000


async def measure(redis: RedisServer, stock_command: str, rounds: int) -> None:
    session = conversation(10_000)
    text = encode(Document(session, 1, session.updated_at, None))
    os.environ["FLYWHEEL_COAIA_COMMAND"] = stock_command
    stock = open_client(Settings.from_env(os.environ))
    del os.environ["FLYWHEEL_COAIA_COMMAND"]
    loop = asyncio.get_running_loop()

    def bare(verb: str, **arguments: str) -> Callable[[], Awaitable[object]]:
        return lambda: stock.call(verb, arguments, loop.time() + CALL_SECONDS)

    async with RedisSessionManager(redis_url=redis.url, strict=True) as manager:

        def save() -> Awaitable[bool]:
            session.total_queries += 1  # or there would be nothing to save
            return manager.save_session(session)

        calls = {
            "library `save_session`": save,
            "stock `coaia_tash`": bare("coaia_tash", key="bare", value=text),
            "library `load_session`": lambda: manager.load_session("s"),
            "stock `coaia_fetch`": bare("coaia_fetch", key="bare"),
        }
        taken: dict[str, list[float]] = {name: [] for name in calls}
        for number in range(-20, rounds):  # the first twenty warm everything up
            for name, call in calls.items():
                milliseconds = await timed(call)
                if number >= 0:
                    taken[name].append(milliseconds)
        assert f'"total_queries":{session.total_queries},' in (redis.get("agentic_flywheel:session:s") or ""), (
            "in Redis"
        )
        assert redis.get("bare") == text, "in Redis"
    await stock.aclose()

    median = {name: statistics.median(times) for name, times in taken.items()}
    (save_name, tash, load_name, fetch) = calls
    sys.stdout.write(
        f"{len(text.encode()):,} bytes, {rounds} rounds, {os.cpu_count()} cores\n\n"
        "| | library | bare stock tool | ratio |\n|---|---|---|---|\n"
        f"| save | {median[save_name]:.2f} ms | {median[tash]:.2f} ms | {median[save_name] / median[tash]:.2f} |\n"
        f"| load | {median[load_name]:.2f} ms | {median[fetch]:.2f} ms | {median[load_name] / median[fetch]:.2f} |\n"
        f"| both | {median[save_name] + median[load_name]:.2f} ms | {median[tash] + median[fetch]:.2f} ms "
        f"| {(median[save_name] + median[load_name]) / (median[tash] + median[fetch]):.2f} |\n"
    )


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with tempfile.TemporaryDirectory() as folder:
        redis = RedisServer(Path(folder) / "redis").start()
        for name in [name for name in os.environ if name.startswith(("REDIS_", "FLYWHEEL_"))]:
            del os.environ[name]
        cache = Path(__file__).parents[1] / ".pytest_cache" / "d" / "stock-coaia"
        cache.mkdir(parents=True, exist_ok=True)
        command = build(cache).child_command
        os.environ |= {"HOME": folder, "FLYWHEEL_DATA_DIR": f"{folder}/data", "REDIS_URL": redis.url}
        try:
            asyncio.run(measure(redis, command, rounds))
        finally:
            redis.kill()


if __name__ == "__main__":
    main()
