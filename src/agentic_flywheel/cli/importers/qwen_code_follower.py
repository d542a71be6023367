"""Follows the lines of a Qwen Code transcript (0.24.4), as `following.py` asks.

The talk goes on where each line's parent is the line before. A `/rewind`, a compression and another title ask for a
whole reading.
"""

import hashlib
from typing import cast

from agentic_flywheel.cli.importers.qwen_code import NO_LEAF
from agentic_flywheel.json_text import JSONObject, canonical

_CHANGES = ("rewind", "chat_compression", "parent_session")


class QwenCodeFollower:
    """Knows where the talk ends, and which tools have not answered yet."""

    def __init__(self, state: JSONObject) -> None:
        self._end: object = state.get("end")
        self._title: object = state.get("title")
        self._open: set[object] = set()

    def is_settled(self) -> bool:
        """Whether every tool has answered."""
        return not self._open

    def state(self) -> JSONObject:
        """The last line, and a digest of the title."""
        return {"end": self._end, "title": self._title}

    def goes_on(self, value: JSONObject) -> bool:
        """Whether the talk goes on from the line before."""
        uuid, subtype = value.get("uuid"), value.get("subtype")
        if not isinstance(uuid, str) or (isinstance(subtype, str) and subtype.startswith(NO_LEAF)):
            return True
        is_next = value.get("parentUuid") == self._end and uuid != self._end
        self._end = uuid
        self._note_calls(value)
        if subtype == "custom_title":
            before = self._title
            self._title = hashlib.blake2b(canonical([value.get("systemPayload")]).encode(), digest_size=8).hexdigest()
            return is_next and before == self._title
        return is_next and subtype not in _CHANGES

    def _note_calls(self, value: JSONObject) -> None:
        message = value.get("message")
        parts: object = cast("JSONObject", message).get("parts") if isinstance(message, dict) else None
        if value.get("type") == "user":
            self._open.clear()  # what has not answered by now was interrupted
        for part in cast("list[object]", parts) if isinstance(parts, list) else ():
            fields = cast("JSONObject", part) if isinstance(part, dict) else {}
            for name, does in (("functionCall", self._open.add), ("functionResponse", self._open.discard)):
                if isinstance(held := fields.get(name), dict):
                    does(str(cast("JSONObject", held).get("id")))
