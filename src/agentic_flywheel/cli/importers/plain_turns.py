"""Reads one conversation that is a plain list of turns: `[{"role", "content"}, …]`, or `{"messages": [...]}` around it.

That is what programs send to models. A turn is kept as it is, whatever else it has.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import IO, Any, cast

from agentic_flywheel.cli.importers.conversation import Imported, Turns, context, mended, named, session_id, title
from agentic_flywheel.cli.importers.json_entries import BLANK, BOM, BadEntry, JsonEntry, array
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject, canonical, check_json


def conversation(file: IO[bytes], name: str, limit: int) -> Iterator[Imported | BadEntry]:
    """The conversation in the file of that name, and before it what of it cannot be read."""
    entries = [JsonEntry(1, turn) for turn in messages(file, limit)]
    file.seek(0)
    made = Turns([], [], 0)
    for entry in entries or array(file, limit):
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
        own = hashlib.blake2b(canonical([name, history[0]]).encode(), digest_size=16).hexdigest()
        talk = named(title("", history), session_id("turns", own))
    yield from made.reported(talk)
    if history:
        yield Imported(
            line=1,
            session_id=session_id("turns", own),  # the same when the talk has grown, so that only new turns are added
            title=title("", history),
            summary="",
            tags=(),
            created_at=None,
            updated_at=None,
            history=history,
            context=context("a list of turns", file=name),
            halves=made.halves,
        )


def messages(file: IO[bytes], limit: int) -> list[JSONObject]:
    """The turns of a file that is one JSON object around `messages`; none if it is anything else."""
    found = whole(file, limit).get("messages")
    turns = cast("list[object]", found) if isinstance(found, list) else []
    return [cast("JSONObject", turn) for turn in turns if isinstance(turn, dict)]


def whole(file: IO[bytes], limit: int) -> JSONObject:
    """The object that the file is; one of no fields if it is anything else."""
    data = file.read(limit + 1).removeprefix(BOM).strip(BLANK)
    if len(data) > limit or not data.startswith(b"{"):
        return {}
    try:
        value: Any = json.loads(data.decode(errors="surrogatepass"))
    except (ValueError, RecursionError):
        return {}
    return cast("JSONObject", value)


def is_turn(value: object) -> bool:
    """Whether it is what programs send to models as a turn."""
    turn = cast("JSONObject", value) if isinstance(value, dict) else {}
    return isinstance(turn.get("role"), str) and "content" in turn


def _why_not(turn: JSONObject) -> str:
    if not is_turn(turn):
        return "is no turn: it has no role or no content"
    try:
        check_json(turn, "the turn", depth=1)
    except InvalidArgument:
        return "holds what cannot be kept: a number that is not finite or too many levels"
    return ""
