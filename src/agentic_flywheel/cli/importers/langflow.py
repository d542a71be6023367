"""Reads the messages of Langflow 1.13: what `GET /api/v1/monitor/messages` answers, and the table `message`.

A talk is all messages of a flow and a session. In the API `files` is a string of JSON; in the table all JSON is, ids
have no dashes and times no zone. A run that names no session has the flow's id as session. `content_blocks` are groups
of steps in the API, and a flat list in the table. Each answer is an execution of its flow too; the answer of a run
(`/api/v1/run`) is one execution, and no talk.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from agentic_flywheel.cli.importers.blocks import thought
from agentic_flywheel.cli.importers.conversation import Imported, instant, mended, turn, turns, uncut
from agentic_flywheel.cli.importers.databases import opened
from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry
from agentic_flywheel.cli.importers.rows import call, content, decoded, execution, files, objects, shown, talk
from agentic_flywheel.documents.turn_values import as_object, first_text
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def is_message(value: JSONObject) -> bool:
    """Whether it is a message of a talk."""
    return {"sender", "session_id", "flow_id", "text"} <= value.keys()


def is_run(value: JSONObject) -> bool:
    """Whether it is the answer of one run."""
    outputs = objects(value.get("outputs"))
    return "session_id" in value and any({"inputs", "outputs"} <= output.keys() for output in outputs)


def conversations(entries: Iterable[JsonEntry | BadEntry], _: str) -> Iterator[Imported | BadEntry]:
    """The talks, in the order in which they began in the file, and before them what cannot be read."""
    talks = defaultdict[tuple[str, str], list[JsonEntry]](list)
    for entry in entries:
        if isinstance(entry, BadEntry):
            yield entry
        elif not is_message(entry.value) or not isinstance(entry.value["session_id"], str):
            yield BadEntry(entry.line, "is no message of Langflow: it has no sender, session_id, flow_id and text")
        elif _state(entry.value) != "partial":
            whole = JsonEntry(entry.line, mended(entry.value)[0], entry.number)
            talks[_dashed(whole.value["flow_id"]), whole.value["session_id"]].append(whole)
    for (flow, session), messages in talks.items():
        messages.sort(key=_place)
        made = turns(messages[0].line, ((each.number or each.line, each.value) for each in messages), _turn)
        values: JSONObject = {"backend_session_id": session, "current_flow_id": flow}
        own = "-".join(filter(None, (flow, session)))
        executions = list(_executions(each.value for each in messages))
        yield from talk("langflow", own, messages[0].line, made, values, executions)


_DONE = ("content_blocks", "files", "error", "session_metadata")
"""What a message has of a run beside its text."""


def _executions(messages: Iterable[JSONObject]) -> Iterator[JSONObject]:
    """The run that gave each answer."""
    question = ""
    for message in messages:
        if message.get("sender") == "User":
            question = uncut(message.get("text"))
        elif own := _dashed(message.get("id")):
            properties = as_object(decoded(message.get("properties")))
            given = {name: decoded(message.get(name)) for name in _DONE}
            yield execution(
                "langflow",
                own,
                question,
                {
                    "text": uncut(message.get("text")),
                    "created_at": shown(message.get("timestamp")),
                    "category": message.get("category"),
                    **given,
                    "properties": properties,
                },
                metrics={"duration": message.get("duration"), "usage": properties.get("usage")},
            )


_COLUMNS = "id, flow_id, timestamp, sender, session_id, text, files, properties, category, content_blocks"


def database(path: Path, _: int) -> Iterator[Imported | BadEntry]:
    """The talks of `langflow.db`, and what of it cannot be read."""
    try:
        with opened(path) as found:
            rows = found.select(f"SELECT {_COLUMNS} FROM message ORDER BY timestamp, id")  # noqa: S608  a constant
            yield from conversations((JsonEntry(1, row, number) for number, row in enumerate(rows, 1)), "")
    except InvalidArgument as exc:
        yield BadEntry(1, str(exc))


def _place(entry: JsonEntry) -> tuple[datetime, str]:
    return instant(entry.value.get("timestamp")) or _LONG_AGO, _dashed(entry.value.get("id"))


def _dashed(value: object) -> str:
    """An id as the API writes it."""
    if not isinstance(value, str):
        return ""
    try:
        return str(UUID(value)) if len(value) == 32 else value
    except ValueError:
        return value


def _state(message: JSONObject) -> str:
    return first_text(as_object(decoded(message.get("properties"))), ("state",))


def _turn(message: JSONObject) -> JSONObject | None:
    own = _dashed(message.get("id"))
    blocks = list(_steps(objects(message.get("content_blocks")), own, 0))
    return turn(
        own,
        "user" if message.get("sender") == "User" else "assistant",
        content(blocks, uncut(message.get("text"))),
        message.get("timestamp"),
        files=files(message.get("files")),
    )


def _steps(blocks: list[JSONObject], own: str, depth: int) -> Iterator[JSONObject]:
    """Thoughts, calls and their results; texts of steps say the prompt and the answer again."""
    for number, block in enumerate(blocks):
        kind, place = block.get("type"), f"{own}-{number}"
        inner = objects(block.get("contents") or block.get("content") or block.get("blocks"))
        if kind in ("reasoning", "thinking"):
            yield from thought(first_text(block, ("reasoning", "thinking", "text", "content")))
        elif kind == "tool_use":
            failed, answer = block.get("error"), block.get("output", block.get("result"))
            given = block.get("tool_input", block.get("input"))
            yield from call(place, block.get("name"), given, failed or answer, failed=bool(failed))
        elif kind == "error":
            yield {"type": "error", "text": first_text(block, ("reason", "text", "component"))}
        elif inner and depth < _DEPTH:
            yield from _steps(inner, place, depth + 1)


_DEPTH = 4
"""Levels of groups in groups."""
