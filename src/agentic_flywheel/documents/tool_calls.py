"""Reads which tool calls a turn makes and which it answers, in the shapes in which programs keep them.

Only ids are read, never what was called or said. A part is a call or a result by the field that holds it
(`tool_calls`, `functionResponse` …), by its `type` or the like (`tool_use`, `function_call_output`, `tool-return` …),
or by a reference in it (`tool_call_id` …). Where a call has no id (Gemini, Ollama), its name stands for one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from agentic_flywheel.json_text import JSONObject

_CALLS = {
    "tool_calls", "toolCalls", "toolRequests", "tool_call", "toolUse", "tool_use", "function_call", "functionCall",
}  # fmt: skip
"""Fields that hold calls: OpenAI, LangChain, Copilot; Haystack, Bedrock, Gemini."""

_RESULTS = {"tool_call_result", "toolResult", "function_response", "functionResponse"}
"""Fields that hold a result: Haystack, Bedrock, Gemini in Python and in JavaScript."""

_INSIDE = {
    "content", "contents", "parts", "items", "blocks", "message", "data", "kwargs", "additional_kwargs", "origin",
}  # fmt: skip
"""Fields in which a turn, or a part of one, has more parts."""

_KINDS = ("type", "part_kind", "content_type", "block_type", "role")
_CALL_ENDINGS = ("_use", "_call")
_RESULT_ENDINGS = ("_result", "_output", "_return", "retry_prompt")
_RESULT_KINDS = ("tool", "function")

_REFERENCES = ("tool_call_id", "tool_use_id", "toolUseId", "toolCallId", "call_id", "callId", "callID")
"""Fields that name a call: in every result, in some programs' calls too."""

_DEPTH = 6
"""Levels of parts in parts: LangChain's and Google ADK's calls are in the fourth."""

LOOKED_BACK = 1000
"""Turns before a result among which its call is looked for; a result without a call is a turn like any other."""


@dataclass(slots=True)
class ToolCalls:
    """The ids of the calls that a turn makes, and of those whose results it has."""

    made: set[str] = field(default_factory=set[str])
    answered: set[str] = field(default_factory=set[str])


def tool_calls(turn: JSONObject) -> ToolCalls:
    """The calls of a turn, by id. One that is answered in the turn that makes it is in both."""
    found = ToolCalls()
    _read(turn, found, "", _DEPTH)
    return found


def next_start(history: Sequence[JSONObject], start: int, end: int) -> int:
    """The first position from `start` on where what follows answers no call of before; `end` if there is none."""
    calls = [tool_calls(turn) for turn in history[start:end]]
    made: dict[str, int] = {}
    last: dict[int, int] = {}  # by position of a call, that of its last result; -1 stands for all before `start`
    strangers: dict[str, int] = {}
    for position, each in enumerate(calls, start):
        made |= dict.fromkeys(each.made, position)
        for identity in each.answered:
            if identity in made:
                last[made[identity]] = position
            else:
                strangers[identity] = position
    known = _made_before(history, start, {*strangers})
    reached = max((strangers[identity] for identity in known), default=-1)
    while start <= min(reached, end - 1):
        reached = max(reached, last.get(start, -1))
        start += 1
    return start


def last_unit(history: Sequence[JSONObject], end: int) -> int:
    """The last position before `end` where what follows answers no call of before."""
    calls = [tool_calls(turn) for turn in reversed(history[max(0, end - LOOKED_BACK) : end])]
    alone: set[str] = set()
    for each in calls:
        alone = (alone | each.answered) - each.made
    waiting: set[str] = set()
    for distance, each in enumerate(calls, 1):
        waiting = (waiting | (each.answered - alone)) - each.made
        if not waiting:
            return end - distance
    return end


def _made_before(history: Sequence[JSONObject], start: int, wanted: set[str]) -> set[str]:
    """Those of these calls that were made in the turns before `start`."""
    found: set[str] = set()
    for position in range(start - 1, max(-1, start - 1 - LOOKED_BACK), -1):
        if found == wanted:
            break
        found |= tool_calls(history[position]).made & wanted
    return found


def _read(node: JSONObject, found: ToolCalls, role: str, depth: int) -> None:
    """Read a turn, or a part that is a call or a result by the field that it was in: its `role`."""
    references = [node[name] for name in _REFERENCES if node.get(name)]
    role = role or _role_by_kind(node)
    if references and "state" in node:  # a part of a UI message, or of opencode's: the call with its result
        found.made |= {*map(str, references)}
        found.answered |= {*map(str, references)}
    elif role or references:
        identity = str(references[0]) if references else _name_of(node)
        (found.made if role == "call" else found.answered).update({identity} if identity else ())
    for name, value in node.items() if depth else ():
        if value.__class__ is str or not value:
            continue
        inner = "call" if name in _CALLS else "result" if name in _RESULTS else role if name == "origin" else ""
        if inner or name in _INSIDE:
            for part in cast("list[object]", value if isinstance(value, list) else [value]):
                if isinstance(part, dict):
                    _read(cast("JSONObject", part), found, inner, depth - 1)


def _role_by_kind(node: JSONObject) -> str:
    for name in _KINDS:
        kind = node.get(name)
        if isinstance(kind, str):
            plain = kind.replace("-", "_")
            if plain in _RESULT_KINDS or plain.endswith(_RESULT_ENDINGS):
                return "result"
            if plain.endswith(_CALL_ENDINGS):
                return "call"
    is_call = "arguments" in node and "name" in node and "id" in node  # AutoGen's say no kind
    return "call" if is_call else ""


def _name_of(node: JSONObject) -> str:
    """The id of a call, or else its name; that of a message is none of a call."""
    identity = None if "role" in node else node.get("id")
    if isinstance(identity, str | int) and identity:
        return str(identity)
    function = node.get("function")
    name = cast("JSONObject", function).get("name") if isinstance(function, dict) else node.get("name")
    return f"name {name}" if isinstance(name, str) and name else ""
