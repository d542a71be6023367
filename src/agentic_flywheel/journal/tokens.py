"""Finds the part of a text that is shown of it: that around a word of a query."""

import re
import unicodedata
from collections.abc import Sequence
from itertools import islice

from agentic_flywheel.journal.folding import stem

BEFORE, BEHIND = 60, 140
"""Characters of an excerpt before and behind its word."""

MOST_PLACES = 100
"""Places of which the best is taken."""

LOOKED_AT = 20_000
"""Characters of a text of which each word is looked at."""

_WORD = re.compile("[a-z0-9]+")

_SIGNS = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7a3]+")
"""Lines without spaces, in which a word may begin anywhere."""


def excerpt(text: str, words: Sequence[str]) -> str:
    """The text around the most of the words, the longest first; empty if it has none."""
    found = _places(_folded(text), words)
    if not found:
        return ""
    start = max(found, key=lambda at: (len({found[o] for o in found if at <= o < at + BEHIND}), len(found[at]), -at))
    first, last = max(0, start - BEFORE), min(len(text), start + BEHIND)
    piece = text[first:last]
    if first and " " in piece[:BEFORE]:
        piece = piece[piece.index(" ") :]
    if last < len(text) and " " in piece[BEFORE + len(found[start]) :]:
        piece = piece[: piece.rindex(" ")]
    return f"{'…' if first else ''}{' '.join(piece.split())}{'…' if last < len(text) else ''}"


def _places(text: str, words: Sequence[str]) -> dict[int, str]:
    """The words by where they or forms of them stand, else by where a word begins as one does."""
    terms = {stem(_folded(word)): word for word in words}
    matches = _WORD.finditer(text, 0, LOOKED_AT)
    found = {match.start(): word for match in matches if (word := terms.get(stem(match[0])))}
    left = set(terms.values()) - set(found.values())
    found |= {at: word for term, word in terms.items() if word in left and (at := _position(text, term)) >= 0}
    return dict(islice(found.items(), MOST_PLACES))


def _position(text: str, beginning: str) -> int:
    """The position of a word that begins so; -1 if there is none."""
    at = text.find(beginning) if beginning else -1
    while at > 0 and text[at - 1].isalnum() and not _SIGNS.match(beginning):
        at = text.find(beginning, at + 1)
    return at


def _folded(text: str) -> str:
    """The text in lower case without accents, every character at its position."""
    if text.isascii():
        return text.lower()
    plain = {ord(each): unicodedata.normalize("NFD", each)[0].lower()[:1] or each for each in set(text)}
    return text.translate(plain)
