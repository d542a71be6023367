"""Reads each file with conversations from its beginning to its end, by the reader of its kind."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import IO, cast, get_args

from agentic_flywheel.cli.importers import databases
from agentic_flywheel.cli.importers.archives import UNREADABLE
from agentic_flywheel.cli.importers.beside import Beside
from agentic_flywheel.cli.importers.conversation import Imported
from agentic_flywheel.cli.importers.found_files import Absent, Member, Source, name_of, opened
from agentic_flywheel.cli.importers.json_entries import MAX_ENTRY_BYTES, BadEntry, Given, JsonEntry, lines
from agentic_flywheel.cli.importers.kinds import LOOKED_AT, Kind, kind_of
from agentic_flywheel.cli.importers.readers import lines_or_whole, read_as
from agentic_flywheel.errors import InvalidArgument


def recognise(source: Source, limit: int = MAX_ENTRY_BYTES) -> Kind | None:
    """The kind of what is in the file; `None` if it is none of those there are.

    Raises:
        OSError: the file cannot be read.

    """
    try:
        with opened(source) as file:
            if isinstance(source, Path) and databases.begins(file):
                return databases.program(source)
            return kind_of(file, limit)
    except (*UNREADABLE, InvalidArgument):
        return None


def is_database(path: Path) -> bool:
    """Whether the file is a SQLite database, of which the newest rows may stand in another file beside it.

    Raises:
        OSError: the file cannot be read.

    """
    with path.open("rb") as file:
        return databases.begins(file)


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
    return not first or any(isinstance(each, JsonEntry) for each in first)


def read(
    source: Source,
    kind: str = "",
    limit: int = MAX_ENTRY_BYTES,
    given: Callable[[IO[bytes]], Given] | None = None,
    *,
    is_tail: bool = False,
) -> Iterator[Imported | BadEntry]:
    """The conversations in the file and all that cannot be read of it, in the order of the file.

    `kind` is one of `Kind` (this program's own exports are read by `exported`); without it the file is recognised. An
    entry may have `limit` bytes. `given` makes the entries of the lines that the file has, where somebody follows them;
    `is_tail`: they are what is new of it.

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
            if given:  # `lines` reads it as it does a file
                file = cast("IO[bytes]", given(file))
            for each in read_as(file, recognised, replace(_beside(source), is_tail=is_tail), limit):
                line = each.line
                yield each
    except UNREADABLE:
        yield BadEntry(line, _DAMAGED_BEHIND)


def exported(source: Source, limit: int = MAX_ENTRY_BYTES) -> Iterator[JsonEntry | BadEntry]:
    """The lines of an export of this program, or a session alone, and those that cannot be read, in the file's order.

    Raises:
        OSError: the file cannot be read.

    """
    line = 1
    try:
        with opened(source) as file:
            for each in lines_or_whole(file, limit):
                line = each.line
                yield each
    except UNREADABLE:
        yield BadEntry(line, _DAMAGED_BEHIND)


UNDERSTOOD = (
    "What can be read: exports of this program; the data export of Claude or of ChatGPT, as it was downloaded or its"
    " conversations.json; transcripts of Claude Code, Codex, Qwen Code, pi and Kimi Code (.jsonl), Gemini CLI,"
    " opencode and Kilo (their .db), Copilot CLI, Cline, Continue, gptme, aider and llm (logs.db); messages of"
    ' Langflow and Flowise; and lists of turns, [{"role", "content"}] or {"messages": […]}.'
)
"""What a person is told who names another file."""


def _beside(source: Source) -> Beside:
    if isinstance(source, Path):
        return Beside(source.stem, source.absolute().parent.name, source)
    if isinstance(source, Member):
        return Beside(source.stem, source.folder, archive=source.archive, name=source.info.filename)
    return Beside(source.stem)


_DAMAGED_BEHIND = "is the last that can be read: the archive is damaged behind it"
