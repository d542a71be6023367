"""Tells whether two turns say the same, though one was retyped, converted or cut on its way."""

import re
import unicodedata
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, cast

from agentic_flywheel.json_text import JSONObject, canonical

Key = tuple[object, str]
"""Role and words; equal for turns that say the same, but for one that was cut."""

HEAD = 8
"""Characters by which turns are told apart first: most differ in them."""

PLAINLY, PLAINLY_MARKED = 16, 8
"""Characters that are left, at least, of a turn that was plainly cut: without a mark at its end, and with one."""

LOOSE = frozenset(("role", "content", "status", "finish_reason", "stop_reason"))
"""Fields whose values may differ between two turns that say the same."""

LONGEST_MARK = 120
"""Characters at the end of a turn in which a mark is looked for."""

_CUT = re.compile(r"(…|\.\.\.|[\[(<]\s{0,8}(…|\.\.\.|(cut|truncated|shortened|omitted)\b)[^\])>]{0,80}[\])>])\Z")


def text_in(turn: JSONObject) -> str:
    """What a turn says in words only; empty if it says anything else, or nothing."""
    content = turn.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts: list[str] = []
    for block in cast("list[Any]", content):
        text = cast("JSONObject", block).get("text") if isinstance(block, dict) else block
        if not isinstance(text, str):
            return ""
        texts.append(text)
    return "\n".join(texts)


def folded(text: str) -> str:
    """A text without white space, in one Unicode form."""
    return "".join((text if text.isascii() else unicodedata.normalize("NFC", text)).split())


def key_of(turn: JSONObject) -> Key:
    """What turns that say the same have in common; of another shape all of it, its texts folded."""
    words = folded(text_in(turn))
    return (_role(turn), words) if words else ("", canonical(_folded(turn)))


def _role(turn: JSONObject) -> object:
    role = turn.get("role")
    return role if isinstance(role, str) else ""


def _folded(value: object) -> object:
    if isinstance(value, str):
        return folded(value)
    if isinstance(value, list):
        return [_folded(item) for item in cast("list[object]", value)]
    return {key: _folded(item) for key, item in cast("JSONObject", value).items()} if isinstance(value, dict) else value


def _head_of(turn: JSONObject) -> Key:
    """The beginning of its key, in a fifth of the time."""
    text = text_in(turn)
    head = folded(text[: 8 * HEAD])
    if len(head) <= HEAD < len(text):  # blanks, mostly
        head = folded(text)
    return (_role(turn), head[:HEAD]) if head else ("", "")


def fields_agree(stored: JSONObject, sent: JSONObject) -> bool:
    """Whether nothing beside its words makes the turn that was sent another one than the stored one.

    A field that both have must be equal: an id or a time tells two turns of the same words apart. One that the sent
    turn has alone must not hold a list or an object, as calls of tools and attachments do.
    """
    for name, value in sent.items():
        if name in LOOSE:
            continue
        if name in stored:
            if stored[name] != value:
                return False
        elif value and isinstance(value, dict | list):
            return False
    return True


def is_cut(sent: JSONObject, stored: JSONObject, words: str | None = None) -> bool:
    """Whether what was sent is plainly the stored turn, whose folded `words` may be given, cut short.

    The other way round it is not: what has more words than the stored turn is new.
    """
    text = text_in(sent)
    if not text or _role(sent) != _role(stored):
        return False
    bare = text.rstrip()
    mark = _CUT.search(bare, max(0, len(bare) - LONGEST_MARK))
    shown = bare[: mark.start()].rstrip() if mark else text
    short, whole = folded(shown), folded(text_in(stored)) if words is None else words
    least = PLAINLY if len(shown) == len(text) else PLAINLY_MARKED
    if not least <= len(short) < len(whole) or not whole.startswith(short):
        return False
    return not (short[-1].isdigit() and whole[len(short)].isdigit()) and fields_agree(stored, sent)


class WordIndex:
    """Finds, among the stored turns from `begin` on, those that say what another turn says."""

    def __init__(self, stored: Sequence[JSONObject], begin: int = 0) -> None:
        self._stored = stored
        self._heads: dict[Key, list[int]] = defaultdict(list)
        self._places: dict[Key, dict[Key, list[int]]] = {}
        self._words: dict[int, str] = {}
        for place in range(begin, len(stored)):
            self._heads[_head_of(stored[place])].append(place)

    def places(self, turn: JSONObject) -> list[int]:
        """Where turns stand that have the words of this one, in order."""
        head = _head_of(turn)
        if head not in self._heads:
            return []
        if head not in self._places:
            places: dict[Key, list[int]] = defaultdict(list)
            for place in self._heads[head]:
                key = key_of(self._stored[place])
                self._words[place] = key[1]
                places[key].append(place)
            self._places[head] = dict(places)
        return self._places[head].get(key_of(turn), [])

    def whole(self, turn: JSONObject) -> list[int]:
        """Where turns stand that this one, whose words stand nowhere, may be cut from: only some of many."""
        return ends_of(self._heads.get(_head_of(turn), []))

    def next(self, turn: JSONObject, begin: int, places: list[int]) -> int | None:
        """The first of its `places` from `begin` on where a turn says the same, or says it whole; `None` for none."""
        at = places or self._heads.get(_head_of(turn), [])
        start = bisect_left(at, begin)
        near = at[start : start + TRIED]
        return next((place for place in near if self._says(place, turn, whole=not places)), None)

    def within(self, turn: JSONObject, stored: range, places: list[int]) -> list[int]:
        """The first of them between these positions."""
        at = places or self._heads.get(_head_of(turn), [])
        start = bisect_left(at, stored.start)
        near = at[start : start + TRIED]
        return [place for place in near if place < stored.stop and self._says(place, turn, whole=not places)]

    def before(self, turn: JSONObject, end: int, places: list[int]) -> list[int]:
        """The last of them before a position."""
        at = places or self._heads.get(_head_of(turn), [])
        stop = bisect_left(at, end)
        return [place for place in at[max(0, stop - TRIED) : stop] if self._says(place, turn, whole=not places)]

    def _says(self, place: int, turn: JSONObject, *, whole: bool) -> bool:
        stored = self._stored[place]
        return is_cut(turn, stored, self._words.get(place)) if whole else fields_agree(stored, turn)


TRIED = 16
"""Places that are tried for a turn, so that the cost stays in proportion to the turns."""


def ends_of(places: list[int]) -> list[int]:
    """The first and the last of many places."""
    return places if len(places) <= TRIED else [*places[: TRIED // 2], *places[-TRIED // 2 :]]
