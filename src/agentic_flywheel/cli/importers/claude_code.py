"""Reads the talks of a Claude Code transcript: `<session>.jsonl` below `~/.claude/projects`, a line for each event.

The vendor calls the format its own affair and may change it; this is what transcripts hold. `user` and `assistant`
lines have a `message` of the Messages API, an answer one line for each of its blocks; results of tools come as `user`
lines, and what the person said while the model worked as an `attachment`. Lines that the program itself put in
(`isMeta`) are no part of the talk. The lines name their parents, but not reliably: parents that were never written and
lines written twice are known faults, so turns come in as they were written, each once. A `summary` line may be another
session's: it counts if its `leafUuid` is a line of this file.

Lines of sub-agents (`isSidechain`) are talks of their own: in a file of their own since 2.0, which names the session
that asked in `sessionId`, and among the others before. What other talk a file begins with is told in `origins.py`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime

from agentic_flywheel.cli.importers.conversation import (
    Imported,
    Relation,
    as_object,
    content,
    context,
    instant,
    mended,
    session_id,
    text,
    title,
    turn,
)
from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry
from agentic_flywheel.cli.importers.origins import named_parent
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject

_SYNTHETIC = "<synthetic>"
"""The model of a message that no model wrote: the program's own, on an error."""

SUB_AGENT = "sub-agent"
"""The tag of a talk with a sub-agent, and its relation to the one that asked for it."""


def session(entries: Iterable[JsonEntry | BadEntry], name: str) -> Iterator[Imported | BadEntry]:
    """What cannot be read, line by line, then the session and those of sub-agents; none in which nothing was said.

    `name` is the file's without its ending. A file that continues another has the lines of both sessions: it is the
    session of its name then, or else the one named last.
    """
    transcript, bad = _Transcript(), list[BadEntry]()
    for entry in entries:
        if isinstance(entry, BadEntry):
            bad.append(entry)
            continue
        try:
            transcript.add(entry)
        except InvalidArgument as exc:
            bad.append(BadEntry(entry.line, str(exc)))
    found = list(transcript.imported(name))
    talks = [each.talk for each in found if isinstance(each, Imported)]
    for entry in bad:  # they are named only now that the talk has a name
        yield replace(entry, talk=talks[0], is_message=True) if talks else entry
    yield from found


class _Talk:
    """What was said in one talk, as far as it was read."""

    def __init__(self) -> None:
        self.history: list[JSONObject] = []
        self.line = 0
        self.sessions: list[str] = []
        self.halves = 0
        self.compacted = ""
        self.times: list[datetime] = []
        self.known: dict[str, object] = {}

    def say(self, entry: JsonEntry, kind: str) -> None:
        """Take in a line.

        Raises:
            InvalidArgument: it cannot be a turn.

        """
        value, halves = mended(entry.value)
        message = _waiting(value) if kind == "attachment" else as_object(value.get("message"), "its message")
        if message is None:
            return
        said = content(message.get("content"))
        if value.get("isCompactSummary"):
            self.compacted = text(said)
            return
        role = "assistant" if kind == "assistant" else "tool" if _has_results(said) else "user"
        made = turn(value.get("uuid"), role, said, value.get("timestamp"))
        if made is None:
            return
        self.history.append(made)
        self.halves += halves
        self.line = self.line or entry.line
        if isinstance(own := value.get("sessionId"), str) and own:
            self.sessions.append(own)
        if time := instant(value.get("timestamp")):
            self.times.append(time)
        model = message.get("model")
        newly = {"cwd": value.get("cwd"), "git_branch": value.get("gitBranch"), "model": model}
        self.known |= {key: each for key, each in newly.items() if each and each != _SYNTHETIC}

    def imported(
        self, own: str, title_given: str, tags: tuple[str, ...], parent: str, relation: Relation | None
    ) -> Imported:
        """The talk as the session of the program's id `own`."""
        return Imported(
            line=self.line,
            session_id=session_id("claude-code", own),
            title=title(title_given, self.history),
            summary=self.compacted,
            tags=tags,
            created_at=min(self.times, default=None),
            updated_at=max(self.times, default=None),
            history=self.history,
            context=context("claude-code", **self.known),
            halves=self.halves,
            parent=session_id("claude-code", parent) if parent else "",
            relation=relation,
        )


class _Transcript:
    """What is known after some of the lines."""

    def __init__(self) -> None:
        self._main = _Talk()
        self._agents: dict[str, _Talk] = {}
        """The talks with sub-agents, by the agent's id, or that of the first line."""
        self._agent_of: dict[str, str] = {}
        """Whose line it is, by its id."""
        self._uuids: set[str] = set()
        self._summaries: dict[str, str] = {}
        self._titles: dict[str, str] = {}
        self._parent = ""
        self._is_background = False

    def add(self, entry: JsonEntry) -> None:
        """Take in the next line.

        Raises:
            InvalidArgument: it is no line of a transcript, or cannot be a turn.

        """
        value = entry.value
        kind, uuid = value.get("type"), value.get("uuid")
        if not isinstance(kind, str):
            raise InvalidArgument("has no type")
        if isinstance(uuid, str) and uuid in self._uuids:
            return
        if kind in ("user", "assistant", "attachment"):
            if value.get("isSidechain"):
                self._add_to_agent(entry, kind)
            elif not value.get("isMeta"):
                self._main.say(entry, kind)
            self._parent = self._parent or named_parent(value)
            self._is_background = self._is_background or value.get("sessionKind") == "bg"
        elif kind == "summary" and isinstance(leaf := value.get("leafUuid"), str):
            self._summaries[leaf] = text(value.get("summary"))
        elif kind in ("custom-title", "ai-title"):
            self._titles[kind] = text(value.get("customTitle" if kind == "custom-title" else "aiTitle"))
        if isinstance(uuid, str):
            self._uuids.add(uuid)

    def _add_to_agent(self, entry: JsonEntry, kind: str) -> None:
        value = entry.value
        agent, uuid, parent = (value.get(name) for name in ("agentId", "uuid", "parentUuid"))
        if not isinstance(agent, str) or not agent:
            agent = self._agent_of.get(parent, "") if isinstance(parent, str) else ""
            agent = agent or (uuid if isinstance(uuid, str) and uuid else "")
        if isinstance(uuid, str):
            self._agent_of[uuid] = agent
        if agent and not value.get("isMeta"):
            self._agents.setdefault(agent, _Talk()).say(entry, kind)

    def imported(self, name: str) -> Iterator[Imported | BadEntry]:
        """The session, and those of sub-agents."""
        if self._main.history:
            yield self._session(name)
        for agent, talk in self._agents.items():
            if talk.history:
                parent = talk.sessions[-1] if talk.sessions else ""
                yield talk.imported(f"agent-{agent}", "", (SUB_AGENT,), parent, SUB_AGENT)

    def _session(self, name: str) -> Imported | BadEntry:
        talk = self._main
        if not talk.sessions:
            return BadEntry(talk.line, "begins a talk of which no line names the sessionId")
        own = name if name in talk.sessions else talk.sessions[-1]
        summaries = [summary for leaf, summary in self._summaries.items() if leaf in self._uuids]
        titles = [self._titles.get("custom-title"), self._titles.get("ai-title"), *reversed(summaries)]
        relation: Relation = "background" if self._is_background else "fork"
        parent = self._parent if self._parent != own else ""
        if not parent and talk.sessions[0] != own:
            parent, relation = talk.sessions[0], "continuation"
        return talk.imported(own, next((each for each in titles if each), ""), (), parent, relation)


def _waiting(value: JSONObject) -> JSONObject | None:
    """The message that an attachment is, if the person wrote it and it waited for the model."""
    attached = as_object(value.get("attachment"), "its attachment")
    is_message = attached.get("type") == "queued_command" and attached.get("commandMode") == "prompt"
    return {"content": attached.get("prompt")} if is_message else None


def _has_results(said: str | list[JSONObject]) -> bool:
    return isinstance(said, list) and any(block.get("type") == "tool_result" for block in said)
