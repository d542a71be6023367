"""Reads the conversations of ChatGPT's data export: `conversations.json`, an array of conversations with a `mapping`.

The vendor documents no format; this is what exports hold. `mapping` is a tree of nodes (`message`, `parent`,
`children`) with all edited and repeated messages; `current_node` is the leaf that the person saw last, and may be
absent. The root has no message. What the person did not see is marked as visually hidden, or is of the role system.
Pictures are pointers to other files of the export.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import cast

from agentic_flywheel.cli.importers.branches import branch, newest
from agentic_flywheel.cli.importers.conversation import (
    Imported,
    as_object,
    content,
    context,
    instant,
    mended,
    named_entry,
    session_id,
    title,
    turn,
    turns,
)
from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject

_ROLES = ("user", "assistant", "tool", "system")

_TALK = ("text", "multimodal_text")
"""The content types whose parts are what was said; others (code, execution_output, …) are a block of their own."""

_ABOUT_THE_PERSON = ("user_editable_context", "model_editable_context")
"""Content types with the custom instructions and the memory, which are repeated in every conversation."""

_MAX_LABEL = 500
"""Characters of a text in a placeholder; pointers and names are shorter."""


def conversation(entry: JsonEntry) -> Iterator[Imported | BadEntry]:
    """The conversation, and before it what of it cannot be read; nothing if nothing was said in it."""
    value = entry.value
    own = value.get("conversation_id") or value.get("id")
    talk = named_entry(entry, value.get("title"), session_id("chatgpt", own) if isinstance(own, str) else "")
    if not isinstance(own, str):
        yield BadEntry(entry.line, "has no conversation_id", talk)
        return
    try:
        seen = _seen(as_object(value.get("mapping"), "its mapping"), value.get("current_node"))
    except InvalidArgument as exc:
        yield BadEntry(entry.line, str(exc), talk)
        return
    made = turns(entry.line, enumerate(seen, 1), _turn)
    yield from made.reported(talk)
    if made.history:
        yield Imported(
            line=entry.line,
            session_id=session_id("chatgpt", own),
            title=title(value.get("title"), made.history),
            summary="",
            tags=(),
            created_at=instant(value.get("create_time")),
            updated_at=instant(value.get("update_time")),
            history=made.history,
            context=context("chatgpt", model=value.get("default_model_slug"), gizmo_id=value.get("gizmo_id")),
            halves=made.halves + mended(value.get("title"))[1],
        )


def _seen(mapping: JSONObject, leaf: object) -> list[object]:
    """The messages from the root to the leaf that the person saw; without a leaf, to the latest message."""
    nodes = {name: as_object(node, "a node of its mapping") for name, node in mapping.items()}
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


def _turn(message: JSONObject) -> JSONObject | None:
    author = as_object(message.get("author"), "its author")
    role = author.get("role")
    if role not in _ROLES:
        raise InvalidArgument("its author's role is none of user, assistant, tool and system")
    metadata = as_object(message.get("metadata") or {}, "its metadata")
    if metadata.get("is_visually_hidden_from_conversation"):
        return None
    if role == "system" and not metadata.get("is_user_system_message"):
        return None
    given = as_object(message.get("content"), "its content")
    if given.get("content_type") in _ABOUT_THE_PERSON:
        return None
    recipient = message.get("recipient")
    return turn(
        message.get("id"),
        cast("str", role),
        _content(given),
        message.get("create_time"),
        name=author.get("name"),
        recipient="" if recipient == "all" else recipient,
        attachments=metadata.get("attachments"),
    )


def _content(given: JSONObject) -> str | list[JSONObject]:
    kind, parts = given.get("content_type"), given.get("parts")
    if not isinstance(kind, str):
        raise InvalidArgument("its content has no content_type")
    if kind in _TALK:
        if not isinstance(parts, list):
            raise InvalidArgument("its content has no parts")
        return content([_block(part) for part in cast("list[object]", parts) if part not in ("", None)])
    return [{"type": kind} | {name: value for name, value in given.items() if name != "content_type"}]


def _block(part: object) -> JSONObject:
    """A part as a block: text, what was heard as text, or a small placeholder for a picture or another file."""
    if isinstance(part, str):
        return {"type": "text", "text": part}
    given = as_object(part, "a part of its content")
    kind = given.get("content_type")
    if not isinstance(kind, str):
        raise InvalidArgument("a part of its content has no content_type")
    if kind == "audio_transcription":
        return {"type": "text", "text": given.get("text")}
    return {"type": kind} | {
        name: value
        for name, value in given.items()
        if name != "content_type" and (isinstance(value, int | float) or _is_label(value))
    }


def _is_label(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _MAX_LABEL
