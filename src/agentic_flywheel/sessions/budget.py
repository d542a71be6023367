"""Shows what of a session fits a budget: its fields, and the newest turns beside them.

A token is four bytes of compact JSON in UTF-8, or of the text that models read. Nothing is cut that need not be, and
what is cut or left out is named. A window never begins between a tool call and its result.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from agentic_flywheel.documents.codec import public
from agentic_flywheel.documents.model import Document
from agentic_flywheel.documents.tool_calls import last_unit, next_start
from agentic_flywheel.documents.turn_text import said_in
from agentic_flywheel.json_text import JSONObject, dumps, dumps_checked, size_of

BYTES_PER_TOKEN = 4
"""Of compact JSON in UTF-8. Near enough for every model, and what some clients count; the same in budgets and tests."""

DEFAULT_TOKENS = 9_500
"""38,000 bytes: Claude Code shows 50,000 characters of an answer, Codex 48,000 bytes, Gemini CLI 40,000 characters."""

ANSWER_OVERHEAD = 800
"""Bytes of an answer beside the session itself: its sentence, the counts; the id stands there four times more."""

MIN_TEXT = 200
"""Bytes of a text that is cut, at least: less says nothing."""

MIN_IN_UNIT = 120
"""The same beside a call or its results, of which even less is better than one without the other."""

NAMED = 50
"""Bytes of an id or a role that stands beside a text that is cut: a longer one would leave little of the text."""

SHORTENED = 8
"""Texts of a turn that are shortened, at most; one of more large parts is shown as the beginning of its JSON."""

NUMBERED = 10
"""Bytes of the number of a turn: one that a transcript shows as JSON has it beside that."""

FIRST = ("id", "revision", "title", "summary", "tags", "context")
"""Fields that stand before the others, and long before the turns: what is cut off by a client begins at the end."""

_MAY_BE_EMPTY = {"history", *FIRST, "ttl_seconds", "kept_until"}
"""Fields that are shown although empty: the conversation's own, and those where nothing means for ever."""

PLAIN = 2
"""Fields of a turn that is a role and a text, as most are."""

_NEVER_LEFT_OUT = {"id", "revision", "history", "backend", "status", "created_at", "updated_at", "saved_at"}


@dataclass(slots=True)
class TokenWindow:
    """A part of a session. Its history begins with the turn at `start` and ends before `end`.

    `cut`: the positions of turns that were too large; `left_out`: fields that are shortened or missing.
    """

    session: JSONObject
    start: int
    end: int
    cut: list[int] = field(default_factory=list[int])
    left_out: list[str] = field(default_factory=list[str])


def shown_fields(document: Document) -> JSONObject:
    """A session as answers show it: its own fields first, its turns last, nothing that is empty and says nothing."""
    known = public(document)
    rest = {name: known[name] for name in known if name != "history" and (known[name] or name in _MAY_BE_EMPTY)}
    return {name: known[name] for name in FIRST} | rest | {"history": known["history"]}


def token_window(
    document: Document, size: int | None, max_tokens: int, before_turn: int | None = None, *, strict: bool = False
) -> TokenWindow:
    """The newest turns before `before_turn` that fit the budget, one at least; `size` is that of the stored text.

    A session that fits comes back whole. Of a page, and if `strict`, the budget holds for all of the answer, from some
    300 tokens on.
    """
    history, shown = document.session.history, shown_fields(document)
    end = len(history) if before_turn is None else min(before_turn, len(history))
    whole = TokenWindow(shown | {"history": history[:end]}, 0, end)
    budget = max_tokens * BYTES_PER_TOKEN
    room = budget - ANSWER_OVERHEAD - 4 * size_of(document.session.id)
    allowed = room if strict or end < len(history) else budget
    if size is not None and 3 * size <= 2 * allowed:
        return whole  # whatever it says: a line break, two bytes of JSON, is never more than three
    shown["history"] = []
    sizes = _Sizes(history[:end])
    left = allowed - len(dumps_checked(shown)) + 1  # the last turn has no comma
    if left > 0 and sizes.fitting(left) == end:
        return whole
    left_out = _leave_out(shown, room // 2)
    room -= len(dumps_checked(shown))
    fitting = sizes.fitting(room, numbered=True)
    start = next_start(history, end - fitting, end)
    turns, cut = history[start:end], list[int]()
    if start == end and end:
        start = _unit(history, end, room, fitting)
        room -= NUMBERED * (end - start - 1)  # the numbers of those that are cut
        turns, cut = cut_to(history[start:end], start, room, MIN_IN_UNIT)
    shown["history"] = turns
    return TokenWindow(shown, start, end, cut, left_out)


class _Sizes:
    """Knows how many of the newest turns fit; each is looked at once, and only as far back as is asked."""

    def __init__(self, history: Sequence[JSONObject]) -> None:
        self._history = history
        self._sizes: list[tuple[int, int]] = []

    def fitting(self, room: int, *, numbered: bool = False) -> int:
        """How many fit; as text too, if `numbered`: a whole session has room for its numbers beside it."""
        for count, (size, number) in enumerate(self._newest_first()):
            room -= size + number if numbered else size
            if room < 0:
                return count
        return len(self._history)

    def _newest_first(self) -> Iterator[tuple[int, int]]:
        yield from self._sizes
        for turn in reversed(self._history[: len(self._history) - len(self._sizes)]):
            is_plain = isinstance(turn.get("content"), str) and "role" in turn
            self._sizes.append((_size(turn), 0 if is_plain else NUMBERED))
            yield self._sizes[-1]


def _size(turn: JSONObject) -> int:
    """The bytes of a turn and a comma in JSON, and its line breaks, each of which is three bytes in a transcript."""
    content = turn.get("content")
    said = content if isinstance(content, str) and len(turn) == PLAIN else said_in(turn)[1]
    return len(dumps_checked(turn)) + 1 + said.count("\n")


def _leave_out(shown: JSONObject, room: int) -> list[str]:
    """Shorten or leave out the largest fields until the rest fits; which."""
    left_out: list[str] = []
    sizes = {name: len(dumps_checked(value)) for name, value in shown.items() if name not in _NEVER_LEFT_OUT}
    excess = len(dumps_checked(shown)) - room
    for name in sorted(sizes, key=lambda each: -sizes[each]):
        if excess <= 0 or sizes[name] <= MIN_TEXT:
            break
        value = shown[name]
        if isinstance(value, str):
            shown[name] = _fitted(value, sizes[name] - excess)
        else:
            shown[name] = {} if isinstance(value, dict) else [] if isinstance(value, list) else None
        excess -= sizes[name] - len(dumps_checked(shown[name]))
        left_out.append(name)
    return sorted(left_out)


def _unit(history: Sequence[JSONObject], end: int, room: int, fitting: int) -> int:
    """Where to begin when no call with its results fits: with the newest call, if there is room for some of each turn.

    There is none for hundreds of results of one call: then with the newest of them.
    """
    start = last_unit(history, end)
    least = sum(min(_size(turn), MIN_IN_UNIT) + NUMBERED for turn in history[start:end])
    return start if least <= room else end - max(1, fitting)


def cut_to(turns: list[JSONObject], start: int, room: int, least: int = MIN_TEXT) -> tuple[list[JSONObject], list[int]]:
    """The turns in so much room, and the positions of those that are cut, from `start` on: the largest ones."""
    made, cut = list(turns), list[int]()
    by_size = sorted(range(len(turns)), key=lambda number: _size(turns[number]))
    for done, number in enumerate(by_size):
        share = room // (len(turns) - done)
        if _size(turns[number]) > max(share, least):
            made[number] = cut_turn(turns[number], share, least)
            cut.append(start + number)
        room -= _size(made[number])
    return made, sorted(cut)


def cut_turn(turn: JSONObject, room: int, least: int = MIN_TEXT) -> JSONObject:
    """The turn in so much room, in its own shape: its longest texts are shortened; else the beginning of its JSON."""
    made = cast("JSONObject", json.loads(dumps(turn)))
    texts = [(holder, name) for holder, name in _texts(made) if _text_size(holder[name]) > least]
    texts = sorted(texts, key=lambda text: -_text_size(text[0][text[1]]))[:SHORTENED]
    left = room - (_size(made) - sum(_text_size(holder[name]) for holder, name in texts))
    if texts and left >= least * len(texts):
        for done, (holder, name) in enumerate(reversed(texts)):
            holder[name] = _fitted(holder[name], left // (len(texts) - done), least)
            left -= _text_size(holder[name])
        if _size(made) <= room:
            return made
    made = {name: turn[name] for name in ("id", "role") if name in turn and len(dumps_checked(turn[name])) <= NAMED}
    content, frame = turn.get("content"), _size(made | {"content": ""}) - 2
    text = content if isinstance(content, str) else dumps(turn)
    return made | {"content": _fitted(text, room - frame, least - frame)}


def _fitted(text: str, room: int, least: int = MIN_TEXT) -> str:
    """The beginning of a text that takes so much room, or `least`."""
    room = max(room, least)
    limit = room
    while True:
        made = shortened(text, limit)
        size = _text_size(made)
        if size <= room or limit <= 0:
            return made
        # JSON escapes some characters: go by their part of this try, where it is more than a few.
        limit = limit + room - size if 20 * (size - room) <= limit else limit * room // size


def _text_size(text: str) -> int:
    """The bytes of a text in JSON, and its line breaks, each of which is two more in a transcript."""
    return len(dumps_checked(text)) + text.count("\n")


def _texts(value: object) -> "Iterator[tuple[Any, Any]]":
    """The texts in it, each as what holds it and its name or number there."""
    items: Iterable[tuple[Any, object]] = ()
    if isinstance(value, dict):
        items = cast("JSONObject", value).items()
    elif isinstance(value, list):
        items = enumerate(cast("list[object]", value))
    for name, inner in items:
        if isinstance(inner, str):
            yield value, name
        else:
            yield from _texts(inner)


def shortened(text: str, limit: int, length: int = 0) -> str:
    """The beginning of a text, and how much of it is missing, in about `limit` bytes.

    `length`: the characters of the whole text, where this is a part of it.
    """
    if size_of(text) <= limit and length <= len(text):
        return text
    mark = f"… [{max(length, len(text)):,} characters, the rest left out]"
    return beginning(text, limit - size_of(mark)) + mark


def beginning(text: str, limit: int) -> str:
    """As much of the beginning of a text as is in so many bytes."""
    return text[: max(0, limit)].encode()[: max(0, limit)].decode(errors="ignore")
