"""Reads a talk of Kimi Code (2.1.0): `~/.kimi-code/sessions/<folder>/<session>/agents/<agent>/wire.jsonl`.

A line is a record. `context.append_message` has what the model was told: the person's words, where its `origin` is the
person or what they called (`/skill`, a plugin's command, `!ls`), else the program's own. `context.append_loop_event`
has what came of it: the texts and thoughts of each step, which is an answer, its calls and their results.
`context.undo` takes the last prompts back with all behind them, but not beyond a compaction or `/clear`; of
`context.apply_compaction` the last summary counts. The session's `state.json` has its id, its title, its folder, and
what it was forked from, whose records it begins with. Agents other than `main` are sub-agents: talks of their own.
"""

import html
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agentic_flywheel.cli.importers.beside import Beside
from agentic_flywheel.cli.importers.blocks import between, call, spoken, summary, thought, words_of
from agentic_flywheel.cli.importers.conversation import Imported, text
from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry
from agentic_flywheel.cli.importers.left_out import from_lines
from agentic_flywheel.cli.importers.messages import Messages
from agentic_flywheel.cli.importers.talk import SUB_AGENT
from agentic_flywheel.documents.turn_values import as_list, as_object
from agentic_flywheel.json_text import JSONObject

_MAIN = "main"


def is_head(value: JSONObject) -> bool:
    """Whether it is the first line of such a file."""
    return value.get("type") == "metadata" and isinstance(value.get("protocol_version"), str)


def session(entries: Iterable[JsonEntry | BadEntry], beside: Beside) -> Iterator[Imported | BadEntry]:
    """What cannot be read, line by line, then the talk; none if nothing was said in it."""
    records = _Records()
    yield from from_lines(entries, records.add, lambda: records.imported(beside))


@dataclass(frozen=True, slots=True)
class _Part:
    """A turn, or a part of an answer, which has the same `own`; `answers` is the call whose result it is."""

    line: int
    own: str
    role: str
    blocks: list[JSONObject]
    time: object
    answers: str = ""
    is_asked: bool = False
    """Whether it is a prompt, which can be taken back."""


class _Records:
    """What is known after some of the records."""

    def __init__(self) -> None:
        self._parts: list[_Part] = []
        self._floor = 0
        """Where what can be taken back begins."""
        self._summary = self._model = ""

    def add(self, entry: JsonEntry) -> None:
        """Take in the next record."""
        value, kind = entry.value, entry.value.get("type")
        if kind == "context.append_message":
            self._message(entry, as_object(value.get("message")))
        elif kind == "context.append_loop_event":
            self._event(entry, as_object(value.get("event")))
        elif kind == "context.undo":
            self._undo(value.get("count"))
        elif kind == "context.apply_compaction":
            said = value.get("summary") or value.get("contextSummary")
            self._summary = summary(said if isinstance(said, str) else words_of(as_object(said).get("content")))
            self._floor = len(self._parts)
        elif kind == "context.clear":
            self._floor = len(self._parts)
        elif kind == "llm.request":
            self._model = text(value.get("model")) or self._model

    def _message(self, entry: JsonEntry, message: JSONObject) -> None:
        if message.get("role") != "user":
            return
        origin = as_object(message.get("origin"))
        role, blocks = _said(origin, message.get("content"))
        own = text(message.get("id")) or f"line-{entry.line}"
        is_asked = role == "user" and origin.get("inTurn") is not True
        if role:
            self._parts.append(_Part(entry.line, own, role, blocks, entry.value.get("time"), is_asked=is_asked))

    def _event(self, entry: JsonEntry, event: JSONObject) -> None:
        kind, step, called = event.get("type"), text(event.get("stepUuid")), text(event.get("toolCallId"))
        part, time = as_object(event.get("part")), entry.value.get("time")
        if kind == "content.part" and step:
            blocks = spoken(part.get("text")) if part.get("type") == "text" else thought(part.get("think"))
            self._parts.append(_Part(entry.line, step, "assistant", blocks, time))
        elif kind == "tool.call" and step:
            blocks = [call(called, event.get("name"), event.get("args"))]
            self._parts.append(_Part(entry.line, step, "assistant", blocks, time))
        elif kind == "tool.result":
            output = as_object(event.get("result")).get("output")
            self._parts.append(_Part(entry.line, "", "tool", spoken(words_of(output)), time, called))

    def _undo(self, count: object) -> None:
        left = count if isinstance(count, int) else 0
        while left > 0 and len(self._parts) > self._floor:
            left -= self._parts.pop().is_asked

    def imported(self, beside: Beside) -> Iterator[Imported | BadEntry]:
        """The talk, or that of the sub-agent whose records they are."""
        place, state = beside.above("state.json")
        own, agent = text(state.get("id")), place[1] if len(place) == 3 else _MAIN
        if not own:
            if self._parts:
                yield BadEntry(1, "begins a talk whose session is named in no state.json above it")
            return
        talk = self._talk()
        talk.known |= {"cwd": text(state.get("cwd")), "model": self._model}
        if agent != _MAIN:
            about = as_object(as_object(state.get("agents")).get(agent))
            above = text(about.get("parentAgentId")) or _MAIN
            parent = own if above == _MAIN else f"{own}-{above}"
            yield from talk.imported(f"{own}-{agent}", parent=parent, relation=SUB_AGENT)
            return
        talk.summary = self._summary
        talk.title = text(state.get("title")) if state.get("isCustomTitle") is True else ""
        forked = text(state.get("forkedFrom"))
        yield from talk.imported(own, parent=forked, relation="fork" if forked else None)

    def _talk(self) -> Messages:
        talk, blocks = Messages("kimi-code"), dict[str, list[JSONObject]]()
        for part in self._parts:
            if part.role == "tool":
                talk.answer(part.line, part.answers, words_of(part.blocks), part.time)
                continue
            said = blocks.setdefault(part.own, [])
            said += part.blocks
            talk.say(part.line, part.own, part.role, said, part.time)
        return talk


def _said(origin: JSONObject, content: object) -> tuple[str, list[JSONObject]]:
    """Who says it, and what; nobody where it is the program's own."""
    kind, is_called = origin.get("kind", "user"), origin.get("trigger") == "user-slash"
    if kind == "user" or (kind == "system_trigger" and origin.get("name") == "subagent"):
        return "user", _blocks(content)
    if kind == "skill_activation" and is_called:
        return "user", spoken(f"/skill:{text(origin.get('skillName'))} {text(origin.get('skillArgs'))}".strip())
    if kind == "plugin_command" and is_called:
        return "user", spoken(f"/{text(origin.get('commandName'))} {text(origin.get('commandArgs'))}".strip())
    if kind == "shell_command":
        words = words_of(content)
        if origin.get("phase") == "input":
            return "system", spoken(f"! {html.unescape(between(words, 'bash-input') or words)}")
        shown = [between(words, "bash-stdout"), between(words, "bash-stderr")]
        return "system", spoken(html.unescape("\n".join(filter(None, shown))))
    return "", []


def _blocks(content: object) -> list[JSONObject]:
    """The texts of a prompt, and that there were pictures."""
    blocks = list[JSONObject]()
    for part in map(as_object, as_list(content)):
        kind = text(part.get("type"))
        blocks += spoken(part.get("text")) if kind == "text" else [{"type": "image"}] if "image" in kind else []
    return blocks
