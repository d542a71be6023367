"""Finds credentials in JSON values, names them by place and kind, and replaces them."""

from dataclasses import dataclass
from typing import Any, TypeVar, cast

from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.sessions.redaction.names import MAX_NAME, credential_named
from agentic_flywheel.sessions.redaction.text import kind_under, mark, spans, without_credentials

__all__ = ["Finding", "redacted"]

_Value = TypeVar("_Value", JSONObject, list[JSONObject], str)

_Trail = tuple[str | int, ...]
"""Keys and positions from the outside in."""

_NAMES, _VALUE = ("name", "key"), "value"
"""Of an object that gives a value its name: `{"name": "DB_PASSWORD", "value": "…"}`."""

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
    findings: list[Finding] = []
    renamed: list[_Trail] = []
    stack: list[tuple[_Trail, object, str]] = [((0,), value, "")]
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
            given = _given_name(cast("JSONObject", node))
            stack.extend(
                ((*trail, key), item, given if key == _VALUE and given else key) for key, item in reversed(items)
            )
            kinds = [
                (key, kind) for key, _ in items if len(key) >= _SHORTEST_KEY for kind in without_credentials(key)[1]
            ]
            if kinds:
                renamed.append(trail)
                findings += [Finding(_shown(path, (*trail, key)), kind) for key, kind in kinds]
        elif isinstance(node, list):
            places = enumerate(cast("list[object]", node))
            stack.extend(((*trail, position), item, name) for position, item in reversed([*places]))
    for trail in reversed(renamed):  # the inner ones first: a trail has the old keys
        _rename(_own(copy, trail, owned))
    return copy[0], findings


def _has_any(value: object) -> bool:
    """Whether anything is found at all: all texts at once, many times faster than each with its place."""
    texts: list[str] = []
    stack: list[object] = [value]
    harmless: set[str] = set()  # names that announce nothing: those of a turn are the same in every turn
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            items = cast("JSONObject", node)
            if _has_named(items, harmless):
                return True
            texts += [key for key in items if len(key) >= _SHORTEST_KEY]
            stack += items.values()
        elif isinstance(node, list):
            stack += cast("list[object]", node)
        elif isinstance(node, str):
            texts.append(node)
    return bool(spans("\n".join(texts)))


def _has_named(node: JSONObject, harmless: set[str]) -> bool:
    """Whether a value of the object is a credential because of its name; `harmless` names are remembered."""
    if _VALUE in node and _has_under(_given_name(node), node[_VALUE]):
        return True
    for key, item in node.items():
        if key not in harmless:
            if not credential_named(key[-MAX_NAME:]):
                harmless.add(key)
            elif _has_under(key, item):
                return True
    return False


def _given_name(node: JSONObject) -> str:
    """The name that an object gives to its `value`, as environments and headers are written; empty if it gives none."""
    return next((name for each in _NAMES if isinstance(name := node.get(each), str)), "")


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
