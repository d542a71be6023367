"""Turns Pydantic AI's messages and records into what a session keeps, and back, unchanged."""

from dataclasses import dataclass
from typing import cast

from pydantic import TypeAdapter
from pydantic_ai.conversation_store import ConversationEntry, ConversationRecord
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    UserPromptPart,
)
from pydantic_ai.usage import RunUsage

from agentic_flywheel.documents.model import Document
from agentic_flywheel.errors import Damaged
from agentic_flywheel.integrations.spoken import spoken
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


def kept_in(document: Document) -> Kept:
    """The conversation that a session is. What other programs said in it before Pydantic AI did is its beginning.

    Raises:
        Damaged: it is one that cannot be read.

    """
    history = document.session.history
    own = [turn for turn in history if _is_message(turn)]
    before = next((place for place, turn in enumerate(history) if _is_message(turn)), len(history))
    turns = [_said(document, place) for place in range(before)] + own
    record: object = document.extra.get(FIELD)
    if record is None:
        begun = ConversationRecord(
            conversation_id=document.session.id,
            head_id=turns[-1]["id"] if turns else None,
            usage=RunUsage(),
            scope=document.session.user_id or None,
            revision=f"{document.session.id}#{document.revision}",
            updated_at=document.session.updated_at,
        )
        return Kept(begun, document.revision, turns, document.session.context, document.tags)
    try:
        read = _RECORD.validate_json(dumps(record))
    except ValueError:
        raise Damaged(
            "The record of the conversation cannot be read: a newer Pydantic AI may have written it."
        ) from None
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


def _said(document: Document, place: int) -> JSONObject:
    """What another program said, as a message of Pydantic AI's; the same one at each reading."""
    (role, text), at = spoken(document.session.history[place]), document.session.created_at
    if role == "assistant":
        message: ModelMessage = ModelResponse(parts=[TextPart(text)], timestamp=at)
    else:
        prompt = UserPromptPart if role == "user" else SystemPromptPart
        message = ModelRequest(parts=[prompt(text, timestamp=at)], timestamp=at)
    return turn_of(ConversationEntry(id=f"{document.session.id}#{place}", parent_id=None, message=message))


def _is_message(turn: JSONObject) -> bool:
    """Whether a turn is a message of Pydantic AI's, and not what another door added to the session."""
    return turn.get("kind") in ("request", "response") and isinstance(turn.get("id"), str)
