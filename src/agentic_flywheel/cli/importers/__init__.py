"""Reads conversations from the files that other programs export or leave on the disk.

A reader takes the entries of a whole file and gives its conversations, `session(entries, name) -> Iterator[Imported |
BadEntry]`; the file may have grown since the last time, and the whole is read and compared. A reader of lines that only
appends may offer a `Follower` as well (`following.py`): it is shown each line once, says whether the talk simply goes
on, and keeps some ids in a state between two runs. Then only what is new is read, and given to the same reader as if it
were a file of its own; whenever the follower says no, the whole is read. What is done with either is in
`cli/growing.py`.
"""

from agentic_flywheel.cli.importers.conversation import Imported, mended, named, named_entry
from agentic_flywheel.cli.importers.files import exported, is_database, is_stray, read, recognise
from agentic_flywheel.cli.importers.following import FOLLOWED, Followed, Follower, Grown, Place, read_tail, read_whole
from agentic_flywheel.cli.importers.found_files import Member, Source, Sources, Stream, sources
from agentic_flywheel.cli.importers.json_entries import BadEntry, JsonEntry
from agentic_flywheel.cli.importers.kinds import Kind
from agentic_flywheel.cli.importers.origins import Origin
from agentic_flywheel.cli.importers.related import in_order, origin_of

__all__ = [
    "FOLLOWED",
    "BadEntry",
    "Followed",
    "Follower",
    "Grown",
    "Imported",
    "JsonEntry",
    "Kind",
    "Member",
    "Origin",
    "Place",
    "Source",
    "Sources",
    "Stream",
    "exported",
    "in_order",
    "is_database",
    "is_stray",
    "mended",
    "named",
    "named_entry",
    "origin_of",
    "read",
    "read_tail",
    "read_whole",
    "recognise",
    "sources",
]
