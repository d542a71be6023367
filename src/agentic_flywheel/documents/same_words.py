"""Tells whether two turns say the same, though one was retyped, converted or cut on its way."""

import re
import unicodedata
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence

from agentic_flywheel.documents.turn_text import ROLES, text_in
from agentic_flywheel.documents.turn_values import is_list, is_object
from agentic_flywheel.json_text import JSONObject, canonical

Key = tuple[object, str]
"""Role and words; equal for turns that say the same, but for one that was cut."""

HEAD = 8
"""Characters by which turns are told apart first: most differ in them."""

PLAIN = 3
"""Characters by which most turns are told apart even sooner, where they are ASCII without blanks."""

PLAINLY, PLAINLY_MARKED = 16, 8
"""Characters that are left, at least, of a turn that was plainly cut: without a mark at its end, and with one."""

LOOSE = frozenset(("role", "content", "status", "finish_reason", "stop_reason"))
"""Fields whose values may differ between two turns that say the same."""

BLOCKS = frozenset(("_content", "parts", "blocks", "items", "contents"))
"""Fields that hold the words in parts."""

INSIDE = frozenset(("content", "data", "kwargs", "message"))
"""Fields in which a message may lie."""

WORDS = frozenset(("text", "content"))
"""Fields of a part that hold its words."""

LONGEST_MARK = 120
"""Characters at the end of a turn in which a mark is looked for."""

_CUT = re.compile(r"(…|\.\.\.|[\[(<]\s{0,8}(…|\.\.\.|(cut|truncated|shortened|omitted)\b)[^\])>]{0,80}[\])>])\Z")


def folded(text: str) -> str:
    """A text without white space, in one Unicode form."""
    return "".join((text if text.isascii() else unicodedata.normalize("NFC", text)).split())


def key_of(turn: JSONObject) -> Key:
    """What turns that say the same have in common; of another shape all of it, its texts folded."""
    words = folded(text_in(turn))
    return (_role(turn), words) if words else ("", canonical(_folded(turn)))


def _role(turn: JSONObject) -> str:
    role = turn.get("role")
    return ROLES.get(role, role) if isinstance(role, str) else ""


def _folded(value: object) -> object:
    if isinstance(value, str):
        return folded(value)
    if is_list(value):
        return [_folded(item) for item in value]
    return {key: _folded(item) for key, item in value.items()} if is_object(value) else value


def _head_of(turn: JSONObject) -> Key:
    """The beginning of its key, in a tenth of the time."""
    text = text_in(turn)
    head = "".join(begin.split()) if (begin := text[: 2 * HEAD]).isascii() else ""
    if len(head) <= HEAD:  # what follows may change the last one
        head = folded(text[: 8 * HEAD])
    if len(head) <= HEAD < len(text):  # blanks, mostly
        head = folded(text)
    return (_role(turn), head[:HEAD]) if head else ("", "")


def _first_of(turn: JSONObject) -> str:
    """The first characters of its words, in half of that time, where they are plain; else nothing."""
    content = turn.get("content")
    first = content[: PLAIN + 1] if isinstance(content, str) else ""  # one more: it may change the one before it
    plain = first[:PLAIN]
    return plain if len(first) > PLAIN and first.isascii() and plain.isprintable() and " " not in plain else ""


def fields_agree(stored: JSONObject, sent: JSONObject) -> bool:
    """Whether nothing beside its words makes the turn that was sent another one than the stored one.

    A field that both have must be equal: an id or a time tells two turns of the same words apart, also one that stands
    with a part of the turn or further inside. One that the sent turn has alone must not hold a list or an object, as
    calls of tools and attachments do.
    """
    has_text = isinstance(sent.get("content"), str)
    for name, value in sent.items():
        if name in LOOSE and not is_object(value):
            continue
        if name in BLOCKS and not has_text:
            if not _parts_agree(stored.get(name), value):
                return False
        elif name not in stored:
            if value and (is_object(value) or is_list(value)):
                return False
        elif stored[name] != value and (has_text or name not in INSIDE or not _inside_agree(stored[name], value)):
            return False
    return True


def _inside_agree(stored: object, sent: object) -> bool:
    return is_object(stored) and is_object(sent) and fields_agree(stored, sent)


def _parts_agree(stored: object, sent: object) -> bool:
    """Whether no part has another id or time than the one in its place; the words have been compared."""
    if not is_list(stored) or not is_list(sent):
        return True
    pairs = zip(stored, sent, strict=False)
    objects = ((one, other) for one, other in pairs if is_object(one) and is_object(other))
    return all(one[name] == other[name] for one, other in objects for name in one.keys() & other.keys() - WORDS)


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
    """Finds, among the stored turns from `begin` on, those that say what another turn says: one of `sent`, if given."""

    def __init__(self, stored: Sequence[JSONObject], begin: int = 0, sent: Sequence[JSONObject] = ()) -> None:
        self._stored = stored
        self._heads: dict[Key, list[int]] = defaultdict(list)
        self._places: dict[Key, dict[Key, list[int]]] = {}
        self._words: dict[int, str] = {}
        firsts = {_first_of(turn) for turn in sent} or {""}
        for place in range(max(begin, 0), len(stored)):
            if "" in firsts or (first := _first_of(stored[place])) in firsts or not first:
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

    def may_have(self, turn: JSONObject) -> bool:
        """Whether what the turn says, or is cut from, stands anywhere; `True` where there are too many to try."""
        at = self._heads.get(_head_of(turn), [])
        return bool(at) and (
            len(at) > TRIED
            or bool(self.places(turn))
            or any(is_cut(turn, self._stored[place], self._words.get(place)) for place in at)
        )

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
