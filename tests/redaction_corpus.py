"""How well the redaction tells secrets from what only looks like them, measured on a corpus that anybody can rebuild.

    python -m tests.redaction_corpus [--wrong | --speed]

Prints Markdown tables: of secrets, how many were found; of harmless values, how many were taken for one. The corpus
is drawn from a seed (`leaks`, `neighbours`, `harmless` and what they use, in `support`). One half was used to write the
detector, the other was held out until it was done: its carriers, texts and modules are others. Not collected by pytest.
"""

import sys
import timeit
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pydoc_data.topics import topics
from typing import Any

from agentic_flywheel.sessions.redaction.values import redacted

from .support.harmless import harmless
from .support.leaks import leaks
from .support.neighbours import harmless_neighbours, over_seams
from .support.secrets import Item

SEED = 6
PIECE = 6  # characters: a secret of which so many in a row are still there was not redacted


def corpus() -> list[Item]:
    return [*leaks(SEED), *over_seams(SEED), *harmless(SEED), *harmless_neighbours(SEED)]


def is_wrong(item: Item) -> bool:
    """A secret that can still be read in part, or a harmless value in which something was found."""
    value: Any = item.value
    clean, findings = redacted(value, "value")
    if not item.secret:
        return bool(findings)
    text = clean if isinstance(clean, str) else "\n".join(texts(clean))
    pieces = (item.secret[start : start + PIECE] for start in range(max(1, len(item.secret) - PIECE + 1)))
    return not findings or any(piece in text for piece in pieces)


def texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts(inner)


@dataclass
class Row:
    """Of one kind: how many there are, and how many were judged wrong, in each half."""

    count: list[int]
    wrong: list[int]


def rows(items: Iterable[Item]) -> dict[str, Row]:
    table: dict[str, Row] = defaultdict(lambda: Row([0, 0], [0, 0]))
    for item in items:
        judged = is_wrong(item)
        for kind in (item.kind, "**all**"):
            table[kind].count[item.held_out] += 1
            table[kind].wrong[item.held_out] += judged
    table["**all**"] = table.pop("**all**")
    return table


def recall(row: Row) -> str:
    cells = [f"{count - wrong} of {count}" for count, wrong in zip(row.count, row.wrong, strict=True)]
    return f"{cells[0]} | {cells[1]} | {100 * (1 - sum(row.wrong) / sum(row.count)):.1f} %"


def false_alarms(row: Row) -> str:
    cells = [f"{wrong} of {count}" for count, wrong in zip(row.count, row.wrong, strict=True)]
    return f"{cells[0]} | {cells[1]} | {100 * sum(row.wrong) / sum(row.count):.1f} %"


def tables(items: list[Item]) -> str:
    lines = ["| secrets | found | found, held out | recall |", "|---|---|---|---|"]
    lines += [f"| {kind} | {recall(row)} |" for kind, row in rows(item for item in items if item.secret).items()]
    lines += ["", "| harmless | alarms | alarms, held out | rate |", "|---|---|---|---|"]
    lines += [
        f"| {kind} | {false_alarms(row)} |" for kind, row in rows(item for item in items if not item.secret).items()
    ]
    return "\n".join(lines)


def wrong(items: list[Item]) -> str:
    """What to improve: only of the half that the detector may be tuned on."""
    return "\n".join(f"{item.kind}: {item.value!r:.400}" for item in items if not item.held_out and is_wrong(item))


def speed() -> str:
    """How long a history of prose takes in which nothing is found, in turns of 200 to 600 letters: the best of 50."""
    paragraphs = [" ".join(text.split()) for topic in topics.values() for text in topic.split("\n\n")]
    prose = [text for text in paragraphs if 200 < len(text) < 600 and not redacted(text, "")[1]]
    lines = ["| history | redaction |", "|---|---|"]
    for name, size in (("10 KB", 10_000), ("1 MB", 1_000_000)):
        turns = (prose * 20)[: size * len(prose) // sum(map(len, prose))]
        history = [{"role": "user", "content": text} for text in turns]
        seconds = min(timeit.repeat(lambda: redacted(history, "history"), number=1, repeat=50))  # noqa: B023
        lines.append(f"| {name} | {1000 * seconds:.2f} ms |")
    return "\n".join(lines)


if __name__ == "__main__":
    if "--speed" in sys.argv:
        sys.stdout.write(speed() + "\n")
    else:
        sys.stdout.write((wrong if "--wrong" in sys.argv else tables)(corpus()) + "\n")
