"""Names writes, and tells which of them a document holds from a handful of ids, however many writes there were.

A writer (one running store) numbers its writes, and writes each key in that order. So the newest number of a writer
that a document names stands for all its earlier ones, and "did it arrive?" is a look-up even after thousands of other
saves. An id is `<writer>.<number>`, then `~` and the mark that lets a client's retry find its answer.

A store that was set back (an older dump, a backup) holds less than its writers gave it. What a writer adds to it then
has another name (`apart`), and so has all that it writes later: no number stands for a write that the store has lost.
"""

import functools
import hashlib
import itertools
import re
from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid4

from agentic_flywheel.documents.model import Operation

KEPT_OPERATIONS = 32
"""Operation ids kept in a document: the newest of each of the last 32 writers, small beside a conversation."""

LOST = "~lost"
"""Marks a replace that came too late, and is kept as an older revision."""

_ID = re.compile(r"([0-9a-f]+)\.(\d{1,18})(~.*)?")


WRITTEN_KEYS = 10_000
"""Keys of which a writer knows its newest write; then it takes another name, and knows of none."""


class Writer:
    """Gives ids, each with a higher number than the one before."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._newest: dict[str, str] = {}
        self._begin()

    def next(self) -> str:
        """The id of the next write."""
        return f"{self._name}.{next(self._numbers)}"

    def newest(self, key: str) -> str:
        """The newest write that a document of this key was seen to hold; empty where this name has written none."""
        return self._newest.get(key, "")

    def wrote(self, key: str, identity: str, operations: Sequence[Operation]) -> None:
        """Note that the write `identity` was taken, and what the document under the key holds since."""
        newest = operations[-1].id
        if _parts(newest)[0] != _parts(identity)[0] or (key not in self._newest and len(self._newest) >= WRITTEN_KEYS):
            self._begin()
        self._newest[key] = newest

    def _begin(self) -> None:
        self._name = uuid4().hex[:16]
        self._newest.clear()


def apart(identity: str) -> str:
    """Another name for a write, which stands for no other one; always the same."""
    return f"{hashlib.blake2b(identity.partition('~')[0].encode(), digest_size=8).hexdigest()}.1"


def name_on(operations: Sequence[Operation], identity: str, follows: str) -> str:
    """The name of a write in a document with these operations: one apart, where what it `follows` is not there."""
    return identity if not follows or find(operations, follows) else apart(identity)


def arrived(operations: Sequence[Operation], identity: str) -> Operation | None:
    """The operation that shows that the write `identity` was accepted, by whichever of its names."""
    return find(operations, identity) or find(operations, apart(identity))


def told(before: Sequence[str], operations: Sequence[Operation]) -> tuple[str, ...]:
    """The writes that a document must hold to hold all that a caller was told of, once it is told of one more.

    One of those `before` that this document lacks stays among them: its store was set back.
    """
    missing = [identity for identity in before if not find(operations, identity)]
    return (*missing, *(operation.id for operation in operations[-1:]))[-KEPT_OPERATIONS:]


def holds(operations: Sequence[Operation], identities: Sequence[str]) -> bool:
    """Whether a document with these operations holds all these writes."""
    return all(find(operations, identity) for identity in identities)


def find(operations: Sequence[Operation], identity: str, retry: str = "") -> Operation | None:
    """The operation that shows that the document holds the write `identity`, or the one that it repeats (`retry`)."""
    writer, least = _parts(identity)
    for operation in reversed(operations):
        if retry and operation.id.endswith("~" + retry):
            return operation
        known, number = _parts(operation.id)
        if known == writer and number >= least:
            return operation
    return None


def of_an_earlier_life(operations: Sequence[Operation]) -> tuple[Operation, ...]:
    """The same writes, none of which a client can repeat any more: what it sends again is for the session of now."""
    return tuple(replace(operation, id=operation.id.partition("~")[0]) for operation in operations)


def kept(operations: Sequence[Operation]) -> tuple[Operation, ...]:
    """Those that a document keeps: an older one of the same writer goes before any writer's newest."""
    keep = list(operations)
    while len(keep) > KEPT_OPERATIONS:
        writers = [writer_of(operation.id) for operation in keep]
        spare = next((i for i, writer in enumerate(writers) if writer in writers[i + 1 :]), 0)
        del keep[spare]
    return tuple(keep)


def writer_of(identity: str) -> str:
    """The writer of a write."""
    return _parts(identity)[0]


@functools.lru_cache(2000)  # each is looked at in every save that a document of it has
def _parts(identity: str) -> tuple[str, int]:
    """The writer and the number of a write; one that is named otherwise is a writer of its own."""
    match = _ID.fullmatch(identity)
    return (match[1], int(match[2])) if match else (identity.partition("~")[0] + "~", 0)
