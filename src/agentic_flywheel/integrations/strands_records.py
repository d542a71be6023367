"""Says how Strands' records lie in a session: its messages are the turns, all else is the context."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from strands.types.session import SessionMessage

from agentic_flywheel.documents.model import Document
from agentic_flywheel.json_text import JSONObject, mended

SESSION = "strands_session"
"""The key of the context that holds the session's own record; a session without it is not one of Strands'."""

AGENT, MULTI_AGENT = "strands_agent:", "strands_multi_agent:"
"""What the keys begin with that hold the states of agents and of groups of agents; their ids follow."""

NOTE = "session_message"
"""The field of a turn that holds what Strands keeps beside the message: whose it is, its number, its times."""


@dataclass(slots=True)
class Known:
    """What a session holds at a revision, as far as a writer must know it."""

    revision: int = 0
    context: JSONObject = field(default_factory=JSONObject)
    messages: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])
    """Agent and number of each message."""

    @classmethod
    def of(cls, document: Document | None) -> "Known":
        """What is known of a stored session; of none, that there is nothing."""
        known = cls()
        if document:
            known.learn(document.revision, document.session.history, document.session.context)
        return known

    def learn(self, revision: int, history: Sequence[JSONObject], context: JSONObject) -> None:
        """These were added, which made that revision."""
        self.revision = revision
        self.context |= {key: value for key, value in context.items() if key.startswith("strands_")}
        self.messages |= {(note["agent_id"], note["message_id"]) for _, note in noted(history)}


def noted(history: Sequence[JSONObject]) -> Iterator[tuple[int, JSONObject]]:
    """The turns that are messages of agents: the position of each, and its note."""
    for at, turn in enumerate(history):
        note = turn.get(NOTE)
        if isinstance(note, dict) and "agent_id" in note and "message_id" in note:
            yield at, cast("JSONObject", note)


def turn_of(agent_id: str, message: SessionMessage) -> JSONObject:
    """The message as it is, with a note; of a redacted one what it is now, and in the note what it was."""
    record = plain(message.to_dict())
    was, now = record.pop("message"), record.pop("redact_message")
    note = {"agent_id": agent_id, **record}
    return {**was, NOTE: note} if now is None else {**now, NOTE: {**note, "message": was}}


def message_of(turn: JSONObject) -> SessionMessage:
    """The message of a turn that `turn_of` made."""
    note = cast("JSONObject", turn[NOTE])
    shown = {name: value for name, value in turn.items() if name != NOTE}
    redacted = {"message": note["message"], "redact_message": shown} if "message" in note else {"message": shown}
    return SessionMessage.from_dict({**note, **redacted})


def plain(record: dict[str, Any]) -> JSONObject:
    """The record as JSON gives it back, with U+FFFD for half a surrogate pair."""
    return mended(json.loads(json.dumps(record)))[0]
