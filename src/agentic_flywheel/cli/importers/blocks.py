"""Makes the blocks of turns out of what programs write: texts, thoughts and calls; and takes marks off texts."""

import contextlib
import json
import re
from collections.abc import Sequence
from typing import cast

from agentic_flywheel.cli.importers.conversation import text, uncut
from agentic_flywheel.documents.turn_values import as_list, as_object, is_object
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject

_FILES_FROM, _FILES_TO = "--- Content from referenced files ---", "--- End of content ---"
"""What Gemini CLI and Qwen Code put around the files that a person named with an @."""

_SUMMARY = re.compile(r"\s*<summary>(.*)</summary>\s*", re.DOTALL)


def spoken(value: object) -> list[JSONObject]:
    """A text as the blocks of a turn: none if it is blank."""
    return [{"type": "text", "text": value}] if isinstance(value, str) and value.strip() else []


def words_of(content: object) -> str:
    """A text, or those of a list of parts, without pictures and the like."""
    return uncut(content) or "\n".join(filter(None, (uncut(as_object(part).get("text")) for part in as_list(content))))


def as_blocks(said: str | list[JSONObject]) -> list[JSONObject]:
    """A turn's content as blocks."""
    if isinstance(said, list):
        return [*said]
    return [{"type": "text", "text": said}] if said else []


def thought(words: object) -> list[JSONObject]:
    """A thought as a block, without its signature; none if it has no text."""
    return [{"type": "thinking", "thinking": words}] if isinstance(words, str) and words.strip() else []


def between(words: str, tag: str) -> str:
    """What stands between `<tag>` and its end, without white space around; empty if there is no such tag."""
    _, _, behind = words.partition(f"<{tag}>")
    inside, end, _ = behind.partition(f"</{tag}>")
    return inside.strip() if end else ""


def notified(words: str) -> str | list[JSONObject]:
    """A notice that a background task ended (`<task-notification>`) as the result of the call that began it."""
    said = between(words, "result") or between(words, "summary") or words
    call = between(words, "tool-use-id")
    return [{"type": "tool_result", "tool_use_id": call, "content": said}] if call else said


def call(own: object, name: object, given: object) -> JSONObject:
    """A call of a tool as a block; arguments that are JSON in a text are taken for what they are."""
    if isinstance(given, str):
        with contextlib.suppress(ValueError, RecursionError):
            parsed: object = json.loads(given)
            given = parsed if is_object(parsed) else given
    return {"type": "tool_use", "id": own, "name": text(name), "input": given}


def plain(value: object) -> str:
    """What a tool answered as text: texts as they are, of blocks their texts, anything else as JSON.

    Raises:
        InvalidArgument: it is nested too deeply.

    """
    if isinstance(value, str) or value is None:
        return value or ""
    if isinstance(value, dict):
        held = cast("JSONObject", value)
        for name in ("output", "error", "text", "content"):
            if isinstance(held.get(name), str) and (len(held) == 1 or held.get("type") == name):
                return held[name]
    texts = list(map(_text_of, cast("list[object]", value))) if isinstance(value, list) else []
    if texts and all(each is not None for each in texts):
        return "\n".join(cast("list[str]", texts))
    try:
        return json.dumps(value, ensure_ascii=False)
    except (RecursionError, ValueError):
        raise InvalidArgument("it is nested too deeply") from None


def _text_of(block: object) -> str | None:
    if isinstance(block, str):
        return block
    held = as_object(block)
    return next((held[name] for name in ("text", "content", "result") if isinstance(held.get(name), str)), None)


def apart(said: str, begin: str, end: str) -> tuple[list[str], str]:
    """What stands between each `begin` and the `end` behind it, and the text without them."""
    inside, rest, at = list[str](), "", 0
    while (start := said.find(begin, at)) >= 0 and (stop := said.find(end, start)) >= 0:
        inside.append(said[start + len(begin) : stop])
        rest, at = rest + said[at:start], stop + len(end)
    return inside, rest + said[at:]


def without_named_files(parts: Sequence[JSONObject]) -> list[JSONObject]:
    """The parts of what a person sent without the texts of the files that they named with an @; pictures stay."""
    texts = [text if isinstance(text := part.get("text"), str) else "" for part in parts]
    first = next((place for place, each in enumerate(texts) if _FILES_FROM in each), None)
    if first is None:
        return [*parts]
    last = max((place for place, each in enumerate(texts) if _FILES_TO in each and place >= first), default=len(parts))
    kept = [part for place, part in enumerate(parts) if not first <= place <= last or "text" not in part]
    before = {"text": texts[first].partition(_FILES_FROM)[0].rstrip()}
    behind = {"text": texts[last].rpartition(_FILES_TO)[2] if last < len(parts) else ""}
    between = [part for part in (before, behind) if part["text"].strip()]
    return [*kept[:first], *between, *kept[first:]]


def summary(value: object) -> str:
    """A summary without the marks around it."""
    said = text(value)
    match = _SUMMARY.fullmatch(said)
    return (match[1] if match else said).strip()
