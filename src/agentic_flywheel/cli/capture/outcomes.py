"""Keeps what became of each transcript that was looked at: one small file each, for `capture status`.

    capture/outcomes/<digest>.json   {"program", "path", "cwd", "sessions", "outcome", "turns", "revision", "cause",
                                      "version", "left_out", "size", "mtime_ns", "newest", "at"}

`outcome` is `kept` (n turns at revision r), `same` (nothing new), `nothing` (nobody said anything), `paused`,
`deleted` (a session that was deleted here), `refused` (with the cause) or `vanished` (it was gone before it was read).
"""

import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from agentic_flywheel.cli.capture import small_files
from agentic_flywheel.cli.capture.notes import digest

SUMMARY = "summary.json"
"""How many were seen, and how many are not kept."""

REMEMBERED_SECONDS = 30 * 86_400
"""For how long a start of a session speaks of what was not kept."""

What = Literal["kept", "same", "nothing", "paused", "deleted", "refused", "vanished"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a transcript, and how the file was then; `at` and `mtime_ns` are since 1970."""

    program: str
    path: str
    outcome: What
    cwd: str = ""
    sessions: list[str] = field(default_factory=list[str])
    turns: int = 0
    revision: int = 0
    cause: str = ""
    version: str = ""
    left_out: int = 0
    size: int = -1
    mtime_ns: int = 0
    newest: int = 0
    """Of a database: what its newest row says, as the file changes also when nothing in it does."""
    at: float = 0
    again: bool = False
    """Whether it was refused for a cause that passes, so that it is tried again."""

    @property
    def is_lost(self) -> bool:
        """Whether it was seen and is not kept, and that is spoken of."""
        return self.outcome in ("refused", "vanished") and self.at > time.time() - REMEMBERED_SECONDS

    @property
    def told(self) -> str:
        """The outcome in words."""
        left = f"; {self.left_out:,} lines were not understood: {self.cause}" if self.left_out else ""
        if self.outcome == "kept":
            return f"{self.turns:,} turns at revision {self.revision:,}{left}"
        words = {"same": f"nothing new{left}", "nothing": "nothing was said", "paused": "off the record",
                 "deleted": "deleted here, and stays so"}  # fmt: skip
        return words.get(self.outcome) or f"{self.outcome}: {self.cause}".rstrip(": ")


def note(place: Path, outcome: Outcome, *, is_synced: bool = True) -> None:
    """Note what became of a transcript; `is_synced`: on the disk before this returns.

    Raises:
        OSError: it cannot be noted.

    """
    (place / "outcomes").mkdir(0o700, parents=True, exist_ok=True)
    value = asdict(outcome) | {"at": time.time()}
    small_files.write(_path(place, outcome.program, outcome.path), value, is_synced=is_synced)


def of(place: Path, program: str, path: str) -> Outcome | None:
    """What became of a transcript; `None` if it was never looked at."""
    return _read(_path(place, program, path))


def all_of(place: Path) -> list[Outcome]:
    """What became of all, in no order."""
    found = (_read(str(each)) for each in (place / "outcomes").glob("*.json"))
    return [each for each in found if each]


def sum_up(place: Path) -> None:
    """Note how many transcripts were seen and how many of them are not kept, for the next start of a session.

    Raises:
        OSError: it cannot be noted.

    """
    found = [each for each in all_of(place) if each.at > time.time() - REMEMBERED_SECONDS]
    lost = [each for each in found if each.is_lost]
    newest = max(lost, key=lambda each: each.at, default=None)
    cause = newest.cause if newest else ""
    place.mkdir(0o700, parents=True, exist_ok=True)
    small_files.write(str(place / SUMMARY), {"seen": len(found), "lost": len(lost), "cause": cause})


def _path(place: Path, program: str, path: str) -> str:
    return os.path.join(place, "outcomes", f"{digest(program, path)}.json")  # noqa: PTH118


def _read(path: str) -> Outcome | None:
    value: dict[str, Any] = small_files.read(path)
    try:
        return Outcome(**value) if value else None
    except TypeError:  # of a version to come
        known = {name: each for name, each in value.items() if name in Outcome.__slots__}
        return Outcome(**known) if {"program", "path", "outcome"} <= known.keys() else None
