"""Reads the conversations of Claude's data export: `conversations.json`, an array of objects with `chat_messages`.

The vendor documents no format; this is what exports hold. A message has `uuid`, `sender` (human or assistant), `text`
and, since 2024, the blocks of `content`, where `text` has only a placeholder for what is not text. Long text that was
pasted in is an attachment with `extracted_content`. Later exports name each message's `parent_message_uuid`; earlier
ones have the messages of all branches in one list, which cannot be told apart and all come in.
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
    named_entry,
    session_id,
    text,
    title,
    turn,
    turns,
)
from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject

_ROLES = {"human": "user", "assistant": "assistant"}


BEFORE_THE_FIRST = "00000000-0000-4000-8000-000000000000"
"""What the first message of a conversation names as the one before it."""


def conversation(entry: JsonEntry) -> Iterator[Imported | BadEntry]:
    """The conversation, and before it what of it cannot be read; nothing if nothing was said in it."""
    value = entry.value
    uuid, messages = value.get("uuid"), value.get("chat_messages")
    talk = named_entry(entry, value.get("name"), session_id("claude", uuid) if isinstance(uuid, str) and uuid else "")
    if not isinstance(uuid, str) or not uuid:
        yield BadEntry(entry.line, "has no uuid", talk)
        return
    if not isinstance(messages, list):
        yield BadEntry(entry.line, "has no list of chat_messages", talk)
        return
    try:
        seen = _seen(cast("list[object]", messages), value.get("current_leaf_message_uuid"))
    except InvalidArgument as exc:
        yield BadEntry(entry.line, str(exc), talk)
        return
    made = turns(entry.line, seen, _turn)
    yield from made.reported(talk)
    if made.history:
        yield Imported(
            line=entry.line,
            session_id=session_id("claude", uuid),
            title=title(value.get("name"), made.history),
            summary=text(value.get("summary")),
            tags=(),
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
    uuid = cast("JSONObject", message).get("uuid") if isinstance(message, dict) else None
    return uuid if isinstance(uuid, str) else ""


def _turn(message: JSONObject) -> JSONObject | None:
    sender = message.get("sender")
    if not isinstance(sender, str) or sender not in _ROLES:
        raise InvalidArgument("its sender is neither human nor assistant")
    blocks, plain = message.get("content"), message.get("text")
    said = content(plain if not blocks and isinstance(plain, str) else blocks)
    return turn(
        message.get("uuid"),
        _ROLES[sender],
        plain if not said and isinstance(plain, str) else said,
        message.get("created_at"),
        attachments=message.get("attachments"),
        files=message.get("files"),
    )
