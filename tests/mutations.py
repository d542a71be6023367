"""Takes the cures of faults away, one by one, and shows that a test fails without each.

    python -m tests.mutations [WORD ...]

Each mutation is made in a copy of the package, which the tests and the servers that they start import instead. With
words, only the mutations whose id has one of them are tried. Ends 1 if one of them is survived.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from .mutations_of import MUTATIONS, Mutation

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "agentic_flywheel"

TEST_SECONDS = 300
"""How long one test file may take: a mutated server may wait for its bounds."""


def survives(mutation: Mutation, folder: Path) -> str:
    """Why a mutation does not count as caught; empty if its test failed."""
    copy = folder / "agentic_flywheel"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    path = copy / mutation.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutation.old) != 1:
        return f"{mutation.file} has {text.count(mutation.old)} places to mutate"
    path.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", *mutation.test.split()]
    env = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=TEST_SECONDS, check=False)
    summary = done.stdout.rstrip().rpartition("\n")[2]
    if done.returncode == 1 and " failed" in summary:  # a test that could not even begin has not failed
        return ""
    return "survived" if done.returncode == 0 else f"pytest ended {done.returncode}: {done.stdout[-300:]}"


def main(words: list[str]) -> int:
    """Try them; how many were not caught."""
    wanted = [each for each in MUTATIONS if not words or any(word in each.fault for word in words)]
    alive = 0
    for mutation in wanted:
        with tempfile.TemporaryDirectory() as folder:
            try:
                why = survives(mutation, Path(folder))
            except subprocess.TimeoutExpired:
                why = ""  # it hangs without its cure
        alive += bool(why)
        print(f"{mutation.fault:<28} {why or 'caught'}", flush=True)  # noqa: T201  a program for people
    print(f"{len(wanted) - alive} of {len(wanted)} caught")  # noqa: T201
    return min(alive, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
