"""Reads the lists of files that come with account exports: what they name, and whether a file is such a list alone.

ChatGPT's `export_manifest.json` (2026-03) is `{"export_files": [{"path"}]}`. Claude's mail (2026-09) leads to a
`manifest-….json` with the addresses of the files, which have to be downloaded one by one.
"""

import json
import re
from pathlib import PurePosixPath
from typing import Any, cast

from agentic_flywheel.documents.turn_values import as_list, as_object, is_object
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.plain_text import quoted

MAX_BYTES = 4_000_000
"""Of such a list: some 100 bytes a file."""

MAX_NAMED = 10
"""Files that a sentence names."""

_FILE = re.compile(r"(?:.*/)?([\w.-]{1,100}\.(?:json|zip))(?:[?#].*)?", re.DOTALL)


def named_in(data: bytes) -> list[str]:
    """The paths of the files that ChatGPT's list names; none of what is no such list."""
    try:
        value: Any = json.loads(data)
    except (ValueError, RecursionError):
        return []
    named = as_list(as_object(value).get("export_files"))
    paths = (each.get("path") if is_object(each) else each for each in named)
    return [path for path in paths if isinstance(path, str) and path]


def is_list_of_files(value: JSONObject) -> str:
    """What to do with a file that only names those with the talks; empty if it is none."""
    names = dict.fromkeys(_names(value, 0))
    if not any(name.startswith("conversations") for name in names):
        return ""
    shown = ", ".join(quoted(name) for name in list(names)[:MAX_NAMED]) + (" …" if len(names) > MAX_NAMED else "")
    return f"begins a list of the files of an export, and no talks: download those it names ({shown}), and import them"


def _names(value: object, depth: int) -> list[str]:
    """The names of files in a value, by texts that are a path or an address."""
    if isinstance(value, str):
        match = _FILE.fullmatch(value)
        return [PurePosixPath(match[1]).name] if match else []
    if depth > _DEPTH or not isinstance(value, dict | list):
        return []
    inner = cast("JSONObject", value).values() if isinstance(value, dict) else cast("list[object]", value)
    return [name for each in inner for name in _names(each, depth + 1)]


_DEPTH = 5
