"""Conversations people have elsewhere, read from the files that other programs export or leave on the disk."""

from agentic_flywheel.importers.entries import BadEntry, Entry
from agentic_flywheel.importers.files import Member, Source, exported, read, recognise, sources
from agentic_flywheel.importers.kinds import Kind
from agentic_flywheel.importers.turns import Imported

__all__ = ["BadEntry", "Entry", "Imported", "Kind", "Member", "Source", "exported", "read", "recognise", "sources"]
