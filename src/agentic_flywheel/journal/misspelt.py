"""Finds what a word of a question was meant to be that is nowhere, but with one letter otherwise: wistreia is wisteria.

Who types wrongly seldom does so in the first letters, so what begins with them is looked at.
"""

import sqlite3
from itertools import takewhile

from agentic_flywheel.journal.folding import stem

SHORTEST = 5
"""Letters of a word that may be misspelt; of a shorter one many are near."""

SURE = 3
"""Letters that are right."""

NEAR = 0.5
"""What a word counts that is one letter from a misspelt one: it may be another."""


def misspelt(db: sqlite3.Connection, word: str) -> list[str]:
    """The terms of the index that are one letter from this word (folded, with its ending)."""
    term = stem(word)
    if len(term) < SHORTEST or not (term.isascii() and term.isalpha()):
        return []
    query = "SELECT term FROM words WHERE term >= ? AND term < ? AND length(term) BETWEEN ? AND ?"
    start = term[:SURE]
    rows = db.execute(query, (start, start + chr(0x10FFFF), len(term) - 1, len(term) + 1))
    return [other for (other,) in rows if _is_near(term, other)]


def _is_near(one: str, other: str) -> bool:
    """Whether they differ by a letter, or by the order of two."""
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
    a, b = one[same:], other[same:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or a[:2] + a[2:] == b[1::-1] + b[2:]
