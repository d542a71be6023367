"""Tells which kind of export a file is, by its first entries and never by its name."""

from itertools import islice
from typing import IO, Literal

from agentic_flywheel.cli.importers.json_entries import BLANK, BOM, MAX_ENTRY_BYTES, BadEntry, JsonEntry, array, lines
from agentic_flywheel.cli.importers.plain_turns import is_turn, messages
from agentic_flywheel.json_text import JSONObject

Kind = Literal["claude", "chatgpt", "claude-code", "codex", "qwen-code", "flywheel", "turns"]
"""Claude's and ChatGPT's data export, transcripts, this program's own export, and a list of turns."""

LOOKED_AT = 1_000
"""Entries that are looked at: the first ones may be damaged, or say nothing, as what a program logs of its requests."""

_HEAD_BYTES = 4096

_PACKED = b"\x28\xb5\x2f\xfd"
"""How a file begins that is packed (Zstandard, RFC 8878), as Codex packs transcripts that have long been closed."""


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


def not_read(file: IO[bytes], limit: int) -> BadEntry:
    """Why a file of no kind, which must be at its beginning, is not read."""
    if file.read(len(_PACKED)) == _PACKED:
        return BadEntry(
            1, "is packed by Codex, as old transcripts are. Unpack it (zstd -d), and import what comes of it"
        )
    file.seek(0)
    first = next((each.value for each in lines(file, limit) if isinstance(each, JsonEntry)), JSONObject())
    program = another_programs(first)
    what = f"a transcript of {program}, which cannot be read yet" if program else "no export that can be read"
    return BadEntry(1, f"is the beginning of {what}", is_foreign=True)


def another_programs(value: JSONObject) -> str:
    """The program whose transcripts have such a line and are not read; empty if that is not known."""
    if "projectHash" in value and "sessionId" in value:
        return "Gemini CLI"
    return "Copilot CLI" if value.get("type") == "session.start" and "data" in value else ""


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
    if kind == "session_meta" and "payload" in value:
        return "codex"
    if "systemPayload" in value or (isinstance(message, dict) and "parts" in message):  # in Claude Code's envelope
        return "qwen-code"
    is_event = isinstance(kind, str) and not {"sessionId", "leafUuid", "messageId"}.isdisjoint(value)
    return "claude-code" if is_event else None
