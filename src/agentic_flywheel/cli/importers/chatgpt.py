"""Reads the conversations of ChatGPT's data export: objects with a `mapping`.

The vendor documents no format; this is what exports of 2023 to 2026-11 hold. `mapping` is a tree of nodes (`message`,
`parent`, `children`) with all edited and repeated messages; `current_node` is the leaf that the person saw last, and
may be absent. The root has no message. What the person did not see is marked as visually hidden, has the weight 0, or
is of the role system. A project's conversations have a `gizmo_id` that begins with `g-p-`. Pictures are pointers to
other files of the export. What a message says is read in `chatgpt_messages.py`; those that are one answer become one
turn in `chatgpt_answers.py`.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import cast

from agentic_flywheel.cli.importers.branches import branch, newest
from agentic_flywheel.cli.importers.chatgpt_answers import answers
from agentic_flywheel.cli.importers.chatgpt_messages import turn_of
from agentic_flywheel.cli.importers.conversation import (
    Imported,
    context,
    instant,
    mended,
    must_be_object,
    named_entry,
    tagged,
    title,
    turns,
)
from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.keys import id_of


def conversation(entry: JsonEntry) -> Iterator[Imported | BadEntry]:
    """The conversation, and before it what of it cannot be read; nothing if nothing was said in it."""
    value = entry.value
    own = value.get("conversation_id") or value.get("id")
    talk = named_entry(entry, value.get("title"), id_of("chatgpt", own) if isinstance(own, str) else "")
    if not isinstance(own, str):
        yield BadEntry(entry.line, "has no conversation_id", talk)
        return
    try:
        seen = _seen(must_be_object(value.get("mapping"), "its mapping"), value.get("current_node"))
    except InvalidArgument as exc:
        yield BadEntry(entry.line, str(exc), talk)
        return
    made = turns(entry.line, enumerate(seen, 1), turn_of, is_whole=entry.is_whole)
    yield from made.reported(talk)
    model = value.get("default_model_slug")
    if made.history:
        yield Imported(
            line=entry.line,
            session_id=id_of("chatgpt", own),
            title=title(value.get("title"), made.history),
            summary="",
            tags=_project(value.get("gizmo_id"), value.get("gizmo_type")),
            created_at=instant(value.get("create_time")),
            updated_at=instant(value.get("update_time")),
            history=answers(made.history, model),
            context=context("chatgpt", model=model or _last_model(made.history), gizmo_id=value.get("gizmo_id")),
            halves=made.halves + mended(value.get("title"))[1],
        )


def _seen(mapping: JSONObject, leaf: object) -> list[object]:
    """The messages from the root to the leaf that the person saw; without a leaf, to the latest message."""
    nodes = {name: must_be_object(node, "a node of its mapping") for name, node in mapping.items()}
    if not nodes:
        return []
    if not isinstance(leaf, str) or leaf not in nodes:
        leaf = newest({name: _time(node) for name, node in nodes.items()})
    path = branch(leaf, {name: node.get("parent") for name, node in nodes.items()})
    messages = ((name, nodes[name].get("message")) for name in path)
    return [
        {"id": name, **cast("JSONObject", message)} if isinstance(message, dict) else message
        for name, message in messages
        if message is not None
    ]


def _time(node: JSONObject) -> datetime | None:
    message = node.get("message")
    return instant(cast("JSONObject", message).get("create_time")) if isinstance(message, dict) else None


def _last_model(history: list[JSONObject]) -> object:
    return next((turn["model"] for turn in reversed(history) if turn.get("model")), None)


def _project(gizmo: object, kind: object) -> tuple[str, ...]:
    """The tag of the project that the conversation is in, or else of the GPT that it is with."""
    if not isinstance(gizmo, str) or not gizmo:
        return ()
    return tagged("project" if gizmo.startswith("g-p-") or kind == "snorlax" else "gizmo", gizmo)
