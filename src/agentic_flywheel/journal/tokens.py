"""Finds the part of a text that is shown of it: that around a word of a query."""

import re
import unicodedata
from collections.abc import Sequence

from agentic_flywheel.journal.folding import stem

BEFORE, BEHIND = 60, 140
"""Characters of an excerpt before and behind its word."""

_SIGNS = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7a3]+")
"""Lines without spaces, in which a word may begin anywhere."""


def excerpt(text: str, words: Sequence[str]) -> str:
    """The text around one of the words, the longest tried first; empty if it has none."""
    folded = _folded(text)
    for word in sorted(words, key=len, reverse=True):
        start = _position(folded, stem(_folded(word)))
        if start >= 0:
            first, last = max(0, start - BEFORE), min(len(text), start + BEHIND)
            piece = text[first:last]
            if first and " " in piece[:BEFORE]:
                piece = piece[piece.index(" ") :]
            if last < len(text) and " " in piece[BEFORE + len(word) :]:
                piece = piece[: piece.rindex(" ")]
            return f"{'…' if first else ''}{' '.join(piece.split())}{'…' if last < len(text) else ''}"
    return ""


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
