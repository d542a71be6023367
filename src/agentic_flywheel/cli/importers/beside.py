"""Tells what the names of a file and of its folder say of it, and reads the small files that lie beside it."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from agentic_flywheel.cli.importers.neighbours import Neighbours
from agentic_flywheel.json_text import JSONObject

LONGEST = 1_000_000
"""Bytes of a file beside it that are read: they hold a title, a folder, a list of talks."""


@dataclass(frozen=True, slots=True)
class Beside:
    """Where a file lies: `stem` is its name without its ending, `folder` that of its folder, if it is known.

    `path` is the file itself where it is one of this machine, not of an archive or of standard input.
    """

    stem: str
    folder: str = ""
    path: Path | None = None
    around: Neighbours = field(default_factory=Neighbours)
    """The files of the same program."""

    def text(self, name: str) -> str:
        """The text of the file of that name in the same folder; empty if there is none that can be read."""
        if self.path is None:
            return ""
        try:
            path = self.path.with_name(name)
            if path.is_symlink():
                return ""
            with path.open("rb") as file:
                return file.read(LONGEST).decode(errors="replace")
        except (OSError, ValueError):
            return ""

    def json(self, name: str) -> Any:  # noqa: ANN401
        """What the file of that name in the same folder holds; `None` if it is no JSON."""
        try:
            return json.loads(self.text(name))
        except (ValueError, RecursionError):
            return None

    def object(self, name: str) -> JSONObject:
        """The object that the file of that name in the same folder holds; else one of no fields."""
        value = self.json(name)
        return cast("JSONObject", value) if isinstance(value, dict) else {}

    @property
    def changed_at(self) -> datetime | None:
        """When the file was written last, if that is known."""
        try:
            return datetime.fromtimestamp(self.path.stat().st_mtime, UTC) if self.path else None
        except (OSError, OverflowError, ValueError):
            return None
