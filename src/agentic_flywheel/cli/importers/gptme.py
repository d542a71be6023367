"""Reads a talk of gptme (0.35.1): `~/.local/share/gptme/logs/<name>/conversation.jsonl`, a line a message.

A message is `{"role", "content", "timestamp"}` and no more that tells it: turns are told by their place, the talk by
its folder's name. Lines that are hidden or pinned are the program's prompts, and what a user line says in `<system>` it
says itself. Thoughts are in `<think>` and calls in `@tool(id): {…}` of the answer's text; a result is a system line
with the `call_id`. Times without a zone are those of the machine. `events.jsonl` beside it says the same again; what
lies in `branches` and `views` are copies of it, as it was before an edit or in short.
"""

import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice

from agentic_flywheel.cli.importers.beside import Beside
from agentic_flywheel.cli.importers.blocks import apart, call, spoken, thought
from agentic_flywheel.cli.importers.conversation import Imported, text
from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry
from agentic_flywheel.cli.importers.left_out import from_lines
from agentic_flywheel.cli.importers.messages import Messages
from agentic_flywheel.documents.turn_values import as_object
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject

_CALL = re.compile(r"^@([^\s()]+)\(([^()\s]+)\):\s*(?=\{)", re.MULTILINE)
_FENCE = re.compile(r"^```", re.MULTILINE)
_TALK = "conversation.jsonl"

_MOST_CALLS = 1000
"""Of an answer; each may be one that has no end, which is looked for up to the end of the text."""

_FOLDER = re.compile(r"\*\*Working Directory:\*\* ([^\n]+)")
_PROGRAMS_OWN = re.compile(r"\s*<system(?:_info|-reminder)?>.*", re.DOTALL)


def is_message(value: JSONObject) -> bool:
    """Whether it is a line of such a file."""
    return (
        isinstance(value.get("role"), str)
        and isinstance(value.get("content"), str)
        and isinstance(value.get("timestamp"), str)
        and "id" not in value
    )


def session(entries: Iterable[JsonEntry | BadEntry], beside: Beside) -> Iterator[Imported | BadEntry]:
    """What cannot be read, line by line, then the talk; none if nothing was said in it."""
    if _is_copy(beside):
        return
    own = beside.folder if beside.stem == "conversation" and beside.folder else beside.stem
    talk = _Messages(own)
    yield from from_lines(entries, talk.add, lambda: talk.imported(own))


def _is_copy(beside: Beside) -> bool:
    """Whether what is current of the talk stands in another file."""
    return (beside.folder in ("branches", "views") and beside.is_there(f"../{_TALK}")) or (
        beside.stem == "lossless" and beside.is_there(_TALK)
    )


class _Messages(Messages):
    """The talk as it is after some lines."""

    def __init__(self, own: str) -> None:
        super().__init__("gptme")
        self._own = own

    def add(self, entry: JsonEntry) -> None:
        """Take in the next line.

        Raises:
            InvalidArgument: it is no message.

        """
        value, role = entry.value, entry.value.get("role")
        said = value.get("content")
        if not isinstance(role, str) or not isinstance(said, str):
            raise InvalidArgument("has no role or no content")
        if role == "system" and (value.get("hide") or value.get("pinned")):
            if folder := _FOLDER.search(said):
                self.known["cwd"] = folder[1].strip()
            return
        if value.get("hide") or (role == "user" and _PROGRAMS_OWN.fullmatch(said)):
            return
        own, time = f"{self._own}:{entry.line}", _time(value.get("timestamp"))
        if role == "system" and value.get("call_id"):
            self.answer(entry.line, value["call_id"], said, time)
        elif role == "assistant":
            self.say(entry.line, own, role, _blocks(said), time)
            model = as_object(value.get("metadata")).get("model")
            self.known |= {"model": model} if text(model) else {}
        elif role in ("user", "system"):
            self.say(entry.line, own, role, spoken(said), time)
        else:
            raise InvalidArgument("its role is none of user, assistant and system")


def _blocks(said: str) -> list[JSONObject]:
    """Thoughts, words and calls of an answer, in this order."""
    blocks, calls, rest, at = list[JSONObject](), list[JSONObject](), "", 0
    for tag in ("think", "thinking"):
        thoughts, said = apart(said, f"<{tag}>", f"</{tag}>")
        blocks += [block for each in thoughts for block in thought(each.strip())]
    fences = [fence.start() for fence in _FENCE.finditer(said)]
    shown = list(zip(fences[::2], fences[1::2], strict=False))
    for found in islice(_CALL.finditer(said), _MOST_CALLS):
        if found.start() < at or any(first < found.start() < last for first, last in shown):
            continue  # it stands within the arguments of the one before, or is shown as code
        try:
            given, end = json.JSONDecoder(strict=False).raw_decode(said, found.end())
        except (ValueError, RecursionError):
            continue
        calls.append(call(found[2], found[1], given))
        rest, at = rest + said[at : found.start()], end
    return blocks + spoken((rest + said[at:]).strip()) + calls


def _time(value: object) -> str | None:
    """The time with its zone: the machine's where it has none."""
    try:
        return datetime.fromisoformat(value).astimezone().isoformat() if isinstance(value, str) else None
    except (ValueError, OverflowError, OSError):
        return None
