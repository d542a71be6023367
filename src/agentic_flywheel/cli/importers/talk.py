"""Gathers what was said in a talk of another program: one turn an answer, results of tools behind their calls.

Readers say of each part who speaks (`Said`); here it becomes a turn, or a part of the turn of an answer that goes on:
Claude Code, Codex and Qwen Code write the parts of an answer one by one.
"""

from dataclasses import dataclass, field
from pathlib import PureWindowsPath
from typing import cast

from agentic_flywheel.cli.importers.blocks import as_blocks
from agentic_flywheel.cli.importers.conversation import (
    Imported,
    Relation,
    content,
    context,
    instant,
    tagged,
    text,
    title,
)
from agentic_flywheel.cli.importers.web_pages import BRINGS_PAGES, shortened_within
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.keys import MAX_ID_LENGTH, id_of

SUB_AGENT: Relation = "sub-agent"
"""The tag of a talk with a sub-agent, and its relation to the one that asked for it."""

_SPEAKS = frozenset(("user", "assistant", "tool"))


@dataclass(slots=True)
class Said:
    """A turn, or a part of the answer whose key is `answer`; `own` is the id of what it was read from.

    `is_sure`: all parts with the key are one answer. Where it is not, a text behind a tool's result is another one.
    """

    turn: JSONObject
    halves: int = 0
    answer: str = ""
    own: str = ""
    is_sure: bool = True


@dataclass(slots=True)
class Talk:
    """What was said in one talk, as far as it was read; `line` is the first line of it, `known` what goes with it.

    `goes_on`: it stands behind what was read before, so that a command or an interruption alone is something said.
    """

    line: int = 0
    halves: int = 0
    goes_on: bool = False
    known: dict[str, object] = field(default_factory=dict[str, object])
    _history: list[JSONObject] = field(default_factory=list[JSONObject])
    _times: list[str] = field(default_factory=list[str])
    """When each was said, as `turn` writes it: by the text is by the time."""
    _answers: dict[str, JSONObject] = field(default_factory=dict[str, JSONObject])
    """Those that may go on, by their keys."""
    _answered: set[str] = field(default_factory=set[str])
    """The keys of answers of which a tool has answered."""
    _calls: dict[object, tuple[str, str]] = field(default_factory=dict[object, tuple[str, str]])
    """The tool that was called, and the answer that did so, by the call's id."""
    _ids: set[object] = field(default_factory=set[object])

    def say(self, said: Said, line: int) -> None:
        """Take in what a line says."""
        self.line = self.line or line
        self.halves += said.halves
        turn = said.turn
        if time := turn.get("created_at"):
            self._times.append(time)
        if said.answer:
            self._answer(said)
            return
        if turn["role"] == "user":
            self._answers.clear()
        elif turn["role"] == "tool" and isinstance(turn["content"], list):
            self._result(turn)
        self._history.append(turn)

    def _answer(self, said: Said) -> None:
        blocks: list[JSONObject] = as_blocks(said.turn["content"])
        calls = [block for block in blocks if block.get("type") == "tool_use"]
        for call in calls:
            self._calls[str(call.get("id"))] = (str(call.get("name")), said.answer)
        turn = self._answers.get(said.answer)
        if turn is not None and (said.is_sure or calls or said.answer not in self._answered):
            known: list[JSONObject] = turn["content"]
            known += [block for block in blocks if block not in known]
            return
        turn = said.turn | {"content": blocks}
        if turn.get("id") in self._ids and said.own:
            turn["id"] = said.own
        self._ids.add(turn.get("id"))
        self._answers[said.answer] = turn
        self._answered.discard(said.answer)
        self._history.append(turn)

    def _result(self, turn: JSONObject) -> None:
        for block in cast("list[JSONObject]", turn["content"]):
            name, answer = self._calls.get(str(block.get("tool_use_id")), ("", ""))
            self._answered.add(answer)
            if BRINGS_PAGES.search(name):
                block["content"] = shortened_within(block.get("content"))

    @property
    def history(self) -> list[JSONObject]:
        """The turns: of answers, those in which something is said or called; none where only commands stand."""
        made = [turn | {"content": content(turn["content"])} if _is_answer(turn) else turn for turn in self._history]
        made = [turn for turn in made if not _is_thought(turn)]
        return made if self.goes_on or any(turn["role"] in _SPEAKS for turn in made) else []

    def imported(
        self,
        program: str,
        own: str,
        *,
        named: str = "",
        summary: str = "",
        parent: str = "",
        relation: Relation | None = None,
    ) -> Imported | None:
        """The talk as the session of the program's id `own`; `None` if nothing was said in it.

        Args:
            program: the program's name, with which its ids begin.
            own: the program's id of the talk.
            named: the title that it has there.
            summary: the summary that it has there.
            parent: the program's id of the talk that it belongs to or goes on from.
            relation: what it is to that one.

        """
        history = self.history
        if not history:
            return None
        project = tagged("project", PureWindowsPath(text(self.known.get("cwd"))).name)
        tags = (SUB_AGENT,) if relation == SUB_AGENT else ()
        return Imported(
            line=self.line,
            session_id=id_of(program, own),
            title=title(named, history) or _command(history),
            summary=text(summary),
            tags=tags + project,
            created_at=instant(min(self._times, default=None)),
            updated_at=instant(max(self._times, default=None)),
            history=history,
            context=context(program, **self.known),
            halves=self.halves,
            parent=id_of(program, parent) if parent else "",
            relation=relation,
        )


def _is_answer(turn: JSONObject) -> bool:
    return turn["role"] == "assistant" and isinstance(turn["content"], list)


def _is_thought(turn: JSONObject) -> bool:
    """Whether it is an answer that broke off before anything was said, or nothing at all."""
    blocks: str | list[JSONObject] = turn["content"]
    return not blocks or (
        turn["role"] == "assistant"
        and isinstance(blocks, list)
        and all(block.get("type") == "thinking" for block in blocks)
    )


def _command(history: list[JSONObject]) -> str:
    """The command that the talk begins with, as its title where the person said nothing else."""
    first = history[0]["content"]
    return first[:MAX_ID_LENGTH].partition("\n")[0] if isinstance(first, str) and first.startswith("/") else ""
