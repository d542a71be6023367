"""The place on this machine: what the store needs of it, and the one that is switched off."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from agentic_flywheel.errors import JournalUnavailable
from agentic_flywheel.keyvalue import Entry, Outcome, Write


@dataclass(frozen=True, slots=True)
class Pending:
    """A change on its way to the stash, at its `position` in the outbox."""

    position: int
    key: str
    change: str


@dataclass(frozen=True, slots=True)
class JournalState:
    """What the journal says of itself. `bytes` is the size of its files."""

    path: str | None
    pending: int = 0
    set_aside: tuple[tuple[str, str], ...] = ()
    bytes: int = 0
    error: str | None = None


class LocalPlace(Protocol):
    """What the store needs of the place on this machine; every verb may raise `JournalUnavailable`."""

    def commit(self, write: Write, pending: str | None = None, *, durable: bool = False) -> Outcome:
        """Write if what was seen is still there, together with the change to send on later."""
        ...

    off: bool
    """Whether it never keeps anything."""

    def copy(self, key: str) -> Write | None:
        """What is known here of `key`, expired or not, ready to be written where there is nothing."""
        ...

    def remember(self, write: Write) -> None:
        """Keep a copy of what the stash holds, unless a change of that key is still pending."""
        ...

    def pending(self, *beginnings: str) -> list[Pending]:
        """Changes not yet in the stash whose keys begin so, oldest first, without those set aside."""
        ...

    def next_pending(self, key: str) -> Pending | None:
        """The oldest change of one key not yet in the stash, without those set aside."""
        ...

    def unsent_document(self, key: str) -> tuple[Write | None, list[int]]:
        """The document of `key` and the positions of the pending changes that it holds, as of one moment."""
        ...

    def purge_expired(self) -> None:
        """Remove what expired a while ago."""
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

    def unsent(self, index: str) -> list[Entry]:
        """The entries of the list that have a pending change."""
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

    def commit(self, write: Write, pending: str | None = None, *, durable: bool = False) -> Outcome:  # noqa: ARG002
        """Refuse."""
        raise JournalUnavailable("The journal is switched off (FLYWHEEL_JOURNAL=false).")

    def copy(self, key: str) -> Write | None:  # noqa: ARG002
        """Nothing."""
        return None

    def remember(self, write: Write) -> None:
        """Keep no copy."""

    def pending(self, *beginnings: str) -> list[Pending]:  # noqa: ARG002
        """Nothing is ever pending."""
        return []

    def next_pending(self, key: str) -> Pending | None:  # noqa: ARG002
        """Nothing is ever pending."""
        return None

    def unsent_document(self, key: str) -> tuple[Write | None, list[int]]:  # noqa: ARG002
        """Nothing is ever pending."""
        return None, []

    def purge_expired(self) -> None:
        """Nothing to remove."""

    def settle(self, positions: Sequence[int], write: Write | None) -> None:
        """Nothing to take out."""

    def set_aside(self, position: int, why: str) -> None:
        """Nothing to set aside."""

    def recent(self, index: str, before: tuple[int, str] | None, limit: int) -> list[Entry]:  # noqa: ARG002
        """An empty page."""
        return []

    def unsent(self, index: str) -> list[Entry]:  # noqa: ARG002
        """None."""
        return []

    def keys(self, prefix: str) -> list[str]:  # noqa: ARG002
        """None."""
        return []

    def state(self) -> JournalState:
        """Switched off."""
        return JournalState(None)

    def close(self) -> None:
        """Nothing is open."""
