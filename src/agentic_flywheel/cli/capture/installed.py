"""Keeps what was put into which files, so that it can be taken out again: never what else they say, which may be keys.

capture/installed.json   {client: {"command", "recall", "files": [{"path", "pieces", "made", "folders"}]}}
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from agentic_flywheel.cli.capture import small_files

NAME = "installed.json"


@dataclass(frozen=True, slots=True)
class Part:
    """What was put into one file; `made`: there was no such file before, and these `folders` were not there."""

    path: str
    pieces: list[str] = field(default_factory=list[str])
    made: bool = False
    folders: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class Installed:
    """What was put in for one program, and when first, in seconds since 1970."""

    command: list[str]
    recall: bool
    parts: list[Part]
    at: float = 0

    def part(self, path: Path) -> Part:
        """What was put into this file; nothing, if that is not known."""
        return next((part for part in self.parts if part.path == str(path)), Part(str(path)))


NOTHING = Installed([], recall=False, parts=[])


def all_of(place: Path) -> dict[str, Installed]:
    """What is installed, by program."""
    found: dict[str, Any] = small_files.read(str(place / NAME))
    try:
        return {
            name: Installed(each["command"], each["recall"], [Part(**part) for part in each["files"]], each["at"])
            for name, each in found.items()
        }
    except (TypeError, KeyError, AttributeError):
        return {}


def write(place: Path, known: dict[str, Installed]) -> None:
    """Note what is installed.

    Raises:
        OSError: it cannot be noted.

    """
    place.mkdir(0o700, parents=True, exist_ok=True)
    value = {
        name: {
            "command": each.command,
            "recall": each.recall,
            "at": each.at,
            "files": [asdict(part) for part in each.parts],
        }
        for name, each in known.items()
    }
    small_files.write(str(place / NAME), value)
