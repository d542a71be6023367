"""Shows what of a session fits a budget: its fields, and the newest turns beside them.

A token is four characters of compact JSON, or of the text that models read. Nothing is cut that need not be, and what
is cut or left out is named.
"""

from dataclasses import dataclass, field

from agentic_flywheel.documents.codec import public
from agentic_flywheel.documents.model import Document
from agentic_flywheel.json_text import JSONObject, dumps

CHARACTERS_PER_TOKEN = 4
"""Of compact JSON. Near enough for every model, and the same in budgets and tests."""

ANSWER_OVERHEAD = 800
"""Characters of an answer beside the session itself: its sentence, the counts; the id stands there four times more."""

ESCAPED = 1.3
"""How many times its compact JSON a stored text can be: large ones have emoji escaped."""

MIN_TEXT = 200
"""Characters of a text that is cut, at least: less says nothing."""

_NEVER_LEFT_OUT = {"id", "revision", "history", "backend", "status", "created_at", "updated_at", "saved_at"}


@dataclass(slots=True)
class TokenWindow:
    """A part of a session. Its history begins with the turn at `start` and ends before `end`.

    `cut`: the position of a turn that was too large alone; `left_out`: fields that are shortened or missing.
    """

    session: JSONObject
    start: int
    end: int
    cut: int | None = None
    left_out: list[str] = field(default_factory=list[str])


def token_window(
    document: Document, length: int | None, max_tokens: int, before_turn: int | None = None
) -> TokenWindow:
    """The newest turns before `before_turn` that fit the budget, one at least; `length` is that of the stored text.

    A session that fits comes back whole. Else the budget holds for all of the answer, from some 300 tokens on.
    """
    history, shown = document.session.history, public(document)
    end = len(history) if before_turn is None else min(before_turn, len(history))
    room = max_tokens * CHARACTERS_PER_TOKEN
    if length is not None and _fits(shown, length, room):
        return TokenWindow(shown | {"history": history[:end]}, 0, end)
    room -= ANSWER_OVERHEAD + 4 * len(document.session.id)
    shown["history"] = []
    left_out = _leave_out(shown, room // 2)
    room -= len(dumps(shown))
    start, cut = end, None
    turns: list[JSONObject] = []
    while start:
        turn = history[start - 1]
        size = len(dumps(turn)) + _added(turn) + (start < end)  # and a comma between two turns
        if size > room and start < end:
            break
        start -= 1
        if size > room:
            cut = start
            turn = _cut(turn, room)
        room -= size
        turns.append(turn)
    shown["history"] = turns[::-1]
    return TokenWindow(shown, start, end, cut, left_out)


def _fits(shown: JSONObject, length: int, room: int) -> bool:
    """Whether a session of which `length` characters are stored fits, as JSON and as text."""
    if 3 * length <= 2 * room:
        return True  # whatever it says: a line break, two characters of JSON, is never more than three
    added = sum(map(_added, shown["history"]))
    return length + added <= room or (length <= ESCAPED * room and len(dumps(shown)) + added <= room)


def _added(turn: JSONObject) -> int:
    """What a turn is longer as text than as JSON, at most: its lines are indented there."""
    content = turn.get("content")
    return content.count("\n") if isinstance(content, str) else 0


def _leave_out(shown: JSONObject, room: int) -> list[str]:
    """Shorten or leave out the largest fields until the rest fits; which."""
    left_out: list[str] = []
    sizes = {name: len(dumps(value)) for name, value in shown.items() if name not in _NEVER_LEFT_OUT}
    excess = len(dumps(shown)) - room
    for name in sorted(sizes, key=lambda each: -sizes[each]):
        if excess <= 0 or sizes[name] <= MIN_TEXT:
            break
        value = shown[name]
        if isinstance(value, str):
            shown[name] = shortened(value, max(MIN_TEXT, sizes[name] - excess))
        else:
            shown[name] = {} if isinstance(value, dict) else [] if isinstance(value, list) else None
        excess -= sizes[name] - len(dumps(shown[name]))
        left_out.append(name)
    return sorted(left_out)


def _cut(turn: JSONObject, room: int) -> JSONObject:
    """The turn in so much room: what is short in it, and the beginning of its content, or of all of it."""
    content = turn.get("content")
    text = content if isinstance(content, str) else dumps(turn)
    made = {name: turn[name] for name in ("id", "role") if len(dumps(turn.get(name))) < MIN_TEXT and name in turn}
    limit = max(MIN_TEXT, room - len(dumps(made)))
    while True:
        made["content"] = shortened(text, limit)
        size = len(dumps(made))
        if size <= room or limit <= MIN_TEXT:
            return made
        # JSON escapes some characters: assume the ratio of this try, and cut by a twentieth at least.
        limit = max(MIN_TEXT, min(limit * room // size, limit - limit // 20))


def ellipsis(text: str, limit: int) -> str:
    """The text, or its beginning with an ellipsis, in at most `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def shortened(text: str, limit: int, length: int = 0) -> str:
    """The beginning of a text, and how much of it is missing, in about `limit` characters.

    `length`: that of the whole text, where this is a part of it, or how it is written in an answer.
    """
    if max(len(text), length) <= limit:
        return text
    mark = f"… [{length or len(text):,} characters, the rest left out]"
    return text[: max(0, limit - len(mark))] + mark
