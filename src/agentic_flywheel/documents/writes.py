"""Defines writes, the rows of lists, and by what a stored text is known again: the seam to whatever keeps documents.

Every place that keeps documents behaves alike (one contract suite holds them to it): under a key there is a document,
a tombstone or nothing, and a write is accepted only where its writer saw what is there now.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from agentic_flywheel.json_text import size_of


@dataclass(frozen=True, slots=True)
class ListRow:
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
    """A text made of the one seen: `prefix`, that without so many bytes at its start and its end, `suffix`."""

    prefix: str
    skip_start_bytes: int
    skip_end_bytes: int
    suffix: str


Text = TypeVar("Text", str, bytes)


def shared(one: Text, other: Text) -> int:
    """How much both begin with."""
    same, differing = 0, min(len(one), len(other)) + 1
    while differing - same > 1:
        middle = (same + differing) // 2
        if one[same:middle] == other[same:middle]:
            same = middle
        else:
            differing = middle
    return same


@dataclass(frozen=True, slots=True)
class Write:
    """`text` for `key`, accepted only if `seen` is what the key holds now (`None`: nothing).

    A tombstone takes the document away and its `list_row` out of the list. With `splice` a place that has what was seen
    need not be sent the whole text.
    """

    key: str
    text: str
    seen: str | None
    kept_until: datetime | None
    tombstone: bool = False
    list_row: ListRow | None = None
    splice: Splice | None = None
    extend_keys: tuple[str, ...] = ()
    """Keys of older revisions, which live as long as this from now on."""
    delete_keys: tuple[str, ...] = ()
    """Keys of older revisions that nobody will ask for any more."""
    announced: bool = True
    """Whether other machines are told of a tombstone; they are not where they hear of what it goes with."""
    part_of: str = ""
    """The set in which the key is found when the session is deleted that this execution belongs to."""
    life: int | None = None
    """Seconds that each write gives it: a copy made now lives no longer, whatever clock said when it ends."""


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
        """The etag of what was seen."""
        return etag(self.seen.head + self.seen.tail)

    @property
    def after(self) -> tuple[str, str]:
        """The etag of what is written."""
        kept = self.seen.tail.encode()[: -self.splice.skip_end_bytes or None].decode(errors="ignore")
        return etag(self.splice.prefix + kept + self.splice.suffix)

    @property
    def size(self) -> int:
        """Bytes of what is written."""
        splice = self.splice
        left = self.seen.size - splice.skip_start_bytes - splice.skip_end_bytes
        return left + size_of(splice.prefix + splice.suffix)

    def applied_to(self, seen: str) -> str:
        """The text that is written, given all of the one that was seen."""
        splice = self.splice
        start, end = splice.skip_start_bytes, splice.skip_end_bytes  # as characters they are no more than as bytes
        start = len(seen[:start].encode()[:start].decode())
        end = len(seen[-end:].encode()[-end:].decode())
        return splice.prefix + seen[start : len(seen) - end] + splice.suffix


def ends_after(write: Write | Append) -> Ends:
    """The ends of what was written."""
    if isinstance(write, Write):
        return ends_of(write.text)
    splice, seen = write.splice, write.seen
    head = splice.prefix + seen.head.encode()[splice.skip_start_bytes :].decode(errors="ignore")
    tail = seen.tail.encode()[: -splice.skip_end_bytes or None].decode(errors="ignore") + splice.suffix
    return Ends(head[:ENDS], tail[-ENDS:], write.size)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether a write was accepted; if not, what the key holds instead."""

    accepted: bool
    current: str | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """What rows of a list are wanted for. A place may give other rows as well, but leaves out none that has it.

    All of the `texts` as values in the note; an id that the Redis glob `pattern` matches.
    """

    texts: Sequence[str] = ()
    pattern: str = "*"


EVERY_ROW = Filter()

_HEAD = re.compile(
    r"""\s*\{\s*"schema_version"\s*:\s*\d+\s*,\s*("id"\s*:\s*"(?:[^"\\]|\\.)*"\s*,\s*)?"revision"\s*:\s*(\d+)\s*[,}]"""
)
ENDS = 8192
"""Characters at either end of a document of ours that hold all but what it grows by."""

SEALED_SCHEMA = 2
"""The `schema_version` of a sealed document."""

MARKED = 80
"""Characters at the end of a document of ours: they hold the id of its last operation."""


def revision_at_head(text: str) -> int:
    """The revision that a document or tombstone begins with; 1 for a text of another shape."""
    match = _HEAD.match(text)
    return int(match[2][:18]) if match else 1


def etag(text: str) -> tuple[str, str]:
    """Two strings, how it begins and how it ends, that tell a version of a document without comparing all of it.

    Ours begin with their revision and end with the id of the write that made them. A text of another shape is
    its own beginning.
    """
    match = _HEAD.match(text)
    return (match.group(), text[-MARKED:]) if match else (text, "")


Version = tuple[str, int, str]
"""A version of a document: its key, its revision, and how it ends."""


def version_of(key: str, text: str) -> Version:
    """Which version of the document under `key` that text is."""
    return key, revision_at_head(text), etag(text)[1]


def sealed_head(text: str) -> str:
    """How the sealed form of a text begins, up to its revision: of a version that no one without the key overwrites."""
    match = _HEAD.match(text)
    return f'{{"schema_version":{SEALED_SCHEMA},{(match[1] or "") if match else ""}"revision":{revision_at_head(text)},'


def sealed_ending(ending: str) -> str:
    """How the sealed form of a text ends, which ends so itself: that names its write, and is random."""
    return f',"ending_mark":"{hashlib.sha256(ending[-MARKED:].encode()).hexdigest()}"}}'


def ends_of(text: str) -> Ends:
    """The ends of a text."""
    return Ends(text[:ENDS], text[-ENDS:], size_of(text))
