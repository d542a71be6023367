"""Reads the talks of a Codex CLI transcript: `rollout-*.jsonl` below `~/.codex/sessions`, or of its archive beside it.

Read from 0.171.0; what older ones write is from their source (`codex_older.py`). Each line is `{timestamp, ordinal,
type, payload}`; what a line says is told in `codex_items.py`. A fork's file has only what is new and names where it
goes on from (`history_base`): that is read from the other file, as far as it is there. A sub-agent's file begins with a
copy of the talk that asked (`subagent_history_start_ordinal`), which is left out; the call that began it is the last in
it, or the one that gave it its name. What the program asks a model by itself (to compact, to remember) is no talk. The
names of talks stand in another file, `session_index.jsonl`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import cast

from agentic_flywheel.cli.importers.beside import Beside
from agentic_flywheel.cli.importers.codex_items import Items
from agentic_flywheel.cli.importers.codex_older import as_today, folder_in
from agentic_flywheel.cli.importers.conversation import Imported, Relation, instant, text, turn
from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry, lines
from agentic_flywheel.cli.importers.left_out import from_lines
from agentic_flywheel.cli.importers.talk import SUB_AGENT, Said, Talk
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject

_PROGRAM = "codex"

_FORKS_OF_FORKS = 20
"""Files that are followed from a fork back to its origin."""

_TALKS_OF_AGENTS = ("thread_spawn", "review")
"""The sub-agents whose talks a person may have seen."""


def session(entries: Iterable[JsonEntry | BadEntry], beside: Beside) -> Iterator[Imported | BadEntry]:
    """What cannot be read, line by line, then the session; none in which nothing was said.

    A fork's origin is in a file around. Lines that do not begin with the head of the talk are what is new in the file,
    whose head is read then.
    """
    rollout = _Rollout(beside)
    yield from from_lines(as_today(entries), rollout.add, rollout.imported)


class _Rollout:
    """What is known after some of the lines; `end`: the ordinal from which on they are another talk's."""

    def __init__(self, beside: Beside, end: int | None = None, depth: int = 0) -> None:
        self._beside = beside
        self._end = end
        self._depth = depth
        self.items = Items()
        self._meta: JSONObject = {}
        self._start: int | None = None
        """The ordinal at which a sub-agent's own talk begins."""
        self._call: JSONObject = {}
        """The call that began it, in the copy before."""
        self._known: dict[str, object] = {}

    def add(self, entry: JsonEntry) -> None:
        """Take in the next line.

        Raises:
            InvalidArgument: it is no line of a transcript, or cannot be a turn.

        """
        value = entry.value
        kind, ordinal, payload = value.get("type"), value.get("ordinal"), value.get("payload")
        if not isinstance(kind, str):
            raise InvalidArgument("has no type")
        if not isinstance(payload, dict):
            raise InvalidArgument("has no payload")
        said = cast("JSONObject", payload)
        if not self._meta:
            self._begin(said if kind == "session_meta" else None)
        if kind == "session_meta":
            return
        number = ordinal if isinstance(ordinal, int) else None
        if self._end is not None and number is not None and number >= self._end:
            return
        if self._start is not None and number is not None and number < self._start:
            self._note_call(said)
            return
        if kind == "turn_context":
            self._known["model"] = said.get("model") or self._known.get("model")
        elif not self._known.get("cwd"):
            self._known["cwd"] = folder_in(said)
        self._task(said, value.get("timestamp"))
        self.items.add(kind, value, said, entry.line)

    def _begin(self, head: JSONObject | None) -> None:
        """Take in the head of a talk; `None` where the lines are those behind what was read before."""
        self.items.is_new = head is None
        first = self._beside.head() if head is None else {}
        meta = head or (_inside(first, "payload") if first.get("type") == "session_meta" else None)
        meta = self._meta = cast("JSONObject", meta) if isinstance(meta, dict) else {"id": None}
        start = meta.get("subagent_history_start_ordinal")
        self._start = start if isinstance(start, int) else None
        version, branch = meta.get("cli_version"), _inside(meta, "git", "branch")
        self._known |= {"cwd": meta.get("cwd"), "program_version": version, "git_branch": branch}
        thread, end = (_inside(meta, "history_base", name) for name in ("thread_id", "end_ordinal_exclusive"))
        if head and isinstance(end, int) and thread != meta.get("id") and self._depth < _FORKS_OF_FORKS:
            self._go_back(thread, end)

    def _go_back(self, thread: object, end: int) -> None:
        """Take in what the talk goes on from, as far as it is there."""
        with self._beside.rollout(thread) as file:
            if file is None:
                return
            before = _Rollout(self._beside, end, self._depth + 1)
            for entry in as_today(lines(file)):
                try:
                    if isinstance(entry, JsonEntry):
                        before.add(entry)
                except InvalidArgument:
                    continue  # it is reported where that talk is read
            self.items = before.items
            self.items.is_before()

    def _note_call(self, said: JSONObject) -> None:
        """Note the last call in the copy, if none of those before gave the sub-agent its name."""
        name = self._task_name()
        is_named = bool(name) and Items.given(self._call).get("task_name") == name
        if said.get("type") == "function_call" and not is_named:
            self._call = said

    def _task_name(self) -> str:
        return text(self._meta.get("agent_path")).rpartition("/")[2]

    def _task(self, said: JSONObject, time: object) -> None:
        """Let a sub-agent's talk begin with what it was asked, which stands in the call alone."""
        if said.get("type") != "agent_message" or not self._call or self.items:
            return
        if made := turn(said.get("id"), "user", text(Items.given(self._call).get("message")), time):
            self.items.say(Said(made), 1)

    def imported(self) -> Iterator[Imported]:
        """The session; none of what the program asked by itself."""
        agent = _inside(self._meta, "source", "subagent")
        kinds = list(cast("JSONObject", agent)) if isinstance(agent, dict) else [agent]
        if agent is not None and not any(kind in _TALKS_OF_AGENTS for kind in kinds):
            return
        relation: Relation = "fork" if agent is None else SUB_AGENT
        own = text(self._meta.get("id")) or self._beside.stem
        parents = (
            _inside(self._meta, "source", "subagent", "thread_spawn", "parent_thread_id"),
            self._meta.get("parent_thread_id"),
            self._meta.get("forked_from_id"),
            _inside(self._meta, "history_base", "thread_id"),
        )
        talk = Talk(goes_on=self.items.is_new, known=self._known | {"spawned_by": self._call.get("call_id")})
        for line, said in self.items.said():
            talk.say(said, line)
        made = talk.imported(
            _PROGRAM,
            own,
            named=("" if self.items.is_new else self._beside.thread_name(own)) or self._task_name(),
            summary=self.items.summary,
            parent=next((text(each) for each in parents if text(each) and each != own), ""),
            relation=relation,
        )
        if made:
            began = instant(self._meta.get("timestamp"))
            yield replace(made, created_at=made.created_at or began, updated_at=made.updated_at or began)


def conversation(value: JSONObject, beside: Beside) -> Iterator[Imported | BadEntry]:
    """The talk of a file that is one object, as those of before June 2025 are."""
    return session([JsonEntry(1, value)], beside)


def _inside(value: object, *names: str) -> object:
    """What lies in a value under these names, one in the other; `None` if there is nothing."""
    for name in names:
        value = cast("JSONObject", value).get(name) if isinstance(value, dict) else None
    return value
