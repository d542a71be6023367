"""Tells which kind of export a file is, by its first entries and never by its name."""

from itertools import islice
from typing import IO, Literal

from agentic_flywheel.cli.importers.json_entries import BLANK, BOM, MAX_ENTRY_BYTES, BadEntry, array, lines
from agentic_flywheel.cli.importers.plain_turns import is_turn, messages
from agentic_flywheel.json_text import JSONObject

Kind = Literal["claude", "chatgpt", "claude-code", "flywheel", "turns"]
"""Claude's and ChatGPT's data export, a Claude Code transcript, this program's own export, and a list of turns."""

LOOKED_AT = 1_000
"""Entries that are looked at: the first ones may be damaged, or say nothing, as what a program logs of its requests."""

_HEAD_BYTES = 4096


def kind_of(file: IO[bytes], limit: int = MAX_ENTRY_BYTES) -> Kind | None:
    """The kind of what is in the file, which must be at its beginning and able to seek; `None` if it is none."""
    head = file.read(_HEAD_BYTES).removeprefix(BOM).lstrip(BLANK)
    file.seek(0)
    is_array = head.startswith(b"[")
    for entry in islice(array(file, limit) if is_array else lines(file, limit), LOOKED_AT):
        if isinstance(entry, BadEntry):
            continue
        if not is_array and another_programs(entry.value):
            return None
        if kind := _of_conversation(entry.value) if is_array else _of_line(entry.value):
            return kind
    file.seek(0)
    return "turns" if not is_array and any(map(is_turn, messages(file, limit))) else None


def another_programs(value: JSONObject) -> str:
    """The program whose transcripts have such a line and are not read; empty if that is not known."""
    message, kind = value.get("message"), value.get("type")
    if isinstance(message, dict) and "parts" in message:  # in Claude Code's envelope
        return "Qwen Code"
    if kind == "session_meta" and "payload" in value:
        return "Codex"
    if "projectHash" in value and "sessionId" in value:
        return "Gemini CLI"
    return "Copilot CLI" if kind == "session.start" and "data" in value else ""


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
    is_event = isinstance(value.get("type"), str) and not {"sessionId", "leafUuid", "messageId"}.isdisjoint(value)
    return "claude-code" if is_event else None
