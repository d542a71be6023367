"""Prints how many of 200 questions find the talk that is meant: `python -m tests.bench.search`.

The talks are those of the package chitchat-dataset (`pip install chitchat-dataset`), no part of this project. The
questions were written from samples of them before anything was tuned; every second one was held out, but for the choice
of `COVERED` in `journal/ranking.py`, which was made with both halves in view.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from agentic_flywheel.backends.base import BackendType, UniversalSession
from agentic_flywheel.documents.codec import encode
from agentic_flywheel.documents.model import Document
from agentic_flywheel.documents.writes import ListRow, Write
from agentic_flywheel.journal import Journal
from agentic_flywheel.journal.question import Question

QUESTIONS = Path(__file__).with_name("questions.txt")
AT_ONCE = 200


def talks() -> dict[str, Any]:
    """The talks by id."""
    spec = find_spec("chitchat_dataset")
    if spec is None or spec.origin is None:
        sys.exit("The talks are missing: pip install chitchat-dataset")
    return json.loads(Path(spec.origin).with_name("dataset.json").read_text())


def write_of(name: str, talk: Any, saved_at: int) -> Write:
    """A talk as it is stored."""
    history: list[dict[str, Any]] = [
        {"role": "user", "content": " ".join(part["text"] for part in parts)} for parts in talk["messages"]
    ]
    now = datetime(2026, 1, 1, tzinfo=UTC)
    session = UniversalSession(id=name, backend=BackendType.CUSTOM, history=history, created_at=now)
    row = ListRow("p:index", name, saved_at, json.dumps({"id": name}))
    return Write(f"p:session:{name}", encode(Document(session, 1, now, None)), None, None, list_row=row)


def measure(journal: Journal, line: str) -> tuple[int, float, bool]:
    """The rank of the talk that is meant (0: it is not there), seconds, and whether anything was found."""
    meant, question = line.split(" ", 1)
    began = time.perf_counter()
    found = journal.search("p:index", Question.of(question)).found
    seconds = time.perf_counter() - began
    rank = next((n for n, match in enumerate(found, 1) if match.member.startswith(meant)), 0)
    return rank, seconds, bool(found)


def main(out: Callable[[str], object] = print) -> None:
    """Fill a journal, index it, ask, and print the table."""
    copies = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder), lambda: datetime.now(UTC))
        stored = [
            write_of(name if not copy else f"copy{copy}-{name}", talk, number + 1)
            for copy in range(copies)
            for number, (name, talk) in enumerate(talks().items())
        ]
        for first in range(0, len(stored), AT_ONCE):
            journal.put_replica(*stored[first : first + AT_ONCE])
        began = time.perf_counter()
        while journal.index_new(5.0):
            pass
        out(f"{len(stored):,} talks indexed in {time.perf_counter() - began:.1f} s")
        lines = QUESTIONS.read_text().splitlines()
        for name, half in (("tuned", lines[::2]), ("held out", lines[1::2])):
            results = [measure(journal, line) for line in half]
            ranks = [rank for rank, _, _ in results]
            out(
                f"{name:9} R@1 {100 * sum(r == 1 for r in ranks) / len(half):5.1f}"
                f"  R@5 {100 * sum(1 <= r <= 5 for r in ranks) / len(half):5.1f}"
                f"  empty {100 * sum(not found for _, _, found in results) / len(half):4.1f} %"
                f"  p50 {1000 * statistics.median(seconds for _, seconds, _ in results):5.1f} ms"
            )
        journal.close()


if __name__ == "__main__":
    main()
