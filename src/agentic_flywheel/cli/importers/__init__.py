"""Reads conversations from the files that other programs export or leave on the disk."""

from agentic_flywheel.cli.importers.conversation import Imported, mended, named, named_entry
from agentic_flywheel.cli.importers.files import exported, in_order, is_stray, read, recognise
from agentic_flywheel.cli.importers.found_files import Member, Source, Stream, sources
from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry
from agentic_flywheel.cli.importers.kinds import Kind

__all__ = [
    "BadEntry",
    "Imported",
    "JsonEntry",
    "Kind",
    "Member",
    "Source",
    "Stream",
    "exported",
    "in_order",
    "is_stray",
    "mended",
    "named",
    "named_entry",
    "read",
    "recognise",
    "sources",
]
