"""The turns that clients send: each one unique, some with what a careless store would change."""

import itertools
import json
from collections.abc import Sequence
from typing import Any

AWKWARD = {"empty": [], "nothing": {}, "big": 12345678901234567890, "half": 0.5, "one": 1.0, "word": "\u2028 🌾"}


class Turns:
    """One client's turns, numbered."""

    def __init__(self, client: str) -> None:
        self._client = client
        self._numbers = itertools.count(1)

    def some(self, count: int, *, ids: bool = False) -> list[dict[str, Any]]:
        """So many new turns; `ids`: each with an `id`, by which it is known again wherever it is sent."""
        return [self._turn(ids=ids) for _ in range(count)]

    def _turn(self, *, ids: bool) -> dict[str, Any]:
        number = next(self._numbers)
        turn: dict[str, Any] = {"role": ("user", "assistant")[number % 2], "content": f"{self._client}-{number}"}
        if ids:
            turn["id"] = f"id-{self._client}-{number}"
        if number % 5 == 0:
            turn["metadata"] = AWKWARD
        return turn

    @staticmethod
    def names(turns: Sequence[str]) -> str:
        """Canonical turns in short, for the log."""
        return " ".join(json.loads(turn)["content"] for turn in turns)
