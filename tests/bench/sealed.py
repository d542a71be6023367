"""What sealing costs: `python -m tests.bench.sealed` times a server whose store is sealed beside one in clear.

Both reach one Redis, and their samples take turns. A Markdown table goes to stdout; the exit code is 1 if a row does
not hold: save and resume at most 1.25 times as long at 10 KB, 1.5 times at 1 MB; 200 sessions a second are given a new
key.
"""

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..support.redis_server import RedisServer
from ..support.sealed import key_line
from ..support.wire import WireServer
from .corpus import history_of

ROUNDS = {10_000: 300, 1_000_000: 60}
MUST = {10_000: 1.25, 1_000_000: 1.5}
SESSIONS, MUST_ROTATE = 2_000, 200
KINDS = ("clear", "sealed")


def environment(folder: Path, redis: RedisServer, kind: str) -> dict[str, str]:
    """That of a server of its own, with a key file if it is to be sealed."""
    home = folder / kind / "home"
    home.mkdir(parents=True)
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "FLYWHEEL_DATA_DIR": str(folder / kind / "data")}
    env |= {"REDIS_URL": redis.url, "FLYWHEEL_PREFIX": kind}
    return env | ({"FLYWHEEL_SEAL_FILE": key_file(folder, "old")} if kind == "sealed" else {})


def key_file(folder: Path, *names: str) -> str:
    """The file with these keys, the newest first."""
    path = folder / "keys"
    path.write_text("".join(f"{key_line(name)}\n" for name in names))
    path.chmod(0o600)
    return str(path)


def samples(server: WireServer, size: int, rng: random.Random) -> Iterator[Callable[[], tuple[str, float]]]:
    """What is timed, one after another: a new session, a turn added to it, and its resume."""

    def timed(what: str, tool: str, **arguments: Any) -> tuple[str, float]:
        began = time.perf_counter()
        answer = server.call(tool, **arguments)
        seconds = time.perf_counter() - began
        assert answer.get("stored_in", "redis") == "redis", answer
        assert answer.get("saved", True), answer
        return what, seconds

    number = 0
    while True:
        number += 1
        name, turns = f"{size}-{number % 20}-{os.urandom(3).hex()}", history_of(size, rng)
        more = history_of(1000, rng)
        yield lambda name=name, turns=turns: timed("save, new", "save_session", session_id=name, history=turns)
        yield lambda name=name, more=more: timed("save, one turn more", "save_session", session_id=name, history=more)
        yield lambda name=name: timed("resume, all of it", "resume_session", session_id=name, max_tokens=10**6)


def compare(servers: dict[str, WireServer], size: int) -> dict[str, dict[str, float]]:
    """The medians, by what was timed and kind."""
    rng = random.Random(size)
    running = {kind: samples(server, size, random.Random(size)) for kind, server in servers.items()}
    found: dict[str, dict[str, list[float]]] = {}
    for _ in range(ROUNDS[size] * 3):
        for kind in rng.sample(KINDS, 2):
            what, seconds = next(running[kind])()
            found.setdefault(what, {}).setdefault(kind, []).append(seconds)
    return {what: {kind: statistics.median(times) * 1000 for kind, times in by.items()} for what, by in found.items()}


def rotation(env: dict[str, str], folder: Path, server: WireServer) -> float:
    """Sessions a second that are given a new key while their server runs."""
    rng = random.Random(7)
    for number in range(SESSIONS):
        assert server.call("save_session", session_id=f"many-{number}", history=history_of(1000, rng))["saved"]
    key_file(folder, "new", "old")
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "agentic_flywheel", "keys", "rotate"],
        env=env,
        check=True,
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - began
    sys.stderr.write(done.stdout)
    return SESSIONS / seconds


def main() -> int:
    """Measure, and print; the exit code."""
    holds = True
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
        folder = Path(name)
        redis = RedisServer(folder / "redis").start()
        stack.callback(redis.kill)
        envs = {kind: environment(folder, redis, kind) for kind in KINDS}
        servers = {kind: stack.enter_context(WireServer(env)).warm() for kind, env in envs.items()}
        rows = ["| what | clear, ms | sealed, ms | ratio | must |", "|---|---|---|---|---|"]
        for size, must in MUST.items():
            for what, medians in compare(servers, size).items():
                ratio = medians["sealed"] / medians["clear"]
                holds &= ratio <= must
                shown = f"{medians['clear']:.2f} | {medians['sealed']:.2f} | {ratio:.2f} | {must}"
                rows.append(f"| {what}, {size // 1000:,} KB | {shown} |")
        rate = rotation(envs["sealed"], folder, servers["sealed"])
        holds &= rate >= MUST_ROTATE
        rows.append(f"| given a new key, of 1 KB | | {rate:.0f} a second | | {MUST_ROTATE} |")
    print("\n".join(rows))  # noqa: T201  the report
    return int(not holds)


if __name__ == "__main__":
    sys.exit(main())
