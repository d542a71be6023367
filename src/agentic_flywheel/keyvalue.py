"""The seam between the store's rules and the places that keep documents: one verb reads, one writes.

Every place behaves alike (one contract suite holds them to it): under a key there is a document, a tombstone,
or nothing, and a write is accepted only where its writer saw what is there now.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Entry:
    """A listing row: `member` of `index`, sorted by `saved_at` (microseconds since 1970), shown as `note` (JSON)."""

    index: str
    member: str
    saved_at: int
    note: str = ""


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


_HEAD = re.compile(
    r"""\s*\{\s*"schema_version"\s*:\s*\d+\s*,\s*("id"\s*:\s*"(?:[^"\\]|\\.)*"\s*,\s*)?"revision"\s*:\s*(\d+)\s*[,}]"""
)
_TAIL = 80
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
    return (match.group(), text[-_TAIL:]) if match else (text, "")
