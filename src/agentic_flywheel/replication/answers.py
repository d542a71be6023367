"""What reading and writing a document answer: what and where, as data."""

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

StoredIn = Literal["redis", "journal"]
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Placed(Generic[Answer]):
    """Where a change is kept now, and its answer."""

    stored_in: StoredIn
    answer: Answer


@dataclass(frozen=True, slots=True)
class Found:
    """What is stored under a key (`None`: nothing), where that was read, and whether the stash was not asked."""

    text: str | None
    source: StoredIn
    stale: bool
