"""The seam between the store's rules and the places that keep documents: one verb reads, one writes.

Every place behaves alike (one contract suite holds them to it): under a key there is a document, a tombstone,
or nothing, and a write is accepted only where its writer saw what is there now.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from agentic_flywheel.json_text import size_of


@dataclass(frozen=True, slots=True)
class Entry:
    """A listing row: `member` of `index`, sorted by `saved_at` (microseconds since 1970), shown as `note` (JSON).

    `here_alone`: it belongs to this machine, while a Redis is in use.
    """

    index: str
    member: str
    saved_at: int
    note: str = ""
    here_alone: bool = False


@dataclass(frozen=True, slots=True)
class Splice:
    """A text as a change of the one seen: `head`, then that without its first `start` and last `rest` bytes, `tail`."""

    head: str
    start: int
    rest: int
    tail: str


@dataclass(frozen=True, slots=True)
class Write:
    """`text` for `key`, accepted only if `seen` is what the key holds now (`None`: nothing).

    A tombstone takes the document away and its `entry` out of the list. With `splice` a place that has what was seen
    need not be sent the whole text.
    """

    key: str
    text: str
    seen: str | None
    kept_until: datetime | None
    tombstone: bool = False
    entry: Entry | None = None
    splice: Splice | None = None
    beside: tuple[str, ...] = ()
    """Keys of older revisions, which live as long as this from now on."""
    gone: tuple[str, ...] = ()
    """Keys of older revisions that nobody will ask for any more."""


@dataclass(frozen=True, slots=True)
class Ends:
    """A text of which only the beginning and the end are at hand, up to `ENDS` characters each; `size` is in bytes."""

    head: str
    tail: str
    size: int


@dataclass(frozen=True, slots=True)
class Append:
    """A write that is made from the ends of the document seen, and has no text of its own: the splice says all."""

    key: str
    seen: Ends
    splice: Splice
    kept_until: datetime | None

    @property
    def before(self) -> tuple[str, str]:
        """The marks of what was seen."""
        return marks(self.seen.head + self.seen.tail)

    @property
    def after(self) -> tuple[str, str]:
        """The marks of what is written."""
        kept = self.seen.tail.encode()[: -self.splice.rest or None].decode(errors="ignore")
        return marks(self.splice.head + kept + self.splice.tail)

    @property
    def size(self) -> int:
        """Bytes of what is written."""
        return self.seen.size - self.splice.start - self.splice.rest + size_of(self.splice.head + self.splice.tail)

    def applied_to(self, seen: str) -> str:
        """The text that is written, given all of the one that was seen."""
        start, rest = self.splice.start, self.splice.rest
        start = len(seen[:start].encode()[:start].decode())  # the splice's places are in bytes
        rest = len(seen[-rest:].encode()[-rest:].decode())
        return self.splice.head + seen[start : len(seen) - rest] + self.splice.tail


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether a write was accepted; if not, what the key holds instead."""

    accepted: bool
    current: str | None = None


class KeyValue(Protocol):
    """A place that keeps documents. Both verbs raise `Unavailable` when the place does not answer."""

    async def read(self, key: str) -> str | None:
        """The document or tombstone under `key`; `None` if there is neither."""
        ...

    async def commit(self, write: Write) -> Outcome:
        """Write, if what the writer saw is still there."""
        ...


class Recent(Protocol):
    """The optional ability to list by time of the last save."""

    async def recent(self, index: str, before: tuple[int, str] | None, limit: int) -> list[Entry]:
        """Up to `limit` entries older than `before` (saved_at, member), newest first; fewer: there are no more."""
        ...


@dataclass(frozen=True, slots=True)
class Filter:
    """What rows of a list are wanted for. A place may give other rows as well, but leaves out none that has it.

    `needed` of the `words` in what is shown, whatever their case; all of the `texts` as values in the note; an id that
    the Redis glob `pattern` matches.
    """

    words: Sequence[str] = ()
    needed: int = 0
    texts: Sequence[str] = ()
    pattern: str = "*"


EVERY_ROW = Filter()

_HEAD = re.compile(
    r"""\s*\{\s*"schema_version"\s*:\s*\d+\s*,\s*("id"\s*:\s*"(?:[^"\\]|\\.)*"\s*,\s*)?"revision"\s*:\s*(\d+)\s*[,}]"""
)
ENDS = 8192
"""Characters at either end of a document of ours that hold all but what it grows by."""

MARKED = 80
"""Characters at the end of a document of ours: they hold the id of its last operation."""


def revision_at_head(text: str) -> int:
    """The revision that a document or tombstone begins with; 1 for a text of another shape."""
    match = _HEAD.match(text)
    return int(match[2][:18]) if match else 1


def marks(text: str) -> tuple[str, str]:
    """The beginning and the end by which a place knows a document again without comparing all of it.

    Ours begin with their revision and end with the id of the write that made them. A text of another shape is
    its own beginning.
    """
    match = _HEAD.match(text)
    return (match.group(), text[-MARKED:]) if match else (text, "")


def ends_of(text: str) -> Ends:
    """The ends of a text."""
    return Ends(text[:ENDS], text[-ENDS:], size_of(text))
