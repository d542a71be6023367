"""Reads what a turn says, in whatever way its program writes turns."""

from typing import cast

from agentic_flywheel.json_text import JSONObject, dumps


def content_of(turn: JSONObject) -> str:
    """The text of a turn's content: its own, or that of its parts; empty if it has none."""
    content = turn.get("content")
    if isinstance(content, list):
        parts = [cast("JSONObject", part) for part in cast("list[object]", content) if isinstance(part, dict)]
        return "\n".join(text for part in parts if isinstance(text := part.get("text"), str))
    return content if isinstance(content, str) else ""


def said_in(turn: JSONObject) -> str:
    """The same, or all of a turn of another shape."""
    return content_of(turn) or dumps(turn)
