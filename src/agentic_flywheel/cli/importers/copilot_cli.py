"""Reads the talks of GitHub Copilot CLI (1.0.102): `~/.copilot/session-state/<session>/events.jsonl`, a line an event.

`user.message` has the person's words in `content` (`transformedContent` is what the model got), `assistant.message` an
answer with its thoughts and calls, or a part of one (`chunkIndex` of `chunkCount`, by its schema), and
`tool.execution_complete` a result; `tool.user_requested` is a command of the person (`!ls`). A user's message may have
a `source`: `user` and `command-…` are the person, `system`, `schedule-…` and `agent-…` are not. Events of sub-agents
stand among the others, with an `agentId`: they are talks of their own. `system.message` and the `model.*` events of a
compaction are no part of the talk; its summary is in `session.compaction_complete`. `workspace.yaml` beside it has the
name that the person gave.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from agentic_flywheel.cli.importers.beside import Beside
from agentic_flywheel.cli.importers.blocks import call, spoken, summary, thought
from agentic_flywheel.cli.importers.conversation import Imported, instant, must_be_object, text
from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry
from agentic_flywheel.cli.importers.left_out import from_lines
from agentic_flywheel.cli.importers.messages import Messages
from agentic_flywheel.cli.importers.talk import SUB_AGENT
from agentic_flywheel.documents.turn_values import as_list, as_object, is_object
from agentic_flywheel.json_text import JSONObject

_NAMED = re.compile(r"^user_named: true\s*$", re.MULTILINE)
_NAME = re.compile(r"^name: (.+)$", re.MULTILINE)


def session(entries: Iterable[JsonEntry | BadEntry], beside: Beside) -> Iterator[Imported | BadEntry]:
    """What cannot be read, line by line, then the talk and those with sub-agents; none in which nothing was said."""
    events = _Events()
    yield from from_lines(entries, events.add, lambda: events.imported(beside))


class _Events:
    """What is known after some of the events."""

    def __init__(self) -> None:
        self._main = Messages("copilot-cli")
        self._agents: dict[str, Messages] = {}
        self._chunks: dict[str, tuple[str, list[JSONObject]]] = {}
        """The id and the blocks of an answer that came in parts, by its call of the model."""
        self._session = ""
        self._changed: object = None
        """When the last event was."""

    def add(self, entry: JsonEntry) -> None:
        """Take in the next event.

        Raises:
            InvalidArgument: it cannot be a turn.

        """
        value, kind = entry.value, text(entry.value.get("type"))
        if not is_object(data := value.get("data")):
            return
        talk = self._main
        if agent := text(value.get("agentId")):
            talk = self._agents.setdefault(agent, Messages("copilot-cli"))
        time = self._changed = value.get("timestamp") or self._changed
        own = text(data.get("messageId")) or text(value.get("id"))
        if kind == "user.message":
            if agent or _is_persons(data):  # a sub-agent's task is part of its talk, whoever gave it
                files = [_file(each) for each in as_list(data.get("attachments")) if is_object(each)]
                talk.say(entry.line, own, "user", spoken(data.get("content")) + files, time)
        elif kind == "assistant.message":
            blocks = thought(data.get("reasoningText")) + spoken(data.get("content"))
            asked = filter(is_object, as_list(data.get("toolRequests")))
            blocks += [call(each.get("toolCallId"), each.get("name"), each.get("arguments")) for each in asked]
            talk.say(entry.line, *self._whole(data, own, blocks), time)
            talk.known |= {"model": data["model"]} if text(data.get("model")) else {}
        elif kind == "tool.execution_complete":
            talk.answer(entry.line, data.get("toolCallId"), _result(data), time)
        elif kind == "tool.user_requested":  # the person's own command; its result follows as that of any tool
            command = text(as_object(data.get("arguments")).get("command"))
            talk.say(entry.line, own, "system", spoken(command and f"! {command}"), time)
        elif kind == "subagent.started":
            talk.known["spawned_by"] = data.get("toolCallId")
        elif not agent:
            self._note(kind, data)

    def _note(self, kind: str, data: JSONObject) -> None:
        """Note what an event says of the talk itself."""
        if kind in ("session.start", "session.resume"):
            self._begin(data)
        elif kind == "session.compaction_complete":
            self._main.summary = summary(data.get("summaryContent")) or self._main.summary
        elif kind == "session.title_changed":
            self._main.title = text(data.get("title"))

    def _whole(self, data: JSONObject, own: str, blocks: list[JSONObject]) -> tuple[str, str, list[JSONObject]]:
        """An answer: its id, its role, and all of its blocks so far."""
        model_call = text(data.get("apiCallId"))
        if model_call and data.get("chunkIndex") is not None:
            first, before = self._chunks.get(model_call, (own, list[JSONObject]()))
            own, blocks = self._chunks[model_call] = first, before + blocks
        return own, "assistant", blocks

    def _begin(self, data: JSONObject) -> None:
        self._session = self._session or text(data.get("sessionId"))
        where = data.get("context")
        known = {
            "cwd": where.get("cwd") if is_object(where) else "",
            "model": data.get("selectedModel"),
            "program_version": data.get("copilotVersion"),
        }
        self._main.known |= {name: value for name, value in known.items() if text(value)}

    def imported(self, beside: Beside) -> Iterator[Imported | BadEntry]:
        """The talk, and those with sub-agents."""
        own = self._session or (beside.folder if beside.stem == "events" else "")
        if not own and (self._main or self._agents):
            yield BadEntry(1, "begins a talk of which no line names the sessionId")
            return
        workspace = beside.text_of("workspace.yaml")
        if _NAMED.search(workspace) and (name := _NAME.search(workspace)):
            self._main.title = name[1].strip().strip("'\"")
        changed = instant(self._changed)  # later than what was said last where a rewind took that away
        yield from (replace(each, changed_at=changed) for each in self._main.imported(own))
        for agent, talk in self._agents.items():
            talk.known |= {name: each for name, each in self._main.known.items() if name != "model"}
            yield from talk.imported(agent, parent=own, relation=SUB_AGENT)


def _is_persons(data: JSONObject) -> bool:
    """Whether a user's message of the talk itself is the person's, and none of the program's."""
    source = text(data.get("source"))
    is_theirs = source in ("", "user") or source.startswith("command-")
    return is_theirs and data.get("isAutopilotContinuation") is not True


def _result(data: JSONObject) -> object:
    """What a tool answered, or why it did not: an object with the words, or the words alone."""
    given: object = data.get("result") or data.get("error") or {}
    if isinstance(given, str):
        return given
    result = must_be_object(given, "the result of a tool")
    return result.get("content") if "content" in result else result.get("message")


def _file(attached: JSONObject) -> JSONObject:
    kept = {name: each for name, each in attached.items() if name in ("path", "displayName", "mimeType") and text(each)}
    return {"type": "file", **kept}
