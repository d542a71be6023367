"""`python -m tests.bench.start --before PYTHON`: what starts cost, of the build before, of this one, and of no server.

The build before, this one and an empty server of the MCP SDK take turns in an order of chance. Progress goes to stderr,
a Markdown table of medians to stdout; the exit code is 1 if a row does not hold.
"""

import argparse
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..support.async_wire import clean_environment
from ..support.redis_server import RedisServer
from ..support.wire import WireServer
from .corpus import history_of
from .journal_and_redis.builds import BASE, Build, alone, builds, wait_quiet

EMPTY = """
from mcp.server.mcpserver import MCPServer

server = MCPServer("empty")

@server.tool()
def echo(text: str) -> str:
    return text

server.run()
"""
TALK = history_of(1_000, random.Random("start"))
LISTED = 200
"""Sessions in the journal that is listed."""

Sampler = Callable[[], float]
Figures = dict[str, list[float]]


@dataclass(frozen=True)
class Row:
    """A ratio of two medians: what is sampled, over what, and how small it must be."""

    what: str
    unit: str
    over: str
    must: float
    goal: float


STARTS = {
    "list": Row("start to the answer to tools/list, over an empty server's", "s", "empty", 0.35, 0.2),
    "fresh": Row("the same from a fresh install without bytecode", "s", "empty", 0.3, 0.15),
    "save": Row("start to the first acknowledged save, no Redis, over the empty server's", "s", "empty", 1.2, 1.1),
    "redis": Row("the same with Redis", "s", "empty", 1.5, 1.3),
    "memory": Row("server and child resident, no load", "MB", "before", 0.7, 0.5),
    "import": Row("import of integrations.redis_state, CPU", "s", "before", 0.25, 0.15),
    "sessions": Row("sessions list of a journal, whole process", "s", "before", 0.3, 0.15),
}


def main() -> int:
    """Measure, and report."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.start", description=__doc__)
    parser.add_argument("--before", default="", help=f"the interpreter that has {BASE} installed (one is made if none)")
    parser.add_argument("--now", default="", help="the interpreter that has the other build installed (this one)")
    parser.add_argument("--only", default=",".join(STARTS), help=", ".join(STARTS))
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        before, now = builds(given.before, given.now, folder / "before")
        found = {
            row: _measured(_samplers(row, before, now, folder / row), given.rounds) for row in given.only.split(",")
        }
    print(_table(found))  # noqa: T201  the report
    return not all(_ratio(row, figures) <= STARTS[row].must for row, figures in found.items())


def _measured(samplers: dict[str, Sampler], rounds: int) -> Figures:
    figures: Figures = {name: [] for name in samplers}
    try:
        for number in range(rounds + 1):
            for name in random.sample(sorted(samplers), len(samplers)):
                value = samplers[name]()
                if number:  # the first one of each fills the caches of files
                    figures[name].append(value)
                    sys.stderr.write(f"{name} {value:.3f}\n")
    finally:
        while _redises:
            _redises.pop().kill()
    return figures


_redises: list[RedisServer] = []


def _samplers(row: str, before: Build, now: Build, folder: Path) -> dict[str, Sampler]:
    """What is sampled of each, in folders of its own."""
    folder.mkdir(parents=True)
    redis_url = ""
    if row in ("redis", "memory"):
        _redises.append(RedisServer(folder / "redis").start())
        redis_url = _redises[-1].url
    samplers: dict[str, Sampler] = {}
    for build in (before, now):
        home = folder / build.name
        env = clean_environment(home, "home", redis_url) if redis_url else alone(home)
        if row == "sessions":
            _fill(build, env)
        python = _without_bytecode(build.python, home, env) if row == "fresh" else [build.python, "-P"]
        serve = [*python, "-m", "agentic_flywheel"]
        samplers[build.name] = {
            "list": lambda serve=serve, env=env: _start(serve, env),
            "fresh": lambda serve=serve, env=env: _start(serve, env),
            "save": lambda serve=serve, env=env: _start(serve, env, saves=True),
            "redis": lambda serve=serve, env=env: _start(serve, env, saves=True),
            "memory": lambda serve=serve, env=env: _resident(serve, env),
            "import": lambda python=python, env=env: _import_cpu(python, env),
            "sessions": lambda serve=serve, env=env: _wall([*serve, "sessions", "list"], env),
        }[row]
    if STARTS[row].over == "empty":
        env = alone(folder / "empty")
        python = _without_bytecode(now.python, folder / "empty", env) if row == "fresh" else [now.python, "-P"]
        samplers["empty"] = lambda: _start([*python, "-c", EMPTY], env)
    return samplers


def _start(command: Sequence[str], env: dict[str, str], *, saves: bool = False) -> float:
    """Seconds from the start of a process to its list of tools, or to its first acknowledged save."""
    began = time.perf_counter()
    with WireServer(env, command=command) as server:
        assert server.request("tools/list")["tools"]
        if saves:
            saved = server.call("save_session", session_id=f"cold-{random.random()}", history=TALK)
            assert saved["saved"], saved
        return time.perf_counter() - began


def _resident(command: Sequence[str], env: dict[str, str]) -> float:
    with WireServer(env, command=command) as server:
        server.warm()
        wait_quiet(server)
        return sum(_rss(pid) for pid in (server.pid, *server.children))


def _rss(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmRSS"))


def _import_cpu(python: Sequence[str], env: dict[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _wall([*python, "-c", "import agentic_flywheel.integrations.redis_state"], env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _wall(command: Sequence[str], env: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, env=env, cwd=env["HOME"], check=True, capture_output=True)
    return time.perf_counter() - began


def _fill(build: Build, env: dict[str, str]) -> None:
    with build.server(env) as server:
        for number in range(LISTED):
            server.call("save_session", session_id=f"listed-{number}", history=TALK)


IMPORTED = """
import json, sys
from pathlib import Path
import agentic_flywheel.server.app
files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
roots = [Path(path) for path in sys.path if path.endswith("site-packages")]
roots.append(Path(sys.modules["agentic_flywheel"].__path__[0]).parent)
places = {root / Path(file).relative_to(root).parts[0] for file in files if file for root in roots
          if Path(file).is_relative_to(root)}
print(json.dumps(sorted(map(str, places | {path for root in roots for path in root.glob("*.dist-info")}))))
"""


def _without_bytecode(python: str, folder: Path, env: dict[str, str]) -> list[str]:
    """What starts an interpreter that has all that our server imports, and no bytecode of it, and writes none."""
    found = subprocess.run([python, "-P", "-c", IMPORTED], env=env, cwd="/", check=True, capture_output=True, text=True)
    fresh = folder / "fresh"
    fresh.mkdir(parents=True)
    for place in map(Path, json.loads(found.stdout)):
        if place.is_dir():
            shutil.copytree(place, fresh / place.name, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        else:
            shutil.copy(place, fresh)
    env["PYTHONPATH"] = str(fresh)
    return [python, "-P", "-S", "-B"]


def _ratio(row: str, figures: Figures) -> float:
    return statistics.median(figures["now"]) / statistics.median(figures[STARTS[row].over])


def _table(found: dict[str, Figures]) -> str:
    lines = [
        f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, medians",
        "",
        "| what | before | now | empty SDK server | ratio before | ratio now | must | goal | holds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, figures in found.items():
        row = STARTS[name]
        middle = {build: statistics.median(values) for build, values in figures.items()}
        told = [f"{middle[build]:.3g} {row.unit}" if build in middle else "" for build in ("before", "now", "empty")]
        was = f"{middle['before'] / middle[row.over]:.2f}"
        now = _ratio(name, figures)
        holds = "goal" if now <= row.goal else "yes" if now <= row.must else "**no**"
        lines.append(f"| {row.what} | {' | '.join(told)} | {was} | {now:.2f} | {row.must:g} | {row.goal:g} | {holds} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
