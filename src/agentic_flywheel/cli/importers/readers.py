"""Reads a file by the reader of its kind: one for each program, in one line each."""

from collections.abc import Callable, Iterable, Iterator
from os import SEEK_END
from pathlib import Path
from typing import IO

from agentic_flywheel.cli.importers import (
    aider,
    chatgpt,
    claude,
    claude_code,
    cline,
    cline_task,
    codex,
    continue_cli,
    copilot_cli,
    databases,
    flowise,
    gemini_checkpoint,
    gemini_cli,
    gptme,
    kimi_code,
    langflow,
    llm,
    manifests,
    opencode,
    opencode_storage,
    pi,
    plain_turns,
    qwen_code,
)
from agentic_flywheel.cli.importers.beside import Beside
from agentic_flywheel.cli.importers.conversation import Imported
from agentic_flywheel.cli.importers.enclosed_array import enclosed
from agentic_flywheel.cli.importers.json_entries import BLANK, BOM, BadEntry, JsonEntry, lines, whole
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject

_BY_LINES: dict[str, Callable[[Iterable[JsonEntry | BadEntry], Beside], Iterator[Imported | BadEntry]]] = {
    "claude-code": claude_code.session,
    "codex": codex.session,
    "qwen-code": qwen_code.session,
    "gemini-cli": gemini_cli.session,
    "copilot-cli": copilot_cli.session,
    "gptme": gptme.session,
    "pi": pi.session,
    "kimi-code": kimi_code.session,
}
"""Readers of files that have an entry on each line."""

_OF_OBJECTS: dict[str, Callable[[JSONObject, Beside], Iterator[Imported | BadEntry]]] = {
    "codex-object": codex.conversation,
    "opencode": opencode.conversation,
    "opencode-session": opencode_storage.conversation,
    "cline": cline.conversation,
    "continue": continue_cli.conversation,
}
"""Readers of files that are one object."""

_OF_ENTRIES = {"claude": claude.conversation, "chatgpt": chatgpt.conversation}
"""Readers of files that are an array with a talk in each entry."""

_OF_MESSAGES = {
    "cline-task": (cline_task.conversation, ""),
    "gemini-checkpoint": (gemini_checkpoint.conversation, "history"),
}
"""Readers of files that are an array with the messages of one talk, which may stand in a field."""

_OF_ROWS = {
    "langflow": langflow.conversations,
    "flowise": flowise.conversations,
    "turns": plain_turns.conversations,
}
"""Readers of files that have a message in each entry, or several talks in one."""

_OF_DATABASES = {"opencode": opencode.database, "llm": llm.database, "langflow": langflow.database}


def read_as(file: IO[bytes], kind: str | None, beside: Beside, limit: int) -> Iterator[Imported | BadEntry]:
    """The talks of a file of that kind and all that cannot be read of it, in the order of the file."""
    if kind in _BY_LINES:
        entries = lines_or_whole(file, limit) if kind == "gemini-cli" else lines(file, limit)
        yield from _BY_LINES[kind](entries, beside)
    elif databases.begins(file):
        if beside.path:
            yield from _of_database(beside.path, limit)
            return
        with beside.log() as log, databases.on_disk(file, log) as copy:
            yield from _of_database(copy, limit)
    elif kind in _OF_OBJECTS:
        yield from _OF_OBJECTS[kind](whole(file, limit), beside)
    elif kind in _OF_ENTRIES:
        for entry in enclosed(file, limit):
            yield from _OF_ENTRIES[kind](entry) if isinstance(entry, JsonEntry) else (entry,)
    elif kind == "aider":
        yield from aider.conversations(file, beside, limit)
    elif kind in _OF_MESSAGES:
        one, field = _OF_MESSAGES[kind]
        yield from one(enclosed(file, limit, field), beside)
    elif kind in _OF_ROWS:
        yield from _OF_ROWS[kind](enclosed(file, limit, ""), beside.stem)
    else:
        found = _NO_TALKS.get(kind or "") or _not_understood(file, limit)
        yield from [found] if found else ()


def _not_understood(file: IO[bytes], limit: int) -> BadEntry | None:
    """What is said of a file of no known kind; nothing of a list without talks, as parts of an export may be."""
    head = file.read(_EMPTY_AT_MOST)
    if head.removeprefix(BOM).translate(None, BLANK) in (b"[]", b'{"conversations":[]}'):
        return None
    if head.startswith(_PACKED):
        return BadEntry(
            1, "is packed by Codex, as old transcripts are. Unpack it (zstd -d), and import what comes of it"
        )
    if file.seek(0, SEEK_END) > limit:
        return BadEntry(1, f"is no export that can be read: one object may have {limit:,} bytes", is_foreign=True)
    file.seek(0)
    instead = manifests.is_list_of_files(whole(file, min(limit, manifests.MAX_BYTES)))
    return BadEntry(1, instead or "is the beginning of no export that can be read", is_foreign=not instead)


_EMPTY_AT_MOST = 64
"""Bytes of a file with an empty list."""

_PACKED = b"\x28\xb5\x2f\xfd"
"""How a file begins that is packed (Zstandard, RFC 8878), as Codex packs transcripts that have long been closed."""

ONE_RUN = (
    "is the answer of one run of a flow, and no talk: keep it with the tool cache_result, and export the messages"
    " (Langflow: GET /api/v1/monitor/messages, Flowise: Export messages) for the talk"
)
"""What a person is told who names the answer of a run."""

_NO_TALKS = {
    "run": BadEntry(1, ONE_RUN),
    "flywheel": BadEntry(1, "begins an export of this program, which is not read as another program's"),
}


def lines_or_whole(file: IO[bytes], limit: int) -> Iterator[JsonEntry | BadEntry]:
    """The entries of a file; of one whose first line is none, the object that it is, if it is one."""
    if file.readline(len(BOM) + 3).removeprefix(BOM).strip() == b"{":
        file.seek(0)
        if value := whole(file, limit):
            yield JsonEntry(1, value)
            return
    file.seek(0)
    yield from lines(file, limit)


def _of_database(path: Path, limit: int) -> Iterator[Imported | BadEntry]:
    """The talks of a SQLite file, and all that cannot be read of it."""
    try:
        program = databases.program(path)
    except InvalidArgument as exc:
        yield BadEntry(1, str(exc))
        return
    if program:
        yield from _OF_DATABASES[program](path, limit)
    else:
        yield BadEntry(1, "begins a SQLite database of no program whose talks can be read", is_foreign=True)
