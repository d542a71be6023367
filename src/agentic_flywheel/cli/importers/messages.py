"""Collects the messages of a program that gives each an id, or a place, and makes a talk of them (`talk.py`).

A message that is written again under its id takes the place of the one before, at the time that it had first. The
result of a call stands right behind the message that made the call, however late it comes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from agentic_flywheel.cli.importers.blocks import plain
from agentic_flywheel.cli.importers.conversation import Imported, Relation, content, mended, turn
from agentic_flywheel.cli.importers.talk import Said, Talk
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject


class Messages:
    """Those of one talk as far as it was read; `program` is the beginning of its session's id."""

    def __init__(self, program: str) -> None:
        self.title = ""
        self.summary = ""
        self.known: dict[str, object] = {}
        """What is known beside them: cwd, model, program_version, spawned_by …; the last value stays."""
        self._program = program
        self._said: dict[str, tuple[int, Said]] = {}
        """Each with its line, by its id."""
        self._results: dict[str, dict[str, tuple[int, Said]]] = {}
        """The results of each message's calls, by the id of the call."""
        self._callers: dict[str, str] = {}
        """The message that makes a call, by the id of the call."""

    def __bool__(self) -> bool:
        return bool(self._said)

    def say(self, line: int, own: str, role: str, blocks: Sequence[JSONObject], time: object = None) -> None:
        """Take in a message, or what became of the one of that id. No blocks say nothing.

        Raises:
            InvalidArgument: it holds what cannot be kept.

        """
        if not own:
            raise InvalidArgument("it has no id")
        own = mended(own)[0]
        if (said := _said(own, role, blocks, time)) is None:
            return
        if before := self._said.get(own):
            line = before[0]
            said.turn |= {"created_at": before[1].turn["created_at"]} if "created_at" in before[1].turn else {}
        self._said[own] = line, said
        for block in blocks:
            if block["type"] == "tool_use" and isinstance(block.get("id"), str):
                self._callers[block["id"]] = own

    def answer(self, line: int, call_id: object, output: object, time: object = None) -> None:
        """Take in what a tool answered to a call; one whose call is not there stands where it comes.

        Raises:
            InvalidArgument: it holds what cannot be kept.

        """
        if not isinstance(call_id, str) or not call_id:
            return
        caller = self._callers.get(call_id, "")
        own = mended(f"{caller}/{call_id}")[0]
        block: JSONObject = {"type": "tool_result", "tool_use_id": call_id, "content": plain(output)}
        if said := _said(own, "tool", [block], time):
            place = self._results.setdefault(caller, {}) if caller else self._said
            place[call_id if caller else own] = line, said

    def answered(self, call_id: object) -> bool:
        """Whether the result of that call is there."""
        caller = self._callers.get(call_id, "") if isinstance(call_id, str) else ""
        return call_id in self._results.get(caller, ())

    def going_on(self, later: "Messages") -> "Messages":
        """Take in what `later` has behind the same under other ids, and give it all; `later` if it begins otherwise."""
        own, whole = self._in_order(), later._in_order()  # noqa: SLF001  another of its kind
        if [said.turn["role"] for _, said in own] != [said.turn["role"] for _, said in whole[: len(own)]]:
            return later
        self._said |= {said.turn["id"]: (line, said) for line, said in whole[len(own) :]}
        self.known |= later.known
        return self

    def _in_order(self) -> list[tuple[int, Said]]:
        """All of it, each message with the results of its calls right behind."""
        found: list[tuple[int, Said]] = []
        for own, said in self._said.items():
            found += [said, *self._results.get(own, {}).values()]
        return found

    def imported(
        self,
        own: str,
        *,
        parent: str = "",
        relation: Relation | None = None,
        created_at: datetime | None = None,
        updated_at: datetime | None = None,
    ) -> Iterator[Imported]:
        """The talk as the session of the program's id `own`; nothing if only the program spoke in it.

        `parent` is the program's id of the talk that it belongs to; `created_at` and `updated_at` count where its
        turns have no times.
        """
        talk = Talk(known=self.known)
        for line, said in self._in_order():
            talk.say(said, line)
        if made := talk.imported(
            self._program, own, named=self.title, summary=self.summary, parent=parent, relation=relation
        ):
            yield replace(
                made,
                created_at=made.created_at or created_at,
                updated_at=made.updated_at or updated_at or created_at,
            )


def _said(own: str, role: str, blocks: Sequence[JSONObject], time: object) -> Said | None:
    whole, halves = mended(list(blocks))
    made = turn(own, role, content(whole) if whole else "", time)
    return Said(made, halves, own if role == "assistant" else "") if made else None
