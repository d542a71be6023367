"""Finds other forms of a word in the index where no endings are known: Russian, Greek, Hindi and others but English.

A form has another short ending behind the same beginning, or, in Hebrew and Arabic, an article before it. In Latin
letters it lacks the last e or i, or writes ä for ae. It is looked for only where nothing begins as the word does.
"""

import re
import sqlite3
from collections.abc import Iterator

LONGEST_ENDING = 3
"""Letters of an ending, of the word and of its other forms."""

SHORTEST_BEGINNING = 3
"""Letters that all forms share at least; two thirds of a longer word."""

FORMS = 20
"""Other forms of a word that are looked for, the most frequent."""

ARTICLES = ("ال", "وال", "بال", "لل", "ה", "ו", "ב", "ל", "מ", "ש", "כ", "וה", "שה")  # noqa: RUF001  letters of Hebrew
"""What Arabic and Hebrew write at the beginning of a word: the, and the, with the, for the; the, and, in, to …"""

_UMLAUT = re.compile("([aou])e")


def other_forms(db: sqlite3.Connection, word: str) -> list[str]:
    """The terms that differ from the word (folded) in their endings alone; of the shortest."""
    if not word.isalpha():
        return []
    if alike := [form for form in dict.fromkeys(_alike(word)) if _is_there(db, form)]:
        return alike
    if word.isascii():
        return []
    query = "SELECT term FROM words WHERE term >= ? AND term < ? AND length(term) <= ? ORDER BY doc DESC LIMIT ?"
    least = max(SHORTEST_BEGINNING, (2 * len(word) + 2) // 3)
    for length in range(len(word) - 1, max(least, len(word) - LONGEST_ENDING) - 1, -1):
        start = word[:length]
        longest = length + LONGEST_ENDING
        if terms := [term for (term,) in db.execute(query, (start, start + chr(0x10FFFF), longest, FORMS))]:
            return terms
    return []


def _alike(word: str) -> Iterator[str]:
    """Forms that can be written down."""
    if word.isascii():
        if word[-1] in "ei" and len(word) > SHORTEST_BEGINNING:  # Tage, kwiaty
            yield word[:-1]
        yield _UMLAUT.sub(r"\1", word)
    elif "\u0590" <= word[0] <= "\u06ff":
        yield from (word[len(a) :] for a in ARTICLES if word.startswith(a) and len(word) - len(a) >= SHORTEST_BEGINNING)
        yield from (a + word for a in ARTICLES if len(word) >= SHORTEST_BEGINNING)


def _is_there(db: sqlite3.Connection, term: str) -> bool:
    return db.execute("SELECT 1 FROM words WHERE term = ?", (term,)).fetchone() is not None
