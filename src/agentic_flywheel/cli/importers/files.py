"""Reads each file with conversations from its beginning to its end, by the reader of its kind."""

import contextlib
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import IO, get_args

from agentic_flywheel.cli.importers import (
    chatgpt,
    claude,
    claude_code,
    flowise,
    langflow,
    manifests,
    origins,
    plain_turns,
)
from agentic_flywheel.cli.importers.archives import UNREADABLE
from agentic_flywheel.cli.importers.conversation import Imported
from agentic_flywheel.cli.importers.enclosed_array import enclosed
from agentic_flywheel.cli.importers.found_files import Absent, Member, Source, name_of, opened
from agentic_flywheel.cli.importers.json_entries import MAX_ENTRY_BYTES, BadEntry, JsonEntry, lines
from agentic_flywheel.cli.importers.kinds import LOOKED_AT, Kind, another_programs, kind_of
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject


def recognise(source: Source, limit: int = MAX_ENTRY_BYTES) -> Kind | None:
    """The kind of what is in the file; `None` if it is none of those there are.

    Raises:
        OSError: the file cannot be read.

    """
    try:
        with opened(source) as file:
            return kind_of(file, limit)
    except UNREADABLE:
        return None


def is_stray(source: Source, limit: int = MAX_ENTRY_BYTES) -> bool:
    """Whether it has lines of JSON, or none at all, and no talks: in a folder many a program notes things so.

    Raises:
        OSError: the file cannot be read.

    """
    if recognise(source, limit) or not name_of(source).endswith(".jsonl"):
        return False
    try:
        with opened(source) as file:
            first = list(islice(lines(file, limit), LOOKED_AT))
    except UNREADABLE:
        return False
    entries = [each for each in first if isinstance(each, JsonEntry)]
    return not first or (bool(entries) and not another_programs(entries[0].value))


def read(source: Source, kind: str = "", limit: int = MAX_ENTRY_BYTES) -> Iterator[Imported | BadEntry]:
    """The conversations in the file and all that cannot be read of it, in the order of the file.

    `kind` is one of `Kind` (this program's own exports are read by `exported`); without it the file is recognised. An
    entry may have `limit` bytes.

    Raises:
        InvalidArgument: there is no such kind.
        OSError: the file cannot be read.

    """
    if kind and kind not in get_args(Kind):
        raise InvalidArgument(f"kind must be one of {', '.join(get_args(Kind))}.")
    line = 1
    if isinstance(source, Absent):
        yield BadEntry(0, source.reason)
        return
    try:
        with opened(source) as file:
            recognised = kind or kind_of(file, limit)
            file.seek(0)
            for each in _read(file, recognised, source.stem, limit):
                line = each.line
                yield each
    except UNREADABLE:
        yield BadEntry(line, _DAMAGED_BEHIND)


def in_order(files: Sequence[Source], limit: int = MAX_ENTRY_BYTES) -> tuple[list[Source], set[Source]]:
    """The files, transcripts behind those that they may begin with; and which of them have to do with another one.

    Raises:
        OSError: a file cannot be read.

    """
    found: dict[Source, origins.Origin] = {}
    for source in files:
        with contextlib.suppress(*UNREADABLE), opened(source) as file:
            if kind_of(file, limit) == "claude-code":
                size = source.info.file_size if isinstance(source, Member) else file.seek(0, 2)
                file.seek(0)
                if each := origins.origin(lines(file, limit), source.stem, size):
                    found[source] = each
    return origins.in_order(files, found)


def exported(source: Source, limit: int = MAX_ENTRY_BYTES) -> Iterator[JsonEntry | BadEntry]:
    """The lines of an export of this program, as they are, and those that cannot be read, in the order of the file.

    Raises:
        OSError: the file cannot be read.

    """
    line = 1
    try:
        with opened(source) as file:
            for each in lines(file, limit):
                line = each.line
                yield each
    except UNREADABLE:
        yield BadEntry(line, _DAMAGED_BEHIND)


def _read(file: IO[bytes], kind: str | None, name: str, limit: int) -> Iterator[Imported | BadEntry]:
    if kind == "claude-code":
        yield from claude_code.session(lines(file, limit), name)
    elif kind in ("claude", "chatgpt"):
        conversation = claude.conversation if kind == "claude" else chatgpt.conversation
        for entry in enclosed(file, limit):
            if isinstance(entry, JsonEntry):
                yield from conversation(entry)
            else:
                yield entry
    elif kind == "turns":
        yield from plain_turns.conversations(enclosed(file, limit, ""), name)
    elif kind in ("langflow", "flowise"):
        reader = langflow.conversations if kind == "langflow" else flowise.conversations
        yield from reader(enclosed(file, limit, ""), name)
    elif kind == "run":
        yield BadEntry(1, ONE_RUN)
    elif kind == "flywheel":
        yield BadEntry(1, "begins an export of this program, which is not read as another program's")
    else:
        first = next((each.value for each in lines(file, limit) if isinstance(each, JsonEntry)), JSONObject())
        program = another_programs(first)
        what = f"a transcript of {program}, which cannot be read yet" if program else "no export that can be read"
        instead = _instead(file, limit)
        yield BadEntry(1, instead or f"is the beginning of {what}", is_foreign=not instead)


ONE_RUN = (
    "is the answer of one run of a flow, and no talk: keep it with the tool cache_result, and export the messages"
    " (Langflow: GET /api/v1/monitor/messages, Flowise: Export messages) for the talk"
)
"""What a person is told who names the answer of a run."""


def _instead(file: IO[bytes], limit: int) -> str:
    """What to do instead of naming this file, where that is known."""
    file.seek(0)
    value = plain_turns.whole(file, min(limit, manifests.MAX_BYTES))
    return manifests.is_list_of_files(value)


UNDERSTOOD = (
    "What can be read: exports of this program; the data export of Claude or of ChatGPT, as it was downloaded or its"
    ' conversations.json; transcripts of Claude Code (.jsonl); and lists of turns, [{"role", "content"}] or'
    ' {"messages": […]}.'
)
"""What a person is told who names another file."""

_DAMAGED_BEHIND = "is the last that can be read: the archive is damaged behind it"
