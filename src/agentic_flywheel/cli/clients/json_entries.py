"""Changes one server's entry in a client's JSON settings, as text: comments, order, commas and white space stay.

What is put in goes to the end of its object, behind a comment on the last line; taking it out is the inverse of that.
"""

import json
from collections.abc import Sequence
from typing import Any, cast

from agentic_flywheel.cli.json_places import (
    Member,
    begin_of,
    comment_over,
    end_of,
    members,
    plain,
    without_comments,
)
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject

UNCHANGEABLE = "cannot be changed without changing what else it says"


def all_entries(text: str, key: str) -> dict[str, JSONObject]:
    """The entries in the object under `key`, by name. Raises as `entry` does."""
    servers = _objects(parsed(text), key)
    return {name: cast("JSONObject", value) for name, value in servers.items() if isinstance(value, dict)}


def entry(text: str, key: str, name: str) -> JSONObject | None:
    """The entry of this name in the object under `key`; `None` if there is none.

    Raises:
        InvalidArgument: the text is no JSON object, or what stands there is none.

    """
    servers = _objects(parsed(text), key)
    if name not in servers:
        return None
    return _objects(servers, name)


def with_entry(text: str, key: str, name: str, value: JSONObject) -> str:
    """The text with this entry, in the place of the one of its name if there is one. Raises as `entry` does."""
    newline = "\r\n" if "\r\n" in text else "\n"
    if not plain(text).strip():  # blank, but for comments
        text += newline if text.strip() and not text.endswith("\n") else ""
        return text + json.dumps({key: {name: value}}, indent=2, ensure_ascii=False).replace("\n", newline) + newline
    expected = parsed(text)
    expected = expected | {key: _objects(expected, key) | {name: value}}
    after = _with(text, key, name, value, newline)
    return _checked(after, expected)


def without_entry(text: str, key: str, name: str, *, with_key: bool = False) -> str:
    """The text without the entry; `with_key`: without the object it stands in too, if that is left empty.

    Raises as `entry` does.
    """
    if entry(text, key, name) is None:
        return text
    expected = parsed(text)
    servers = {each: value for each, value in _objects(expected, key).items() if each != name}
    expected = expected | {key: servers}
    flat = plain(text)
    tops = members(flat, begin_of(flat))
    place = _last(tops, key)
    after = _cut(text, tops[place].value_begin, name)
    if with_key and not servers:
        after = _cut(after, begin_of(flat), key)
        expected = {each: value for each, value in expected.items() if each != key}
    return _checked(after, expected)


def parsed(text: str) -> JSONObject:
    """What the settings say; nothing where the text is blank.

    Raises:
        InvalidArgument: it is no JSON object.

    """
    try:
        flat = plain(text)
        value: object = json.loads(flat) if flat.strip() else {}
    except (ValueError, RecursionError):
        raise InvalidArgument("is no JSON") from None
    if not isinstance(value, dict):
        raise InvalidArgument("is no JSON object")
    return cast("JSONObject", value)


def _objects(value: JSONObject, key: str) -> JSONObject:
    found = value.get(key, {})
    if not isinstance(found, dict):
        raise InvalidArgument(f"has a {key!r} that is no object")
    return cast("JSONObject", found)


def _checked(after: str, expected: JSONObject) -> str:
    """The text, if it says what it is to say."""
    if parsed(after) != expected:
        raise InvalidArgument(UNCHANGEABLE)
    return after


def _with(text: str, key: str, name: str, value: JSONObject, newline: str) -> str:
    flat = plain(text)
    top = begin_of(flat)
    tops = members(flat, top)
    layout = _Layout(text, newline, _unit(text, tops))
    if (place := _last(tops, key)) < 0:
        return layout.insert(top, key, {name: value})
    servers = tops[place].value_begin
    there = members(flat, servers)
    if (at := _last(there, name)) < 0:
        return layout.insert(servers, name, value)
    return layout.replace(there[at], value)


class _Layout:
    """Writes members as the file writes its own: its ends of lines, its indentation, on lines of their own or not."""

    def __init__(self, text: str, newline: str, unit: str) -> None:
        self._text, self._newline, self._unit = text, newline, unit

    def replace(self, member: Member, value: Any) -> str:  # noqa: ANN401  any JSON
        """The text with another value of a member."""
        own_line = not self._text[_line(self._text, member.begin) : member.begin].strip()
        old = self._text[member.value_begin : member.end]
        indent = _indent(self._text, member.begin) if own_line or "\n" in old else None
        return self._text[: member.value_begin] + self._written(value, indent) + self._text[member.end :]

    def insert(self, container: int, key: str, value: Any) -> str:  # noqa: ANN401  any JSON
        """The text with one more member at the end of the object that begins at `container`."""
        text, flat = self._text, plain(self._text)
        there = members(flat, container)
        close = end_of(flat, container) - 1
        if not there:
            return self._first(container, close, key, value)
        last, named = there[-1], f"{json.dumps(key, ensure_ascii=False)}: "
        comma = _comma(text, last.end)
        if "\n" not in text[container : last.begin]:
            piece = f" {named}{self._written(value, None)}"
            return _inserted(text, comma + 1, f"{piece},") if comma >= 0 else _inserted(text, last.end, f",{piece}")
        indent = _indent(text, last.begin)
        piece = f"{self._newline}{indent}{named}{self._written(value, indent)}"
        if comma >= 0:
            return _inserted(text, _line_end(text, flat, comma + 1), f"{piece},")
        end = _line_end(text, flat, last.end)
        return text[: last.end] + "," + text[last.end : end] + piece + text[end:]

    def _first(self, container: int, close: int, key: str, value: Any) -> str:  # noqa: ANN401  any JSON
        """The text with a member in an object that has none."""
        text, outer = self._text, _indent(self._text, container)
        inner = outer + self._unit
        piece = f"{self._newline}{inner}{json.dumps(key, ensure_ascii=False)}: {self._written(value, inner)}"
        if "\n" not in text[container:close]:
            return _inserted(text, container + 1, f"{piece}{self._newline}{outer}")
        return _inserted(text, _before_newline(text, text.rindex("\n", container, close)), piece)

    def _written(self, value: Any, indent: str | None) -> str:  # noqa: ANN401  any JSON
        if indent is None:
            return json.dumps(value, ensure_ascii=False)
        lines = json.dumps(value, indent=self._unit, ensure_ascii=False)
        return lines.replace("\n", self._newline + indent)


def _cut(text: str, container: int, name: str) -> str:
    """The text without a member of the object that begins at `container`, and without a comma too many."""
    flat = plain(text)
    found = members(flat, container)
    at = _last(found, name)
    ours, comma = found[at], _comma(text, found[at].end)
    line = _line(text, ours.begin)
    own_line = line > container and not text[line : ours.begin].strip()
    begin = _before_newline(text, line - 1) if own_line else ours.begin
    if at + 1 < len(found):
        alone = own_line and "\n" in text[comma : found[at + 1].begin]
        return text[:begin] + text[comma + 1 :] if alone else text[: ours.begin] + text[found[at + 1].begin :]
    end = comma + 1 if comma >= 0 else ours.end
    if at == 0:
        return _empty_if_blank(text[:begin] + text[end:], container)
    before = _comma(text, found[at - 1].end)
    if not own_line:
        begin = len(text[: ours.begin].rstrip(" \t"))
    if comma >= 0:
        return text[:begin] + text[end:]
    return text[:before] + text[before + 1 : begin] + text[end:]


def _empty_if_blank(text: str, container: int) -> str:
    """The text with `{}` for an object with nothing but white space in it."""
    close = end_of(plain(text), container) - 1
    return text if text[container + 1 : close].strip() else text[: container + 1] + text[close:]


def _inserted(text: str, at: int, piece: str) -> str:
    return text[:at] + piece + text[at:]


def _comma(text: str, at: int) -> int:
    """Where the comma behind a member that ends here is; -1 if there is none."""
    rest = without_comments(text)[at:]
    blank = len(rest) - len(rest.lstrip())
    return at + blank if rest[blank : blank + 1] == "," else -1


def _line_end(text: str, flat: str, at: int) -> int:
    """The end of this line, if nothing but a comment that ends there follows; else this place."""
    end = text.find("\n", at)
    if end < 0 or flat[at:end].strip() or comment_over(text, end):
        return at
    return _before_newline(text, end)


def _before_newline(text: str, end: int) -> int:
    return end - 1 if text[max(end - 1, 0) : end] == "\r" else end


def _line(text: str, at: int) -> int:
    """Where the line begins in which this place is."""
    return text.rfind("\n", 0, at) + 1


def _indent(text: str, at: int) -> str:
    """The white space at the beginning of the line in which this place is."""
    line = text[_line(text, at) : at]
    return line[: len(line) - len(line.lstrip())]


def _unit(text: str, tops: Sequence[Member]) -> str:
    """What the file indents its first members by."""
    for member in tops:
        if indent := text[_line(text, member.begin) : member.begin]:
            return indent if not indent.strip() else "  "
    return "  "


def _last(found: Sequence[Member], key: str) -> int:
    """The number of the member of this name that counts; -1 if there is none."""
    return next((number for number in reversed(range(len(found))) if found[number].key == key), -1)
