"""Transcripts in the shape that Claude Code 2.1.332 writes, with invented words, and the JSON that it gives hooks."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


class Transcript:
    """A file that grows by a prompt and its answer."""

    def __init__(self, home: Path, session: str = "5d0c", folder: str = "/srv/garden") -> None:
        self.session, self.folder = session, folder
        self.path = home / ".claude" / "projects" / "-srv-garden" / f"{session}.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._last: str | None = None
        self._number = 0

    def ask(self, prompt: str, answer: str, at: datetime | None = None) -> None:
        time = (at or datetime.now(UTC)).isoformat()
        said = {
            "role": "assistant",
            "id": f"msg_{self._number}",
            "model": "m",
            "content": [{"type": "text", "text": answer}],
        }
        lines = [self._line("user", {"role": "user", "content": prompt}, time), self._line("assistant", said, time)]
        with self.path.open("a") as file:
            file.writelines(lines)

    def _line(self, kind: str, message: dict[str, Any], time: str) -> str:
        self._number += 1
        uuid, parent = f"{self.session}-{self._number}", self._last
        self._last = uuid
        value = {"type": kind, "uuid": uuid, "parentUuid": parent, "sessionId": self.session, "timestamp": time,
                 "cwd": self.folder, "version": "2.1.332", "message": message}  # fmt: skip
        return json.dumps(value) + "\n"

    def hook(self, event: str = "Stop", **more: Any) -> str:
        """What a hook is given."""
        given = {"session_id": self.session, "transcript_path": str(self.path), "cwd": self.folder}
        return json.dumps(given | {"hook_event_name": event} | more)
