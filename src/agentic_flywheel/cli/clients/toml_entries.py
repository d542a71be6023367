"""Changes one server's tables in a client's TOML settings, as text, and checks that all else says what it said."""

import re
import tomllib
from typing import Any, cast

from agentic_flywheel.cli.clients.json_entries import UNCHANGEABLE
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject

_HEADER = re.compile(r"[ \t]*\[(?P<name>[^\[\]\r\n]+)\][ \t]*(?:#.*)?")
_ANY_HEADER = re.compile(r"[ \t]*\[\[?[^\[\]\r\n]+\]\]?[ \t]*(?:#.*)?")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}


def all_entries(text: str, key: str) -> dict[str, JSONObject]:
    """The tables under `key`, by name. Raises as `entry` does."""
    servers = _table(parsed(text), key)
    return {name: cast("JSONObject", value) for name, value in servers.items() if isinstance(value, dict)}


def entry(text: str, key: str, name: str) -> JSONObject | None:
    """The table of this name among those under `key`; `None` if there is none.

    Raises:
        InvalidArgument: the text is no TOML, or what stands there is no table.

    """
    servers = _table(parsed(text), key)
    return _table(servers, name) if name in servers else None


def with_entry(text: str, key: str, name: str, value: JSONObject) -> str:
    """The text with this table, in the place of the one of its name if there is one. Raises as `entry` does."""
    before = parsed(text)
    expected = before | {key: _table(before, key) | {name: value}}
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = [f"[{_key(key)}.{_key(name)}]", *(f"{_key(each)} = {_value(value[each])}" for each in value)]
    written = newline.join(lines) + newline
    if entry(text, key, name) is None:
        end = "" if not text or text.endswith("\n") else newline
        gap = newline if text.strip() else ""
        return _checked(f"{text}{end}{gap}{written}", expected)
    kept, at = _cut(text, key, name)
    if at < 0:
        raise InvalidArgument(UNCHANGEABLE)
    follows = newline if kept[at:].lstrip(" \t").startswith("[") else ""
    return _checked(kept[:at] + written + follows + kept[at:], expected)


def without_entry(text: str, key: str, name: str, *, with_key: bool = False) -> str:
    """The text without the table, and the blank line before it. Raises as `entry` does.

    `with_key` changes nothing: in TOML the outer table has no line of its own.
    """
    del with_key
    if entry(text, key, name) is None:
        return text
    before = parsed(text)
    servers = {each: value for each, value in _table(before, key).items() if each != name}
    kept, at = _cut(text, key, name)
    if at < 0:
        raise InvalidArgument(UNCHANGEABLE)
    head = re.sub(r"\r?\n[ \t]*\r?\n\Z", lambda blank: blank[0][: blank[0].index("\n") + 1], kept[:at])
    after = head + kept[at:] if head else kept.lstrip("\r\n")
    wanted = before | {key: servers}
    if parsed(after) != wanted and not servers:
        wanted = {each: value for each, value in before.items() if each != key}
    return _checked(after, wanted)


def parsed(text: str) -> JSONObject:
    """What the settings say.

    Raises:
        InvalidArgument: it is no TOML.

    """
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        raise InvalidArgument("is no TOML") from None


def _cut(text: str, key: str, name: str) -> tuple[str, int]:
    """The text without the tables of this name, and where the first of them was; -1 if there is none."""
    lines = text.splitlines(keepends=True)
    kept: list[str] = []
    at, number = -1, 0
    while number < len(lines):
        if not _is_ours(lines[number], key, name):
            kept.append(lines[number])
            number += 1
            continue
        at = sum(map(len, kept)) if at < 0 else at
        end = number + 1
        while end < len(lines) and not _ANY_HEADER.fullmatch(lines[end].rstrip("\r\n")):
            end += 1
        last = max((each for each in range(number, end) if _says_something(lines[each])), default=number)
        if end < len(lines) and _is_ours(lines[end], key, name):
            last = end - 1
        number = last + 1
    return "".join(kept), at


def _is_ours(line: str, key: str, name: str) -> bool:
    """Whether this line begins the table of this name, or one within it."""
    header = _HEADER.fullmatch(line.rstrip("\r\n"))
    if not header:
        return False
    try:
        table = tomllib.loads(f"[{header['name']}]")
    except tomllib.TOMLDecodeError:
        return False
    inner: Any = table.get(key)
    return isinstance(inner, dict) and list(cast("JSONObject", inner)) == [name]


def _says_something(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _checked(after: str, expected: JSONObject) -> str:
    try:
        if parsed(after) == expected:
            return after
    except InvalidArgument:
        pass
    raise InvalidArgument(UNCHANGEABLE)


def _table(value: JSONObject, key: str) -> JSONObject:
    found = value.get(key, {})
    if not isinstance(found, dict):
        raise InvalidArgument(f"has a {key!r} that is no table")
    return cast("JSONObject", found)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _value(value: object) -> str:
    """A value on one line.

    Raises:
        InvalidArgument: it is of a kind that is not written here.

    """
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case str():
            return _text(value)
        case list():
            return f"[{', '.join(_value(each) for each in cast('list[object]', value))}]"
        case dict():
            pairs = cast("JSONObject", value).items()
            return f"{{ {', '.join(f'{_key(each)} = {_value(inner)}' for each, inner in pairs)} }}" if pairs else "{}"
        case _:
            raise InvalidArgument(UNCHANGEABLE)


def _text(text: str) -> str:
    escaped = (
        _ESCAPES.get(each) or (f"\\u{ord(each):04x}" if ord(each) < 32 or ord(each) == 127 else each) for each in text
    )
    return f'"{"".join(escaped)}"'
