"""Keys for stores that are sealed, and what a folder or a Redis holds of planted words."""

import base64
import hashlib
from pathlib import Path

from agentic_flywheel.sealing import KeyRing

from .files import contents


def key_line(name: str) -> str:
    """A key of that name, the same each time."""
    return f"{name}:{base64.b64encode(hashlib.sha256(name.encode()).digest()).decode()}"


def ring(*names: str) -> KeyRing:
    """The ring of these keys, the newest first."""
    return KeyRing.parse(",".join(map(key_line, names)), "FLYWHEEL_KEY")


def files_with(folder: Path, *words: str) -> list[str]:
    """The files below a folder in which one of these words can be read."""
    return sorted(
        str(path.relative_to(folder)) for path, data in contents(folder) if any(word.encode() in data for word in words)
    )
