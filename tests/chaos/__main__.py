"""`python -m tests.chaos`: the long run. Progress and violations go to stderr, the table to stdout; exit 1 if not all
counts that must be 0 are.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from .report import table
from .run import run


def main() -> int:
    """Run the seeds one after the other."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--faults", type=int, default=350, help="faults of each seed")
    parser.add_argument("--log", type=Path, help="file for all events, JSON lines; by default a new temporary one")
    arguments = parser.parse_args()
    log = arguments.log or Path(tempfile.mkstemp(prefix="chaos-", suffix=".jsonl")[1])
    sys.stderr.write(f"events: {log}\n")
    books = []
    for seed in arguments.seeds:
        folder = Path(tempfile.mkdtemp(prefix=f"chaos-{seed}-"))
        books.append(asyncio.run(run(seed, arguments.faults, folder, log)))
        if books[-1].clean:
            shutil.rmtree(folder)
        else:
            sys.stderr.write(f"kept for inspection: {folder}\n")
    sys.stdout.write(table(books))
    return 0 if all(book.clean for book in books) else 1


if __name__ == "__main__":
    sys.exit(main())
