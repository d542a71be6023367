"""Finds other forms of a word in the index where no endings are known: Russian, Greek, Hindi and others but English.

A form has another short ending behind the same beginning; in Latin letters, one without the e or i. It is looked for
only where nothing begins as the word does.
"""

import sqlite3

LONGEST_ENDING = 3
"""Letters of an ending, of the word and of its other forms."""

SHORTEST_BEGINNING = 3
"""Letters that all forms share at least; two thirds of a longer word."""

FORMS = 20
"""Other forms of a word that are looked for, the most frequent."""


def other_forms(db: sqlite3.Connection, word: str) -> list[str]:
    """The terms that differ from the word (folded) in their endings alone; of the shortest."""
    if not word.isalpha():
        return []
    if word.isascii():
        short = word[:-1] if word[-1] in "ei" and len(word) > SHORTEST_BEGINNING else ""  # Tage, kwiaty
        return [term for (term,) in db.execute("SELECT term FROM words WHERE term = ?", (short,))]
    query = "SELECT term FROM words WHERE term >= ? AND term < ? AND length(term) <= ? ORDER BY doc DESC LIMIT ?"
    least = max(SHORTEST_BEGINNING, (2 * len(word) + 2) // 3)
    for length in range(len(word) - 1, max(least, len(word) - LONGEST_ENDING) - 1, -1):
        start = word[:length]
        longest = length + LONGEST_ENDING
        if terms := [term for (term,) in db.execute(query, (start, start + chr(0x10FFFF), longest, FORMS))]:
            return terms
    return []
