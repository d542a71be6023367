"""Finds credentials in JSON values, names them by place and kind, and replaces them."""

import re
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.sessions.redaction.names import MAX_NAME, credential_named, is_random
from agentic_flywheel.sessions.redaction.seams import SPOKEN, Seams, has_seam, may_go_on, seam_of, spoken
from agentic_flywheel.sessions.redaction.text import kind_under, mark, spans, without_credentials

__all__ = ["Finding", "redacted"]

_Value = TypeVar("_Value", JSONObject, list[JSONObject], str)

_Trail = tuple[str | int, ...]
"""Keys and positions from the outside in."""

_NAMES = ("name", "key", "header", "field", "variable", "k", "Name", "Key")
_VALUES = frozenset({"value", "values", "val", "v", "Value"})
"""Of an object that gives a value its name: `{"name": "DB_PASSWORD", "value": "…"}`."""

_SCHEME = re.compile(r"(?i:bearer|basic|token|digest|apikey)[ ]+(?=\S)")
_SHORTEST_PAIRED = 6
"""Characters of a credential that a list gives its name: `["x-api-key", "…"]`. What no chance draws is a word there."""

_SHORTEST_KEY = 20
"""Characters of an object's key that can itself be a credential."""

_SHOWN = 80
"""Characters of a key in a path."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A credential was at `path` (`history[3].content`, `context.db.password`); `kind` says which, never its value."""

    path: str
    kind: str


def redacted(value: _Value, path: str) -> tuple[_Value, list[Finding]]:
    """The value with `[redacted: <kind>]` for every credential, and where they were.

    The same object when nothing was found; the argument is never changed. Of a text only the secret part is replaced,
    but all of it under an object's key that names a credential, also in a list there. A key with a credential in it is
    treated as a text. Redacting what was redacted finds nothing.
    """
    if not _has_any(value):
        return value, []
    copy: list[Any] = [value]  # around the value, so that a text alone has a place too
    owned: set[int] = set()
    findings = [Finding(_shown(path, (0, *trail)), kind) for trail, kind in _without_seams(copy, owned)]
    renamed: list[_Trail] = []
    stack: list[tuple[_Trail, object, str]] = [((0,), copy[0], "")]
    while stack:
        trail, node, name = stack.pop()
        if isinstance(node, str):
            kind = kind_under(name, node)
            text, kinds = (mark(kind), [kind]) if kind else without_credentials(node)
            if kinds:
                _own(copy, trail[:-1], owned)[trail[-1]] = text
                findings += [Finding(_shown(path, trail), kind) for kind in kinds]
        elif isinstance(node, dict):
            items = cast("JSONObject", node).items()
            stack += _under_their_names(trail, cast("JSONObject", node))
            kinds = [
                (key, kind) for key, _ in items if len(key) >= _SHORTEST_KEY for kind in without_credentials(key)[1]
            ]
            if kinds:
                renamed.append(trail)
                findings += [Finding(_shown(path, (*trail, key)), kind) for key, kind in kinds]
        elif isinstance(node, list):
            places = [*enumerate(cast("list[object]", node))]
            stack.extend(
                ((*trail, position), item, _paired_name(cast("list[object]", node), position) or name)
                for position, item in reversed(places)
            )
    for trail in reversed(renamed):  # the inner ones first: a trail has the old keys
        _rename(_own(copy, trail, owned))
    return copy[0], findings


def redacted_after(before: str, turns: list[JSONObject], path: str) -> tuple[list[JSONObject], list[Finding]]:
    """The turns without what the text before them, which is kept already, makes a credential at their beginning."""
    first = next(spoken(turns[:1]), None)
    seam = seam_of(before, first[1]) if first and may_go_on(before, first[1]) and has_seam([before, first[1]]) else None
    if not first or not seam:
        return turns, []
    trail, text = first
    copy: list[Any] = [turns]
    _own(copy, (0, *trail[:-1]), set())[trail[-1]] = text[: seam.begin] + mark(seam.kind) + text[seam.end :]
    return copy[0], [Finding(_shown(path, (0, *trail)), seam.kind)]


def _under_their_names(trail: _Trail, node: JSONObject) -> list[tuple[_Trail, object, str]]:
    given = _given_name(node)
    items = reversed(node.items())
    return [((*trail, key), item, given if key in _VALUES and given else key) for key, item in items]


def _without_seams(copy: list[Any], owned: set[int]) -> list[tuple[_Trail, str]]:
    """Replace what lies over the seams of neighbouring texts; where each part was, and its kind."""
    seams = Seams(copy[0])
    for trail, text in seams.texts.items():
        _own(copy, (0, *trail[:-1]), owned)[trail[-1]] = text
    return seams.found


def _has_any(value: object) -> bool:
    """Whether anything is found at all: all texts at once, many times faster than each with its place."""
    search = _Search()
    stack: list[object] = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            if search.finds_in_object(cast("JSONObject", node), stack):
                return True
        elif isinstance(node, list):
            if search.finds_in_list(cast("list[object]", node)):
                return True
            stack += node
        elif isinstance(node, str):
            search.texts.append(node)
            search.said += [node] if node else []
    return bool(spans("\n".join(search.texts))) or (len(search.said) > 1 and has_seam(search.said[::-1]))


class _Search:
    """What one look through a value collects: all texts, and from the last to the first what may have been said."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.said: list[str] = []
        self._plain: set[str] = set()  # short keys that announce nothing: those of a turn are the same in every turn

    def finds_in_object(self, node: JSONObject, stack: list[object]) -> bool:
        """Whether a value of the object is a credential because of its name; what is no text goes on the stack."""
        if not _VALUES.isdisjoint(node) and any(
            _has_under(_given_name(node), node[key]) for key in _VALUES & node.keys()
        ):
            return True
        for key, item in reversed(node.items()):
            if key not in self._plain and self._is_credential(key, item):
                return True
            if isinstance(item, str):
                self.texts.append(item)
                if item and key in SPOKEN:
                    self.said.append(item)
            else:
                stack.append(item)
        return False

    def _is_credential(self, key: str, item: object) -> bool:
        if len(key) >= _SHORTEST_KEY:
            self.texts.append(key)
        elif not credential_named(key):
            self._plain.add(key)
        return _has_under(key, item) if credential_named(key[-MAX_NAME:]) else False

    @staticmethod
    def finds_in_list(items: list[object]) -> bool:
        """Whether a text in the list is a credential because of the one before it."""
        if not items or not isinstance(items[0], str):
            return False
        return any(_paired_name(items, place) for place in range(1, len(items)))


def _given_name(node: JSONObject) -> str:
    """The name that an object gives to its `value`, as environments and headers are written; empty if it gives none."""
    return next((name for each in _NAMES if isinstance(name := node.get(each), str)), "")


def _paired_name(items: list[object], place: int) -> str:
    """The name that the text before it in a list gives to a text, as headers are listed in pairs; empty for none."""
    name, value = items[place - 1] if place and isinstance(items[0], str) else None, items[place]
    if not isinstance(name, str) or not isinstance(value, str) or len(name) > MAX_NAME or not credential_named(name):
        return ""
    secret = _SCHEME.sub("", value, count=1)
    if " " in name or len(secret) < _SHORTEST_PAIRED or not is_random(secret, piece=3):
        return ""
    return name if kind_under(name, value) else ""


def _has_under(name: str, item: object) -> bool:
    """Whether a text, or one in a list, is a credential because of the name that it stands under."""
    items = cast("list[object]", item) if isinstance(item, list) else [item]
    return any(isinstance(each, str) and kind_under(name, each) for each in items)


def _own(copy: list[Any], trail: _Trail, owned: set[int]) -> Any:  # noqa: ANN401  an object or a list
    """The container at that place, with all around it copied from the argument before the first change."""
    node: Any = copy
    for key in trail:
        inner: Any = node[key]
        if id(inner) not in owned:
            inner = node[key] = inner.copy()
            owned.add(id(inner))
        node = inner
    return node


def _rename(node: JSONObject) -> None:
    """Replace credentials in the keys; a number keeps two keys apart that then read the same."""
    items = [(key, without_credentials(key)[0], item) for key, item in node.items()]
    taken = {key for key, new, _ in items if key == new}
    numbers: dict[str, int] = {}
    node.clear()
    for key, new, item in items:
        name = new
        while key != new and name in taken:
            numbers[new] = numbers.get(new, 1) + 1
            name = f"{new} {numbers[new]}"
        taken.add(name)
        node[name] = item


def _shown(path: str, trail: _Trail) -> str:
    for key in trail[1:]:
        path += f"[{key}]" if isinstance(key, int) else f".{without_credentials(key)[0][:_SHOWN]}"
    return path
