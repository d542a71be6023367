"""`python -m tests.bench`: what every operation costs. Progress goes to stderr, the Markdown report to stdout."""

import argparse
import asyncio
import signal
import sys
import tempfile
from pathlib import Path

from .by_size import SIZES
from .measure import Progress, Run, innermost
from .plot import HOW_TO_GET_IT, draw, draws
from .report import report
from .run import OPERATIONS, Plan, whole_run
from .stores import STORES

ROUNDS, QUICK_ROUNDS = 60, 6
RUNS, QUICK_RUNS = 3, 1
QUICK_SIZES, QUICK_STORES = ("1 KB", "10 KB", "1 MB"), (100, 10_000)


def main() -> int:
    """Measure, and report."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute: fewer rounds, sizes and stores, one run")
    parser.add_argument("--rounds", type=int, help=f"of the small sizes ({ROUNDS}); what is slower has a share of them")
    parser.add_argument("--runs", type=int, help=f"whole runs ({RUNS})")
    parser.add_argument("--only", default=",".join(OPERATIONS), help=f"some of {','.join(OPERATIONS)}")
    parser.add_argument("--out", type=Path, help="folder for performance.md and performance.svg")
    given = parser.parse_args()
    wanted = frozenset(given.only.split(","))
    if unknown := wanted.difference(OPERATIONS):
        parser.error(f"--only: there is no {', '.join(sorted(unknown))}")
    rounds = given.rounds or (QUICK_ROUNDS if given.quick else ROUNDS)
    plan = Plan(
        rounds=rounds,
        wanted=wanted,
        sizes=QUICK_SIZES if given.quick else tuple(SIZES),
        stores=QUICK_STORES if given.quick else STORES,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # however it ends, no Redis is left behind
    count = given.runs or (QUICK_RUNS if given.quick else RUNS)
    progress = Progress()
    runs: list[Run] = []
    text = ""
    for number in range(count):
        progress.run = f"run {number + 1}/{count}:"
        runs.append(_run(plan, number, progress))
        text = report(runs, rounds)
        if given.out:  # after each run, so that what is ended early has told something
            _write(text, runs, given.out)
    sys.stderr.write("\n" if draws() else f"\n{HOW_TO_GET_IT}\n")
    sys.stdout.write(text)
    return 0


def _run(plan: Plan, number: int, progress: Progress) -> Run:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        try:
            return asyncio.run(whole_run(plan, Path(folder), number, progress))
        except BaseExceptionGroup as group:
            raise innermost(group) from None


def _write(text: str, runs: list[Run], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "performance.md").write_text(text, encoding="utf-8")
    if draws():
        draw(runs, folder / "performance.svg")


if __name__ == "__main__":
    sys.exit(main())
