"""Reads what flow backends keep as a table of messages: values that are strings of JSON, and talks of rows."""

import json
from collections.abc import Iterator
from typing import Any

from agentic_flywheel.cli.importers.conversation import (
    Imported,
    Turns,
    context,
    instant,
    mended,
    named,
    time_of,
    title,
    uncut,
)
from agentic_flywheel.cli.importers.json_entries import BadEntry
from agentic_flywheel.cli.importers.web_pages import shortened, shortened_within
from agentic_flywheel.documents.model import iso
from agentic_flywheel.documents.turn_values import as_list, is_object
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.keys import id_of


def decoded(value: object) -> Any:  # noqa: ANN401
    """The value, or what is in it if it is a string of JSON."""
    if not isinstance(value, str):
        return value
    try:
        return mended(json.loads(value))[0]
    except (ValueError, RecursionError):
        return value


def objects(value: object) -> list[JSONObject]:
    """The objects in a list, or in a string of JSON that holds one."""
    return list(filter(is_object, as_list(decoded(value))))


def files(value: object) -> list[JSONObject]:
    """What files are called and are, without what is in them."""
    named = [each if is_object(each) else {"name": each} for each in as_list(decoded(value))]
    names = ("name", "path", "url", "mime", "type")
    found = [{name: each[name] for name in names if _is_label(each.get(name))} for each in named]
    return [each for each in found if each]


def _is_label(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 500 and not value.startswith("data:")


def call(own: str, name: object, given: object, answer: object, *, failed: bool = False) -> list[JSONObject]:
    """A call of a tool and its result, as blocks; of a page in the result the beginning."""
    arguments = decoded(given)
    used: JSONObject = {"type": "tool_use", "id": own, "name": uncut(name) or "tool", "input": arguments}
    if not isinstance(arguments, dict):
        used["input"] = {} if arguments is None else {"input": arguments}
    if answer is None or answer == "":
        return [used]
    told = shortened(answer) if isinstance(answer, str) else json.dumps(shortened_within(answer), ensure_ascii=False)
    return [used, {"type": "tool_result", "tool_use_id": own, "content": told} | ({"is_error": True} if failed else {})]


def content(blocks: list[JSONObject], text: str) -> str | list[JSONObject]:
    """A message's content: its text, behind its thoughts and calls if it has some."""
    return [*blocks, *([{"type": "text", "text": text}] if text.strip() else [])] if blocks else text


def execution(program: str, own: str, question: str, result: JSONObject, **more: JSONObject) -> JSONObject:
    """The run of a flow that gave an answer of that id, as it is kept: what says nothing is left out."""
    made: JSONObject = {"id": id_of(program, own), "result": _said(result), "input": _said({"question": question})}
    return made | {name: said for name, value in more.items() if (said := _said(value))}


def shown(time: object) -> str | None:
    """A time as it is kept, in whichever form it came; `None` if it is none."""
    return iso(instant(time))


def _said(value: JSONObject) -> JSONObject:
    return {name: each for name, each in value.items() if each not in (None, "", [], {})}


def talk(
    program: str, own: str, line: int, made: Turns, values: JSONObject, executions: list[JSONObject]
) -> Iterator[Imported | BadEntry]:
    """The conversation of that program's id, and before it what of it cannot be read."""
    known = id_of(program, own)
    shown = title("", made.history)
    yield from made.reported(named(shown, known) if made.history else "")
    if made.history:
        times = [time for turn in made.history if (time := time_of(turn))]
        yield Imported(
            line=line,
            session_id=known,
            title=shown,
            summary="",
            tags=(),
            created_at=min(times, default=None),
            updated_at=max(times, default=None),
            history=made.history,
            context=context(program),
            halves=made.halves,
            values={"backend": program} | {name: value for name, value in values.items() if value},
            executions=executions,
        )
