"""Puts transcripts behind those that they may begin with, by what their first lines tell (`origins.py`)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from agentic_flywheel.cli.importers import origins
from agentic_flywheel.cli.importers.files import exported, recognise
from agentic_flywheel.cli.importers.found_files import Member, Source, Stream
from agentic_flywheel.cli.importers.json_entries import MAX_ENTRY_BYTES
from agentic_flywheel.cli.importers.noted import Origin


def origin_of(source: Source, limit: int = MAX_ENTRY_BYTES) -> Origin | None:
    """What of a transcript tells which others it has to do with; `None` where there is nothing of that kind.

    Raises:
        OSError: the file cannot be read.

    """
    if recognise(source, limit) not in ("claude-code", "codex"):
        return None
    return origins.origin(exported(source, limit), source.stem, _size(source))


def in_order(
    files: Sequence[Source], limit: int = MAX_ENTRY_BYTES, known: Mapping[Source, Origin | None] | None = None
) -> tuple[list[Source], set[Source]]:
    """The files, transcripts behind those that they may begin with; and which of them have to do with another one.

    `known`: the origins of some of them.

    Raises:
        OSError: a file cannot be read.

    """
    found = dict(known or {})
    found |= {source: origin_of(source, limit) for source in files if source not in found}
    return origins.in_order(files, {source: each for source, each in found.items() if each})


def _size(source: Source) -> int:
    if isinstance(source, Path):
        return source.stat().st_size
    if isinstance(source, Stream):
        return source.file.seek(0, 2)
    return source.info.file_size if isinstance(source, Member) else 0
