"""Tells which kind of export a file is, by its first entries and never by its name."""

from itertools import islice
from typing import IO, Literal, cast

from agentic_flywheel.cli.importers import aider, cline, continue_cli, databases, gemini_cli, gptme, opencode
from agentic_flywheel.cli.importers.json_entries import BLANK, BOM, MAX_ENTRY_BYTES, BadEntry, array, lines
from agentic_flywheel.cli.importers.plain_turns import is_turn, whole
from agentic_flywheel.json_text import JSONObject

Kind = Literal[
    "claude", "chatgpt", "claude-code", "codex", "qwen-code", "flywheel", "turns",
    "gemini-cli", "copilot-cli", "opencode", "cline", "continue", "gptme", "aider", "llm",
]  # fmt: skip
"""Claude's and ChatGPT's data export, this program's own export, a list of turns, and what the
other programs write that a reader here is named after."""

LOOKED_AT = 1_000
"""Entries that are looked at: the first ones may be damaged, or say nothing, as what a program logs of its requests."""

_HEAD_BYTES = 4096


def kind_of(file: IO[bytes], limit: int = MAX_ENTRY_BYTES) -> Kind | None:
    """The kind of what is in the file, which must be at its beginning and able to seek; `None` if it is none."""
    head = file.read(_HEAD_BYTES).removeprefix(BOM).lstrip(BLANK)
    file.seek(0)
    if head.startswith(databases.HEADER):
        return None  # what it is is seen by its tables, and only of a file that has a path
    if head.startswith(aider.BEGINS):
        return "aider"
    is_array = head.startswith(b"[")
    for entry in islice(array(file, limit) if is_array else lines(file, limit), LOOKED_AT):
        if isinstance(entry, BadEntry):
            continue
        if kind := _of_conversation(entry.value) if is_array else _of_line(entry.value):
            return kind
    file.seek(0)
    return None if is_array else _of_object(whole(file, limit))


def _of_object(value: JSONObject) -> Kind | None:
    """The kind of a file that is one object."""
    if opencode.is_export(value):
        return "opencode"
    if cline.is_talk(value):
        return "cline"
    if continue_cli.is_talk(value):
        return "continue"
    if gemini_cli.is_header(value):  # before it was a log
        return "gemini-cli"
    messages = value.get("messages")
    return "turns" if isinstance(messages, list) and any(map(is_turn, cast("list[object]", messages))) else None


def _of_conversation(value: JSONObject) -> Kind | None:
    if "chat_messages" in value:
        return "claude"
    if is_turn(value):
        return "turns"
    return "chatgpt" if "mapping" in value else None


def _of_line(value: JSONObject) -> Kind | None:
    version = value.get("schema_version")
    if isinstance(version, int) and not isinstance(version, bool):
        return "flywheel"
    message, kind = value.get("message"), value.get("type")
    if gemini_cli.is_header(value):
        return "gemini-cli"
    if kind == "session.start" and "data" in value:
        return "copilot-cli"
    if kind == "session_meta" and "payload" in value:
        return "codex"
    if "systemPayload" in value or (isinstance(message, dict) and "parts" in message):  # in Claude Code's envelope
        return "qwen-code"
    if gptme.is_message(value):
        return "gptme"
    is_event = isinstance(kind, str) and not {"sessionId", "leafUuid", "messageId"}.isdisjoint(value)
    return "claude-code" if is_event else None
