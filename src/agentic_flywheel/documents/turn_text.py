"""Reads a turn of any program: who speaks, and what can be read of it, for all who show, search or compare turns.

Nothing that is stored is changed by it. A turn of no known shape is all of its JSON, without what nobody can read.
"""

from collections.abc import Iterator
from typing import NamedTuple

from agentic_flywheel.documents import turn_parts
from agentic_flywheel.documents.turn_parts import CALL, FILE, RESULT, SYSTEM, TEXT, Part
from agentic_flywheel.documents.turn_values import (
    as_object,
    first_object,
    first_text,
    is_list,
    is_object,
    leaves,
    readable,
)
from agentic_flywheel.json_text import JSONObject, dumps

USER, ASSISTANT, TOOL = "user", "assistant", "tool"

ROLES = {
    "human": USER, "ROLE_USER": USER, "usermessage": USER, "User": USER, "userMessage": USER, "HumanMessage": USER,
    "UserMessage": USER, "user.message": USER,
    "ai": ASSISTANT, "model": ASSISTANT, "bot": ASSISTANT, "agent": ASSISTANT, "ROLE_AGENT": ASSISTANT,
    "ROLE_MODEL": ASSISTANT, "gpt": ASSISTANT, "gemini": ASSISTANT, "apiMessage": ASSISTANT, "Machine": ASSISTANT,
    "AIMessage": ASSISTANT, "AIMessageChunk": ASSISTANT, "AssistantMessage": ASSISTANT, "response": ASSISTANT,
    "assistant.message": ASSISTANT, "AgentMessage": ASSISTANT, "ThoughtEvent": ASSISTANT,
    "ToolCallRequestEvent": ASSISTANT,
    "function": TOOL, "ToolMessage": TOOL, "FunctionExecutionResultMessage": TOOL, "ToolCallExecutionEvent": TOOL,
    "developer": SYSTEM, "SystemMessage": SYSTEM,
}  # fmt: skip
_TYPES = {each: each for each in (USER, ASSISTANT, TOOL, SYSTEM)} | ROLES
"""Roles by the names that programs give them, or their classes."""

_SPEAKERS = ("role", "author", "source", "sender", "speaker", "from")
_NAMES = ("name", "speaker", "author", "sender", "source")
"""Fields of a turn that name who speaks: a question names them too."""

_INSIDE = ("kwargs", "data", "payload", "message", "item", "content")
_INSIDE_UNTYPED = tuple(name for name in _INSIDE if name != "data")
"""Fields in which a turn may lie."""

_THOUGHTS = ("reasoning_content", "reasoning", "thinking", "thought", "thoughts", "reasoningText", "reasonContent")
_CONTENTS = ("content", "_content", "parts", "contents", "items", "blocks")
_TEXTS = ("text", "value", "task", "system_prompt", "model_output", "plan")
_STEPS = (("task", USER), ("system_prompt", SYSTEM), ("step_number", ASSISTANT), ("plan", ASSISTANT))
_CALLS = ("tool_calls", "toolCalls", "function_call", "toolInvocations", "toolRequests", "invalid_tool_calls")
_FILES = ("attachments", "experimental_attachments", "files", "images", "videos", "documents", "fileUploads")
_READ = frozenset((*_THOUGHTS, *_CONTENTS, *_CALLS, *_FILES, "refusal", "observations"))


class Reading(NamedTuple):
    """A turn as it is read: its speaker as the turn names them, their role, and the parts in order."""

    who: str
    role: str
    parts: list[Part]


def read(turn: JSONObject) -> Reading:
    """Read a turn; `who` is empty if it does not say, `parts` if there is none in it."""
    levels = _levels(turn)
    alone = turn_parts.stands_alone(levels[-1])
    speaks = _speaker(levels)
    if alone and "role" not in levels[-1] and "source" not in levels[-1]:
        role = TOOL if alone == RESULT else ASSISTANT
        return Reading(role, role, [*turn_parts.part_of(levels[-1])])
    parts: list[Part] = []
    for level in levels:
        _add(parts, level, last=level is levels[-1])
    who, role = speaks or ("", "")
    role = role or _role_of_kind(levels, parts) or who
    if role == USER and parts and all(part.kind == RESULT for part in parts):
        role = TOOL
    return Reading(who or role, role, parts)


def said_in(turn: JSONObject, *, whole: bool = True) -> tuple[str | None, str]:
    """Who speaks, and what is shown of a turn; `None` for one of no known shape, which is shown as its JSON.

    `whole`: with what else one has that is plain, a role and a text.
    """
    role, content = turn.get("role"), turn.get("content")
    if not isinstance(role, str) or not isinstance(content, str):
        who, _, parts = read(turn)
        return (who, "\n".join(part.shown for part in parts)) if who and parts else (None, dumps(readable(turn)))
    if len(turn) == len(_BARE):
        return role, content
    said = content if turn.keys().isdisjoint(_BESIDE) else "\n".join(part.shown for part in read(turn).parts)
    if not whole:
        return role, said
    rest = {
        name: value
        for name, value in turn.items()
        if name not in _BARE and value not in _EMPTY and not (name in _READ and isinstance(value, _READ_AS))
    }
    return role, f"{said} {dumps(readable(rest))}" if rest else said


_BARE = frozenset(("role", "content"))
_EMPTY: tuple[object, ...] = (None, "", [], {})
_READ_AS = (str, list, dict)
_BESIDE = _READ - _BARE | {"additional_kwargs", "error"}
"""Fields beside a text that are read."""


def words_in(turn: JSONObject) -> str:
    """What of a turn is searched: its words, none of the names of fields."""
    role, content = turn.get("role"), turn.get("content")
    if isinstance(role, str) and isinstance(content, str) and content and turn.keys().isdisjoint(_BESIDE):
        return content
    if parts := read(turn).parts:
        return "\n".join(part.words for part in parts if part.words)
    return " ".join(leaves({name: turn[name] for name in turn if name not in _SPEAKERS}))


def names_in(turn: JSONObject) -> str:
    """The names that a turn gives to who speaks."""
    names = (name for field in _NAMES if isinstance(name := turn.get(field), str))
    return " ".join(name for name in names if name not in _TYPES)


def asked_in(turn: JSONObject) -> str:
    """What the user says in a turn, or gives with it; empty for another's turn."""
    role, content = turn.get("role"), turn.get("content")
    if isinstance(role, str) and ROLES.get(role, role) != USER:
        return ""
    if isinstance(role, str) and isinstance(content, str) and content.strip():
        return content
    _, role, parts = read(turn)
    said = [part.words for part in parts if part.kind == TEXT] or [part.words for part in parts if part.kind == FILE]
    return "\n".join(said) if role == USER else ""


def text_in(turn: JSONObject) -> str:
    """What a turn says in words only; empty if it says anything else, or nothing."""
    content = turn.get("content")
    if isinstance(content, str):
        return content
    if (texts := turn_parts.texts_in(content)) is not None:
        return "\n".join(texts)
    if turn.keys().isdisjoint(_HOLDING):
        return ""
    parts = read(turn).parts
    return "\n".join(part.words for part in parts) if all(part.kind == TEXT for part in parts) else ""


_HOLDING = frozenset((*_CONTENTS, "kwargs", "data", "message"))


def _levels(turn: JSONObject) -> list[JSONObject]:
    """The turn, and what lies in it, the message itself last."""
    levels = [turn]
    while len(levels) < len(_INSIDE):
        level = levels[-1]
        if isinstance(level.get("content"), str | list):
            break
        held = first_object(level, _INSIDE if isinstance(level.get("type"), str) else _INSIDE_UNTYPED)
        if not held:
            break
        levels.append(held)
    return levels


def _speaker(levels: list[JSONObject]) -> tuple[str, str] | None:
    """Who speaks, as the turn names them, and their role if that is known; `None` if no field says who."""
    who = ""
    for level in [*levels, as_object(levels[0].get("info"))]:
        for field in _SPEAKERS:
            value = level.get(field)
            if value is None:
                continue
            if name := value if isinstance(value, str) else first_text(as_object(value), ("role", "name")):
                who = who or name
                if name in _TYPES:
                    return who, _TYPES[name]
    return (who, "") if who else None


def _role_of_kind(levels: list[JSONObject], parts: list[Part]) -> str:
    """The role by the kind of the message, or by the fields of the steps of an agent."""
    last = levels[-1]
    if last.get("kind") == "request" and parts:  # what pydantic-ai sends to a model: prompts and results
        kinds = {part.kind for part in parts}
        return USER if kinds & {TEXT, FILE} else TOOL if RESULT in kinds else SYSTEM
    role = next((_TYPES[kind] for level in reversed(levels) if (kind := turn_parts.kind_of(level)) in _TYPES), "")
    return role or next((made for field, made in _STEPS if last.get(field) is not None), "")


def _add(parts: list[Part], level: JSONObject, *, last: bool) -> None:
    """Add what one level of a turn holds; what stands in two forms is added once."""
    names = level.keys()
    if not names.isdisjoint(_THOUGHTS):
        parts += _thoughts(level)
    for field in _CONTENTS:
        value = level.get(field)
        if is_list(value) or (isinstance(value, str) and field == "content"):
            said = {part.shown for part in parts}
            parts += [part for part in turn_parts.parts_in(value) if part.kind != TEXT or part.shown not in said]
    if last and not names.isdisjoint(_TEXTS) and not any(part.kind == TEXT for part in parts):
        parts += turn_parts.parts_in(first_text(level, _TEXTS))
    if not names.isdisjoint(_MORE):
        parts += _more(level)
    if not names.isdisjoint(_CALLS) and not any(part.kind == CALL for part in parts):
        parts += [part for field in _CALLS for each in _objects(level.get(field)) for part in turn_parts.called(each)]
    if not names.isdisjoint(_FILES):
        parts += [turn_parts.file(each) for field in _FILES for each in _objects(level.get(field))]
    if isinstance(seen := level.get("observations"), str) and seen:
        parts.append(turn_parts.result({"output": seen}))


def _thoughts(level: JSONObject) -> Iterator[Part]:
    value = next((level[field] for field in _THOUGHTS if level.get(field)), None)
    if isinstance(value, str | list):
        yield from turn_parts.thought({"text": value})
    elif is_object(value):
        yield from turn_parts.thought(value)


_MORE = ("refusal", "error", "additional_kwargs")


def _more(level: JSONObject) -> Iterator[Part]:
    """Refusals and errors, and what LangChain puts beside."""
    beside = as_object(level.get("additional_kwargs"))
    if refusal := first_text(level, ("refusal",)) or first_text(beside, ("refusal",)):
        yield from turn_parts.part_of({"type": "refusal", "refusal": refusal})
    if thought := first_text(beside, ("reasoning_content",)):
        yield from turn_parts.thought({"text": thought})
    if message := first_text(as_object(level.get("error")), ("message",)):
        yield from turn_parts.part_of({"type": "error", "message": message})


def _objects(value: object) -> list[JSONObject]:
    """The objects in a value; a name of a file is one, too."""
    values = value if is_list(value) else [value] if is_object(value) else []
    held = [each if is_object(each) else {"url": each} for each in values if each]
    return [each for each in held if isinstance(each.get("url", ""), str)]
