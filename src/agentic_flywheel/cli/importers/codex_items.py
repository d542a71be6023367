"""Tells what the lines of a Codex CLI transcript say, from the items that a person saw.

The same words stand in a transcript more than once: as items (`item_completed`), in older ones as events
(`user_message`, `agent_message`), and as the model is given them (`response_item`), where `user` is also what nobody
said. Items count; events where a task has no items; what the model is given where neither has come in the file so far.
Calls of tools are only in what the model is given; what a command printed is in its item. A response is one turn.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from agentic_flywheel.cli.importers.blocks import between, spoken, thought
from agentic_flywheel.cli.importers.codex_older import BARE
from agentic_flywheel.cli.importers.codex_parts import answered, asked, outcome, shown, typed
from agentic_flywheel.cli.importers.conversation import mended, text, turn
from agentic_flywheel.cli.importers.talk import Said
from agentic_flywheel.documents.turn_values import as_list, is_object
from agentic_flywheel.json_text import JSONObject

_NOT_SAID = (
    "<environment_context>", "<user_instructions>", "<turn_aborted>", "# AGENTS.md instructions",
    "<user_shell_command>", "<skill>", "<subagent_notification>", "<user_action>",
)  # fmt: skip
"""How messages of role user begin that no person wrote."""

_PREFACE = "use the information in this summary to assist with your own analysis:"
"""What ends the preface of a summary, which is for the model."""

_ENDS = ("token_count", "task_started", "task_complete", "turn_aborted", "turn_started", "turn_complete")
"""Events behind which the next part belongs to another response."""

ITEM, EVENT, GIVEN, EITHER = "item", "event", "given", ""
"""Where something was read: of the first three, one counts in a task."""


@dataclass(slots=True)
class _Part:
    """What was said, in which line and task it stands, and where it was read."""

    line: int
    task: int
    where: str
    said: Said


@dataclass(slots=True)
class Items:
    """What was said, as far as it was read."""

    summary: str = ""
    is_new: bool = False
    """Whether it is what is new in a file: then items or events come, if they have not yet."""
    _parts: list[_Part] = field(default_factory=list[_Part])
    _task: int = 0
    _told: int | None = None
    """The first task of which items or events came, also where they were taken back since."""
    _response: int = 0
    _thoughts: dict[str, list[JSONObject]] = field(default_factory=dict[str, list[JSONObject]])
    """Thoughts whose answer has not come yet, by where they were read."""
    _printed: set[str] = field(default_factory=set[str])
    """The calls whose commands have printed something."""
    _called: set[str] = field(default_factory=set[str])
    _results: dict[str, _Part] = field(default_factory=dict[str, _Part])
    _items: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """Kinds and ids of those that were taken in: a line may be written twice."""

    def __bool__(self) -> bool:
        return bool(self._parts)

    def is_before(self) -> None:
        """What was read so far is another file's, before what comes: its lines are not of this one."""
        for part in self._parts:
            part.line = 1
        self._end_response()
        self._task += 1

    def say(self, said: Said, line: int, where: str = EITHER) -> None:
        """Add what was said at a line."""
        if where in (ITEM, EVENT) and self._told is None:
            self._told = self._task
        self._parts.append(_Part(line, self._task, where, said))

    def said(self) -> Iterator[tuple[int, Said]]:
        """What was said, each once, with its line."""
        items = {part.task for part in self._parts if part.where == ITEM}
        told = 0 if self.is_new else self._task + 1 if self._told is None else self._told
        for part in self._parts:
            is_again = part.where == EVENT and part.task in items
            if not is_again and not (part.where == GIVEN and part.task >= told):
                yield part.line, part.said

    def add(self, kind: str, value: JSONObject, payload: JSONObject, line: int) -> None:
        """Take in a line.

        Raises:
            InvalidArgument: it cannot be a turn.

        """
        whole, halves = mended(payload)
        time = value.get("timestamp")
        if kind == "compacted":
            words = text(whole.get("message"))
            words = words.partition(_PREFACE)[2] or words
            self._end_response()
            self.summary = between(words, "summary") or words.strip() or self.summary
        elif kind == BARE:
            self._given(whole, time, line, halves, EITHER)
        elif kind == "response_item":
            metadata = value.get("metadata")
            if not (isinstance(metadata, dict) and cast("JSONObject", metadata).get("compaction_output")):
                self._given(whole, time, line, halves)
        elif kind == "event_msg":
            self._event(whole, time, line, halves)
        elif kind == "token_usage_record":
            self._end_response()

    def _end_response(self) -> None:
        self._response += 1
        self._thoughts = {}

    def _event(self, event: JSONObject, time: object, line: int, halves: int) -> None:
        kind = event.get("type")
        if kind in _ENDS:
            self._end_response()
        if kind in ("task_started", "turn_started"):
            self._task += 1
        elif kind == "item_completed" and isinstance(event.get("item"), dict):
            completed = event.get("completed_at_ms")
            self._item(event["item"], completed if isinstance(completed, int) else time, line, halves)
        elif kind == "user_message":
            images: object = event.get("images")
            pictures = [{"type": "image"} for _ in cast("list[object]", images)] if isinstance(images, list) else []
            if not text(event.get("message")).startswith(_NOT_SAID):
                self._asks(None, [*typed(event.get("message")), *pictures], time, line, EVENT, halves)
        elif kind in ("agent_message", "exited_review_mode"):
            self._answers(None, answered(event), time, line, EVENT, halves)
        elif kind == "agent_reasoning":
            self._thoughts.setdefault(EVENT, []).extend(thought(event.get("text")))
        elif kind == "thread_rolled_back":
            self._roll_back(event.get("num_turns"))
        else:
            self._notice(event, time, line)

    def _notice(self, event: JSONObject, time: object, line: int) -> None:
        """Add an interruption or an error, which the program said."""
        error = event.get("error")
        words = ""
        if event.get("type") == "turn_aborted" and event.get("reason") == "interrupted":
            words = "[Turn interrupted by user]"
        elif event.get("type") == "error":
            words = text(event.get("message"))
        elif event.get("type") == "task_complete" and isinstance(error, dict):
            words = text(cast("JSONObject", error).get("message"))
        is_again = bool(self._parts) and self._parts[-1].said.turn.get("content") == words
        if made := turn(None, "system", "" if is_again else words, time):
            self.say(Said(made), line)

    def _item(self, item: JSONObject, time: object, line: int, halves: int) -> None:
        """Take in an item that a person saw."""
        kind, own, parts = item.get("type"), item.get("id"), list(filter(is_object, as_list(item.get("content"))))
        if isinstance(kind, str) and isinstance(own, str):
            is_again = (kind, own) in self._items
            self._items.add((kind, own))
            if is_again and kind != "CommandExecution":
                return
        if kind == "UserMessage":
            self._asks(own, [block for part in parts for block in asked(part)], time, line, ITEM, halves)
        elif kind == "AgentMessage":
            self._answers(
                own, [block for part in parts for block in spoken(part.get("text"))], time, line, ITEM, halves
            )
        elif kind in ("Plan", "ExitedReviewMode"):
            self._answers(own, spoken(item.get("text") or item.get("review")), time, line, ITEM, halves)
        elif kind == "Reasoning":
            texts: object = item.get("summary_text")
            for each in as_list(texts):
                self._thoughts.setdefault(ITEM, []).extend(thought(each))
        elif kind == "CommandExecution":
            self._command(item, text(own), time, line, halves)

    def _command(self, item: JSONObject, own: str, time: object, line: int, halves: int) -> None:
        """Add what a command printed, behind the call of the model or of the person, or else its own."""
        command = item.get("command")
        if item.get("source") == "user_shell":
            typed = cast("list[object]", command)[-1:] if isinstance(command, list) else [command]
            if made := turn(f"{own}-call", "system", f"! {' '.join(map(str, typed))}", time):
                self.say(Said(made), line)
        elif own not in self._called:
            call = {"type": "tool_use", "id": own, "name": "exec_command", "input": {"command": command}}
            self._answers(f"{own}-call", [call], time, line, EITHER, halves)
        code = item.get("exit_code")
        ended = f"\n[exit code {code}]" if isinstance(code, int) and code else ""
        self._result(own, f"{text(item.get('aggregated_output'))}{ended}", time, line, halves)
        self._printed.add(own)

    def _given(self, item: JSONObject, time: object, line: int, halves: int, where: str = GIVEN) -> None:
        """Take in what the model is given: calls and their outputs; its words only where nothing else has them."""
        kind, own, call = item.get("type"), item.get("id"), text(item.get("call_id"))
        if kind in ("function_call", "custom_tool_call", "local_shell_call", "web_search_call"):
            call = call or text(own)
            self._forget(call)
            self._called.add(call)
            name = item.get("name") or str(kind).removesuffix("_call")
            block = {"type": "tool_use", "id": call, "name": name, "input": self.given(item)}
            self._answers(own, [block], time, line, EITHER, halves)
        elif kind in ("function_call_output", "custom_tool_call_output", "local_shell_call_output"):
            if call not in self._printed:
                self._result(call, outcome(item.get("output")), time, line, halves)
            self._end_response()
        elif kind == "message" and item.get("role") in ("user", "assistant"):
            parts = list(filter(is_object, as_list(item.get("content"))))
            said = [part for part in parts if not text(part.get("text")).startswith(_NOT_SAID)]
            blocks = [block for part in said for block in shown(part)]
            says = self._asks if item["role"] == "user" else self._answers
            says(own, blocks, time, line, where, halves)
        elif kind == "reasoning":
            summaries = filter(is_object, as_list(item.get("summary")))
            thoughts = [block for each in summaries for block in thought(each.get("text"))]
            self._answers(own, thoughts, time, line, where, halves)

    def _forget(self, call: str) -> None:
        """Forget what an earlier call of that id printed: some models count their calls anew in each answer."""
        self._results.pop(call, None)
        self._printed.discard(call)

    @staticmethod
    def given(call: JSONObject) -> JSONObject:
        """The arguments of a call."""
        arguments: Any = call.get("arguments", call.get("input", call.get("action")))
        try:
            value: Any = json.loads(arguments) if isinstance(arguments, str) and "arguments" in call else arguments
        except (ValueError, RecursionError):
            value = arguments
        return value if is_object(value) else {} if value is None else {"input": value}

    def _asks(self, own: object, blocks: list[JSONObject], time: object, line: int, where: str, halves: int) -> None:
        if where != GIVEN:
            self._end_response()
        is_text = all(block["type"] == "text" for block in blocks)
        words = "\n\n".join(block["text"] for block in blocks) if is_text else blocks
        if made := turn(own, "user", words, time):
            self.say(Said(made, halves), line, where)

    def _answers(self, own: object, blocks: list[JSONObject], time: object, line: int, where: str, halves: int) -> None:
        before = self._thoughts.pop(where or ITEM, None) or (self._thoughts.pop(EVENT, []) if not where else [])
        if made := turn(own, "assistant", [*before, *blocks], time):
            self.say(Said(made, halves, f"{self._task} {self._response}", text(own)), line, where)

    def _result(self, call: str, words: object, time: object, line: int, halves: int) -> None:
        """Add what a tool answered; a command may have been given to the model before it ended."""
        made = turn(call, "tool", [{"type": "tool_result", "tool_use_id": call, "content": words}], time)
        if made and call in self._results:
            self._results[call].said = Said(made, halves)
        elif made:
            self.say(Said(made, halves), line)
            self._results[call] = self._parts[-1]

    def _roll_back(self, turns: object) -> None:
        """Take back the last of what the person said, with all that followed."""
        said = [place for place, part in enumerate(self._parts) if _is_asked(part)]
        if isinstance(turns, int) and turns > 0 and said:
            del self._parts[said[max(len(said) - turns, 0)] :]
        self._end_response()


def _is_asked(part: _Part) -> bool:
    return part.said.turn["role"] == "user" and part.where != GIVEN
