"""Follows the lines of a Codex CLI transcript (0.171.0), as `following.py` asks.

A task ends with a line that says so, and a later run may begin behind it. A compaction, a task that was taken back,
and what a command of an earlier task printed ask for a whole reading.
"""

from typing import cast

from agentic_flywheel.json_text import JSONObject

_ENDS = ("task_complete", "turn_complete", "turn_aborted")
_CALLS = ("function_call", "custom_tool_call", "local_shell_call")
_OUTPUTS = ("function_call_output", "custom_tool_call_output")

_TELLING = ("user_message", "agent_message", "exited_review_mode")
_ITEMS = ("UserMessage", "AgentMessage", "Plan", "ExitedReviewMode")
"""Events and items that say what was said: where there are any, what the model is given does not count."""


class CodexFollower:
    """Knows whether a task is under way, and which tools it called."""

    def __init__(self, state: JSONObject) -> None:
        self._lines: int = state.get("lines") or 0
        self._is_behind = self._lines > 0
        """Whether it goes on behind what an earlier run read."""
        self._is_told: bool = state.get("told") is True
        self._calls: set[object] = set()
        self._has_ended = self._lines > 0  # before, the prompt may be known only as the model is given it

    def is_settled(self) -> bool:
        """Whether no task is under way."""
        return self._has_ended

    def state(self) -> JSONObject:
        """How many lines there were, and whether any of them was an item or an event that says something."""
        return {"lines": self._lines, "told": self._is_told}

    def goes_on(self, value: JSONObject) -> bool:
        """Whether the line leaves what was read before as it is."""
        payload = _object(value.get("payload"))
        kind, event, item = value.get("type"), payload.get("type"), _object(payload.get("item"))
        self._lines += 1
        if kind == "session_meta" or "payload" not in value:  # the latter is of 2025
            return self._lines == 1
        self._is_told = self._is_told or event in _TELLING or item.get("type") in _ITEMS
        if event in _CALLS:
            self._calls.add(payload.get("call_id"))
        call = payload.get("call_id") if event in _OUTPUTS else None
        if item.get("type") == "CommandExecution" and item.get("source") != "user_shell":
            call = item.get("id")
        if event in _ENDS:
            self._has_ended = True
            self._calls.clear()
        elif kind == "response_item" or event in ("task_started", "item_completed", "user_message"):
            self._has_ended = False
        if kind == "response_item" and event == "message" and self._is_behind and not self._is_told:
            return False  # what the model is given counts while nothing else tells what was said
        return kind != "compacted" and event != "thread_rolled_back" and (call is None or call in self._calls)


def _object(value: object) -> JSONObject:
    return cast("JSONObject", value) if isinstance(value, dict) else {}
