"""Hours' worth of operations in minutes: one server, one real Redis, eight callers, and what the processes hold then.

    python -m tests.soak --operations 200000

The sessions, executions and flows are a bounded set, so nothing has a reason to grow. A sample is taken at rest after
each twentieth. Progress goes to stderr, a Markdown table to stdout; the exit code is 1 if the medians of the last
quarter exceed those of the second one by more than `MAY_GROW`, or if an answer was an error.
"""

import argparse
import asyncio
import itertools
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path
from typing import Any

from .support.async_wire import AsyncWireServer, clean_environment
from .support.redis_server import RedisServer
from .support.waiting import eventually

CALLERS = 8
SAMPLES = 20
SESSIONS, EXECUTIONS, FLOWS = 40, 200, 10
LONGEST_TALK = 40  # turns; a longer one is replaced
TTL_SECONDS = (2, 30)  # short, so that things expire all the time
MAY_GROW_SHARE, MAY_GROW_BYTES = 0.10, 8 * 2**20
"""Of resident memory: the interpreter's arenas and SQLite's cache move by a few megabytes. Of all else: nothing."""

FEW = 6
"""Descriptors by which it may grow: a thread that had nothing to do before opens the journal's files."""

POOLED = 2 * CALLERS
"""Descriptors that the child may still open after the first sample: its pool keeps a Redis connection for each call
that was ever under way at the same time as others, and a call may have another one in its wake."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the server, its child and their folders hold at one moment."""

    operations: int
    server_rss: int
    child_rss: int
    server_descriptors: int
    child_descriptors: int
    server_threads: int
    child_threads: int
    processes: int
    data_files: int
    temporary_files: int
    journal_bytes: int


BYTES = frozenset({"server_rss", "child_rss"})
COUNTS = frozenset({"server_descriptors", "child_descriptors", "processes", "data_files", "temporary_files"})


@dataclass(slots=True)
class Soak:
    """The outcome: the samples, and what was answered."""

    samples: list[Sample] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    children: set[int] = field(default_factory=set)
    seconds: float = 0.0

    def medians(self, quarter: int) -> dict[str, float]:
        """The medians of one quarter of the samples, 1 to 4."""
        share = len(self.samples) // 4
        part = self.samples[(quarter - 1) * share : quarter * share]
        return {f.name: statistics.median(getattr(sample, f.name) for sample in part) for f in fields(Sample)}

    def faults(self) -> list[str]:
        """What grew, and what was answered wrongly."""
        found = [f"{len(self.errors)} answers were errors, the first: {self.errors[0]}"] if self.errors else []
        before, after = self.medians(2), self.medians(4)
        allowed = {name: before[name] * (1 + MAY_GROW_SHARE) + MAY_GROW_BYTES for name in BYTES}
        allowed |= {name: before[name] for name in COUNTS}
        allowed["server_descriptors"] += FEW
        pooled = self.samples[0].child_descriptors + POOLED
        allowed["child_descriptors"] = max(before["child_descriptors"], pooled)
        found += [
            f"{name} grew from {before[name]:,.0f} to {after[name]:,.0f}"
            for name, limit in allowed.items()
            if after[name] > limit
        ]
        if len(self.children) > 1:
            found.append(f"the child was replaced {len(self.children) - 1} times, though nothing was done to it")
        return found

    def table(self) -> str:
        """The samples, a row each, and the medians that are compared."""
        names = [f.name for f in fields(Sample)]
        rows = [[name.replace("_", " ") for name in names], ["---"] * len(names)]
        rows += [[f"{value:,}" for value in astuple(sample)] for sample in self.samples]
        for quarter in (2, 4):
            medians = self.medians(quarter)
            rows.append([f"median of quarter {quarter}", *(f"{medians[name]:,.0f}" for name in names[1:])])
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        calls = ", ".join(f"{count:,} {name}" for name, count in self.calls.most_common())
        reasons = ", ".join(f"{count:,} {name}" for name, count in self.reasons.most_common())
        rate = self.calls.total() / max(self.seconds, 0.001)
        lines += ["", f"{self.seconds:.0f} s, {rate:.0f} operations/s: {calls}.", f"Answers: {reasons}."]
        return "\n".join(lines) + "\n"


class Caller:
    """One of the concurrent callers of the one connection."""

    def __init__(self, number: int, server: AsyncWireServer, soak: Soak) -> None:
        self._rng = random.Random(f"soak {number}")
        self._name = f"caller {number}"
        self._server = server
        self._soak = soak
        self._turns = itertools.count()
        self._lengths: dict[str, int] = {}
        self._actions = {
            self._save: 30,
            self._resume: 20,
            self._list: 4,
            self._delete: 4,
            self._cache: 14,
            self._result: 12,
            self._flow: 6,
            self._status: 2,
        }

    async def work(self, operations: int) -> None:
        """So many operations, one after the other."""
        for _ in range(operations):
            (action,) = self._rng.choices(list(self._actions), list(self._actions.values()))
            await action()

    async def _call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        reply = await self._server.call(tool, **arguments)
        self._soak.calls[tool] += 1
        kept = reply.answer.get("stored_in") or reply.answer.get("source")
        reason = reply.answer.get("reason") if tool != "persistence_status" else None
        self._soak.reasons[reason or kept or "well"] += 1
        if reply.error:
            self._soak.errors.append(f"{tool} {arguments}: {reply.error}")
        return reply.answer

    def _session(self) -> str:
        return f"soak-{self._rng.randrange(SESSIONS)}"

    def _some_turns(self) -> list[dict[str, Any]]:
        words = "what did we decide about the harvest in the north field? " * self._rng.randint(1, 8)
        return [
            {"role": "user", "content": f"{self._name} {next(self._turns)} {words}"}
            for _ in range(self._rng.randint(1, 3))
        ]

    async def _save(self) -> None:
        session = self._session()
        whole = self._lengths.get(session, 0) > LONGEST_TALK
        more: dict[str, Any] = {"mode": "replace"} if whole else {}
        if self._rng.random() < 0.2:
            more["ttl_seconds"] = self._rng.randint(*TTL_SECONDS)
        answer = await self._call(
            "save_session", session_id=session, history=self._some_turns(), title="A talk", tags=["soak"], **more
        )
        self._lengths[session] = answer.get("turns", 0)

    async def _resume(self) -> None:
        known = {"session_id": self._session()} if self._rng.random() < 0.9 else {}
        await self._call("resume_session", **known)

    async def _list(self) -> None:
        await self._call("list_sessions", pattern=self._rng.choice(("*", "soak-1*")), limit=self._rng.choice((5, 50)))

    async def _delete(self) -> None:
        await self._call("delete_session", session_id=self._session())

    async def _cache(self) -> None:
        flow = {"session_id": self._session(), "flow_id": f"flow-{self._rng.randrange(FLOWS)}"}
        await self._call(
            "cache_result",
            result={"answer": self._some_turns()},
            execution_id=f"execution-{self._rng.randrange(EXECUTIONS)}",
            ttl_seconds=self._rng.randint(*TTL_SECONDS),
            **(flow if self._rng.random() < 0.3 else {}),
        )

    async def _result(self) -> None:
        await self._call("get_result", execution_id=f"execution-{self._rng.randrange(EXECUTIONS)}")

    async def _flow(self) -> None:
        flow = f"flow-{self._rng.randrange(FLOWS)}"
        await self._call("get_flow_history", session_id=self._session(), flow_id=flow, limit=5)

    async def _status(self) -> None:
        await self._call("persistence_status")


async def run(operations: int, folder: Path, *, progress: bool = False) -> Soak:
    """Do so many operations; `folder` is empty."""
    redis = RedisServer(folder / "redis")
    await asyncio.to_thread(redis.start)
    temporary = folder / "temporary"
    temporary.mkdir()
    environment = clean_environment(folder, "home", redis.url, TMPDIR=str(temporary), FLYWHEEL_TIMEOUT_SECONDS="10")
    server = AsyncWireServer(environment, folder / "server.stderr")
    soak = Soak()
    began = time.monotonic()
    try:
        await server.start()

        async def reached() -> bool:
            return (await server.call("persistence_status")).answer["mode"] == "redis"

        await eventually(reached, what="the server to reach Redis")
        callers = [Caller(number, server, soak) for number in range(CALLERS)]
        for part in range(1, SAMPLES + 1):
            each = operations * part // (SAMPLES * CALLERS) - operations * (part - 1) // (SAMPLES * CALLERS)
            await asyncio.gather(*(caller.work(each) for caller in callers))
            soak.samples.append(_sample(soak.calls.total(), server, folder))
            soak.children.update(server.children)
            if progress:
                sys.stderr.write(f"{time.monotonic() - began:.0f} s: {soak.samples[-1]}\n")
        soak.seconds = time.monotonic() - began
    finally:
        await server.close()
        await asyncio.to_thread(redis.kill)
    left = [str(path) for path in temporary.rglob("*")]
    if left:
        soak.errors.append(f"temporary files are left: {left}")
    return soak


def _sample(operations: int, server: AsyncWireServer, folder: Path) -> Sample:
    below = server.children
    child = below[0] if below else server.pid
    data = folder / "data"
    return Sample(
        operations=operations,
        server_rss=_status(server.pid, "VmRSS") * 1024,
        child_rss=_status(child, "VmRSS") * 1024,
        server_descriptors=len(os.listdir(f"/proc/{server.pid}/fd")),  # noqa: PTH208  of /proc, by number
        child_descriptors=len(os.listdir(f"/proc/{child}/fd")),  # noqa: PTH208
        server_threads=_status(server.pid, "Threads"),
        child_threads=_status(child, "Threads"),
        processes=len(below),
        data_files=sum(1 for path in data.rglob("*") if path.is_file()),
        temporary_files=sum(1 for _ in (folder / "temporary").rglob("*")),
        journal_bytes=sum(path.stat().st_size for path in data.glob("journal*")),
    )


def _status(pid: int, name: str) -> int:
    """A number of /proc/PID/status."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise AssertionError(f"process {pid} has no {name}")


def main() -> int:
    """Run it, and say what grew."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--operations", type=int, default=200_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        soak = asyncio.run(run(arguments.operations, Path(folder), progress=True))
    faults = soak.faults()
    sys.stdout.write(soak.table() + "\n" + ("\n".join(faults) or "Nothing grew.") + "\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
