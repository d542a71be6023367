"""Takes values of any JSON for reading: as text for people, as words for searches, without what nobody can read."""

import json
import re
from collections.abc import Iterator
from typing import TypeGuard

from agentic_flywheel.json_text import JSONObject, dumps

UNREADABLE = frozenset((
    "signature", "thought_signature", "thoughtSignature", "thinkingSignature", "reasoningSignature",
    "encrypted_content", "encryptedContent", "encrypted_index", "encrypted_stdout", "protected_data", "protectedData",
    "redactedContent", "redacted_content", "b64_json", "bytes", "file_data", "cachePoint", "cache_control",
))  # fmt: skip
"""Fields that hold no words: signatures, encrypted reasoning, files."""

STRUCTURAL = frozenset((
    "type", "part_kind", "block_type", "content_type", "kind", "object", "role", "id", "call_id", "tool_call_id",
    "status", "state", "finish_reason", "stop_reason", "mime_type", "mimeType", "media_type",
))  # fmt: skip
"""Fields whose values are names of the program, not words of anybody."""

_DATA = re.compile(
    r"data:[^,\s]{0,200},\S*|[A-Za-z0-9+/_-]{200,}={0,2}"
    r"|(?:[A-Za-z0-9+/]{60,76}\r?\n){2,}[A-Za-z0-9+/]{0,76}={0,2}\s*"
)


def is_data(text: str) -> bool:
    """Whether a text is a file written as text: base64, or a URI that holds one."""
    return _DATA.fullmatch(text) is not None


def is_object(value: object) -> TypeGuard[JSONObject]:
    """Whether the value is an object of JSON."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[object]]:
    """Whether the value is a list."""
    return isinstance(value, list)


def as_object(value: object) -> JSONObject:
    """The value, if it is an object; else one of no fields."""
    return value if is_object(value) else {}


def as_list(value: object) -> list[object]:
    """The value, if it is a list; else an empty one."""
    return value if is_list(value) else []


def first_of(fields: JSONObject, names: tuple[str, ...]) -> object:
    """The first of these fields that holds anything; `None` if none does."""
    for name in names:
        value = fields.get(name)
        if value is not None and value not in ("", [], {}):
            return value
    return None


def first_object(fields: JSONObject, names: tuple[str, ...]) -> JSONObject:
    """The first of these fields that is an object with fields; else one of none."""
    for name in names:
        value = fields.get(name)
        if value and is_object(value):
            return value
    return {}


def first_text(fields: JSONObject, names: tuple[str, ...]) -> str:
    """The first of these fields that is a text; empty if none is."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, str) and value:
            return value
    return ""


def readable(value: object) -> object:
    """The value without what nobody can read."""
    if isinstance(value, str):
        return "…" if is_data(value) else value
    if is_list(value):
        return [readable(item) for item in value]
    if is_object(value):
        return {name: readable(item) for name, item in value.items() if name not in UNREADABLE}
    return value


def leaves(value: object) -> Iterator[str]:
    """The texts and numbers in it, in order, without the names of fields and what nobody can read."""
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, str):
            if item and not is_data(item):
                yield item
        elif is_object(item):
            left += [item[name] for name in reversed(item) if name not in UNREADABLE and name not in STRUCTURAL]
        elif is_list(item):
            left += reversed(item)
        elif isinstance(item, int | float) and not isinstance(item, bool):
            yield str(item)


def as_text(value: object) -> str:
    """A value as text for people: a text as it is, anything else as compact JSON."""
    shown = readable(value)
    return shown if isinstance(shown, str) else "" if shown is None else dumps(shown)


def as_words(value: object) -> str:
    """Its words for searches; JSON in a text is taken for what it is."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return " ".join(leaves(json.loads(value)))
        except (ValueError, RecursionError):
            pass
    return value if isinstance(value, str) and not is_data(value) else " ".join(leaves(value))
