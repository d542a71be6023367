"""Gives the lines of Codex' transcripts of 2025 the shape that they have today; read in its source, and not run.

Up to August 2025 (0.1 to 0.30 or so) a line was a response item without anything around it, and no line but the first
had a time: `{id, timestamp, instructions, git}`, without a type. `{"record_type": "state"}` says nothing. Before June
2025 a talk was one JSON object, `{"session": {…}, "items": […]}`. The folder stands in what the model was told first.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from agentic_flywheel.cli.importers.blocks import between
from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry
from agentic_flywheel.documents.turn_values import as_list, as_object, is_object
from agentic_flywheel.json_text import JSONObject

BARE = "bare_item"
"""The type of a line that was an item alone: nothing else in the file says the same."""

_HEAD = frozenset(("id", "timestamp", "instructions", "git"))
_ID = re.compile(r"[\da-fA-F]{8}(?:-[\da-fA-F]{4}){3}-[\da-fA-F]{12}")

_CONTEXT = "<environment_context>"
_FOLDER = re.compile(r"Current working directory: ([^\n]+)")


def is_head(value: JSONObject) -> bool:
    """Whether it is the first line of such a transcript, or what stands in `session` of one that is one object."""
    own = value.get("id")
    is_one = isinstance(own, str) and _ID.fullmatch(own) is not None and isinstance(value.get("timestamp"), str)
    return is_one and _HEAD.issuperset(value)


def is_one_object(value: JSONObject) -> bool:
    """Whether it is a whole talk of before June 2025."""
    return isinstance(value.get("items"), list) and is_head(as_object(value.get("session")))


def as_today(entries: Iterable[JsonEntry | BadEntry]) -> Iterator[JsonEntry | BadEntry]:
    """The entries as today's versions write them; those of today as they are."""
    for entry in entries:
        if isinstance(entry, BadEntry) or "payload" in entry.value:
            yield entry
        elif is_one_object(entry.value):
            yield replace(entry, value=_wrapped("session_meta", entry.value["session"]))
            items = filter(is_object, as_list(entry.value["items"]))
            yield from (replace(entry, value=_wrapped(BARE, item)) for item in items)
        elif "record_type" not in entry.value:
            yield replace(entry, value=_today(entry.value))


def _today(value: JSONObject) -> JSONObject:
    if is_head(value):
        return _wrapped("session_meta", value)
    return _wrapped(BARE, value) if isinstance(value.get("type"), str) else value


def _wrapped(kind: str, payload: JSONObject) -> JSONObject:
    return {"type": kind, "payload": payload}


def folder_in(item: JSONObject) -> str:
    """The folder that the model was told of in this message; empty if it was told of none."""
    for part in filter(is_object, as_list(item.get("content"))):
        words = part.get("text")
        if isinstance(words, str) and words.lstrip().startswith(_CONTEXT):
            found = _FOLDER.search(words)
            return between(words, "cwd") or (found[1].strip() if found else "")
    return ""
