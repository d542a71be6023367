"""Finds words that a question writes as one and a talk as two, and the other way round: wifi and Wi-Fi, pep8 and PEP-8.

It looks only for what the index holds: both halves beside each other, or the parts of one written word as one.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from agentic_flywheel.journal.folding import stem, words

MOST_PARTS = 3
"""Parts of what was written as one that may be one word: `Wi-Fi`, `CI/CD`, no path."""

LONGEST = 30
"""Letters of a word that is taken apart."""


@dataclass(frozen=True, slots=True)
class Halves:
    """A word that is nowhere, as two that stand beside each other in these rows."""

    first: str
    second: str
    rows: Sequence[int]

    def count(self, said: Sequence[str]) -> int:
        """How often they do in these terms."""
        return sum(said[at : at + 2] == [self.first, self.second] for at in range(len(said) - 1))


def joined_in(written: str) -> tuple[str, tuple[str, ...]] | None:
    """The term that this, without a space in it, is as one word, and the terms of its parts; `None` if it has one."""
    parts = words(written)
    if not 1 < len(parts) <= MOST_PARTS or not all(part.isascii() for part in parts):
        return None
    return stem("".join(parts)), tuple(map(stem, parts))


def halves_of(db: sqlite3.Connection, word: str, often: Callable[[str], int], most: int) -> Halves | None:
    """The word (folded, with its ending) as two of the index; the longest first half that is there, if any is."""
    if len(word) > LONGEST or not word.isascii():
        return None
    for at in range(len(word) - 1, 0, -1):
        first, second = stem(word[:at]), stem(word[at:])
        if often(first) and often(second):
            query = "SELECT rowid FROM turns WHERE turns MATCH ? ORDER BY rank LIMIT ?"
            rows = [row for (row,) in db.execute(query, (f'"{first} {second}"', most))]
            if rows:
                return Halves(first, second, rows)
    return None


def with_joined(word: str, joined: Mapping[str, Sequence[str]]) -> list[str]:
    """The word, and what it is a part of where that is written as one."""
    return [word, *(one for one, parts in joined.items() if word in parts)]
