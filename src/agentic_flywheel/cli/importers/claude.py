"""Reads the conversations of Claude's data export: objects with `chat_messages`.

The vendor documents no format; this is what exports of 2023 to 2026-11 hold. A message has `uuid`, `sender` (human or
assistant), `text` and, since 2024, the blocks of `content`, where `text` has only a placeholder for what is not text.
Long text that was pasted in is an attachment with `extracted_content`. Later exports name each message's
`parent_message_uuid`; earlier ones have the messages of all branches in one list, which cannot be told apart and all
come in. A message is an answer whole: with its thoughts, calls of tools and their results. Most exports do not say to
which project a conversation belongs.
"""

from collections.abc import Iterator
from typing import cast

from agentic_flywheel.cli.importers.branches import branch, newest
from agentic_flywheel.cli.importers.conversation import (
    Imported,
    content,
    context,
    instant,
    mended,
    must_be_object,
    named_entry,
    tagged,
    text,
    title,
    turn,
    turns,
)
from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry
from agentic_flywheel.cli.importers.web_pages import shortened_within
from agentic_flywheel.documents.turn_values import as_object
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.keys import id_of

_ROLES = {"human": "user", "assistant": "assistant"}

_NOTES = ("token_budget", "flag")
"""Blocks that the program writes for itself."""

_SEARCHES = ("web_search", "web_fetch")
"""Tools whose results are whole web pages."""

BEFORE_THE_FIRST = "00000000-0000-4000-8000-000000000000"
"""What the first message of a conversation names as the one before it."""


def conversation(entry: JsonEntry) -> Iterator[Imported | BadEntry]:
    """The conversation, and before it what of it cannot be read; nothing if nothing was said in it."""
    value = entry.value
    uuid, messages = value.get("uuid"), value.get("chat_messages")
    talk = named_entry(entry, value.get("name"), id_of("claude", uuid) if isinstance(uuid, str) and uuid else "")
    if not isinstance(uuid, str) or not uuid:
        yield BadEntry(entry.line, "has no uuid", talk)
        return
    if messages is None:
        return
    if not isinstance(messages, list):
        yield BadEntry(entry.line, "has no list of chat_messages", talk)
        return
    try:
        seen = _seen(cast("list[object]", messages), value.get("current_leaf_message_uuid"))
    except InvalidArgument as exc:
        yield BadEntry(entry.line, str(exc), talk)
        return
    made = turns(entry.line, seen, _turn, is_whole=entry.is_whole)
    yield from made.reported(talk)
    if made.history:
        yield Imported(
            line=entry.line,
            session_id=id_of("claude", uuid),
            title=title(value.get("name"), made.history),
            summary=text(value.get("summary")),
            tags=_tags(value.get("project"), value.get("project_uuid")),
            created_at=instant(value.get("created_at")),
            updated_at=instant(value.get("updated_at")),
            history=made.history,
            context=context("claude", model=value.get("model")),
            halves=made.halves + mended(value.get("name"))[1],
        )


def _seen(messages: list[object], leaf: object) -> list[tuple[int, object]]:
    """The messages of the branch that the person saw, numbered from 1, and those that are in no branch."""
    numbered = list(enumerate(messages, 1))
    known = {uuid: cast("JSONObject", message) for message in messages if (uuid := _uuid(message))}
    if not any(isinstance(message.get("parent_message_uuid"), str) for message in known.values()):
        return numbered
    if not isinstance(leaf, str) or leaf not in known:
        leaf = newest({uuid: instant(message.get("created_at")) for uuid, message in known.items()})
    parents = {uuid: message.get("parent_message_uuid") for uuid, message in known.items()}
    path = set(branch(leaf, parents, [BEFORE_THE_FIRST]))
    return [(number, message) for number, message in numbered if (uuid := _uuid(message)) in path or not uuid]


def _uuid(message: object) -> str:
    uuid = as_object(message).get("uuid")
    return uuid if isinstance(uuid, str) else ""


def _turn(message: JSONObject) -> JSONObject | None:
    sender = message.get("sender")
    if not isinstance(sender, str) or sender not in _ROLES:
        raise InvalidArgument("its sender is neither human nor assistant")
    blocks, plain = message.get("content"), message.get("text")
    if blocks is None and plain is None:  # a generation that failed
        return None
    given = plain if not blocks and isinstance(plain, str) else blocks
    said = content(_blocks(cast("list[object]", given)) if isinstance(given, list) else given)
    return turn(
        message.get("uuid"),
        _ROLES[sender],
        plain if not said and isinstance(plain, str) else said,
        message.get("created_at"),
        attachments=message.get("attachments"),
        files=message.get("files"),
    )


def _blocks(blocks: list[object]) -> list[JSONObject]:
    """The blocks that the person saw, in one shape: no signatures, no thoughts without text, no notes of the program.

    Raises:
        InvalidArgument: one is not an object.

    """
    given = [must_be_object(block, "a block of its content") for block in blocks]
    tools: dict[object, object] = {
        block.get("id"): block.get("name") for block in given if isinstance(block.get("id"), str)
    }
    return [seen for block in given if (seen := _seen_block(block, tools))]


def _seen_block(block: JSONObject, tools: dict[object, object]) -> JSONObject | None:
    kind = block.get("type")
    if kind in _NOTES:
        return None
    if kind == "thinking":
        thought = block.get("thinking")
        return {"type": kind, "thinking": thought} if isinstance(thought, str) and thought.strip() else None
    if kind == "text":
        kept = {name: block[name] for name in ("text", "citations") if block.get(name)}
        return {"type": kind} | kept if kept else None
    if kind == "tool_use":
        return {"type": kind} | {name: block[name] for name in ("id", "name", "input") if block.get(name) is not None}
    if kind == "tool_result":
        return _result(block, tools)
    return block


def _result(block: JSONObject, tools: dict[object, object]) -> JSONObject:
    own, name = block.get("tool_use_id"), block.get("name")
    name = name or (tools.get(own) if isinstance(own, str) else None)
    said, kept = block.get("content"), {"tool_use_id": own} if own else {}
    if name in _SEARCHES:
        said = shortened_within(said)
    elif isinstance(said, list):
        said = [shortened_within(each) if _is_page(each) else each for each in cast("list[object]", said)]
    more = {"name": name} if name else {}
    return (
        {"type": "tool_result"}
        | kept
        | more
        | {"content": said}
        | ({"is_error": True} if block.get("is_error") else {})
    )


def _is_page(value: object) -> bool:
    return isinstance(value, dict) and cast("JSONObject", value).get("type") == "knowledge"


def _tags(project: object, uuid: object) -> tuple[str, ...]:
    """The tag of the conversation's project, where the export says it."""
    known = as_object(project)
    names = (known.get("name"), project if isinstance(project, str) else None, known.get("uuid"), uuid)
    return tagged("project", next((name for name in names if isinstance(name, str)), ""))
