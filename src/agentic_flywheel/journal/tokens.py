"""Splits queries and texts into words: their stems, their other spellings, and the excerpt around one."""

import re
import unicodedata
from collections.abc import Sequence

MOST_WORDS = 16
"""Words that one search looks for."""

MOST_TYPED = 20_000
"""Characters of a query that are read."""

SHORTEST_STEM = 4
"""Letters that a word must keep to lose its ending."""

BEFORE, BEHIND = 60, 140
"""Characters of an excerpt before and behind its word."""

_ENDING = re.compile(r"(?:ations?|ings?|ies|ers?|ed|es|ly|s|y|e)\Z")
"""Endings of English words; words of other languages are found by the beginning that was typed."""

# Letters that stand for two, and those of other alphabets with their accents: full-text search takes neither apart.
_LETTERS = {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th"}
_TYPED = str.maketrans(_LETTERS)
_OTHERWISE = re.compile(f"[{''.join(_LETTERS)}\u0370-\u03ff\u1f00-\u1fff\ufb00-\ufb06]", re.IGNORECASE)
_SIGNS = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+")
"""Lines of Chinese and Japanese, which have no spaces."""
_WORD = re.compile(r"\w+")


def words_in(query: str) -> list[str]:
    """The words of a query, each once; punctuation alone is no word, unless there is nothing else.

    Of more than `MOST_WORDS` the longest count: a whole paragraph looks for what is rare in it.
    """
    typed = list(dict.fromkeys(query[:MOST_TYPED].lower().split()))
    words = [word for word in typed if _WORD.search(word)] or typed
    return words if len(words) <= MOST_WORDS else sorted(words, key=len, reverse=True)[:MOST_WORDS]


def beginnings(word: str) -> list[str]:
    """The beginnings by which a word is found, one for each way of writing it; some are words in a row."""
    if not _WORD.search(word):
        return []
    ways = [_stem(word)]
    if _OTHERWISE.search(word):
        ways.append(_typed(word))
    if _SIGNS.search(word):
        ways.append(_SIGNS.sub(lambda line: f" {' '.join(line[0])} ", word))
    return ways


def variants(text: str) -> str:
    """The other spellings of the words of a text, and each sign of a Chinese or Japanese line as a word."""
    if text.isascii():
        return ""
    words = {_typed(word) for word in _WORD.findall(text) if _OTHERWISE.search(word)}
    return "\n".join([*(" ".join(line) for line in _SIGNS.findall(text)), *sorted(words)])


def excerpt(text: str, words: Sequence[str]) -> str:
    """The text around one of the words, the longest tried first; empty if it has none."""
    folded = _folded(text)
    for word in sorted(words, key=len, reverse=True):
        start = _position(folded, _folded(_stem(word)))
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


def _stem(word: str) -> str:
    stem = _ENDING.sub("", word) if word.isalpha() else word
    return stem if len(stem) >= SHORTEST_STEM else word


def _typed(word: str) -> str:
    """A word in the letters of most keyboards."""
    letters = unicodedata.normalize("NFKD", word.lower().translate(_TYPED))
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def _folded(text: str) -> str:
    """The text in lower case without accents, every character at its position."""
    if text.isascii():
        return text.lower()
    plain = {ord(each): unicodedata.normalize("NFD", each)[0].lower()[:1] or each for each in set(text)}
    return text.translate(plain)
