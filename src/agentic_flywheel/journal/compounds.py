"""Finds words that a question writes as one and a talk as several, and the other way round: wifi and Wi-Fi.

It looks only for what the index holds: the parts beside each other, or the parts of one written word as one. Parts are
two halves, or what capitals divide: getUserById and get_user_by_id.
"""

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from agentic_flywheel.journal.folding import stem, words

MOST_PARTS = 3
"""Parts of what was written as one that may be one word: `Wi-Fi`, `CI/CD`, no path."""

SHORTEST_PART = 3
"""Letters of a part that is a word of its own."""

LONGEST = 30
"""Letters of a word that is taken apart."""


_ASCII_WORD = re.compile("[A-Za-z0-9]+")
_CAPITAL = re.compile("(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True, slots=True)
class Apart:
    """A word that is nowhere, as several that stand beside each other in these rows."""

    parts: Sequence[str]
    rows: Sequence[int]

    def count(self, said: Sequence[str]) -> int:
        """How often they do in these terms."""
        parts = [*self.parts]
        return sum(said[at : at + len(parts)] == parts for at in range(len(said) - len(parts) + 1))


def joined_in(written: str) -> tuple[str, tuple[str, ...]] | None:
    """The term that this, without a space in it, is as one word, and the terms of its parts; `None` if it has one."""
    parts = words(written)
    if not 1 < len(parts) <= MOST_PARTS or not all(part.isascii() for part in parts):
        return None
    return stem("".join(parts)), tuple(map(stem, parts))


def inside(said: str) -> list[str]:
    """The terms of parts that capitals inside of words divide, each once: of getUserById two, of a checksum none."""
    words_of = (_CAPITAL.split(word) for word in _ASCII_WORD.findall(said) if len(word) <= LONGEST)
    parts = (part for found in words_of if len(found) > 1 for part in found)
    return [*dict.fromkeys(stem(part.lower()) for part in parts if len(part) >= SHORTEST_PART and part.isalpha())]


def divided_in(written: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The terms of this that capitals inside divide, each with the terms of its parts."""
    for word in _ASCII_WORD.findall(written):
        if len(parts := _CAPITAL.split(word)) > 1:
            yield stem(word.lower()), tuple(stem(part.lower()) for part in parts)


def apart(
    db: sqlite3.Connection, word: str, divided: Sequence[str], often: Callable[[str], int], most: int
) -> Apart | None:
    """The word (folded, with its ending) as several of the index: as it is `divided`, else as two halves.

    Of halves those with the longest first one that is there, if any is.
    """
    if len(word) > LONGEST or not word.isascii():
        return None
    halves = ((stem(word[:at]), stem(word[at:])) for at in range(len(word) - 1, 0, -1))
    for parts in [divided, *halves] if divided else halves:
        if all(map(often, parts)):
            query = "SELECT rowid FROM turns WHERE turns MATCH ? ORDER BY rank LIMIT ?"
            rows = [row for (row,) in db.execute(query, (f'"{" ".join(parts)}"', most))]
            if rows:
                return Apart(parts, rows)
    return None


def with_joined(word: str, joined: Mapping[str, Sequence[str]]) -> list[str]:
    """The word, and what it is a part of where that is written as one."""
    return [word, *(one for one, parts in joined.items() if word in parts)]
