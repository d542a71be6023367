"""Reads the arguments of a tool as clients really send them, by the tool's published schema, before the SDK sees them.

Clients with strict schemas send every parameter, models write numbers and lists as text, programs cut an emoji in two.
What can mean only one thing is taken for it; anything else is refused in words that say what to send.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, cast

from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.plain_text import MAX_WRONG, brief, quoted
from agentic_flywheel.server.halves import read_json

ADDED_BY_CLIENTS = frozenset({
    "_meta", "random_string", "task_progress", "tool", "toolCallId", "wait_for_previous",
})  # fmt: skip
"""Arguments of their own that n8n, Cline, Cursor and Gemini CLI are known to put in."""

NOTHING_AS_ZERO = frozenset({"before_turn", "expected_revision", "limit", "max_tokens", "revision"})
"""Parameters that are absent where they are 0: what a client sends that must send a number."""

MEANT = {"conversation": "history", "messages": "history", "turns": "history"}
"""What some call a parameter whose name is nothing like it."""

WRAPPERS = frozenset({"history", *MEANT})
"""The only key of an object around a list of turns, as a file or a framework's state has it."""

FAULTS = 5
"""Wrong or unknown arguments that one refusal names."""

TURN = '{"role": "user", "content": "Hello"}'
EXAMPLE_TEXTS = '["garden", "plan"]'

NO_FIELDS = (
    "is {}, which is no turn: it says nothing. Your client's strict schema allows no fields; send history as JSON text "
    f"([{TURN}]) or turn strict off."
)

_ABSENT = object()


def read_arguments(tool: str, schema: JSONObject, sent: Mapping[str, Any]) -> JSONObject:
    """The arguments of a tool with this schema as its function takes them.

    Raises:
        InvalidArgument: names what is wrong, what came, and what to send.

    """
    kinds: dict[str, JSONObject] = schema["properties"]
    given = {name: value for name, value in sent.items() if name in kinds or name not in ADDED_BY_CLIENTS}
    if unknown := sorted(given.keys() - kinds.keys()):
        raise InvalidArgument(_unknown(tool, unknown[:FAULTS], [*kinds]))
    read, faults = JSONObject(), dict[str, str]()
    for name, value in given.items():
        try:
            argument = _read(value, name, kinds[name])
        except InvalidArgument as exc:
            faults[name] = str(exc)
        else:
            if argument is not _ABSENT:
                read[name] = argument
    for name in schema.get("required", ()):
        if name not in read:
            faults.setdefault(name, f"{tool} needs {name}, such as {_example(name, kinds[name])}.")
    if faults:
        raise InvalidArgument(" ".join([*faults.values()][:FAULTS]))
    return read


def not_an_object(of: str, value: object, schema: JSONObject | None) -> str:
    """What is wrong with `value` as all the arguments of a tool with this schema, or of a prompt, without one."""
    kinds: dict[str, JSONObject] = schema["properties"] if schema else {}
    names = schema.get("required") or [*kinds][:1] if schema else []
    example = ", ".join(f'"{name}": {_example(name, kinds[name])}' for name in names)
    return str(_refusal(f"The arguments of {of}", "an object", f"{{{example}}}", _kind_of(value)))


def offering_null(schema: JSONObject) -> JSONObject:
    """The schema of an optional parameter, with null where a client that must send it has no other harmless value.

    For a text that is "", for an object {}, for a history []; no number, choice or list of tags says nothing.
    """
    if schema["type"] != "integer" and "enum" not in schema and not _holds_texts(schema):
        return schema
    kind = {name: schema[name] for name in ("type", "enum", "items") if name in schema}
    return {"anyOf": [kind, {"type": "null"}]} | {name: schema[name] for name in schema if name not in kind}


def _read(value: object, name: str, schema: JSONObject) -> object:
    kind: JSONObject = schema["anyOf"][0] if "anyOf" in schema else schema
    if value is None:
        return _ABSENT
    if kind["type"] == "string" and "enum" not in kind:
        return _text(value, name)
    if isinstance(value, str) and not value.strip():
        return _ABSENT
    if "enum" in kind:
        return _choice(value, name, kind["enum"])
    if (found := _of_json(value, name)) is None:
        return _ABSENT
    if kind["type"] == "integer":
        return _whole_number(found, name)
    if kind["type"] == "object":
        return _object(found, name)
    return _texts(found, value, name) if _holds_texts(kind) else _turns(found, name)


def _text(value: object, name: str) -> str:
    if isinstance(value, str):
        return value
    if type(value) is int:  # how Inspector sends digits
        return str(value)
    raise _refusal(name, "text", f'"{brief(value)}"' if isinstance(value, float) else '"garden"', _kind_of(value))


def _choice(value: object, name: str, allowed: list[str]) -> object:
    if isinstance(value, str) and (meant := value.strip().lower()) in allowed:
        return meant
    raise InvalidArgument(f"{name} must be one of {', '.join(allowed)}; {_quoted(value)} came.")


def _whole_number(value: object, name: str) -> object:
    number = int(value) if isinstance(value, float) and value.is_integer() else value
    if type(number) is not int:
        raise _refusal(name, "a whole number", "20", _quoted(value))
    return _ABSENT if number == 0 and name in NOTHING_AS_ZERO else number


def _object(value: object, name: str) -> JSONObject:
    if isinstance(value, dict):
        return cast("JSONObject", value)
    if value == []:  # how PHP writes an empty object
        return {}
    raise _refusal(name, "an object", '{"place": "garden"}', _kind_of(value))


def _texts(value: object, sent: object, name: str) -> object:
    """A list of texts. What was sent as bare text is one, or several with commas between them."""
    if isinstance(sent, str) and _kind_of(value) not in ("a list", "an object"):
        bare = [text for part in sent.split(",") if (text := part.strip(' "'))]
        return bare or _ABSENT
    if not isinstance(value, list):
        raise _refusal(name, "a list of texts", EXAMPLE_TEXTS, _kind_of(value))
    texts = cast("list[object]", value)
    for at, text in enumerate(texts):
        if not isinstance(text, str):
            raise _refusal(f"{name}[{at}]", "text", EXAMPLE_TEXTS, _kind_of(text))
    return texts


def _turns(value: object, name: str) -> list[object]:
    """A list of turns, each of which may be JSON text. One turn is a list of one; a list may stand in an object."""
    if not isinstance(value, list | dict):
        raise _refusal(name, "a list of turns", f"[{TURN}]", _kind_of(value))
    turns = cast("list[object]", value if isinstance(value, list) else _wrapped(cast("JSONObject", value)))
    return [turn if turn.__class__ is dict and turn else _turn(turn, f"{name}[{at}]") for at, turn in enumerate(turns)]


def _wrapped(value: JSONObject) -> list[object]:
    name, inner = next(iter(value.items()), ("", None))
    return cast("list[object]", inner) if len(value) == 1 and name in WRAPPERS and isinstance(inner, list) else [value]


def _turn(value: object, name: str) -> object:
    turn = _of_json(value, name)
    if turn == {}:
        raise InvalidArgument(f"{name} {NO_FIELDS}")
    if not isinstance(turn, dict):
        raise _refusal(name, "an object", TURN, _kind_of(value))
    return cast("JSONObject", turn)


def _of_json(value: object, name: str) -> object:
    """What a text is as JSON, or as JSON text of JSON text, if it is any; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        found = read_json(value, name)
    except (ValueError, RecursionError):
        return value
    return _of_json(found, name) if isinstance(found, str) and found.strip()[:1] in ("[", "{") else found


def _holds_texts(schema: JSONObject) -> bool:
    return schema["type"] == "array" and schema["items"].get("type") == "string"


def _refusal(name: str, wanted: str, example: str, came: str) -> InvalidArgument:
    return InvalidArgument(f"{name} must be {wanted}, such as {example}; {came} came.")


def _quoted(value: object) -> str:
    """A wrong number or choice as it came. Anything else may be the caller's conversation: its kind is named."""
    if isinstance(value, str):
        return f"the text {quoted(brief(value))}" if len(value) <= MAX_WRONG else "a longer text"
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return brief(value) if is_number else _kind_of(value)


def _kind_of(value: object) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    return json.dumps(value) if value is None or isinstance(value, bool) else "a number"


def _example(name: str, schema: JSONObject) -> str:
    if schema["type"] == "string":
        return f'"{name.removesuffix("_id")}-1"'
    return "3" if schema["type"] == "integer" else '{"answer": "ferns"}'


def _unknown(tool: str, names: list[str], known: list[str]) -> str:
    named = ", ".join(quoted(name[:80]) for name in names)
    meant = dict.fromkeys(near for name in names if (near := _nearest(name, known)))
    hint = f" Did you mean {', '.join(meant)}?" if meant else ""
    return f"{tool} takes no argument {named}.{hint} It takes: {', '.join(known) or 'none'}."


def _nearest(name: str, known: list[str]) -> str | None:
    """The parameter that was probably meant: nearly the same letters, or the same last word."""
    snake = re.sub("(?<=[a-z])(?=[A-Z])", "_", name[:80]).lower().replace("-", "_")
    if (meant := MEANT.get(snake)) in known:
        return meant
    import difflib  # here: most servers never need it

    near = difflib.get_close_matches(snake, known, 1)
    last = snake.rpartition("_")[2]
    return near[0] if near else next((each for each in known if each.rpartition("_")[2] == last), None)
