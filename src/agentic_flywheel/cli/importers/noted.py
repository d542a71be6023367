"""What is noted of a file between two runs: where reading goes on, and what tells to which other files it belongs."""

from dataclasses import dataclass

from agentic_flywheel.json_text import JSONObject


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a file the next run may begin: bytes and lines before it, and what the follower has to know there."""

    offset: int = 0
    line: int = 0
    state: JSONObject | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """What the beginning of a transcript tells: its first line's id, its session, the one it names, if it is copied."""

    root: str
    own: str
    parent: str
    is_background: bool
    size: int
