"""`python -m tests.bench.journal_and_redis`: what the journal and the way to Redis cost, before and now, in one run.

Samples of the two builds take turns. Progress goes to stderr, a Markdown table to stdout; the exit code is 1 if a row
does not hold. `--usual` compares the usual operations instead, which nothing else may have made slower.
"""

import argparse
import asyncio
import os
import random
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from ..measure import Progress
from .builds import BASE, Build, builds
from .journal_rows import JOURNAL_ROWS
from .redis_rows import REDIS_ROWS
from .row import Found, Place, Row, Sampler, table, told
from .usual import ROUNDS, measure_usual

ROWS = {row.name: row for row in (*JOURNAL_ROWS, *REDIS_ROWS)}


def main() -> int:
    """Measure, and report."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.journal_and_redis", description=__doc__)
    parser.add_argument(
        "--before", default="", help=f"the interpreter that has {BASE} installed (one is made if none is given)"
    )
    parser.add_argument("--now", default="", help="the interpreter that has the other build installed (this one)")
    parser.add_argument("--only", default=",".join(ROWS), help="; ".join(f"{r.name}: {r.what}" for r in ROWS.values()))
    parser.add_argument("--rounds", type=int, help=f"samples of each row and build, or rounds of --usual ({ROUNDS})")
    parser.add_argument("--usual", action="store_true", help="compare save, append, resume and list instead")
    given = parser.parse_args()
    wanted = given.only.split(",")
    if unknown := set(wanted) - set(ROWS):
        parser.error(f"--only: there is no {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # however it ends, no Redis is left behind
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        both = builds(given.before, given.now, Path(name) / "before")
        for build in both:
            _tell(f"{build.name}: {build.version()} ({build.python})")
        if given.usual:
            print(asyncio.run(measure_usual(both, Path(name) / "usual", given.rounds or ROUNDS, Progress())))  # noqa: T201  the report
            return 0
        found = [(ROWS[row], _measured(ROWS[row], both, Path(name), given.rounds)) for row in wanted]
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}\n\n{table(found)}")  # noqa: T201
    return any((now := each["now"].median()) is None or now > row.must for row, each in found)


def _measured(row: Row, both: tuple[Build, Build], folder: Path, rounds: int | None) -> dict[str, Found]:
    """The samples of a row: both builds in each round, in an order of its own."""
    found = {build.name: Found() for build in both}
    rng = random.Random(row.name)
    with ExitStack() as stack:
        samplers: dict[str, Sampler] = {}
        for build in both:
            _tell(f"{row.name}: preparing {build.name}")
            try:
                samplers[build.name] = stack.enter_context(
                    row.prepare(build, Place(folder / row.name / build.name, folder / "shared", both[0]))
                )
            except AssertionError as exc:
                found[build.name].error = str(exc)[:200]
        for _ in range(rounds or row.rounds):
            for name in rng.sample(sorted(samplers), len(samplers)):
                try:
                    found[name].add(sample := samplers[name]())
                except AssertionError as exc:
                    found[name].error = str(exc)[:200]
                    _tell(f"{row.name} {name}: {found[name].error}")
                else:
                    _tell(f"{row.name} {name}: " + ", ".join(f"{what} {value:.4g}" for what, value in sample.items()))
    shutil.rmtree(folder / row.name, ignore_errors=True)
    for build in both:
        _tell(f"{row.name} {build.name}: {told(row, found[build.name])}")
    return found


def _tell(what: str) -> None:
    sys.stderr.write(f"{what}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
