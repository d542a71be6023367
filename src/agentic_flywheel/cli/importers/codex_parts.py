"""Tells what the parts of Codex' messages hold for a person, what its events say and what its tools answered.

Those without items are of 2025.
"""

import json
import re
from typing import Any, cast

from agentic_flywheel.cli.importers.blocks import spoken
from agentic_flywheel.cli.importers.conversation import text
from agentic_flywheel.documents.turn_values import as_list, as_object, is_object
from agentic_flywheel.json_text import JSONObject

_ASKED = re.compile(r"# Context from my IDE setup:\n.*\n## My request for Codex:\n?", re.DOTALL)
"""What the editor's extension puts before the words that the person typed."""

_AROUND_A_PICTURE = re.compile(r"\s*(?:<image(?: name=[^>]*)?>|</image>)\s*")
"""What stands around a picture for the model."""

_COMPACTED = "Compact task completed"
"""What versions of 2025 had the model say to a compaction."""


def asked(part: JSONObject) -> list[JSONObject]:
    """A part of what the person sent, without the bytes of pictures."""
    kind, url = part.get("type"), part.get("image_url")
    if kind == "text":
        return typed(part.get("text"))
    if isinstance(url, str) and url.startswith("data:"):
        return [{"type": "image", "omitted_characters": len(url)}]
    return [part] if isinstance(kind, str) else []


def shown(part: JSONObject) -> list[JSONObject]:
    """A part of a message as the model is given it: its words, or its picture without the bytes."""
    kind, words = part.get("type"), part.get("text")
    if kind == "input_text" and isinstance(words, str) and _AROUND_A_PICTURE.fullmatch(words):
        return []
    return asked(part) if kind == "input_image" else typed(words) if kind == "input_text" else spoken(words)


def typed(words: object) -> list[JSONObject]:
    """What the person typed, without what an editor put before it."""
    return spoken(_ASKED.sub("", words, count=1) if isinstance(words, str) else words)


def outcome(output: object) -> object:
    """What a tool answered: text, or the blocks of it, without the bytes of pictures."""
    if isinstance(output, str) and output.startswith("{"):
        try:
            value: Any = json.loads(output)
        except (ValueError, RecursionError):
            return output
        found = as_object(value).get("output")
        return found if isinstance(found, str) else output
    if isinstance(output, dict):
        return cast("JSONObject", output).get("content", cast("JSONObject", output))
    if isinstance(output, list):
        output = cast("list[object]", output)
        return [
            block for part in filter(is_object, as_list(output)) for block in (spoken(part.get("text")) or asked(part))
        ]
    return output


def answered(event: JSONObject) -> list[JSONObject]:
    """What an event of a version without items says to the person: an answer, or what came of a review."""
    if event.get("type") == "agent_message":
        return [] if event.get("message") == _COMPACTED else spoken(event.get("message"))
    review = as_object(event.get("review_output"))
    findings = filter(is_object, as_list(review.get("findings")))
    words = [text(review.get("overall_explanation"))]
    words += [f"- {text(each.get('title'))}\n  {text(each.get('body'))}".rstrip() for each in findings]
    return spoken("\n\n".join(filter(None, words)))
