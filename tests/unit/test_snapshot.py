"""What is traced is copied at once, within bounds; strange objects are asked nothing, and no half of a key is left."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, SecretStr

from agentic_flywheel.json_text import dumps
from agentic_flywheel.sessions.redaction.policy import Credentials
from agentic_flywheel.sessions.tracing.snapshot import MOST_CHARACTERS, MOST_VALUES, snapshot

KEY = "sk-ant-api03-" + "fP7xQ2rT" * 11 + "AA"


class Flavour(StrEnum):
    SWEET = "sweet"


@dataclass
class Plant:
    name: str
    seeds: list[str] = field(default_factory=list)
    password: str = field(default="hush", repr=False)


class Model(BaseModel):
    name: str
    key: SecretStr
    nothing: str | None = None


class Changing(Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("changed size during iteration")

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize(
    ("value", "copy"),
    [
        ({"a": [1, 2.5, True, None], "b": (1, {2})}, {"a": [1, 2.5, True, None], "b": [1, [2]]}),
        ({1: 2, None: 3}, {"1": 2, "None": 3}),
        (Flavour.SWEET, "sweet"),
        (Plant("fern", ["s"]), {"name": "fern", "seeds": ["s"]}),
        (Model(name="fern", key=SecretStr("hush")), {"name": "fern", "key": "<pydantic.types.SecretStr>"}),
        (b"\xff" * 2000, "2,000 bytes"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02 00:00:00+00:00"),
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        ("half \ud800", "half ?"),
        (2**70, "a number of 71 bits"),
        (object(), "<builtins.object>"),
        (Changing(), f"<{__name__}.Changing: could not be copied, RuntimeError>"),
    ],
)
def test_each_kind_of_value_is_copied_as_json_carries_it(value: Any, copy: Any):
    assert snapshot(value) == copy
    dumps(snapshot(value))


def test_what_is_changed_later_is_as_it_was():
    turns = [{"content": "fern"}]
    copy = snapshot(turns)
    turns[0]["content"] = "leek"
    turns.append({})
    assert copy == [{"content": "fern"}]


def test_a_copy_is_bounded_in_characters_values_and_depth_and_says_what_is_missing():
    long = snapshot("fern " * 100_000)
    assert MOST_CHARACTERS < len(long) + 100 < MOST_CHARACTERS + 200
    assert long.endswith("more characters)")
    many = snapshot(list(range(100_000)))
    assert len(many) == MOST_VALUES
    assert many[-1] == f"… {100_000 - MOST_VALUES + 1:,} more"
    deep: Any = "end"
    for _ in range(500):
        deep = [deep]
    assert "deeper" in str(snapshot(deep))
    turns = snapshot({"history": [{"role": "user", "content": "x " * 3_000}] * 400, "title": "t"})
    assert turns["title" if "title" in turns else "…"]
    assert len(dumps(turns)) < 2 * MOST_CHARACTERS


@pytest.mark.parametrize("before", range(MOST_CHARACTERS - len(KEY), MOST_CHARACTERS + 1, 7))
def test_a_cut_leaves_no_half_of_a_key(before: int):
    text = ("fern " * MOST_CHARACTERS)[: before - 1] + " " + KEY + " and so on" * 100
    copy, _ = Credentials("redact").redact({"x": snapshot(text)})
    assert "sk-ant" not in copy["x"]


def test_a_cut_in_one_long_word_takes_a_good_part_of_it_away():
    assert KEY[:8] not in snapshot("x" * (MOST_CHARACTERS - 50) + KEY)
