"""Copies what is to be traced, within bounds: what it costs does not grow with what is traced."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, cast
from uuid import UUID

from agentic_flywheel.json_text import JSONObject

MOST_CHARACTERS = 50_000
"""Of texts in one copy: more than a person reads in a trace."""

MOST_VALUES = 2_000
"""Of numbers, texts, lists and so on in one copy: a millisecond's work."""

DEEPEST = 24
"""Levels in a copy; what refers to itself ends there."""

LONGEST_WORD = 4_096
"""Characters before a cut that are taken away as well if they have no space: half a key must not be left."""

_AS_TEXT = (datetime, date, time, UUID, PurePath, Decimal)


def snapshot(value: object) -> Any:  # noqa: ANN401  JSON of any kind
    """A value as JSON can carry it, at once: what becomes of it later changes nothing. What is left out is said.

    Of objects that are no data, their type's name alone is taken: to ask them more may take any time.
    """
    try:
        return _Snapshot().of(value, 0)
    except Exception as exc:  # noqa: BLE001  its fields may be code, and another thread may change it meanwhile
        return f"<{type(value).__module__}.{type(value).__qualname__}: could not be copied, {type(exc).__name__}>"


def size_of(copy: object) -> int:
    """About how many bytes a copy takes."""
    if isinstance(copy, str):
        return 50 + len(copy)
    if isinstance(copy, dict):
        return 100 + sum(100 + size_of(each) for each in cast("JSONObject", copy).values())
    if isinstance(copy, list):
        return 100 + sum(map(size_of, cast("list[object]", copy)))
    return 30


class _Snapshot:
    """One copy being made, and what is left of its bounds."""

    def __init__(self) -> None:
        self._characters = MOST_CHARACTERS
        self._values = MOST_VALUES

    def of(self, value: object, depth: int) -> Any:  # noqa: ANN401
        self._values -= 1
        if isinstance(value, Enum):
            value = value.value
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int):
            return value if value.bit_length() < 64 else f"a number of {value.bit_length():,} bits"
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, bytes | bytearray):
            return f"{len(value):,} bytes"
        if isinstance(value, _AS_TEXT):
            return self._text(str(value))
        if depth >= DEEPEST:
            return "… (deeper than is traced)"
        if isinstance(value, Mapping):
            return self._object(cast("Mapping[object, object]", value), depth)
        if isinstance(value, list | tuple | set | frozenset):
            return self._list(cast("list[object]", value), depth)
        return self._thing(value, depth)

    def _text(self, text: str) -> str:
        if len(text) <= self._characters:
            self._characters -= len(text)
            return _without_halves(text)
        kept = text[: self._characters]
        self._characters = 0
        end = max(kept.rfind(" ", -LONGEST_WORD), kept.rfind("\n", -LONGEST_WORD))
        kept = kept[: max(0, end if end > 0 else len(kept) - LONGEST_WORD)]
        return f"{_without_halves(kept)}… ({len(text) - len(kept):,} more characters)"

    def _object(self, mapping: Mapping[object, object], depth: int) -> JSONObject:
        copy: JSONObject = {}
        for key, value in mapping.items():
            if self._full:
                copy["…"] = f"{len(mapping) - len(copy):,} more"
                break
            copy[self._text(key if isinstance(key, str) else str(self.of(key, DEEPEST)))] = self.of(value, depth + 1)
        return copy

    def _list(self, values: list[object], depth: int) -> list[Any]:
        copy: list[Any] = []
        for value in values:
            if self._full:
                copy.append(f"… {len(values) - len(copy):,} more")
                break
            copy.append(self.of(value, depth + 1))
        return copy

    @property
    def _full(self) -> bool:
        return self._values <= 0 or self._characters <= 0

    def _thing(self, value: object, depth: int) -> Any:  # noqa: ANN401
        """The fields of a dataclass or of a pydantic model; else the name of its type."""
        kind = type(value)
        shown: dict[object, object] = {}
        if is_dataclass(kind):
            shown = {field.name: getattr(value, field.name, None) for field in fields(kind) if field.repr}
        elif hasattr(kind, "model_fields"):  # pydantic, which need not be imported
            shown = {name: each for name, each in vars(value).items() if each is not None}
        if shown:
            return self._object(shown, depth)
        return f"<{kind.__module__}.{kind.__qualname__}>"


def _without_halves(text: str) -> str:
    """The text; where it has half of a surrogate pair, which is no character, with a question mark there."""
    return str(text) if text.isascii() else text.encode(errors="replace").decode()
