"""Holds what the journal answers with, as data."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import ParamSpec, TypeVar

from agentic_flywheel.documents.writes import Version

_P = ParamSpec("_P")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class Pending:
    """A pending change at its `position` in the outbox.

    `cause` says why the last of its `attempts` failed; the next is not before `next_attempt` (microseconds since 1970).
    """

    position: int
    key: str
    change: str
    attempts: int = 0
    next_attempt: int = 0
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """A key that may be sent now, after `attempts` failed ones at the oldest of its changes."""

    key: str
    attempts: int


@dataclass(frozen=True, slots=True)
class HeldUp:
    """A pending change of a `kind` and size in bytes; `cause` says why its last attempt failed."""

    key: str
    kind: str
    bytes: int
    cause: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A change that its destination (`shown` to people) refused for good, or that cannot be read.

    `queued_at` is `None` where a version queued it that did not note the time.
    """

    position: int
    key: str
    shown: str
    attempts: int
    cause: str
    queued_at: datetime | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """The number of changes, and of keys, that wait for another destination, `shown` to people."""

    shown: str
    changes: int
    keys: int


@dataclass(frozen=True, slots=True)
class ReplicaRow:
    """A copy of a document that the destination held: its row's `id`, its etag, its size in bytes.

    `unverified`: 1, the destination may have lost it; 2, it has.
    """

    id: int
    key: str
    revision: int
    ending: str
    tombstone: int
    bytes: int
    unverified: int

    @property
    def version(self) -> Version:
        """Which version of the document it is of."""
        return self.key, self.revision, self.ending


@dataclass(frozen=True, slots=True)
class SyncState:
    """A stash as of the last poll: its epoch, its run, and the last deletion announced there."""

    epoch: str
    run: str
    after: str


@dataclass(frozen=True, slots=True)
class JournalState:
    """The journal's account of itself.

    `bytes` is the size of its files, `replica_bytes` that of its `replica_documents`, copies of what Redis holds;
    `damaged` are the names of files that were moved aside; `waiting` is for other destinations. The oldest of what is
    `pending` is so for `pending_seconds`; `pending_cause` is why the oldest of them that failed did. `recovered` says
    what was brought over from files that vanished while they were in use. `made_private` are the names of files that
    others could read until they were opened here.
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
    made_private: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Head:
    """A session in the list `index` of a destination, saved at that time in microseconds since 1970."""

    destination: int
    index: str
    key: str
    member: str
    saved_at: int


LOW = 0xFFFFFFFF
"""The lower half of a time."""


@dataclass(frozen=True, slots=True)
class Saves:
    """What tells whether two places have the same sessions of a list: how many, the sum of when they were saved.

    The last was saved at `newest`. The sum is of the lower halves of the times: those of all would be too much.
    """

    count: int
    total: int
    newest: int


Lists = dict[tuple[int, str], Saves]
"""By destination and list."""


@dataclass(frozen=True, slots=True)
class Match:
    """A session with some or all of the words of a question; the higher its score, the better.

    `row` names the best of its turns in the index; 0: the words are only in what lists show.
    """

    key: str
    member: str
    score: float
    row: int
    all_words: bool
    saved_at: int


@dataclass(frozen=True, slots=True)
class Matches:
    """What a search found, the best first, among the `listed` sessions that are known here.

    Turns of `searched` of them were searched too; there was no time yet for those of `unread` others.
    """

    found: list[Match] = field(default_factory=list[Match])
    searched: int = 0
    listed: int = 0
    unread: int = 0


@dataclass(slots=True)
class LeftOut:
    """Keys whose copies were not put: a change is `pending`, or what is here and what came are `apart`.

    Neither of two versions that are apart goes on from the other: the destination went back in between.
    """

    pending: set[str] = field(default_factory=set[str])
    apart: set[str] = field(default_factory=set[str])
