"""Reads a question as it was typed: the words that must be found, and those that only help."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from agentic_flywheel.journal.compounds import divided_in, joined_in
from agentic_flywheel.journal.folding import stem, words
from agentic_flywheel.journal.function_words import without_function_words

MOST_WORDS = 16
"""Words of a question that are looked for: the longest of more."""

MOST_TYPED = 20_000
"""Characters of a question that are read."""


NAMES_TOO = frozenset(("may", "will"))
"""Function words that are names with a capital inside of a question: is it in May?"""


@dataclass(frozen=True, slots=True)
class Question:
    """What is looked for: `content` must be found, `others` help. `wanted` tests member and note of a session."""

    content: Sequence[str]
    others: Sequence[str] = ()
    joined: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """What was written as one and is several words, as one term, with those that it is made of."""
    divided: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """What capitals inside of a word divide, as one term, with the terms of its parts."""
    written: Mapping[str, str] = field(default_factory=dict[str, str], compare=False)
    """The words of `content` with their endings."""
    names: Collection[str] = frozenset()
    """Those of `content` that were typed with a capital letter, but for the first."""
    wanted: Callable[[str, str], bool] | None = field(default=None, compare=False)

    @classmethod
    def of(cls, text: str, wanted: Callable[[str, str], bool] | None = None) -> "Question":
        """The question that was typed."""
        parts = text[:MOST_TYPED].split()
        typed = dict.fromkeys(word for part in parts for word in _without_last_sign(words(part)))
        called = {word for part in parts[1:] if part[:1].isupper() for word in words(part)}
        telling = [*dict.fromkeys([*without_function_words([*typed]), *(NAMES_TOO & called)])]
        content = dict.fromkeys(map(stem, telling))
        if len(content) > MOST_WORDS:
            content = dict.fromkeys(sorted(content, key=len, reverse=True)[:MOST_WORDS])
        others = [word for word in dict.fromkeys(map(stem, typed)) if word not in content]
        joined = dict(found for part in parts if (found := joined_in(part)) and content.keys() & found[1])
        divided = {one: each for part in parts for one, each in divided_in(part) if one in content}
        written = {stem(word): word for word in telling}
        names = frozenset(map(stem, called)) & content.keys()
        return cls([*content], others[:MOST_WORDS], joined, divided, written, names, wanted)


def _without_last_sign(found: list[str]) -> list[str]:
    """A line without spaces is looked for by its pairs alone."""
    return [word for at, word in enumerate(found) if not (at and not word.isascii() and found[at - 1][1:] == word)]
