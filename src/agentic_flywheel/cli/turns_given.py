"""Reads the turns that a person gives, in a file or on standard input: JSON as other programs write it, or text."""

import json
import sys
from pathlib import Path
from typing import Any, cast

from agentic_flywheel.cli.interrupts import interruptible
from agentic_flywheel.cli.terminal import tell
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject

MEMBERS = ("messages", "turns", "history")
"""Where a JSON object has its list of turns, in requests to models and in what is kept here."""

SAID_IN = frozenset({"role", "content", "text", "parts", "message"})
"""Fields of which an object has one that is a turn, and not something else by mistake."""

TEXT_OF_TURN = 4
"""How many times its own size a session may take as JSON with blanks."""


def turns_of(name: str, max_bytes: int) -> list[JSONObject]:
    """The turns in a file, or in standard input for `-`: at least one. Plain text is one turn of the user.

    Raises:
        InvalidArgument: there are none, or it is longer than sessions of `max_bytes` are.
        OSError: the file cannot be read.

    """
    shown = "standard input" if name == "-" else name
    data = _read(name, TEXT_OF_TURN * max_bytes)
    if len(data) > TEXT_OF_TURN * max_bytes:
        raise InvalidArgument(f"{shown} is longer than a session may be.")
    try:
        text = data.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise InvalidArgument(f"{shown} is not text in UTF-8.") from None
    if "\0" in text:
        raise InvalidArgument(f"{shown} is no text: it has zero bytes.")
    if not text:
        raise InvalidArgument(f"{shown} is empty: there is nothing to keep.")
    return _turns(text, shown) if text[0] in "[{" else [{"role": "user", "content": text}]


def _read(name: str, limit: int) -> bytes:
    if name != "-":
        with interruptible(), Path(name).open("rb") as file:
            return file.read(limit + 1)
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]  it is, where whoever started us closed it
        raise InvalidArgument("standard input is closed: name a file.")
    with interruptible():
        if sys.stdin.isatty():
            tell("Type or paste the turns, and end with Ctrl-D on a line of its own.")
        return sys.stdin.buffer.read(limit + 1)


def _turns(text: str, shown: str) -> list[JSONObject]:
    try:
        value: Any = json.loads(text)
    except json.JSONDecodeError as exc:
        raise InvalidArgument(f"{shown} is not JSON: it breaks at line {exc.lineno}, column {exc.colno}.") from None
    except (RecursionError, ValueError):
        raise InvalidArgument(
            f"{shown} is JSON that cannot be kept: nested too deeply, or with a giant number."
        ) from None
    if isinstance(value, dict):
        members = cast("JSONObject", value)
        value = next((members[name] for name in MEMBERS if isinstance(members.get(name), list)), None)
        if value is None and SAID_IN.isdisjoint(members):
            raise InvalidArgument(
                f'{shown} has no turns in it. A turn is such as {{"role": "user", "content": "…"}}; a talk is a list'
                ' of turns, or {"messages": [turns]}.'
            )
        value = [members] if value is None else value
    turns = cast("list[object]", value)
    if not turns:
        raise InvalidArgument(f"{shown} has no turns: there is nothing to keep.")
    for number, turn in enumerate(turns, 1):
        if not isinstance(turn, dict) or not turn:
            raise InvalidArgument(f'item {number:,} of {shown} is no turn such as {{"role": "user", "content": "…"}}.')
    return cast("list[JSONObject]", turns)
