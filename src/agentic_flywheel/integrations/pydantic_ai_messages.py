"""Turns Pydantic AI's messages and records into what a session keeps, and back, unchanged."""

from dataclasses import dataclass
from typing import cast

from pydantic import TypeAdapter
from pydantic_ai.conversation_store import ConversationEntry, ConversationRecord
from pydantic_ai.messages import ModelMessagesTypeAdapter

from agentic_flywheel.documents.model import Document
from agentic_flywheel.errors import Damaged
from agentic_flywheel.json_text import JSONObject, dumps

FIELD = "pydantic_ai"
"""The field of a session's document in which the record of its conversation stands."""

_RECORD = TypeAdapter(ConversationRecord)


@dataclass(frozen=True, slots=True)
class Kept:
    """A conversation as its session keeps it: at the session's `revision`, with the messages of the current branch."""

    record: ConversationRecord
    revision: int
    turns: list[JSONObject]
    """As Pydantic AI gives messages, each with the id of its entry; its parent is the one before it."""
    context: JSONObject
    tags: tuple[str, ...]


def kept_in(document: Document) -> Kept | None:
    """The conversation that a session is; `None` if it is none.

    Raises:
        Damaged: it is one that cannot be read.

    """
    record: object = document.extra.get(FIELD)
    if record is None:
        return None
    try:
        read = _RECORD.validate_json(dumps(record))
    except ValueError:
        raise Damaged(
            "The record of the conversation cannot be read: a newer Pydantic AI may have written it."
        ) from None
    turns = [turn for turn in document.session.history if _is_message(turn)]
    return Kept(read, document.revision, turns, document.session.context, document.tags)


def dump_record(record: ConversationRecord) -> JSONObject:
    """A record as JSON."""
    return cast("JSONObject", _RECORD.dump_python(record, mode="json"))


def turn_of(entry: ConversationEntry) -> JSONObject:
    """An entry as a turn."""
    [message] = ModelMessagesTypeAdapter.dump_python([entry.message], mode="json")
    return {"id": entry.id, **cast("JSONObject", message)}


def entry_of(turn: JSONObject, parent_id: str | None) -> ConversationEntry:
    """The entry that a turn was.

    Raises:
        Damaged: it is no message.

    """
    message = {name: value for name, value in turn.items() if name != "id"}
    try:
        [read] = ModelMessagesTypeAdapter.validate_json(dumps([message]))
    except ValueError:
        raise Damaged(f"The message {turn['id']!r} cannot be read; is it of a newer Pydantic AI?") from None
    return ConversationEntry(id=turn["id"], parent_id=parent_id, message=read)


def left_record(turn: JSONObject, parent_id: str | None) -> JSONObject:
    """A turn that is on no current branch, as the log beside its session keeps it."""
    return {"id": turn["id"], "parent": parent_id, "turn": turn}


def _is_message(turn: JSONObject) -> bool:
    """Whether a turn is a message of Pydantic AI's, and not what another door added to the session."""
    return turn.get("kind") in ("request", "response") and isinstance(turn.get("id"), str)
