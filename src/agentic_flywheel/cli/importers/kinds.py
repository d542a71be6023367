"""Tells which kind of export a file is, by its first entries and never by its name."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import IO, Literal

from agentic_flywheel.cli.importers import (
    aider,
    cline,
    cline_task,
    codex_older,
    continue_cli,
    databases,
    flowise,
    gemini_checkpoint,
    gemini_cli,
    gptme,
    kimi_code,
    langflow,
    opencode,
    opencode_storage,
    pi,
)
from agentic_flywheel.cli.importers.enclosed_array import array_at, enclosed, is_page
from agentic_flywheel.cli.importers.json_entries import (
    BLANK,
    BOM,
    MAX_ENTRY_BYTES,
    BadEntry,
    JsonEntry,
    array,
    lines,
    whole,
)
from agentic_flywheel.cli.importers.plain_turns import is_talk, is_turn
from agentic_flywheel.json_text import JSONObject

Kind = Literal[
    "claude", "chatgpt", "claude-code", "codex", "qwen-code", "flywheel", "turns", "langflow", "flowise", "run",
    "gemini-cli", "copilot-cli", "opencode", "cline", "continue", "gptme", "aider", "llm", "pi",
    "kimi-code", "codex-object", "gemini-checkpoint", "cline-task", "opencode-session",
]  # fmt: skip
"""Claude's and ChatGPT's data export, a Claude Code transcript, this program's own export, a list of turns, what the
other programs write that a reader here is named after, and the answer of one run of a flow, which is no talk. The last
are what Codex wrote before June 2025, what a person saved in Gemini CLI, a task of Cline in an editor, and what
opencode wrote before it had a database."""

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
    if is_page(head) or (not is_array and array_at(head, "conversations")):
        return next(filter(None, (_of_conversation(each.value) for each in _first(enclosed(file, limit)))), None)
    for entry in islice(array(file, limit) if is_array else lines(file, limit), LOOKED_AT):
        if isinstance(entry, BadEntry):
            continue
        if kind := _of_conversation(entry.value) if is_array else _of_line(entry.value):
            return kind
    file.seek(0)
    if value := {} if is_array else whole(file, limit):
        return _of_object(value)
    file.seek(0)
    return "turns" if any(is_talk(entry.value) for entry in _first(enclosed(file, limit))) else None


def _first(entries: Iterable[JsonEntry | BadEntry]) -> Iterator[JsonEntry]:
    """The good ones of the entries that are looked at."""
    return (entry for entry in islice(entries, LOOKED_AT) if isinstance(entry, JsonEntry))


def _of_object(value: JSONObject) -> Kind | None:
    """The kind of a file that is one object."""
    for is_one, kind in _OBJECTS:
        if is_one(value):
            return kind
    return _of_conversation(value) or ("turns" if is_talk(value) else None)


def _is_ours(value: JSONObject) -> bool:
    """Whether it is a session of this program: as it is stored, as it is shown to programs, or as it once was."""
    version = value.get("schema_version")
    if isinstance(version, int) and not isinstance(version, bool):
        return True
    return {"id", "history"} <= value.keys() and not {"_schema_version", "backend_session_id"}.isdisjoint(value)


_OBJECTS: tuple[tuple[Callable[[JSONObject], bool], Kind], ...] = (
    (_is_ours, "flywheel"),
    (langflow.is_run, "run"),
    (flowise.is_prediction, "run"),
    (flowise.is_workspace, "flowise"),
    (opencode.is_export, "opencode"),
    (opencode_storage.is_session, "opencode-session"),
    (codex_older.is_one_object, "codex-object"),
    (cline.is_talk, "cline"),
    (continue_cli.is_talk, "continue"),
    (gemini_cli.is_header, "gemini-cli"),  # before it was a log
    (gemini_checkpoint.is_checkpoint, "gemini-checkpoint"),
)
"""What tells the kinds of files that are one object, in the order in which they are asked."""

_LINES: tuple[tuple[Callable[[JSONObject], bool], Kind], ...] = (
    (gemini_cli.is_header, "gemini-cli"),
    (pi.is_header, "pi"),
    (kimi_code.is_head, "kimi-code"),
    (gptme.is_message, "gptme"),
)
"""What tells the kinds of files with a line an entry, by a line."""


def _of_conversation(value: JSONObject) -> Kind | None:
    if "chat_messages" in value:
        return "claude"
    if langflow.is_message(value):
        return "langflow"
    if flowise.is_row(value) or flowise.is_talk(value):
        return "flowise"
    if is_turn(value):
        return "cline-task" if cline_task.is_first(value) else "turns"
    if gemini_checkpoint.is_content(value):
        return "gemini-checkpoint"
    return "chatgpt" if "mapping" in value else None


def _of_line(value: JSONObject) -> Kind | None:
    if _is_ours(value):
        return "flywheel"
    message, kind = value.get("message"), value.get("type")
    if (kind == "session_meta" and "payload" in value) or codex_older.is_head(value):
        return "codex"
    if codex_older.is_one_object(value):
        return "codex-object"
    if "systemPayload" in value or (isinstance(message, dict) and "parts" in message):  # in Claude Code's envelope
        return "qwen-code"
    for is_one, found in _LINES:
        if is_one(value):
            return found
    if kind == "session.start" and "data" in value:
        return "copilot-cli"
    if "chat_messages" in value or "mapping" in value:  # a conversation alone, or a line each
        return _of_conversation(value)
    if isinstance(kind, str) and not {"sessionId", "leafUuid", "messageId"}.isdisjoint(value):
        return "claude-code"
    return "turns" if is_turn(value) else None
