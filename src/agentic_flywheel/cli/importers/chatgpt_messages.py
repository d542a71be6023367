"""Reads what one message of ChatGPT's export says, as a turn or a part of an answer.

Seen are the content types text, multimodal_text, code, execution_output, thoughts, reasoning_recap, tether_quote,
tether_browsing_display, sonic_webpage, system_error, computer_output, super_widget and the two of editable contexts.
"""

import json
from collections.abc import Iterator
from typing import Any, cast

from agentic_flywheel.cli.importers.chatgpt_sources import with_sources
from agentic_flywheel.cli.importers.conversation import content, must_be_object, text, turn
from agentic_flywheel.cli.importers.web_pages import link, shortened
from agentic_flywheel.documents.turn_values import as_list, as_object
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject

_ROLES = ("user", "assistant", "tool", "system")

_TALK = ("text", "multimodal_text")
"""The content types whose parts are what was said; others (code, execution_output, …) are a block of their own."""

_UNSEEN = ("user_editable_context", "model_editable_context", "reasoning_recap")
"""Content types with the custom instructions and the memory, which all conversations repeat, and with a time alone."""

_PAGES = ("sonic_webpage", "tether_browsing_display", "tether_quote")
"""Content types that are a web page, or all that a search found."""

_MAX_LABEL = 500
"""Characters of a text in a placeholder; pointers and names are shorter."""


def turn_of(message: JSONObject) -> JSONObject | None:
    """The message as a turn; `None` if the person did not see it, or nothing is said in it.

    Raises:
        InvalidArgument: it cannot be a turn.

    """
    author = must_be_object(message.get("author"), "its author")
    role, recipient = author.get("role"), message.get("recipient")
    if role not in _ROLES:
        raise InvalidArgument("its author's role is none of user, assistant, tool and system")
    given, metadata = message.get("content"), as_object(message.get("metadata"))
    if given is None or not _is_seen(message, metadata, role):
        return None
    given = {"content_type": "text", "parts": [given]} if isinstance(given, str) else given
    given = must_be_object(given, "its content")
    if given.get("content_type") in _UNSEEN:
        return None
    said = _said(given, metadata if role == "assistant" else None)
    if said and role == "tool":
        said = [_result(given, author.get("name"), said)]
    elif said and role == "assistant" and isinstance(recipient, str) and recipient not in ("", "all"):
        said = [_call(message.get("id"), recipient, given, said)]
    made = turn(
        message.get("id"),
        role,
        said,
        message.get("create_time"),
        name=author.get("name"),
        attachments=metadata.get("attachments"),
        model=text(metadata.get("model_slug")) if role == "assistant" else "",
    )
    return made and (made | {"end_turn": True} if message.get("end_turn") is True else made)


def _is_seen(message: JSONObject, metadata: JSONObject, role: str) -> bool:
    """Whether the person saw it. Results have the weight 0 where the model is not given them again."""
    is_hidden = metadata.get("is_visually_hidden_from_conversation") or (message.get("weight") == 0 and role != "tool")
    return not is_hidden and (role != "system" or bool(metadata.get("is_user_system_message")))


def _said(given: JSONObject, metadata: JSONObject | None) -> str | list[JSONObject]:
    kind, parts = given.get("content_type"), given.get("parts")
    if kind == "thoughts":
        return [{"type": "thinking", "thinking": thought} for thought in _thoughts(given.get("thoughts"))]
    if not isinstance(kind, str) and not isinstance(parts, list):
        raise InvalidArgument("its content has no content_type")
    if kind in _TALK or not isinstance(kind, str):
        return content(_parts(as_list(given.get("parts")), metadata))
    return [{name: value for name, value in given.items() if name != "content_type"} | {"type": kind}]


def _parts(parts: list[object], metadata: JSONObject | None) -> list[JSONObject]:
    """The parts as blocks; an odd one among others costs only itself.

    Raises:
        InvalidArgument: there are none but odd ones.

    """
    blocks, odd = list[JSONObject](), 0
    for part in parts:
        try:
            block = _block(part)
        except InvalidArgument:
            odd += 1
            if odd == len(parts):
                raise
            block = {"type": "unreadable"}
        if metadata is not None and isinstance(text := block.get("text"), str):
            block["text"] = with_sources(text, metadata)
        if block.get("text") != "":
            blocks.append(block)
    return blocks


def _thoughts(value: object) -> Iterator[str]:
    for thought in as_list(value):
        known = as_object(thought)
        texts = [each for name in ("summary", "content") if isinstance(each := known.get(name), str) and each.strip()]
        if texts:
            yield "\n".join(texts)


def _call(own: object, tool: str, given: JSONObject, said: str | list[JSONObject]) -> JSONObject:
    """What the model asked of a tool, told by the id of its message."""
    text = said if isinstance(said, str) else given.get("text")
    try:
        value: Any = json.loads(text) if isinstance(text, str) else {"content": said}
    except (ValueError, RecursionError):
        value = None
    language = given.get("language")
    named = {"language": language} if isinstance(language, str) and language not in ("", "unknown") else {}
    arguments = cast("JSONObject", value) if isinstance(value, dict) else named | {"code": text}
    return {"type": "tool_use", "id": own, "name": tool, "input": arguments}


def _result(given: JSONObject, name: object, said: str | list[JSONObject]) -> JSONObject:
    """What a tool answered; of a web page the beginning."""
    kind, text = given.get("content_type"), given.get("text")
    named = {"name": name} if isinstance(name, str) and name else {}
    result: JSONObject = {"type": "tool_result", "content": said} | named
    if kind in _PAGES:
        pages = (given.get(field) for field in ("text", "result", "summary", "snippet"))
        page = next((each for each in pages if isinstance(each, str) and each.strip()), "")
        source = link(given.get("title"), given.get("url"))
        result["content"] = "\n".join(filter(None, (source, shortened(page))))
    elif kind in ("execution_output", "system_error") and isinstance(text, str):
        result["content"] = text
    return result | ({"is_error": True} if kind == "system_error" else {})


def _block(part: object) -> JSONObject:
    """A part as a block: text, what was heard as text, or a small placeholder for a picture or another file."""
    if part is None or isinstance(part, str):
        return {"type": "text", "text": part or ""}
    given = must_be_object(part, "a part of its content")
    kind, text = given.get("content_type"), given.get("text")
    if not isinstance(kind, str) and not isinstance(text, str):
        raise InvalidArgument("a part of its content has no content_type")
    if not isinstance(kind, str) or kind in ("text", "audio_transcription"):
        return {"type": "text", "text": text if isinstance(text, str) else ""}
    prompt = as_object(as_object(given.get("metadata")).get("dalle")).get("prompt")
    kept = {name: value for name, value in given.items() if name != "content_type" and _is_small(value)}
    return kept | {"type": kind} | ({"prompt": prompt} if isinstance(prompt, str) and prompt else {})


def _is_small(value: object) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and len(value) <= _MAX_LABEL)
