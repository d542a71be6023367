"""Reads the talks of a Claude Code transcript: `<session>.jsonl` below `~/.claude/projects`, a line for each event.

Read from 2.0, 2.1.45, 2.1.197 and 2.1.332. The vendor calls the format its own affair and may change it. Who speaks in
a line is told in `claude_code_speakers.py`. Lines name their parents: what the person took back (`/rewind`, Esc) stays
in the file, and the next line has an earlier parent, so the current branch is walked from the last line up. Parents are
not reliable: some were never written (then what stands before in the file goes on), behind a fork they go in a circle,
and of tools that ran at once the second hangs beside the branch. A compaction begins anew and names what went before in
`logicalParentUuid`. The order is the file's, but no child stands before its parent: 2.1.197 writes some answers before
the question. A `summary` line may be another session's: it counts if its `leafUuid` is a line of this file.

Lines of sub-agents (`isSidechain`) are talks of their own: in a file of their own since 2.0, which names the session
that asked in `sessionId`, and among the others before. What other talk a file begins with is told in `origins.py`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

from agentic_flywheel.cli.importers.beside import Beside
from agentic_flywheel.cli.importers.branches import UNKNOWN, trunk
from agentic_flywheel.cli.importers.claude_code_queue import Queue
from agentic_flywheel.cli.importers.claude_code_speakers import SYNTHETIC, is_summary, said, summarised
from agentic_flywheel.cli.importers.conversation import Imported, Relation, mended, text, turn
from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry
from agentic_flywheel.cli.importers.left_out import from_lines
from agentic_flywheel.cli.importers.origins import named_parent
from agentic_flywheel.cli.importers.talk import SUB_AGENT, Said, Talk
from agentic_flywheel.documents.turn_text import said_in
from agentic_flywheel.documents.turn_values import as_object
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject

_PROGRAM = "claude-code"

_WARMUP = "Warmup"
"""What 2.0 asked each kind of sub-agent when it started, which nobody saw."""


def session(entries: Iterable[JsonEntry | BadEntry], beside: Beside) -> Iterator[Imported | BadEntry]:
    """What cannot be read, line by line, then the session and those of sub-agents; none in which nothing was said.

    A file that continues another has the lines of both sessions: it is the session of its name then, or else the one
    named last. A file beside it may describe a sub-agent.
    """
    transcript = _Transcript(is_tail=beside.is_tail)
    yield from from_lines(entries, transcript.add, lambda: transcript.imported(beside.stem, beside.description()))


@dataclass(slots=True)
class _Line:
    """What a line says, and what goes with it."""

    number: int
    uuid: str
    said: Sequence[Said] = ()
    summary: str = ""
    answer: str = ""
    """The `message.id` of the answer that it is a part of."""
    beside: tuple[object, ...] = (None,) * 4
    """The session, its folder, the branch, the version: mostly those of the line before."""
    model: object = None
    calls: Sequence[str] = ()
    """The ids of the calls that it makes."""
    results: Sequence[str] = ()
    """The ids of the calls that it answers."""


@dataclass(slots=True)
class _Thread:
    """The lines of the session, or of one sub-agent's talk, with their parents."""

    lines: list[_Line] = field(default_factory=list[_Line])
    parents: dict[str, str | None] = field(default_factory=dict[str, "str | None"])
    leaf: str = ""

    def add(self, line: _Line, value: JSONObject, kind: str) -> None:
        """Take in a line, at the end."""
        is_spoken = kind in ("user", "assistant") or bool(line.said)
        if line.uuid:
            self.parents[line.uuid] = _parent(value, is_spoken=is_spoken, is_first=not self.parents)
            if is_spoken:
                self.leaf = line.uuid
        if line.said or line.summary:
            self.lines.append(line)

    def current(self) -> list[_Line]:
        """The lines of the branch that the person saw last, with all parts of its answers and what tools answered."""
        numbers = {line.uuid: line.number for line in self.lines}
        places, latest = dict[str, tuple[int, int]](), 0
        for place, uuid in enumerate(trunk(self.leaf, self.parents)):
            latest = max(latest, numbers.get(uuid, 0))  # a child stands behind its parent, whatever was written first
            places[uuid] = latest, place
        answers = {line.answer for line in self.lines if line.uuid in places} - {""}

        def is_on_it(line: _Line) -> bool:
            return not line.uuid or line.uuid in places or line.answer in answers

        callers = dict[str, _Line]()
        """What made each call last: some models count their calls anew in each answer."""
        found = list[_Line]()
        for line in self.lines:
            callers.update((each, line) for each in line.calls)
            if is_on_it(line) or any(is_on_it(callers[each]) for each in line.results if each in callers):
                found.append(line)
        return sorted(found, key=lambda line: places.get(line.uuid, (line.number, -1)))


def _parent(value: JSONObject, *, is_spoken: bool, is_first: bool) -> str | None:
    """The id of a line's parent; `None` where it begins a talk anew, as what a person says does behind a `/rewind`."""
    if "parentUuid" not in value:
        return UNKNOWN
    parent = value["parentUuid"] or value.get("logicalParentUuid")
    if isinstance(parent, str):
        return parent
    return None if is_spoken or is_first else UNKNOWN


def _blocks(line: _Line) -> list[JSONObject]:
    """The blocks of what a line says, where it is more than text."""
    found = list[JSONObject]()
    for each in line.said:
        blocks: str | list[JSONObject] = each.turn["content"]
        if isinstance(blocks, list):
            found += blocks
    return found


class _Transcript:
    """What is known after some of the lines."""

    def __init__(self, *, is_tail: bool) -> None:
        self._is_tail = is_tail
        self._main = _Thread()
        self._agents: dict[str, _Thread] = {}
        """The talks with sub-agents, by the agent's id, or that of the first line."""
        self._agent_of: dict[str, str] = {}
        """Whose line it is, by its id."""
        self._callers: dict[str, str] = {}
        """The calls that began sub-agents, by the agent's id or by what it was asked."""
        self._uuids: set[str] = set()
        self._queue = Queue()
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
        if kind == "summary" and isinstance(leaf := value.get("leafUuid"), str):
            self._summaries[leaf] = text(value.get("summary"))
        elif kind in ("custom-title", "ai-title"):
            self._titles[kind] = text(value.get("customTitle" if kind == "custom-title" else "aiTitle"))
        elif kind == "queue-operation":
            self._queue.add(value, entry.line)
        elif uuid or kind in ("user", "assistant", "attachment"):
            self._add(entry, kind)
        if isinstance(uuid, str):
            self._uuids.add(uuid)

    def _add(self, entry: JsonEntry, kind: str) -> None:
        value = entry.value
        thread = self._thread(value) if value.get("isSidechain") else self._main
        self._parent = self._parent or named_parent(value)
        self._is_background = self._is_background or value.get("sessionKind") == "bg"
        line = _Line(entry.line, text(value.get("uuid")))
        try:
            if kind in ("user", "assistant", "attachment", "system"):
                self._read(line, entry, kind)
        finally:  # one that cannot be a turn is a parent all the same
            thread.add(line, value, kind)

    def _read(self, line: _Line, entry: JsonEntry, kind: str) -> None:
        value = entry.value
        if is_summary(value):
            line.summary = summarised(value)
            return
        line.said = said(value, kind, is_whole=entry.is_whole)
        if not line.said:  # as an answer's sealed thoughts
            return
        message = value.get("message", {})
        beside: JSONObject = message if message.__class__ is dict else {}
        line.answer = text(beside.get("id")) if kind == "assistant" else ""
        line.beside = value.get("sessionId"), value.get("cwd"), value.get("gitBranch"), value.get("version")
        line.model = beside.get("model")
        self._note_calls(line, value)
        for each in line.said if kind in ("user", "attachment") else ():
            if each.turn["role"] == "user":
                self._note_lost(line, said_in(each.turn, whole=False)[1])

    def _note_lost(self, line: _Line, sent: str) -> None:
        """Note the prompts that waited before the one that was sent, and never were."""
        for number, value in self._queue.lost_before(sent):
            own = f"{text(value.get('sessionId'))}:{text(value.get('timestamp'))}"
            if made := turn(own, "user", mended(value["content"])[0], value.get("timestamp")):
                self._main.lines.append(_Line(number, "", [Said(made)], beside=line.beside, model=line.model))

    def _note_calls(self, line: _Line, value: JSONObject) -> None:
        """Note which call began a sub-agent: its result names the agent; before, the same words stand in both."""
        for block in _blocks(line):
            kind = block.get("type")
            if kind == "tool_result":
                line.results = [*line.results, str(block.get("tool_use_id"))]
            elif kind == "tool_use":
                line.calls = [*line.calls, str(block.get("id"))]
                asked = as_object(block.get("input")).get("prompt")
                if isinstance(asked, str):
                    self._callers.setdefault(asked, line.calls[-1])
        if line.results and (agent := text(as_object(value.get("toolUseResult")).get("agentId"))):
            self._callers.setdefault(agent, line.results[0])

    def _thread(self, value: JSONObject) -> _Thread:
        """That of the sub-agent whose line it is."""
        agent, uuid, parent = (value.get(name) for name in ("agentId", "uuid", "parentUuid"))
        if not isinstance(agent, str) or not agent:
            agent = self._agent_of.get(parent, "") if isinstance(parent, str) else ""
            agent = agent or (uuid if isinstance(uuid, str) and uuid else "")
        if isinstance(uuid, str):
            self._agent_of[uuid] = agent
        return self._agents.setdefault(agent, _Thread()) if agent else _Thread()

    def imported(self, name: str, beside: JSONObject) -> Iterator[Imported | BadEntry]:
        """The session, and those of sub-agents."""
        yield from self._session(name)
        for agent, thread in self._agents.items():
            talk, sessions, _ = _talk(thread, is_tail=self._is_tail)
            asked = next((str(turn["content"]) for turn in talk.history), "")
            parent = text(beside.get("parentAgentId"))
            talk.known["spawned_by"] = beside.get("toolUseId") or self._callers.get(agent) or self._callers.get(asked)
            if asked == _WARMUP and not talk.known["spawned_by"]:
                continue
            made = talk.imported(
                _PROGRAM,
                f"agent-{agent}",
                named=text(beside.get("description")),
                parent=f"agent-{parent}" if parent else sessions[-1] if sessions else "",
                relation=SUB_AGENT,
            )
            if made:
                yield made

    def _session(self, name: str) -> Iterator[Imported | BadEntry]:
        talk, sessions, summary = _talk(self._main, is_tail=self._is_tail)
        if not sessions and talk.history:
            yield BadEntry(talk.line, "begins a talk of which no line names the sessionId")
        if not sessions:
            return
        own = name if name in sessions else sessions[-1]
        summaries = [each for leaf, each in self._summaries.items() if leaf in self._uuids]
        titles = [self._titles.get("custom-title"), self._titles.get("ai-title"), *reversed(summaries)]
        relation: Relation = "background" if self._is_background else "fork"
        parent = self._parent if self._parent != own else ""
        if not parent and sessions[0] != own:
            parent, relation = sessions[0], "continuation"
        named = next((each for each in titles if each), "")
        made = talk.imported(_PROGRAM, own, named=named, summary=summary, parent=parent, relation=relation)
        if made:
            yield made


def _talk(thread: _Thread, *, is_tail: bool) -> tuple[Talk, list[str], str]:
    """What was said on the current branch, the sessions that its lines name, and the last summary on it."""
    talk, sessions, summary = Talk(goes_on=is_tail), list[str](), ""
    beside, model = tuple[object, ...](), cast("object", None)
    for line in thread.current():
        if line.summary:
            summary = line.summary
        if not line.said:
            continue
        for each in line.said:
            talk.say(each, line.number)
        if line.beside != beside or (line.model and line.model != model):
            beside, model = line.beside, line.model or model
            own, cwd, git_branch, version = beside
            if isinstance(own, str) and own:
                sessions.append(own)
            talk.known.setdefault("cwd", cwd)
            newly = {"git_branch": git_branch, "model": line.model, "program_version": version}
            talk.known |= {key: each for key, each in newly.items() if each and each != SYNTHETIC}
    return talk, sessions, summary
