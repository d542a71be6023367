"""Finds prompts of Claude Code (2.1.332) that waited in its queue, and were never sent: it was killed before.

A prompt is noted when it is put into the queue, and stands in a line of its own once it is sent, in order.
One that stands before another that was sent, and in no line, was typed and lost. Those that the person took back
(`remove`, `popAll`), commands, and what stands for a pasted text or a picture are none.
"""

import re

from agentic_flywheel.cli.importers.conversation import text
from agentic_flywheel.json_text import JSONObject

_NO_PROMPT = re.compile(r"\s*[</!#]|.*\[(?:Pasted text|Image|\.\.\.Truncated)", re.DOTALL)


def is_prompt(value: JSONObject) -> bool:
    """Whether the line puts a prompt into the queue."""
    words = text(value.get("content"))
    return value.get("operation") == "enqueue" and bool(words.strip()) and not _NO_PROMPT.match(words)


def is_taken_back(value: JSONObject) -> bool:
    """Whether the line takes something out of the queue that is not sent."""
    return value.get("operation") not in ("enqueue", "dequeue")


class Queue:
    """The prompts that wait, each with the number of its line."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, JSONObject]] = []

    def add(self, value: JSONObject, line: int) -> None:
        """Take in a line of the queue's."""
        if is_prompt(value):
            self._waiting.append((line, value))
        elif is_taken_back(value):
            self._waiting.clear()

    def lost_before(self, words: str) -> list[tuple[int, JSONObject]]:
        """The prompts that are lost, now that these words were sent."""
        sent = [at for at, (_, value) in enumerate(self._waiting) if value["content"].strip() in words]
        if not sent:
            return []
        lost = self._waiting[: sent[0]]
        del self._waiting[: sent[-1] + 1]
        return lost
