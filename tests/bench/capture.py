"""`python -m tests.bench.capture --before PYTHON`: what it costs to take in what other programs wrote.

The build before and this one take turns. Progress goes to stderr, a Markdown table of ratios to stdout; the exit code
is 1 if a row does not hold.
"""

import argparse
import asyncio
import fcntl
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from agentic_flywheel.sessions.wiring import open_store
from agentic_flywheel.settings import Settings

from ..support.taken_in import take_in
from .corpus import SENTENCES
from .journal_and_redis.builds import BASE, Build, alone, builds

MB = 1_000_000
PEAK = """
import runpy, sys
try:
    runpy.run_module("agentic_flywheel", run_name="__main__", alter_sys=True)
finally:
    peak = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
    print("peak", *peak, file=sys.stderr)
"""
"""The program, which says in the end how many KB it had in memory: `getrusage` would count what its parent had, too."""

Samples = dict[str, list[float]]


@dataclass(frozen=True)
class Row:
    """A ratio of two medians: of `what`, of which over which, and how small it must be."""

    what: str
    name: str
    over: str
    must: float
    goal: float


ROWS = (
    Row("one hook, whole process, over `import sqlite3, json`", "hook", "bare", 3, 2),
    Row("the same over the older `import` of 5 MB that grew by one answer", "hook", "grown import", 1 / 15, 1 / 15),
    Row("bytes read by a day's hooks over the final size", "read", "size", 1.2, 1.05),
    Row("backfill of transcripts of 1 MB", "backfill", "backfill before", 0.35, 0.2),
    Row("the same again, unchanged", "again", "again before", 0.05, 0.02),
    Row("ChatGPT export in one line", "export", "export before", 0.5, 0.3),
    Row("its peak memory, MB", "memory", "memory before", 1.0, 1.0),
)


def main() -> int:
    """Measure, and report."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.capture", description=__doc__)
    parser.add_argument("--before", default="", help=f"the interpreter that has {BASE} installed (one is made if none)")
    parser.add_argument("--only", default="hook,day,backfill,export", help="some of them")
    parser.add_argument("--transcripts", type=int, default=200, help="of 1 MB")
    parser.add_argument("--export-mb", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    samples: Samples = {}
    measured: dict[str, Callable[[Path, Build, Build], None]] = {
        "hook": lambda folder, before, now: _hook(samples, folder, before, now, 8 * given.rounds),
        "day": lambda folder, _, __: _day(samples, folder),
        "backfill": lambda folder, *both: _backfill(samples, folder, both, given.transcripts, given.rounds),
        "export": lambda folder, *both: _export(samples, folder, both, given.export_mb * MB, given.rounds),
    }
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        before, now = builds(given.before, "", Path(name) / "before")
        for each in given.only.split(","):
            (Path(name) / each).mkdir()
            measured[each](Path(name) / each, before, now)
    rows = [row for row in ROWS if row.name in samples and row.over in samples]
    print(_table(rows, samples))  # noqa: T201  the report
    return not all(_ratio(row, samples) <= row.must for row in rows)


def _hook(samples: Samples, folder: Path, before: Build, now: Build, rounds: int) -> None:
    """A hook's process beside one that imports two modules, and the older build's import of the same file.

    Another process holds the drainer's lock, so that none runs beside what is measured.
    """
    transcript, into = folder / "talk.jsonl", folder / "into"
    _write(transcript, "talk", 5 * MB)
    env = alone(folder / "home")
    _import(before, env, transcript)
    (into / "capture").mkdir(parents=True)
    said = {"session_id": "talk", "transcript_path": str(transcript), "cwd": str(folder), "hook_event_name": "Stop"}
    hook = [now.python, "-P", "-m", "agentic_flywheel", "capture", "hook", "claude-code", "--into", str(into)]
    with (into / "capture" / "drainer.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for number in range(rounds):
            _note(samples, "bare", _run([now.python, "-c", "import sqlite3, json"], env)[0])
            _note(samples, "hook", _run(hook, env, json.dumps(said))[0])
            if number < rounds // 8:
                with transcript.open("a") as file:
                    file.write(_answer(f"more {number}", random.Random(number)))
                _note(samples, "grown import", _import(before, env, transcript)[0])


def _day(samples: Samples, folder: Path) -> None:
    """What the drainer reads of a transcript that grows by a prompt and its answer from hook to hook."""
    transcript = folder / "day.jsonl"
    settings = Settings.from_env(alone(folder / "home"))

    async def day() -> float:
        sessions, _ = open_store(settings)
        read, made = 0, list(_lines("day", MB))
        prompts = [at for at, line in enumerate(made) if '"promptSource"' in line][
            1:
        ]  # the first has a beginning before
        async with sessions:
            for begin, end in pairwise([0, *prompts, len(made)]):
                with transcript.open("a") as file:
                    file.writelines(made[begin:end])
                read += (await take_in(sessions, settings, transcript)).bytes_read
        return read

    _note(samples, "read", asyncio.run(day()))
    _note(samples, "size", transcript.stat().st_size)


def _backfill(samples: Samples, folder: Path, both: tuple[Build, ...], number: int, rounds: int) -> None:
    transcripts = folder / "projects"
    transcripts.mkdir()
    for each in range(number):
        _write(transcripts / f"talk-{each}.jsonl", f"talk-{each}", MB)
    for turn in range(rounds):
        for build in both:
            env = alone(folder / f"{build.name}-{turn}")
            for name in ("backfill", "again"):
                _note(samples, name + _before(build), _import(build, env, transcripts)[0])


def _export(samples: Samples, folder: Path, both: tuple[Build, ...], size: int, rounds: int) -> None:
    file = folder / "conversations.json"
    with file.open("w") as out:  # one at a time: a child's peak memory is never less than ours is when it starts
        for number, each in enumerate(_conversations(size)):
            out.write(("," if number else "[") + json.dumps(each))
        out.write("]")
    for turn in range(rounds):
        for build in both:
            seconds, memory = _import(build, alone(folder / f"{build.name}-{turn}"), file)
            _note(samples, "export" + _before(build), seconds)
            _note(samples, "memory" + _before(build), memory)


def _before(build: Build) -> str:
    return " before" if build.name == "before" else ""


def _note(samples: Samples, name: str, value: float) -> None:
    samples.setdefault(name, []).append(value)
    sys.stderr.write(f"{name} {value:.3f}\n")


def _import(build: Build, env: dict[str, str], source: Path) -> tuple[float, float]:
    return _run([build.python, "-P", "-c", PEAK, "import", str(source)], env)


def _run(command: list[str], env: dict[str, str], given: str = "") -> tuple[float, float]:
    """Seconds that a process takes, and the most MB that it had in memory."""
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile("w+") as file:
        file.write(given)
        file.seek(0)
        began = time.perf_counter()
        process = subprocess.Popen(command, env=env, cwd=env["HOME"], stdin=file, stdout=told, stderr=told)
        process.wait()
        seconds = time.perf_counter() - began
        told.seek(0)
        said = told.read().decode()
        assert not process.returncode, said
    peak = said.rpartition("peak ")[2].strip()
    return seconds, int(peak) / 1000 if peak.isdigit() else 0


def _write(path: Path, session: str, size: int) -> None:
    path.write_text("".join(_lines(session, size)))


def _lines(session: str, size: int) -> Iterator[str]:
    """A transcript as Claude Code 2.1.332 writes it: its prompt once, then requests, thoughts, tools and answers."""
    rng, tip, written, number = random.Random(session), None, 0, 0

    def line(kind: str, **more: Any) -> str:
        nonlocal tip, written, number
        number += 1
        value: dict[str, Any] = {"type": kind, **more, "sessionId": session}
        if kind in ("user", "assistant", "attachment"):
            own = f"{session}-{number}"
            value = (
                {"parentUuid": tip, "isSidechain": False, "userType": "external", "cwd": "/home/user/garden"}
                | {"version": "2.1.332", "gitBranch": "main", "uuid": own, "timestamp": _time(number)}
                | value
            )
            tip = own
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n"
        written += len(text.encode())
        return text

    def part(answer: str, **block: object) -> str:
        usage = {"input_tokens": 11, "output_tokens": 300, "cache_read_input_tokens": 21_000}
        message = {"id": answer, "type": "message", "role": "assistant", "model": "claude-fern", "usage": usage}
        return line("assistant", message=message | {"content": [block]}, requestId=f"req-{answer}")

    yield line("attachment", attachment={"type": "prompt_snapshot", "text": _said(rng, 20_000)})
    yield line("api-request-blob", blob=_said(rng, 60_000))
    while written < size:
        prompt = f"{number}: {_said(rng, 200)}"
        yield line("user", message={"role": "user", "content": prompt}, origin={"kind": "human"}, promptSource="typed")
        for _ in range(rng.randrange(1, 5)):
            answer, call, found = f"msg-{session}-{number}", f"toolu-{number}", _said(rng, rng.randrange(500, 6_000))
            yield line("api-request", body=_said(rng, 900))
            yield part(answer, type="thinking", thinking="", signature="x" * 700)
            yield part(answer, type="text", text=_said(rng, 200))
            yield part(answer, type="tool_use", id=call, name="Bash", input={"command": _said(rng, 60)})
            result = {"type": "tool_result", "tool_use_id": call, "content": found}
            yield line("user", message={"role": "user", "content": [result]}, toolUseResult={"stdout": found})
        yield part(f"msg-{session}-{number}", type="text", text=_said(rng, 1_200))
        yield line("last-prompt", lastPrompt=prompt)
        yield line("cost-state", cost=0.1)


def _answer(own: str, rng: random.Random) -> str:
    message = {
        "id": own,
        "role": "assistant",
        "model": "claude-fern",
        "content": [{"type": "text", "text": _said(rng, 500)}],
    }
    value = {"type": "assistant", "uuid": own, "sessionId": "talk", "timestamp": _time(0), "message": message}
    return json.dumps(value) + "\n"


def _time(number: int) -> str:
    return f"2026-10-{1 + number // 86_400:02}T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}.000Z"


def _said(rng: random.Random, size: int) -> str:
    said = rng.choice(SENTENCES)
    while len(said) < size:
        said += " " + rng.choice(SENTENCES)
    return said[:size].rstrip()


def _conversations(size: int) -> Iterator[dict[str, Any]]:
    rng, written = random.Random("export"), 0
    while written < size:
        own = f"talk-{written}"
        ids = [f"{own}-{at}" for at in range(rng.randrange(4, 80))]
        nodes = {each: _node(rng, ids, at) for at, each in enumerate(ids)}
        yield {"id": own, "title": _said(rng, 40), "create_time": 1.79e9, "update_time": 1.79e9, "mapping": nodes,
               "current_node": ids[-1]}  # fmt: skip
        written += len(json.dumps(nodes))


def _node(rng: random.Random, ids: list[str], at: int) -> dict[str, Any]:
    content = {"content_type": "text", "parts": [_said(rng, rng.randrange(80, 1_500))]}
    message = {
        "id": ids[at],
        "author": {"role": ("user", "assistant")[at % 2], "metadata": {}},
        "content": content,
        "create_time": 1.79e9 + at,
        "recipient": "all",
    }
    return {"id": ids[at], "message": message, "parent": ids[at - 1] if at else None, "children": ids[at + 1 : at + 2]}


def _ratio(row: Row, samples: Samples) -> float:
    return statistics.median(samples[row.name]) / statistics.median(samples[row.over])


def _table(rows: list[Row], samples: Samples) -> str:
    lines = [f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, medians", "",
             "| what | over | now | ratio | must | goal | holds |", "|---|---|---|---|---|---|---|"]  # fmt: skip
    for row in rows:
        ratio = _ratio(row, samples)
        over, now = (f"{statistics.median(samples[name]):,.3f}" for name in (row.over, row.name))
        holds = "goal" if ratio <= row.goal else "yes" if ratio <= row.must else "**no**"
        lines.append(f"| {row.what} | {over} | {now} | {ratio:.3f} | {row.must:.2g} | {row.goal:.2g} | {holds} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
