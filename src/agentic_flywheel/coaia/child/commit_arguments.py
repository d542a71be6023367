"""Holds the arguments of `coaia_commit`, and turns them into those of its script."""

import time
from typing import Any, NamedTuple

JUST_NOW = 10_000_000
"""Microseconds within which a save gets here, and what was saved so long ago counts as saved now."""


class Commit(NamedTuple):
    """The arguments of `coaia_commit`, which tells what they are."""

    key: str
    value: str
    expected: str
    tombstone_key: str
    ending: str = ""
    seen_tombstone: str = ""
    ttl_seconds: float = 0
    delete: bool = False
    entry: list[Any] | None = None
    deletions: str = ""
    forget_before: int = 0
    splice: list[Any] | None = None
    older: str = ""
    extend_keys: list[str] | None = None
    delete_keys: list[str] | None = None

    @property
    def life(self) -> int:
        """Milliseconds to live; 0 for ever."""
        return milliseconds(self.ttl_seconds)

    @property
    def fresh(self) -> str:
        """Whether it was saved just now, by the clock of this machine, which made its score too: "1" or ""."""
        return is_fresh(self.entry[2]) if self.entry else ""

    def script_args(self) -> list[Any]:
        """The arguments of the script `COMMIT`."""
        if not self.splice:
            return [self.expected, "", self.value, self.life, self.ending, "", "", ""]
        head, start, rest, tail = self.splice
        return [self.expected, "", head, self.life, self.ending, start, -rest - 1, tail]


def milliseconds(seconds: float) -> int:
    """Seconds as Redis takes them: at least one, but 0 for ever."""
    return max(1, round(seconds * 1000)) if seconds else 0


def is_fresh(score: int) -> str:
    """Whether this is a time just before now, as scripts are told it: "1" or ""."""
    return "1" if 0 <= time.time() * 1e6 - score <= JUST_NOW else ""
