"""Reads a talk of Gemini CLI (0.61.0): `session-….jsonl` below `~/.gemini/tmp/<project>/chats`, a log of patches.

A line is a header (`sessionId`, `projectHash`), a message, `$set` or `$rewindTo`. The last line of an id is the
message: an answer is written again when its tools are done. `$set.messages` stands for all messages before it, and is
written again at each resume with new times, so that a turn's time is that of its id's first line; in place of what a
compression took out, it has a summary and the program's own thanks for that: the person saw those messages, and they
stay. `$rewindTo` takes back a message and all behind it. Files that only have headers are left by resumes, and hold no
talk. Sub-agents have files of their own, in a folder of the name of the session that asked. Before 0.40 or so a talk
was one JSON object (`.json`), as the program itself still reads it.
"""

import contextlib
import glob
import itertools
import json
import re
from collections.abc import Iterable, Iterator

from agentic_flywheel.cli.importers.beside import Beside
from agentic_flywheel.cli.importers.blocks import call, spoken, summary, thought, without_named_files
from agentic_flywheel.cli.importers.conversation import Imported, must_be_object, text
from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry, lines
from agentic_flywheel.cli.importers.left_out import from_lines
from agentic_flywheel.cli.importers.messages import Messages
from agentic_flywheel.cli.importers.talk import SUB_AGENT
from agentic_flywheel.documents.turn_values import as_list, as_object, is_object
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject

_ROLES = {"user": "user", "gemini": "assistant"}
"""Others (info, error, warning) are the program's own lines."""

_CONTEXT = "<session_context>"
_FOLDER = re.compile(r"Workspace Directories:\*{0,2}[ \t]*\n[ \t]*- ([^\n]+)")

_THANKS = "Got it. Thanks for the additional context!"
"""What the program has the model say to the summary of a compression."""

_HURRY = "You have stopped calling tools without finishing."
"""How the program's own words to a sub-agent begin."""


def is_header(value: JSONObject) -> bool:
    """Whether it is the first line of such a file, or one that begins a resume."""
    return isinstance(value.get("sessionId"), str) and isinstance(value.get("projectHash"), str)


def session(entries: Iterable[JsonEntry | BadEntry], beside: Beside) -> Iterator[Imported | BadEntry]:
    """What cannot be read, line by line, then the talk; none if nothing was said in it."""
    log = _Log()
    yield from from_lines(entries, log.add, lambda: log.imported(beside))


class _Log:
    """The header and the messages as they are after some of the lines."""

    def __init__(self) -> None:
        self._header: JSONObject = {}
        self._messages: dict[str, tuple[int, JSONObject]] = {}
        self._times: dict[str, object] = {}
        self._displayed: dict[str, list[JSONObject]] = {}
        """What the person typed, where more was sent: a resume no longer tells it."""
        self._folder = ""
        self._summary = ""

    def add(self, entry: JsonEntry) -> None:
        """Take in the next line.

        Raises:
            InvalidArgument: it is a message of no known shape.

        """
        value = entry.value
        if isinstance(back := value.get("$rewindTo"), str):
            is_there = back in self._messages
            while self._messages and not (self._messages.popitem()[0] == back and is_there):
                pass
        elif isinstance(value.get("id"), str):
            self._message(entry.line, value)
        elif is_object(patch := value.get("$set")):
            self._patch(entry.line, patch)
        elif is_header(value):
            self._patch(entry.line, value)

    def _patch(self, line: int, patch: JSONObject) -> None:
        self._header |= {name: value for name, value in patch.items() if name != "messages"}
        listed = [
            self._as_typed(each)
            for each in as_list(patch.get("messages"))
            if is_object(each) and isinstance(each.get("id"), str)
        ]
        for asked, answer in itertools.pairwise(listed):
            if _said(answer) == _THANKS:
                self._summary = summary(_said(asked))
                listed = [each for each in listed if each not in (asked, answer)]
        if not self._summary and isinstance(patch.get("messages"), list):
            self._messages.clear()
        known = {(str(each.get("type")), _said(each)) for _, each in self._messages.values()}
        for message in listed:
            if message["id"] not in self._messages and (str(message.get("type")), _said(message)) not in known:
                self._message(line, message)

    def _message(self, line: int, message: JSONObject) -> None:
        own: str = message["id"]
        self._times.setdefault(own, message.get("timestamp"))
        for each in filter(is_object, as_list(message.get("toolCalls"))):
            self._times.setdefault(f"call {each.get('id')}", each.get("timestamp"))
        if not isinstance(message.get("content"), str | list | None):
            raise InvalidArgument("its content is neither text nor a list")
        message = self._as_typed(message)
        parts = list(_parts(message))
        contexts = [said for part in parts if (said := text(part.get("text"))).startswith(_CONTEXT)]
        for said in contexts:
            found = _FOLDER.search(said)
            self._folder = self._folder or (found[1].strip() if found else "")
        if contexts:  # what the person said may stand beside it
            message = message | {"content": [part for part in parts if part.get("text") not in contexts]}
        if not contexts or message["content"]:
            self._messages[own] = line, message

    def _as_typed(self, message: JSONObject) -> JSONObject:
        """The message with what the person typed in place of what was sent: without the files that they named."""
        if message.get("type") != "user":
            return message
        sent, displayed = list(_parts(message)), list(_parts({"content": message.get("displayContent")}))
        if displayed:
            self._displayed[message["id"]] = displayed
        if typed := displayed or self._displayed.get(message["id"]):
            return message | {"content": [*typed, *(part for part in sent if "text" not in part)]}
        kept = without_named_files(sent)
        return message if kept == sent else message | {"content": kept}

    def imported(self, beside: Beside) -> Iterator[Imported | BadEntry]:
        """The talk as it is now."""
        talk = Messages("gemini-cli")
        own = self._header.get("sessionId")
        bad: list[BadEntry] = []
        for line, message in self._messages.values():
            try:
                self._say(talk, line, message)
            except InvalidArgument as exc:
                bad.append(BadEntry(line, str(exc), is_message=True))
        yield from bad
        if not talk:
            return
        if not isinstance(own, str) or not own:
            yield BadEntry(1, "begins a talk of which no line names the sessionId")
            return
        talk.title, talk.summary = summary(self._header.get("summary")), self._summary
        folders = as_list(self._header.get("directories"))
        talk.known["cwd"] = self._folder or (folders[0] if folders else _project(beside))
        is_agent = self._header.get("kind") == "subagent"
        parent = beside.folder if is_agent and beside.folder != "chats" else ""
        talk.known["spawned_by"] = _spawning_call(beside, parent, own) if parent else ""
        yield from talk.imported(own, parent=parent, relation=SUB_AGENT if is_agent else None)

    def _say(self, talk: Messages, line: int, message: JSONObject) -> None:
        own, role = text(message["id"]), _ROLES.get(text(message.get("type")))
        if role is None:
            return
        parts = list(_parts(message))
        said = [block for part in parts if not part.get("thought") for block in spoken(part.get("text"))]
        time = self._times[message["id"]]
        if role == "user":
            if not (said and said[0]["text"].startswith(_HURRY) and self._header.get("kind") == "subagent"):
                files = [{"type": "file", **_without_bytes(part)} for part in parts if _is_file(part)]
                talk.say(line, own, role, said + files, time)
            for part in parts:
                if is_object(part.get("functionResponse")):
                    self._answer(talk, line, part, time)
            return
        thoughts = [block for part in parts if part.get("thought") for block in thought(part.get("text"))]
        for each in () if thoughts else filter(is_object, as_list(message.get("thoughts"))):
            subject = text(each.get("subject"))
            thoughts += thought(
                f"**{subject}** {text(each.get('description'))}" if subject else each.get("description")
            )
        calls = [each for each in as_list(message.get("toolCalls")) if is_object(each)]
        known = {each.get("id") for each in calls if isinstance(each.get("id"), str)}
        held = [each for part in parts if is_object(each := part.get("functionCall")) and each.get("id") not in known]
        made = [call(each.get("id"), each.get("name"), each.get("args")) for each in calls + held]
        talk.say(line, own, role, thoughts + said + made, time)
        talk.known |= {"model": message["model"]} if text(message.get("model")) else {}
        for each in calls:
            for part in as_list(each.get("result")):
                if is_object(part):
                    self._answer(talk, line, part, self._times.get(f"call {each.get('id')}"), each.get("id"))

    def _answer(self, talk: Messages, line: int, part: JSONObject, time: object, call_id: object = None) -> None:
        given = must_be_object(part.get("functionResponse") or {}, "the answer of a tool")
        own = given.get("id") or call_id
        if isinstance(own, str) and not talk.answered(own):
            talk.answer(line, own, given.get("response"), time)


def _project(beside: Beside) -> str:
    """The folder that was worked in, as the program's list of projects has it: its files lie in `tmp/<name>`."""
    between, listed = beside.above("projects.json")
    named = between[1] if between[:1] == ["tmp"] and len(between) > 2 else ""
    projects = as_object(listed.get("projects")) or listed
    return next((folder for folder, name in projects.items() if named and name == named), "")


def _spawning_call(beside: Beside, parent: str, own: str) -> str:
    """The id of the call in the parent's files that asked for the sub-agent; empty if it is not found."""
    chats = beside.path.parent.parent if beside.path else None
    for path in sorted(chats.glob(f"session-*-{glob.escape(parent[:8])}.jsonl")) if chats else ():
        with contextlib.suppress(OSError), path.open("rb") as file:
            for entry in lines(file):
                calls = as_list(entry.value.get("toolCalls")) if isinstance(entry, JsonEntry) else []
                for each in filter(is_object, calls):
                    if each.get("agentId") == own:
                        return text(each.get("id"))
    return ""


def _parts(message: JSONObject) -> Iterator[JSONObject]:
    value = message.get("content")
    for part in [value] if isinstance(value, str) else as_list(value):
        if isinstance(part, str):
            yield {"text": part}
        elif is_object(part):
            yield part


def _said(message: JSONObject) -> str:
    """The words of a message, and what else it has where there are none."""
    texts = (text(part.get("text")) for part in _parts(message) if not part.get("thought"))
    said = "".join(each for each in texts if not each.startswith(_CONTEXT))
    return said or json.dumps(message.get("content"))


def _is_file(part: JSONObject) -> bool:
    return is_object(part.get("inlineData")) or is_object(part.get("fileData"))


def _without_bytes(part: JSONObject) -> JSONObject:
    held = must_be_object(part.get("inlineData") or part.get("fileData"), "a file")
    return {name: value for name, value in held.items() if name != "data"}
