"""Tells which of the turns that were sent are new, given what this caller has seen."""

import hashlib
import itertools
from collections import Counter
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
    return {key: _in_order(value[key]) for key in sorted(value)}


def _in_order(value: object) -> object:
    if isinstance(value, dict):
        return _sorted(cast("JSONObject", value))
    return [_in_order(item) for item in cast("list[object]", value)] if isinstance(value, list) else value


NOTHING_CUT: Mapping[Fingerprint, Fingerprint] = MappingProxyType({})


def view(turns: Iterable[JSONObject], cut: Mapping[Fingerprint, Fingerprint] = NOTHING_CUT) -> Fingerprints:
    """What a caller has seen, having seen these turns. `cut` names the whole turn for one that was shown cut."""
    plain = (fingerprint(turn) for turn in turns if _id(turn) is None)
    return tuple(cut.get(mark, mark) for mark in plain)


def last(turns: Sequence[JSONObject], count: int) -> Fingerprints:
    """The end of the view of these turns."""
    plain = (turn for turn in reversed(turns) if _id(turn) is None)
    return view(itertools.islice(plain, count))[::-1]


def new_turns(
    stored: Sequence[JSONObject],
    sent: Sequence[JSONObject],
    views: Sequence[Fingerprints] | None,
    cut: Mapping[Fingerprint, Fingerprint] = NOTHING_CUT,
    *,
    set_back: bool = False,
) -> list[JSONObject]:
    """The turns of `sent` that are not in `stored` yet, in order.

    A turn with an `id` is known anywhere, as often as it is stored, by its id and its words. Of the others, the longest
    prefix of `sent` that ends one of the `views`, or is the whole stored history, is dropped; an empty sequence of
    views drops nothing, `None` (no memory of this caller) takes the stored history as seen. `cut` is that of `view`.
    Where the store was `set_back` since those views, it may lack what they show: only what it holds is dropped.
    """
    prints = [cut.get(mark, mark) for mark in map(fingerprint, sent)]
    plain = tuple(mark for turn, mark in zip(sent, prints, strict=True) if _id(turn) is None)
    seen = [last(stored, len(plain))] if views is None else views
    drop = max((overlap(each, plain) for each in seen), default=0)
    if seen and drop < len(stored):  # the views may be of an older state than what is stored
        drop = max(drop, _whole(stored, plain))
    ids = {identity for turn in sent if (identity := _id(turn)) is not None}
    there = Counter(fingerprint(turn) for turn in stored if _id(turn) in ids) if ids else Counter[Fingerprint]()
    there += Counter(view(stored) if set_back else plain[:drop])
    added: list[JSONObject] = []
    for turn, mark in zip(sent, prints, strict=True):
        if _id(turn) is None:
            drop -= 1
        if there[mark] and (drop >= 0 or _id(turn) is not None):
            there[mark] -= 1
        else:
            added.append(turn)
    return added


def _id(turn: JSONObject) -> str | int | None:
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


def _whole(stored: Sequence[JSONObject], sent: Fingerprints) -> int:
    """How many turns the stored history has, if `sent` begins with all of them; else 0."""
    count = 0
    for turn in stored:
        if _id(turn) is None:
            if count == len(sent) or fingerprint(turn) != sent[count]:
                return 0
            count += 1
    return count
