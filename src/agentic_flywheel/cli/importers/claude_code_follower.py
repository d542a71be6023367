"""Follows the lines of a Claude Code transcript (2.1.332, and older ones with less in them), as `following.py` asks.

The talk goes on where each line with a `parentUuid` names the one before it. Two tools at once hang beside the chain:
their results name the answer that asked. The lines of an answer have one `message.id`; nothing says which is its last,
so a line of an answer that was read before asks for a whole reading. A compaction, a sub-agent's line, a prompt that
was taken back, another session's line and another title do, too.
"""

import hashlib
from collections import deque
from collections.abc import Iterable, Sequence, Set
from typing import Any

from agentic_flywheel.cli.importers.claude_code_queue import is_prompt as is_queued
from agentic_flywheel.cli.importers.claude_code_queue import is_taken_back
from agentic_flywheel.cli.importers.claude_code_speakers import is_summary
from agentic_flywheel.json_text import JSONObject

REMEMBERED = 20
"""Answers that may go on, and lines that results of tools may hang at."""

_TITLES = {"custom-title": "customTitle", "ai-title": "aiTitle", "summary": "summary"}
"""Lines that give a title, and its field."""

_NONE, _NOTHING = frozenset[str](), JSONObject()

_REWRITES = frozenset({"content-replacement", "derived-from", "line-withheld", "relocated"})
"""Lines that say something about others."""


class ClaudeCodeFollower:
    """Knows where the talk ends, which tools have not answered yet, and which answers there were."""

    def __init__(self, state: JSONObject) -> None:
        self._ends: list[object] = list(state.get("ends") or [None])
        self._whose: list[object] | None = state.get("whose")
        self._titles: JSONObject = dict(state.get("titles") or {})
        self._answers = deque[object](state.get("answers") or (), REMEMBERED)
        self._recent = deque[object](self._ends, REMEMBERED)
        self._open: set[object] = set()
        self._answer: object = None
        self._is_cut = self._waits = False

    def is_settled(self) -> bool:
        """Whether every tool has answered, no prompt waits, and no answer is cut as far as can be told."""
        return not (self._open or self._is_cut or self._waits)

    def state(self) -> JSONObject:
        """The last lines, the session and the sub-agent, the last answers, digests of titles."""
        answers = [*self._answers, self._answer] if self._answer else [*self._answers]
        return {"ends": self._ends, "whose": self._whose, "titles": self._titles, "answers": answers}

    def goes_on(self, value: JSONObject) -> bool:
        """Whether the talk goes on from the line before."""
        kind, uuid, parent = value.get("type"), value.get("uuid"), value.get("parentUuid")
        if not isinstance(uuid, str):
            return self._goes_on_beside(kind, value)
        message: Any = value.get("message")
        message = message if message.__class__ is dict else _NOTHING
        blocks: Any = message.get("content")
        kinds = [each.get("type") for each in blocks if each.__class__ is dict] if blocks.__class__ is list else ()
        results = _ids(blocks, "tool_result", "tool_use_id") if "tool_result" in kinds else _NONE
        answer = message.get("id") if kind == "assistant" else None
        is_part = bool(results) or (answer is not None and answer == self._answer)
        is_beside = is_part and parent not in self._ends and parent in self._recent
        is_known = answer is not None and answer != self._answer and answer in self._answers
        whose: list[object] = [value.get("sessionId"), value.get("agentId") if value.get("isSidechain") else None]
        is_simple = (
            (parent in self._ends or is_beside)
            and not is_known
            and not (is_summary(value) or value.get("subtype") == "compact_boundary")
            and whose == (self._whose or whose)
        )
        self._whose = self._whose or whose
        self._recent.append(uuid)
        self._ends = [*self._ends, uuid][-REMEMBERED:] if is_beside and results else [uuid]
        self._note(answer, message, kinds, results, is_prompt=kind == "user" and not value.get("isMeta"))
        if "tool_use" in kinds:
            self._open |= _ids(blocks, "tool_use", "id")
        return is_simple

    def _note(
        self, answer: object, message: JSONObject, kinds: Sequence[object], results: Set[str], *, is_prompt: bool
    ) -> None:
        if answer != self._answer and not results:
            if self._answer:
                self._answers.append(self._answer)
            self._answer = answer
        if is_prompt and not results:
            self._waits = False
            self._open = set()  # what has not answered by now was interrupted
        self._open -= results
        # An answer ends with its text, or with the tool that it asks for: thoughts come before.
        last = "tool_use" if message.get("stop_reason") == "tool_use" else "text"
        self._is_cut = answer is not None and last not in kinds

    def _goes_on_beside(self, kind: object, value: JSONObject) -> bool:
        """Whether a line that is none of the talk leaves it as it is."""
        if kind in _REWRITES or value.get("explicit") is True:
            return False
        if kind == "queue-operation":
            self._waits = is_queued(value) or (self._waits and not is_taken_back(value))
        if not isinstance(kind, str) or kind not in _TITLES:
            return True
        given = value.get(_TITLES[kind])
        words = given.encode(errors="surrogatepass") if isinstance(given, str) else b""
        said = hashlib.blake2b(words, digest_size=8).hexdigest()
        is_known = self._titles.get(kind) == said
        self._titles = self._titles | {kind: said}
        return is_known


def _ids(blocks: Iterable[Any], kind: str, name: str) -> set[str]:
    return {str(block.get(name)) for block in blocks if block.__class__ is dict and block.get("type") == kind}
