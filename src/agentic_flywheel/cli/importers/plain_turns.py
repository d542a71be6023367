"""Reads conversations that are plain lists of turns: `[{"role", "content"}, …]`, or `{"messages": […]}` around it.

That is what programs send to models; of the second there may be one a line, as OpenAI's files for fine-tuning have it.
A turn is kept as it is, whatever else it has.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import cast

from agentic_flywheel.cli.importers.conversation import Imported, Turns, context, mended, named, title
from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry
from agentic_flywheel.documents.turn_values import as_object
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject, canonical, check_json
from agentic_flywheel.keys import id_of


def conversations(entries: Iterable[JsonEntry | BadEntry], name: str) -> Iterator[Imported | BadEntry]:
    """The talks in the file of that name, and before each what of it cannot be read.

    An entry that has `messages` is a talk; all others are the turns of one.
    """
    alone = list[JsonEntry | BadEntry]()
    for entry in entries:
        if isinstance(entry, JsonEntry) and isinstance(held := entry.value.get("messages"), list):
            turns = [_entry(entry, turn) for turn in cast("list[object]", held)]
            place = entry.number or entry.line
            yield from _talk(turns, [name] if place == 1 else [name, place], name)
        else:
            alone.append(entry)
    yield from _talk(alone, [name], name)


def _entry(around: JsonEntry, turn: object) -> JsonEntry | BadEntry:
    if isinstance(turn, dict):
        return JsonEntry(around.line, cast("JSONObject", turn))
    return BadEntry(around.line, "is no turn: it has no role or no content")


def _talk(entries: Iterable[JsonEntry | BadEntry], known_by: list[object], name: str) -> Iterator[Imported | BadEntry]:
    """The talk of these turns; what it is `known_by` in its file stays the same when it grows."""
    made, line = Turns([], [], 0), 0
    for entry in entries:
        line = line or entry.line
        if isinstance(entry, BadEntry):
            made.bad.append(entry)
            continue
        turn, halves = mended(entry.value)
        if why := _why_not(turn):
            made.bad.append(BadEntry(entry.line, why))
        else:
            made.history.append(turn)
            made.halves += halves
    history, talk, own = made.history, "", ""
    if history:
        own = hashlib.blake2b(canonical([*known_by, history[0]]).encode(), digest_size=16).hexdigest()
        talk = named(title("", history), id_of("turns", own))
    yield from made.reported(talk)
    if history:
        yield Imported(
            line=line,
            session_id=id_of("turns", own),
            title=title("", history),
            summary="",
            tags=(),
            created_at=None,
            updated_at=None,
            history=history,
            context=context("a list of turns", file=name),
            halves=made.halves,
        )


def is_talk(value: JSONObject) -> bool:
    """Whether it has turns in its `messages`."""
    messages = value.get("messages")
    return isinstance(messages, list) and any(map(is_turn, cast("list[object]", messages)))


def is_turn(value: object) -> bool:
    """Whether it is what programs send to models as a turn."""
    turn = as_object(value)
    return isinstance(turn.get("role"), str) and "content" in turn


def _why_not(turn: JSONObject) -> str:
    if not is_turn(turn):
        return "is no turn: it has no role or no content"
    try:
        check_json(turn, "the turn", depth=1)
    except InvalidArgument:
        return "holds what cannot be kept: a number that is not finite or too many levels"
    return ""
