"""`python -m tests.chaos`: worlds of faults, some at once, each in a process of its own. Exit 1 if anything was wrong.

Progress and violations go to stderr, the table and the first violation's story to stdout.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from .kinds import NOTHING
from .plan import ALL, Outcome, run_all, units
from .report import first_story, table, told


def main() -> int:
    """Run the worlds, and say what they came to."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", "--seed", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--faults", type=int, default=334, help="faults of each seed, spread over the kinds")
    parser.add_argument("--kinds", default=",".join(ALL), help=f"some of: {', '.join(ALL)}")
    parser.add_argument("--python", default=sys.executable, help="the interpreter with the build that is tried")
    parser.add_argument("--at-once", type=int, default=2 * (os.cpu_count() or 1), help="worlds side by side")
    parser.add_argument("--logs", type=Path, help="folder for the events, JSON lines; by default each world's own")
    arguments = parser.parse_args()
    kinds = [kind.strip() for kind in arguments.kinds.split(",")]
    if unknown := [kind for kind in kinds if kind not in (*ALL, NOTHING)]:
        parser.error(f"unknown kinds: {', '.join(unknown)}; there are: {', '.join((*ALL, NOTHING))}")
    logs = arguments.logs or Path(tempfile.mkdtemp(prefix="chaos-logs-"))
    logs.mkdir(exist_ok=True, parents=True)
    began = time.monotonic()
    outcomes: list[Outcome] = []
    todo = list(units(arguments.seeds, kinds, arguments.faults))
    for outcome in run_all(todo, arguments.at_once, arguments.python, logs):
        outcomes.append(outcome)
        sys.stderr.write(f"[{len(outcomes)}/{len(todo)}, {time.monotonic() - began:.0f} s] {told(outcome)}")
    rows = [kind for kind in (*ALL, NOTHING) if any(outcome.faults[kind] for outcome in outcomes)]
    sys.stdout.write(f"{table(outcomes, rows)}\n{first_story(sorted(outcomes, key=lambda each: each.unit.name))}")
    return 1 if any(outcome.told or outcome.broke for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
