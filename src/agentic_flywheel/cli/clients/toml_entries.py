"""Changes one server's tables in a client's TOML settings, as text, and checks that all else says what it said."""

import re
import tomllib
from typing import cast

from agentic_flywheel.cli.clients.json_entries import UNCHANGEABLE
from agentic_flywheel.cli.clients.toml_places import Pair, Statement, pairs, statements
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}


class _Number(str):
    """A number with a point as it is written, which is equal to itself, as `nan` is not."""

    __slots__ = ()


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
    entry(text, key, name)
    before = parsed(text)
    expected = before | {key: _table(before, key) | {name: value}}
    newline = "\r\n" if "\r\n" in text else "\n"
    if (inline := _inline(text, key)) >= 0:
        return _checked(_with_pair(text, inline, name, value), expected)
    found = _found(text, key, name)
    if not found:
        end = "" if not text or text.endswith("\n") else newline
        gap = newline if text.strip() else ""
        return _checked(f"{text}{end}{gap}{_tables(key, name, value, newline)}", expected)
    kept, at = _cut(text, key, name)
    if (first := found[0]).value < 0:
        follows = newline if kept[at:].lstrip(" \t").startswith("[") else ""
        written = _tables(key, name, value, newline) + follows
    else:
        line = text[first.begin :]
        indent = line[: len(line) - len(line.lstrip(" \t"))]
        written = f"{indent}{'.'.join(map(_key, (key, name)[len(first.table) :]))} = {_value(value)}{newline}"
    return _checked(kept[:at] + written + kept[at:], expected)


def without_entry(text: str, key: str, name: str, *, with_key: bool = False) -> str:
    """The text without the table, and the blank line before it. Raises as `entry` does.

    `with_key` changes nothing: in TOML the outer table has no line of its own.
    """
    del with_key
    if entry(text, key, name) is None:
        return text
    before = parsed(text)
    servers = {each: value for each, value in _table(before, key).items() if each != name}
    if (inline := _inline(text, key)) >= 0:
        after = _without_pairs(text, inline, name)
    else:
        after, at = _cut(text, key, name)
        if _found(text, key, name)[0].value < 0:
            head = re.sub(r"\r?\n[ \t]*\r?\n\Z", lambda blank: blank[0][: blank[0].index("\n") + 1], after[:at])
            after = head + after[at:] if head else after.lstrip("\r\n")
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
        return tomllib.loads(text, parse_float=_Number)
    except (ValueError, RecursionError):
        raise InvalidArgument("is no TOML") from None


def _found(text: str, key: str, name: str) -> list[Statement]:
    """The statements about the server of this name: its tables, or lines of others that name it."""
    return [each for each in statements(text) if each.path[:2] == (key, name)]


def _cut(text: str, key: str, name: str) -> tuple[str, int]:
    """The text without these statements, and where the first of them was.

    What stands between two of them goes along; a comment behind the last is taken to be about what follows.
    """
    kept, at, done, in_ours = "", -1, 0, False
    for each in statements(text):
        if each.path[:2] != (key, name):
            in_ours = False
            continue
        if not in_ours:
            kept += text[done : each.begin]
            at = len(kept) if at < 0 else at
        done, in_ours = each.end, True
    return kept + text[done:], at


def _inline(text: str, key: str) -> int:
    """Where the inline table begins that holds all servers; -1 if they are in tables of their own."""
    return next((each.value for each in statements(text) if each.path == (key,) and each.value >= 0), -1)


def _with_pair(text: str, at: int, name: str, value: JSONObject) -> str:
    written = f"{_key(name)} = {_value(value)}"
    there = pairs(text, at)
    if ours := _ours(there, name):
        rest = _without_pairs(text, at, name, but=ours[0])
        return rest[: ours[0].begin] + written + rest[ours[0].end :]
    end = there[-1].end if there else at + 1
    return f"{text[:end]}{',' if there else ''} {written}{text[end:]}"


def _without_pairs(text: str, at: int, name: str, *, but: Pair | None = None) -> str:
    """The text without the members of this name of the inline table that begins here, but for one."""
    while True:
        there = pairs(text, at)
        gone = [each for each in _ours(there, name) if each != but]
        if not gone:
            return text
        each = gone[-1]
        if each is not there[0]:
            text = text[: there[there.index(each) - 1].end] + text[each.end :]
        elif len(there) > 1:
            text = text[: each.begin] + text[there[1].begin :]
        else:
            text = text[: at + 1] + text[each.end :]


def _ours(there: list[Pair], name: str) -> list[Pair]:
    return [each for each in there if each.path[0] == name]


def _tables(key: str, name: str, value: JSONObject, newline: str) -> str:
    """The table of a server, on lines of its own."""
    lines = [f"[{_key(key)}.{_key(name)}]", *(f"{_key(each)} = {_value(value[each])}" for each in value)]
    return newline.join(lines) + newline


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
        case int():
            return repr(value)
        case _Number():
            return str(value)
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
