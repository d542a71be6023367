"""Words as they are typed and as they were said: what of one is looked for, how else it is written, where it stands."""

import re
import unicodedata
from collections.abc import Sequence

MOST_WORDS = 16
"""Words that one search looks for; each is looked for in all that there is."""

MOST_TYPED = 20_000
"""Characters of a query that are looked at."""

SHORTEST_STEM = 4
"""Letters that are left of a word at least when its ending is left aside."""

BEFORE, BEHIND = 60, 140
"""Characters of an excerpt around the word that it is for."""

_ENDING = re.compile(r"(?:ations?|ings?|ies|ers?|ed|es|ly|s|y|e)\Z")
"""Endings of English words; a longer beginning of another language's word is found as it is typed."""

# Letters that stand for two, and those of other alphabets with their accents: full-text search takes neither apart.
_LETTERS = {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th"}
_TYPED = str.maketrans(_LETTERS)
_OTHERWISE = re.compile(f"[{''.join(_LETTERS)}\u0370-\u03ff\u1f00-\u1fff\ufb00-\ufb06]", re.IGNORECASE)
_SIGNS = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+")
"""Lines of Chinese and Japanese, which have no spaces."""
_WORD = re.compile(r"\w+")


def words_in(query: str) -> list[str]:
    """The words of what was typed, each once; signs that stand alone are none, unless there is nothing else.

    Of many the longest count: a whole paragraph looks for what is rare in it.
    """
    typed = list(dict.fromkeys(query[:MOST_TYPED].lower().split()))
    words = [word for word in typed if _WORD.search(word)] or typed
    return words if len(words) <= MOST_WORDS else sorted(words, key=len, reverse=True)[:MOST_WORDS]


def beginnings(word: str) -> list[str]:
    """What a word that is meant begins with, in one or another way of writing it; some are words in a row."""
    if not _WORD.search(word):
        return []
    ways = [_stem(word)]
    if _OTHERWISE.search(word):
        ways.append(_typed(word))
    if _SIGNS.search(word):
        ways.append(_SIGNS.sub(lambda line: f" {' '.join(line[0])} ", word))
    return ways


def variants(text: str) -> str:
    """Words of a text as they may be typed instead, and each sign of a line as a word."""
    if text.isascii():
        return ""
    words = {_typed(word) for word in _WORD.findall(text) if _OTHERWISE.search(word)}
    return "\n".join([*(" ".join(line) for line in _SIGNS.findall(text)), *sorted(words)])


def excerpt(text: str, words: Sequence[str]) -> str:
    """The text around the first of the words that it has, the longest tried first; empty if it has none."""
    folded = _folded(text)
    for word in sorted(words, key=len, reverse=True):
        start = _place(folded, _folded(_stem(word)))
        if start >= 0:
            first, last = max(0, start - BEFORE), min(len(text), start + BEHIND)
            piece = text[first:last]
            if first and " " in piece[:BEFORE]:
                piece = piece[piece.index(" ") :]
            if last < len(text) and " " in piece[BEFORE + len(word) :]:
                piece = piece[: piece.rindex(" ")]
            return f"{'…' if first else ''}{' '.join(piece.split())}{'…' if last < len(text) else ''}"
    return ""


def _place(text: str, beginning: str) -> int:
    """Where a word that begins so stands; -1 if none does."""
    at = text.find(beginning) if beginning else -1
    while at > 0 and text[at - 1].isalnum() and not _SIGNS.match(beginning):
        at = text.find(beginning, at + 1)
    return at


def _stem(word: str) -> str:
    stem = _ENDING.sub("", word) if word.isalpha() else word
    return stem if len(stem) >= SHORTEST_STEM else word


def _typed(word: str) -> str:
    """A word in letters that are on most keyboards."""
    letters = unicodedata.normalize("NFKD", word.lower().translate(_TYPED))
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def _folded(text: str) -> str:
    """The text in lower case without accents, every character in its place."""
    if text.isascii():
        return text.lower()
    plain = {ord(each): unicodedata.normalize("NFD", each)[0].lower()[:1] or each for each in set(text)}
    return text.translate(plain)
