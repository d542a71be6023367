"""Reads a talk of pi (1.6.0): `~/.pi/agent/sessions/--<folder>--/<time>_<session>.jsonl`, a line an entry.

The first line is the session's. Each other one has an `id` and a `parentId`, so that they are a tree: the last line is
where the person is, and the way from it to the root is what they saw; what they left with `/tree` stands beside it. The
first version of the format had no ids: its lines are the way. A message is the person's, an answer with thoughts and
calls, a tool's result, or a command of the person's own (`!ls`). The last summary of a `compaction` on the way counts,
and the last name, wherever it stands. A fork or a clone is a file of its own, which repeats what it has in common with
the one that its first line names.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import PureWindowsPath

from agentic_flywheel.cli.importers.beside import Beside
from agentic_flywheel.cli.importers.blocks import call, spoken, summary, thought, words_of
from agentic_flywheel.cli.importers.branches import branch
from agentic_flywheel.cli.importers.conversation import Imported, text
from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry
from agentic_flywheel.cli.importers.left_out import from_lines
from agentic_flywheel.cli.importers.messages import Messages
from agentic_flywheel.documents.turn_values import as_list, as_object, is_object
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject

_SKILL = re.compile(r'<skill name="([^"]+)" location="[^"]*">\n.*?\n</skill>\s*', re.DOTALL)
_FILE = re.compile(r'<file name="([^"]+)">.*?</file>\n?', re.DOTALL)
"""What pi puts for a skill that a person named with `/skill:`, and for a file that they named with an `@`."""


def is_header(value: JSONObject) -> bool:
    """Whether it is the first line of such a file."""
    return value.get("type") == "session" and {"id", "timestamp", "cwd"} <= value.keys()


def session(entries: Iterable[JsonEntry | BadEntry], beside: Beside) -> Iterator[Imported | BadEntry]:
    """What cannot be read, line by line, then the talk; none if nothing was said in it."""
    tree = _Tree()
    yield from from_lines(entries, tree.add, lambda: tree.imported(beside))


class _Tree:
    """The entries of a file, as far as it was read."""

    def __init__(self) -> None:
        self._header: JSONObject = {}
        self._entries: dict[str, JsonEntry] = {}
        """Each by its id, in the order of the file."""
        self._parents: dict[str, object] = {}
        self._last = self._title = ""

    def add(self, entry: JsonEntry) -> None:
        """Take in the next line.

        Raises:
            InvalidArgument: it is no entry.

        """
        value = entry.value
        if value.get("type") == "session":
            self._header = self._header or value
            return
        if not (kind := text(value.get("type"))):
            raise InvalidArgument("has no type")
        if kind == "session_info":
            self._title = text(value.get("name")).strip()
        own = text(value.get("id")) or f"line-{entry.line}"
        self._entries[own] = entry
        self._parents[own] = value.get("parentId") if "parentId" in value else self._last or None
        self._last = own

    def imported(self, beside: Beside) -> Iterator[Imported | BadEntry]:
        """The talk on the way to the last entry, and what of it cannot be kept."""
        if not self._last:
            return
        talk = Messages("pi")
        talk.title = self._title
        talk.known["cwd"] = text(self._header.get("cwd"))
        for own in self._way():
            try:
                _take(talk, own, self._entries[own])
            except InvalidArgument as exc:
                yield BadEntry(self._entries[own].line, str(exc), is_message=True)
        parent = _session_of(text(self._header.get("parentSession")))
        own = text(self._header.get("id")) or _session_of(beside.stem)
        yield from talk.imported(own, parent=parent, relation="fork" if parent else None)

    def _way(self) -> list[str]:
        try:
            return branch(self._last, self._parents)
        except InvalidArgument:  # a circle, which no program writes: all that is there
            return list(self._entries)


def _take(talk: Messages, own: str, entry: JsonEntry) -> None:
    """Take in one entry of the way."""
    value, kind = entry.value, entry.value.get("type")
    if kind == "message" and is_object(message := value.get("message")):
        _take_message(talk, own, entry, message)
    elif kind == "custom_message" and value.get("display") is True:
        talk.say(entry.line, own, "system", _parts(value.get("content")), value.get("timestamp"))
    elif kind == "compaction":
        talk.summary = summary(value.get("summary")) or talk.summary


def _take_message(talk: Messages, own: str, entry: JsonEntry, message: JSONObject) -> None:
    role, time = message.get("role"), entry.value.get("timestamp") or message.get("timestamp")
    if role == "user":
        talk.say(entry.line, own, "user", _parts(message.get("content"), is_typed=True), time)
    elif role == "assistant":
        talk.say(entry.line, own, "assistant", _parts(message.get("content")), time)
        talk.known |= {"model": model} if (model := text(message.get("model"))) else {}
    elif role == "toolResult":
        talk.answer(entry.line, message.get("toolCallId"), words_of(message.get("content")), time)
    elif role == "bashExecution":
        command = text(message.get("command"))
        talk.say(entry.line, own, "system", spoken(command and f"! {command}"), time)
        talk.answer(entry.line, own, message.get("output"), time)
    elif role in ("custom", "hookMessage") and message.get("display") is True:
        talk.say(entry.line, own, "system", _parts(message.get("content")), time)


def _parts(said: object, *, is_typed: bool = False) -> list[JSONObject]:
    """The blocks of a turn; what a person `is_typed` to have said is without what pi put there for a name."""
    blocks = list[JSONObject]()
    for part in [{"type": "text", "text": said}] if isinstance(said, str) else as_list(said):
        held = as_object(part)
        kind, words = held.get("type"), held.get("text")
        if kind == "text":
            blocks += spoken(_as_typed(words) if is_typed and isinstance(words, str) else words)
        elif kind == "thinking":
            blocks += thought(held.get("thinking"))
        elif kind == "toolCall":
            blocks.append(call(held.get("id"), held.get("name"), held.get("arguments")))
        elif kind == "image":
            blocks.append({"type": "image", "mimeType": text(held.get("mimeType"))})
    return blocks


def _as_typed(words: str) -> str:
    return _FILE.sub(r"@\1\n", _SKILL.sub(r"/skill:\1 ", words)).strip()


def _session_of(file: str) -> str:
    """The session whose file has that name."""
    stem = PureWindowsPath(file).name.removesuffix(".jsonl")
    return stem.rpartition("_")[2]
