"""Writes the YAML file of one server that Continue reads from its folder: a file of its own, whose values are JSON."""

import json
import re
from typing import Any

from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject

_VALUE = re.compile(r"(?m)^(?:  - |    )(name|command|args|env): (.*?)[ \t]*\r?$")
MEMBERS = ("command", "args", "env")


def all_entries(text: str, key: str) -> dict[str, JSONObject]:
    """The server of the file, by name; none where the file is blank. Raises as `entry` does."""
    name = next((match[2] for match in _VALUE.finditer(text) if match[1] == "name"), "")
    found = entry(text, key, json.loads(name) if name.startswith('"') else name)
    return {} if found is None else {name.strip('"'): found}


def entry(text: str, key: str, name: str) -> JSONObject | None:
    """The server of this name; `None` if the file is blank.

    Raises:
        InvalidArgument: the file is not one of ours.

    """
    if not text.strip():
        return None
    try:
        said: dict[str, Any] = {match[1]: json.loads(match[2]) for match in _VALUE.finditer(text)}
    except ValueError:
        said = {}
    if f"{key}:" not in text.splitlines() or said.pop("name", None) != name or "command" not in said:
        raise InvalidArgument("is not written as ours are")
    return said


def with_entry(text: str, key: str, name: str, value: JSONObject) -> str:
    """The file with this server; its other lines stay. Raises as `entry` does."""
    newline = "\r\n" if "\r\n" in text else "\n"
    members = [f"    {each}: {json.dumps(value[each])}" for each in MEMBERS if each in value]
    if entry(text, key, name) is None:
        head = [f"name: {json.dumps(name)}", "version: 0.0.1", "schema: v1", f"{key}:", f"  - name: {json.dumps(name)}"]
        return text + newline.join([*head, *members]) + newline
    lines = [line for line in text.splitlines() if not re.match(rf"    (?:{'|'.join(MEMBERS)}): ", line)]
    at = next(number for number, line in enumerate(lines) if line.startswith("  - name: ")) + 1
    return newline.join([*lines[:at], *members, *lines[at:]]) + newline


def without_entry(text: str, key: str, name: str, *, with_key: bool = False) -> str:
    """Nothing, if the file is ours. Raises as `entry` does."""
    del with_key
    return text if entry(text, key, name) is None else ""
