"""Makes a talk that is larger than a session may be fit into one: results of tools first, from the oldest on.

What a tool gave back is most of a long coding talk, and the least of what anybody looks for in it later. Where that is
not enough, pages and other long texts are shortened, then the oldest turns are left out. Each place says what is
missing.
"""

from dataclasses import dataclass
from typing import Any, cast

from agentic_flywheel.json_text import JSONObject, dumps_checked

KEPT_CHARACTERS = 300
"""What is left of a text that is shortened: what it begins with."""

FULL = 0.85
"""How full a session is that was shortened: the rest is for its fields, and for what is said next."""


@dataclass(slots=True)
class Shortened:
    """The turns, how many results and other texts were shortened, by how many characters, and how many turns went."""

    history: list[JSONObject]
    results: int = 0
    texts: int = 0
    characters: int = 0
    turns: int = 0

    @property
    def message(self) -> str:
        """What is told of it."""
        if not (self.characters or self.turns):
            return ""
        results = f"{self.results:,} result{'' if self.results == 1 else 's'} of tools" if self.results else ""
        texts = f"{self.texts:,} other long text{'' if self.texts == 1 else 's'}" if self.texts else ""
        what = " and ".join(filter(None, (results, texts)))
        told = f"the oldest {what} were shortened by {self.characters:,} characters" if what else ""
        gone = f"the oldest {self.turns:,} turns were left out" if self.turns else ""
        return f"it is larger than a session may be: {' and '.join(filter(None, (told, gone)))}"


def shortened(history: list[JSONObject], max_bytes: int) -> Shortened:
    """The turns as they fit into a session of `max_bytes`; the same each time for the same turns."""
    sizes = [len(dumps_checked(turn)) + 1 for turn in history]
    made = Shortened(list(history))
    over = sum(sizes) - int(max_bytes * FULL)
    for is_result in (True, False):
        for place, turn in enumerate(made.history):
            if over <= 0:
                return made
            shorter = _Shorter(is_result=is_result)
            changed = shorter.turn(turn)
            if shorter.number:
                size = len(dumps_checked(changed)) + 1
                over, sizes[place] = over - (sizes[place] - size), size
                made.history[place] = changed
                made.characters += shorter.characters
                made.results += shorter.number * is_result
                made.texts += shorter.number * (not is_result)
    while over > 0 and made.turns < len(sizes):
        over -= sizes[made.turns]
        made.turns += 1
    if made.turns:
        note: JSONObject = {"role": "system", "content": f"[{made.turns:,} earlier turns were left out at import]"}
        made.history = [note, *made.history[made.turns :]]
    return made


class _Shorter:
    """Shortens the texts of one turn: those of results of tools, or all."""

    def __init__(self, *, is_result: bool) -> None:
        self._is_result = is_result
        self.number = 0
        self.characters = 0

    def turn(self, turn: JSONObject) -> JSONObject:
        """The turn with its texts shortened."""
        if not self._is_result:
            return self._all(turn)
        if turn.get("role") == "tool":
            return turn | {"content": self._all(turn.get("content"))}
        content = turn.get("content")
        if not isinstance(content, list):
            return turn
        return turn | {"content": [self._block(block) for block in cast("list[object]", content)]}

    def _block(self, block: object) -> object:
        is_result = isinstance(block, dict) and cast("JSONObject", block).get("type") == "tool_result"
        return self._all(block) if is_result else cast("object", block)

    def _all(self, value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list):
            return [self._all(each) for each in cast("list[Any]", value)]
        if isinstance(value, dict):
            return {name: self._all(each) for name, each in cast("JSONObject", value).items()}
        return value

    def _text(self, text: str) -> str:
        left = len(text) - KEPT_CHARACTERS
        if left < KEPT_CHARACTERS:  # among them what was shortened before
            return text
        self.number += 1
        self.characters += left
        return f"{text[:KEPT_CHARACTERS]}… [{left:,} more characters were left out at import: the talk is too long]"
