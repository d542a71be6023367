"""Puts hooks of ours into a program's JSON settings and takes them out again, as text: nothing else of it changes.

What is inserted is noted piece by piece. While each piece still stands there once, taking them out gives back what was
before, to the byte, also where the person changed other parts; where the program itself wrote the file anew, what runs
our command is found by its place and goes, with what it leaves empty.
"""

import json
import re
from collections.abc import Sequence

from agentic_flywheel.cli.json_places import Member, begin_of, end_of, members, plain, without_comments
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject

OURS = re.compile(r"\scapture hook [a-z-]+ --into ")
"""What stands in each command of ours, behind the program, and in nobody else's."""


def with_hooks(text: str, commands: Sequence[tuple[str, JSONObject]]) -> tuple[str, list[str]]:
    """The settings with a group of hooks for each event, and the pieces that were inserted.

    No two groups may read alike, or a piece could not be told from a part of another one.

    Raises:
        InvalidArgument: the text is no JSON object, or its `hooks` have another shape.

    """
    pieces: list[str] = []
    newline = "\r\n" if "\r\n" in text else "\n"
    if not text.strip():
        made = json.dumps({"hooks": {event: [group] for event, group in commands}}, indent=2).replace("\n", newline)
        return text + made + newline, [made + newline]
    check(text)
    for event, group in commands:
        text = _with_one(text, event, group, pieces, newline)
    return text, pieces


def check(text: str) -> None:
    """Check that hooks can be put in.

    Raises:
        InvalidArgument: the text is no JSON object, or its `hooks` have another shape.

    """
    try:
        value = json.loads(plain(text))
    except (ValueError, RecursionError):
        raise InvalidArgument("is no JSON") from None
    if not isinstance(value, dict):
        raise InvalidArgument("is no JSON object")
    hooks: object = value.get("hooks", {})  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if not isinstance(hooks, dict) or not all(isinstance(each, list) for each in hooks.values()):  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        raise InvalidArgument("has `hooks` of another shape than is known")


def without_pieces(text: str, pieces: Sequence[str]) -> str | None:
    """The settings without what was inserted, as they were before; `None` if not each piece stands there once."""
    for piece in reversed(pieces):
        if text.count(piece) != 1:
            return None
        text = text.replace(piece, "")
    return text


def without_hooks(text: str) -> str:
    """The settings without what runs our command, wherever it stands.

    Raises:
        InvalidArgument: the text is no JSON object, or its `hooks` have another shape.

    """
    check(text)
    while (found := _ours(plain(text))) is not None:
        text = _cut(text, *found)
    return text


def has_hooks(text: str) -> set[str]:
    """The events at which our command runs; none if the text cannot be read."""
    try:
        check(text)
    except InvalidArgument:
        return set()
    if not text.strip():
        return set()
    hooks = json.loads(plain(text)).get("hooks", {})
    return {event for event, groups in hooks.items() if OURS.search(json.dumps(groups))}


def _with_one(text: str, event: str, group: JSONObject, pieces: list[str], newline: str) -> str:
    flat = plain(text)
    top = begin_of(flat)
    hooks = _last(members(flat, top), "hooks")
    if hooks is None:
        return _insert(text, top, "hooks", {event: [group]}, pieces, newline)
    events = _last(members(flat, hooks.value_begin), event)
    if events is None:
        return _insert(text, hooks.value_begin, event, [group], pieces, newline)
    return _insert(text, events.value_begin, None, group, pieces, newline)


def _insert(text: str, container: int, key: str | None, value: object, pieces: list[str], newline: str) -> str:
    """The text with one more member at the end of the object or array that begins at `container`."""
    flat = plain(text)
    there = members(flat, container)
    at = there[-1].end if there else container + 1
    indent = _indent_of(text, there[-1].begin) if there else f"{_indent_of(text, container)}  "
    written = json.dumps(value, indent=2).replace("\n", f"{newline}{indent}")
    name = f"{json.dumps(key)}: " if key is not None else ""
    uncommented = without_comments(text)
    has_trailing_comma = bool(there) and uncommented[at:].lstrip().startswith(",")
    piece = f"{newline}{indent}{name}{written}"
    if has_trailing_comma:
        at = uncommented.index(",", at) + 1
    elif there:
        piece = f",{piece}"
    elif "\n" not in flat[container : end_of(flat, container)]:
        piece += f"{newline}{_indent_of(text, container)}"
    pieces.append(piece)
    return text[:at] + piece + text[at:]


def _indent_of(text: str, at: int) -> str:
    """The space at the beginning of the line in which this place is."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip())]


def _last(found: Sequence[Member], key: str) -> Member | None:
    return next((each for each in reversed(found) if each.key == key), None)


def _ours(flat: str) -> tuple[int, int] | None:
    """The container and the number of the next member to be cut: one that runs our command, or is left empty."""
    top = begin_of(flat)
    tops = members(flat, top)
    hooks = _last(tops, "hooks")
    if hooks is None:
        return None
    for event in members(flat, hooks.value_begin):
        groups = members(flat, event.value_begin)
        for number, group in enumerate(groups):
            if not OURS.search(flat, group.begin, group.end):
                continue
            handlers = _last(members(flat, group.value_begin), "hooks") if flat[group.value_begin] == "{" else None
            if handlers is None or flat[handlers.value_begin] != "[":
                return event.value_begin, number
            each = members(flat, handlers.value_begin)
            if len(each) > 1:
                ours = next(at for at, one in enumerate(each) if OURS.search(flat, one.begin, one.end))
                return handlers.value_begin, ours
            if len(groups) > 1:
                return event.value_begin, number
            if len(members(flat, hooks.value_begin)) > 1:
                return hooks.value_begin, members(flat, hooks.value_begin).index(event)
            return top, tops.index(hooks)
    return None


def _cut(text: str, container: int, number: int) -> str:
    """The text without one member of the object or array that begins here, and without a comma too many."""
    found = members(plain(text), container)
    if number:
        return text[: found[number - 1].end] + text[found[number].end :]
    if len(found) > 1:
        return text[: found[0].begin] + text[found[1].begin :]
    end = end_of(plain(text), container)
    return text[: container + 1] + text[end - 1 :]
