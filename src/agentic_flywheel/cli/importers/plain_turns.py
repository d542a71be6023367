"""Reads conversations that are plain lists of turns: `[{"role", "content"}, …]`, or `{"messages": […]}` around it.

That is what programs send to models; of the second there may be one a line, as OpenAI's files for fine-tuning have it,
and of turns, too. A turn is kept as it is, whatever else it has: its words may stand in `parts` (AI SDK) or `blocks`
(LlamaIndex), and one that only calls a tool may have none. A talk is told by its id if it has one, or else by its place
in its file; and by its turns up to the first that a person said, since those before are the same in many talks.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import cast

from agentic_flywheel.cli.importers.conversation import Imported, Turns, context, mended, named, time_of, title
from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry
from agentic_flywheel.documents.turn_parts import stands_alone
from agentic_flywheel.documents.turn_values import as_list, as_object
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
            own, place = entry.value.get("id"), entry.number or entry.line
            among = own if isinstance(own, str) and own else place if place > 1 else None
            known_by: list[object] = [name] if among is None else [name, among]
            yield from _talk(turns, known_by, name, entry.value)
        else:
            alone.append(entry)
    yield from _talk(alone, [name], name)


def _entry(around: JsonEntry, turn: object) -> JsonEntry | BadEntry:
    if isinstance(turn, dict):
        return JsonEntry(around.line, cast("JSONObject", turn))
    return BadEntry(around.line, "is no turn: it has no role or no content")


def _talk(
    entries: Iterable[JsonEntry | BadEntry], known_by: list[object], name: str, around: JSONObject | None = None
) -> Iterator[Imported | BadEntry]:
    """The talk of these turns, which stand in `around`; what it is `known_by` stays the same when it grows."""
    made, line, around = Turns([], [], 0), 0, around or {}
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
    given = mended(around.get("title"))[0]
    if history:
        own = hashlib.blake2b(canonical([*known_by, *_beginning(history)]).encode(), digest_size=16).hexdigest()
        talk = named(title(given, history), id_of("turns", own))
    yield from made.reported(talk)
    if history:
        yield Imported(
            line=line,
            session_id=id_of("turns", own),
            title=title(given, history),
            summary="",
            tags=(),
            created_at=time_of(around),
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
    if not isinstance(turn.get("role"), str):
        return False
    parts = [*as_list(turn.get("parts")), *as_list(turn.get("blocks"))]
    return "content" in turn or any(map(turn.get, _CALLS)) or any(map(_has_kind, parts))


_CALLS = ("tool_calls", "function_call")
"""What a turn may have without any words."""


def _has_kind(part: object) -> bool:
    """Whether it is a part that says of which kind it is; those of Gemini do not."""
    return isinstance(as_object(part).get("type", as_object(part).get("block_type")), str)


def _beginning(history: list[JSONObject]) -> list[JSONObject]:
    """The turns up to the first that is no instruction; of most talks the first alone."""
    said = (at for at, turn in enumerate(history, 1) if turn.get("role") not in ("system", "developer"))
    return history[: next(said, 1)]


def _why_not(turn: JSONObject) -> str:
    if not is_turn(turn) and not stands_alone(turn):
        return "is no turn: it has no role or no content"
    try:
        check_json(turn, "the turn", depth=1)
    except InvalidArgument:
        return "holds what cannot be kept: a number that is not finite or too many levels"
    return ""
