"""The conversations that the tests keep, and equality that tells 1 from 1.0 and from true."""

import json
from typing import Any

TALK: list[dict[str, Any]] = [
    {"role": "user", "content": "What did we decide about the harvest? 🌾"},
    {"role": "assistant", "content": "Monday, if it stays dry.", "metadata": {"confidence": 0.75, "sources": []}},
    {"role": "user", "content": "And if it rains?"},
    {"role": "assistant", "content": "Then we ask again on Wednesday."},
]
CONTEXT: dict[str, Any] = {
    "field": "north",
    "hectares": 12.5,
    "crew": ["Ana", "Bo"],
    "weather": {"rain": None, "wind": 3},
}


def turns(*words: str) -> list[dict[str, Any]]:
    """A history with one user turn per word."""
    return [{"role": "user", "content": word} for word in words]


def words(history: list[dict[str, Any]]) -> list[str]:
    """What `turns` was given."""
    return [turn["content"] for turn in history]


def exact(value: Any) -> str:
    """Canonical JSON text: equal texts are equal values, types included."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def tokens(value: Any) -> int:
    """The contract's measure: four characters of compact JSON are a token."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":"))) // 4
