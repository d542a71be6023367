"""The table of a chaos run: one row a seed, in Markdown."""

from collections.abc import Sequence

from .book import KINDS, Book
from .schedule import WEIGHTS

_HEAD = ["seed", "faults", "operations", "acknowledged", "found again", *KINDS, "p50 ms", "p99 ms", "max ms"]


def table(books: Sequence[Book]) -> str:
    """What happened, seed by seed."""
    rows = [_HEAD, ["---"] * len(_HEAD), *(_row(book) for book in books)]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    faults = ["seed", *WEIGHTS]
    by_kind = [faults, ["---"] * len(faults)]
    by_kind += [[str(book.seed), *(str(book.faults[kind]) for kind in WEIGHTS)] for book in books]
    lines += ["", *("| " + " | ".join(row) + " |" for row in by_kind)]
    for book in books:
        notes = ", ".join(f"{count} {what}" for what, count in sorted(book.notes.items())) or "none"
        kept = ", ".join(f"{count} {place}" for place, count in book.stored_in.items())
        lines += ["", f"Seed {book.seed}: stored in {kept}; turns of no certain outcome: {notes}."]
    return "\n".join(lines) + "\n"


def _row(book: Book) -> list[str]:
    share = 100 * book.found_again / book.acknowledged if book.acknowledged else 100.0
    found = f"{book.found_again} ({'100' if book.found_again == book.acknowledged else f'{share:.2f}'} %)"
    times = [f"{1000 * book.quantile(share):.0f}" for share in (0.5, 0.99, 1.0)]
    counts = [str(book.violations[kind]) for kind in KINDS]
    return [
        str(book.seed), str(book.faults.total()), str(book.operations), str(book.acknowledged), found, *counts, *times,
    ]  # fmt: skip
