"""Tells turns apart by their canonical JSON, and what a caller has seen by the turns in it."""

import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

from pydantic_core import to_json

from agentic_flywheel.json_text import JSONObject

Fingerprint = bytes
"""Sixteen bytes that stand for a turn; equal exactly when its canonical JSON is."""

Fingerprints = tuple[Fingerprint, ...]
"""The turns without an `id` that a caller has seen (or sent), in order."""


def fingerprint(turn: JSONObject) -> Fingerprint:
    """What a turn is compared by."""
    return hashlib.blake2b(to_json(_sorted(turn)), digest_size=16).digest()


def _sorted(value: JSONObject) -> JSONObject:
    """The same with its keys in order, at every level."""
    return {key: item if type(item := value[key]) is str else _in_order(item) for key in sorted(value)}


def _in_order(value: object) -> object:
    if isinstance(value, dict):
        return _sorted(cast("JSONObject", value))
    return [_in_order(item) for item in cast("list[object]", value)] if isinstance(value, list) else value


NOTHING_CUT: Mapping[Fingerprint, Fingerprint] = MappingProxyType({})


def view(turns: Iterable[JSONObject], cut: Mapping[Fingerprint, Fingerprint] = NOTHING_CUT) -> Fingerprints:
    """What a caller has seen, having seen these turns. `cut` names the whole turn for one that was shown cut."""
    plain = (fingerprint(turn) for turn in turns if turn_id(turn) is None)
    return tuple(cut.get(mark, mark) for mark in plain)


def last(turns: Sequence[JSONObject], count: int) -> Fingerprints:
    """The end of the view of these turns."""
    plain = (turn for turn in reversed(turns) if turn_id(turn) is None)
    return view(itertools.islice(plain, count))[::-1]


def turn_id(turn: JSONObject) -> str | int | None:
    """A turn's own id, a text or a whole number; `None` if it has none.

    Other values tell a turn's kind, not the turn: LangChain gives the path of its class.
    """
    value: Any = turn.get("id")
    if isinstance(value, str):
        return value or None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def overlap(seen: Fingerprints, sent: Fingerprints) -> int:
    """The length of the longest prefix of `sent` that is a suffix of `seen` (Knuth, Morris and Pratt)."""
    border = [0] * (len(sent) + 1)
    length = 0
    for i in range(1, len(sent)):
        while length and sent[i] != sent[length]:
            length = border[length]
        length += sent[i] == sent[length]
        border[i + 1] = length
    matched = 0
    for turn in seen[-len(sent) :] if sent else ():
        while matched and (matched == len(sent) or sent[matched] != turn):
            matched = border[matched]
        matched += sent[matched] == turn
    return matched


def whole(stored: Sequence[JSONObject], sent: Fingerprints) -> int:
    """How many turns without an `id` the stored history has, if `sent` begins with all of them; else 0."""
    count = 0
    for turn in stored:
        if turn_id(turn) is None:
            if count == len(sent) or fingerprint(turn) != sent[count]:
                return 0
            count += 1
    return count
