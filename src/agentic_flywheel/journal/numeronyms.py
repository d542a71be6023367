"""Finds what a numeronym is short for in the index, and what is short for a word: k8s and Kubernetes, i18n.

Such a word has the first and the last letter of another, and between them how many it leaves out.
"""

import re
import sqlite3

from agentic_flywheel.journal.folding import stem, words

_SHORT = re.compile(r"([a-z])([1-9][0-9]?)([a-z])")

SHORTEST = 4
"""Letters of a word that is shortened so: a11y has thirteen, e2e is none."""

LONGEST_ENDING = 6
"""Letters that a term may lack of its word: of internationalization it lacks five."""

LOOKED_AT = 100
"""Terms that may be one, of which a turn is read to see how it is written: the longest."""

ROWS = 3
"""Turns that are read of each: it may be written in more than one form."""


def spelt_out(db: sqlite3.Connection, word: str) -> list[str]:
    """The terms of the index that a word (folded, with its ending) is short for, or that are short for it."""
    if match := _SHORT.fullmatch(word):
        return _long_forms(db, match[1], int(match[2]) + 2, match[3])
    if len(word) < SHORTEST or not (word.isascii() and word.isalpha()):
        return []
    short = f"{word[0]}{len(word) - 2}{word[-1]}"
    return [short] if db.execute("SELECT 1 FROM words WHERE term = ?", (short,)).fetchone() else []


def _long_forms(db: sqlite3.Connection, first: str, length: int, last: str) -> list[str]:
    query = (
        "SELECT term FROM words WHERE term >= ? AND term < ? AND length(term) BETWEEN ? AND ?"
        " ORDER BY length(term) DESC, doc DESC LIMIT ?"
    )
    least = max(SHORTEST - 1, length - LONGEST_ENDING)
    terms = [term for (term,) in db.execute(query, (first, first + chr(0x10FFFF), least, length, LOOKED_AT))]
    return [term for term in terms if _is_written(db, term, length, last)] if length >= SHORTEST else []


def _is_written(db: sqlite3.Connection, term: str, length: int, last: str) -> bool:
    """Whether a word of this term is that long and ends so."""
    rows = db.execute("SELECT raw FROM turns WHERE turns MATCH ? LIMIT ?", (f'"{term}"', ROWS))
    said = (word for (raw,) in rows for word in words(raw) if len(word) == length and word.endswith(last))
    return any(stem(word) == term for word in said)
