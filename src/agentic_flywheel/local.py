"""The place on this machine: what the store needs of it, and the one that is switched off."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ParamSpec, Protocol, TypeVar

import anyio.to_thread

from agentic_flywheel.errors import JournalUnavailable
from agentic_flywheel.keyvalue import Entry, Outcome, Write

_P = ParamSpec("_P")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class Pending:
    """A change on its way to the stash, at its `position` in the outbox."""

    position: int
    key: str
    change: str


@dataclass(frozen=True, slots=True)
class Known:
    """What a stash was like when it was last looked at: its epoch, its run, and the last deletion announced there."""

    epoch: str
    run: str
    after: str


@dataclass(frozen=True, slots=True)
class JournalState:
    """What the journal says of itself.

    `bytes` is the size of its files, `replica_bytes` that of its `copies` of what Redis holds; `damaged` are the names
    of files that were moved aside.
    """

    path: str | None
    pending: int = 0
    set_aside: tuple[tuple[str, str], ...] = ()
    bytes: int = 0
    copies: int = 0
    replica_bytes: int = 0
    damaged: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """A session of the list `index`: its key, its id, and when it was saved, in microseconds since 1970."""

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


class LocalPlace(Protocol):
    """What the store needs of the place on this machine; every verb may raise `JournalUnavailable`."""

    def commit(
        self, write: Write, pending: str | None = None, older: Write | None = None, *, durable: bool = False
    ) -> Outcome:
        """Write if what was seen is still there, with the change to send on later and an older revision to keep."""
        ...

    off: bool
    """Whether it never keeps anything."""

    def copy(self, key: str) -> Write | None:
        """What is known here of `key`, expired or not, ready to be written where there is nothing."""
        ...

    def look(self, key: str) -> tuple[Pending | None, Write | None]:
        """The oldest change of `key` not yet in the stash, and what is known here of it."""
        ...

    def glance(self, key: str) -> tuple[Pending | None, Write | None] | None:
        """The same, if it can be told without waiting for anybody: a thread would take ten times as long."""
        ...

    def keep(self, write: Write) -> None:
        """Put a text that is kept on this machine alone."""
        ...

    def drop(self, key: str) -> None:
        """Take such a text away, or a copy."""
        ...

    def remember(self, *writes: Write) -> set[str]:
        """Keep copies of what the stash holds, except of the keys, which it gives, that have a change pending."""
        ...

    def bury(self, tombstones: Sequence[Write]) -> None:
        """Learn of deletions made elsewhere."""
        ...

    def known(self) -> Known | None:
        """What the stash was like when it was last looked at; `None` if it never was."""
        ...

    def has_known_one(self) -> bool:
        """Whether there ever was a stash behind this place: what is kept without it now must reach it one day."""
        ...

    def alone(self) -> list[Write]:
        """The sessions that are listed here, were never in a stash, and have nothing pending that would send them."""
        ...

    def queue(self, key: str, change: str) -> None:
        """Have a change of a document that is here sent on, as if it had just been made."""
        ...

    def know(self, now: Known, *, lost: bool) -> None:
        """What the stash is like; `lost`: of everything that it held, it may have nothing any more."""
        ...

    def doubtful(self, limit: int) -> list[str]:
        """The keys of what the stash may have lost, tombstones first."""
        ...

    def is_there(self, keys: Sequence[str]) -> None:
        """The stash has these, or has something newer."""
        ...

    def pending(self, *beginnings: str, after: int = 0) -> list[Pending]:
        """Changes not yet in the stash whose keys begin so, oldest first, without those set aside."""
        ...

    def next_pending(self, key: str) -> Pending | None:
        """The oldest change of one key not yet in the stash, without those set aside."""
        ...

    def unsent_document(self, key: str) -> tuple[Write | None, list[int]]:
        """The document of `key` and the positions of the pending changes that it holds, as of one moment."""
        ...

    def is_over(self, key: str) -> bool:
        """Whether a document expired so long ago that it may be forgotten."""
        ...

    def purge_expired(self) -> list[Write]:
        """Remove what expired a while ago; what that was."""
        ...

    def settle(self, positions: Sequence[int], write: Write | None) -> None:
        """The stash has these changes: take them out of the outbox and keep what the stash holds now."""
        ...

    def set_aside(self, position: int, why: str) -> None:
        """Keep a change that the stash will never take, out of the way of the others."""
        ...

    def recent(self, index: str, before: tuple[int, str] | None, limit: int) -> list[Entry]:
        """A page of the list, newest first."""
        ...

    def entries(self, index: str, members: Sequence[str]) -> list[Entry]:
        """The entries of these members of the list, as far as they are here and have not expired."""
        ...

    def search(self, index: str, words: Sequence[str], needed: int) -> Matches:
        """The sessions here with so many of the words, in their turns or what lists show of them."""
        ...

    def excerpts(self, keys: Sequence[str], words: Sequence[str]) -> dict[str, str]:
        """A piece of the turns with some of the words, by key, where there is one."""
        ...

    def unsent(self, index: str) -> tuple[list[Entry], list[str]]:
        """The entries of the list that have a pending change; the keys of what was deleted here and not yet there."""
        ...

    def keys(self, prefix: str) -> list[str]:
        """The keys of live documents that begin with `prefix`."""
        ...

    def state(self) -> JournalState:
        """What it says of itself; never raises."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class NoJournal:
    """The place on this machine when `FLYWHEEL_JOURNAL` is false: it holds nothing and takes nothing."""

    off = True

    def commit(
        self,
        write: Write,  # noqa: ARG002
        pending: str | None = None,  # noqa: ARG002
        older: Write | None = None,  # noqa: ARG002
        *,
        durable: bool = False,  # noqa: ARG002
    ) -> Outcome:
        """Refuse."""
        raise JournalUnavailable("The journal is switched off (FLYWHEEL_JOURNAL=false).")

    def copy(self, key: str) -> Write | None:  # noqa: ARG002
        """Nothing."""
        return None

    def look(self, key: str) -> tuple[Pending | None, Write | None]:  # noqa: ARG002
        """Nothing."""
        return None, None

    glance = look

    def keep(self, write: Write) -> None:
        """Refuse."""
        self.commit(write)

    def drop(self, key: str) -> None:
        """Nothing to take away."""

    def remember(self, *writes: Write) -> set[str]:  # noqa: ARG002
        """Keep no copy."""
        return set()

    def bury(self, tombstones: Sequence[Write]) -> None:
        """Keep no copy."""

    def known(self) -> Known | None:
        """Nothing."""
        return None

    def has_known_one(self) -> bool:
        """No."""
        return False

    def alone(self) -> list[Write]:
        """None."""
        return []

    def queue(self, key: str, change: str) -> None:
        """Nothing is here."""

    def know(self, now: Known, *, lost: bool) -> None:
        """Nothing is remembered."""

    def doubtful(self, limit: int) -> list[str]:  # noqa: ARG002
        """None."""
        return []

    def is_there(self, keys: Sequence[str]) -> None:
        """Nothing is doubted."""

    def pending(self, *beginnings: str, after: int = 0) -> list[Pending]:  # noqa: ARG002
        """Nothing is ever pending."""
        return []

    def next_pending(self, key: str) -> Pending | None:  # noqa: ARG002
        """Nothing is ever pending."""
        return None

    def unsent_document(self, key: str) -> tuple[Write | None, list[int]]:  # noqa: ARG002
        """Nothing is ever pending."""
        return None, []

    def is_over(self, key: str) -> bool:  # noqa: ARG002
        """Nothing is here."""
        return False

    def purge_expired(self) -> list[Write]:
        """Nothing to remove."""
        return []

    def settle(self, positions: Sequence[int], write: Write | None) -> None:
        """Nothing to take out."""

    def set_aside(self, position: int, why: str) -> None:
        """Nothing to set aside."""

    def recent(self, index: str, before: tuple[int, str] | None, limit: int) -> list[Entry]:  # noqa: ARG002
        """An empty page."""
        return []

    def entries(self, index: str, members: Sequence[str]) -> list[Entry]:  # noqa: ARG002
        """None."""
        return []

    def search(self, index: str, words: Sequence[str], needed: int) -> Matches:  # noqa: ARG002
        """Nothing."""
        return Matches()

    def excerpts(self, keys: Sequence[str], words: Sequence[str]) -> dict[str, str]:  # noqa: ARG002
        """None."""
        return {}

    def unsent(self, index: str) -> tuple[list[Entry], list[str]]:  # noqa: ARG002
        """None."""
        return [], []

    def keys(self, prefix: str) -> list[str]:  # noqa: ARG002
        """None."""
        return []

    def state(self) -> JournalState:
        """Switched off."""
        return JournalState(None)

    def close(self) -> None:
        """Nothing is open."""


async def in_thread(verb: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Run a verb of the place on this machine, which blocks, in a worker thread."""
    return await anyio.to_thread.run_sync(lambda: verb(*args, **kwargs))
