"""Reads the messages in a checkpoint as turns, and applies to them what tasks wrote."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from langchain_core.messages import BaseMessage, message_to_dict
from langgraph.checkpoint.base import Checkpoint, DeltaChannelHistory
from langgraph.checkpoint.serde.types import _DeltaSnapshot  # pyright: ignore[reportPrivateUsage]

from agentic_flywheel.json_text import JSONObject, canonical


def messages_in(checkpoint: Checkpoint, channel: str) -> list[object] | None:
    """The messages of a channel; `None` where it has no value, as one of deltas has not at most checkpoints."""
    value: object = checkpoint["channel_values"].get(channel)
    if isinstance(value, _DeltaSnapshot):
        value = value.value
    return None if value is None else _listed(value)


def replayed(history: DeltaChannelHistory) -> list[object]:
    """The messages that a channel of deltas comes to."""
    seed: object = history.get("seed")
    messages = _listed(seed.value if isinstance(seed, _DeltaSnapshot) else seed)
    for _, _, value in history["writes"]:
        for message in _listed(value):
            messages = _with(messages, message)
    return messages


def _with(messages: list[object], message: object) -> list[object]:
    """The messages with another one: in the place of the one of its id, or at the end; or without one."""
    name = getattr(message, "id", None)
    if getattr(message, "type", "") == "remove":
        return [] if name == "__remove_all__" else [each for each in messages if getattr(each, "id", None) != name]
    for at, each in enumerate(messages):
        if name and getattr(each, "id", None) == name:
            return [*messages[:at], message, *messages[at + 1 :]]
    return [*messages, message]


def turn_of(message: object) -> JSONObject:
    """A message as a turn: LangChain's as `message_to_dict` gives it, so that `messages_from_dict` reads it again."""
    if isinstance(message, BaseMessage):
        return message_to_dict(message)
    if isinstance(message, Mapping):
        return dict(cast("Mapping[str, Any]", message))
    match message:
        case (str() as role, str() as content):  # ("user", "words")
            return {"role": role, "content": content}
        case _:
            return {"content": str(message)}


def is_same(stored: object, message: object) -> bool:
    """Whether a turn that is stored, or the message of which it was made, is this message."""
    if stored is message:
        return True
    if isinstance(stored, BaseMessage) and isinstance(message, BaseMessage):
        return type(stored) is type(message) and stored == message
    return canonical(_as_turn(stored)) == canonical(_as_turn(message))


def common(stored: Sequence[object], messages: Sequence[object]) -> int:
    """How many of the first messages are stored already."""
    count = 0
    for one, other in zip(stored, messages, strict=False):
        if not is_same(one, other):
            break
        count += 1
    return count


def _as_turn(value: object) -> JSONObject:
    return cast("JSONObject", value) if isinstance(value, dict) else turn_of(value)


def _listed(value: object) -> list[object]:
    if isinstance(value, list | tuple) and not (isinstance(value, tuple) and value and isinstance(value[0], str)):
        return list(cast("Sequence[object]", value))
    return [] if value is None else [value]
