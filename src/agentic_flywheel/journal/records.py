"""What the journal tells of itself, as data; and how its verbs, which block, are run."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class Pending:
    """A change on its way to its destination, at its `position` in the outbox.

    `cause` says why the last of its `attempts` failed; before `next_attempt` (microseconds since 1970) there is none.
    """

    position: int
    key: str
    change: str
    attempts: int = 0
    next_attempt: int = 0
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """A key that may be sent now, after so many failed attempts at the oldest of its changes."""

    key: str
    attempts: int


@dataclass(frozen=True, slots=True)
class HeldUp:
    """A pending change of this `kind` and size in bytes, whose last attempt failed for this cause."""

    key: str
    kind: str
    bytes: int
    cause: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A change that its destination (`shown` to people) refused for good, or that cannot be read.

    It was `queued_at` that time; `None`: by a version that did not note it.
    """

    position: int
    key: str
    shown: str
    attempts: int
    cause: str
    queued_at: datetime | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many changes of how many keys wait for another destination, `shown` to people."""

    shown: str
    changes: int
    keys: int


@dataclass(frozen=True, slots=True)
class ReplicaRow:
    """A copy of what the destination held: its row's `id`, its etag, its size in bytes.

    `unverified`: 1, the destination may have lost it; 2, it has.
    """

    id: int
    key: str
    revision: int
    ending: str
    tombstone: int
    bytes: int
    unverified: int


@dataclass(frozen=True, slots=True)
class SyncState:
    """What a stash was like when it was last looked at: its epoch, its run, and the last deletion announced there."""

    epoch: str
    run: str
    after: str


@dataclass(frozen=True, slots=True)
class JournalState:
    """What the journal says of itself.

    `bytes` is the size of its files, `replica_bytes` that of its `replica_documents`, copies of what Redis holds;
    `damaged` are the names of files that were moved aside; `waiting` is for other destinations. The oldest of what is
    `pending` is so for `pending_seconds`; `pending_cause` is why the oldest of them that failed did. `recovered` says
    what was brought over from files that vanished while they were in use.
    """

    path: str | None
    pending: int = 0
    dead_letters: tuple[tuple[str, str], ...] = ()
    bytes: int = 0
    replica_documents: int = 0
    replica_bytes: int = 0
    damaged: tuple[str, ...] = ()
    error: str | None = None
    waiting: tuple[Waiting, ...] = ()
    pending_seconds: float = 0.0
    pending_cause: str | None = None
    recovered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Head:
    """A session in the list `index` of a destination, saved at that time in microseconds since 1970."""

    destination: int
    index: str
    key: str
    member: str
    saved_at: int


@dataclass(frozen=True, slots=True)
class Match:
    """A session with some of the words that were looked for, by their places; the lower its score, the better."""

    key: str
    words: frozenset[int]
    score: float


@dataclass(frozen=True, slots=True)
class Matches:
    """What a search on this machine found in so many `searched` sessions; `unread` ones it had no time for.

    `rarity` says of each word how rare it is (its inverse document frequency), from 0 up.
    """

    found: list[Match] = field(default_factory=list[Match])
    searched: int = 0
    unread: int = 0
    rarity: list[float] = field(default_factory=list[float])
