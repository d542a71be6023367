"""Makes transcripts of Claude Code (2.1.332's lines) that say what a test wants, line by line."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

BEGAN = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)


@dataclass
class Transcript:
    """The lines of one talk. Each verb adds what the program would write."""

    session: str = "ferns"
    lines: list[bytes] = field(default_factory=list)
    tip: str | None = None
    prompts: list[tuple[str | None, str]] = field(default_factory=list)
    """The parents of what the person said, and its id."""
    first: int = 1
    """The number of the first line: ids and times go by it."""

    def __post_init__(self) -> None:
        self._numbers = count(self.first)

    @property
    def data(self) -> bytes:
        return b"".join(self.lines)

    def beside(self, **value: Any) -> None:
        """A line that is none of the talk."""
        self.lines.append(json.dumps({"sessionId": self.session, **value}).encode() + b"\n")

    def line(self, kind: str, parent: str | None = None, *, moves: bool = True, **value: Any) -> str:
        number = next(self._numbers)
        uuid = f"u{number}"
        when = (BEGAN + timedelta(seconds=number)).isoformat()
        around = {"type": kind, "uuid": uuid, "parentUuid": parent or self.tip, "timestamp": when, "cwd": "/at/garden"}
        self.beside(**around, isSidechain=False, version="2.1.332", **value)
        if moves:
            self.tip = uuid
        return uuid

    def says(self, words: str) -> None:
        before = self.tip
        uuid = self.line("user", message={"role": "user", "content": words})
        self.prompts.append((before, uuid))

    def part(self, answer: str, block: dict[str, Any], stop: str = "end_turn", **more: Any) -> str:
        message = {"id": answer, "role": "assistant", "model": "fern-1", "stop_reason": stop, "content": [block]}
        return self.line("assistant", message=message, **more)

    def answers(self, words: str, *, thinks: bool = False) -> None:
        answer = f"m{next(self._numbers)}"
        if thinks:
            self.part(answer, {"type": "thinking", "thinking": f"about {words}", "signature": "s"})
        self.part(answer, {"type": "text", "text": words})

    def calls(self, words: str, *, tools: int = 1, result: str = "") -> None:
        """An answer that asks for tools, and what they give back; the second hangs beside the chain."""
        answer = f"m{next(self._numbers)}"
        self.part(answer, {"type": "text", "text": words}, "tool_use")
        asked = []
        for _ in range(tools):
            call = f"t{next(self._numbers)}"
            block = {"type": "tool_use", "id": call, "name": "Bash", "input": {"command": f"count {call}"}}
            asked.append((call, self.part(answer, block, "tool_use")))
        for call, uuid in asked:
            given = {"type": "tool_result", "tool_use_id": call, "content": result or f"{call} counted {words}"}
            self.line("user", uuid, message={"role": "user", "content": [given]}, sourceToolAssistantUUID=uuid)

    def takes_back(self, words: str, back: int = 1) -> None:
        """The person goes back to what they said `back` prompts ago, and says something else."""
        if not self.prompts:
            return
        del self.prompts[len(self.prompts) - min(back, len(self.prompts)) + 1 :]
        self.tip, _ = self.prompts.pop()
        uuid = self.line("user", message={"role": "user", "content": words})
        self.prompts.append((self.tip, uuid))

    def notes(self) -> None:
        self.line("attachment", attachment={"type": "prompt_snapshot", "text": "noted"})
        self.beside(type="api-request", requestId=f"r{next(self._numbers)}")
        self.beside(type="last-prompt", lastPrompt="noted")

    def is_titled(self, title: str) -> None:
        self.beside(type="custom-title", customTitle=title)

    def is_compacted(self, words: str) -> None:
        before, self.tip = self.tip, None
        self.line("system", subtype="compact_boundary", logicalParentUuid=before, content="Conversation compacted")
        text = f"This session is being continued from a previous conversation.\nSummary:\n{words}"
        self.line("user", message={"role": "user", "content": text}, isCompactSummary=True)
