"""Operations: which writes a document already holds, told from a handful of ids however many writes there were.

A writer (one running store) numbers its writes, and writes each key in that order. So the newest number of a writer
that a document names stands for all its earlier ones, and "did it arrive?" is a look-up even after thousands of other
saves. An id is `<writer>.<number>`, then `~` and the mark that lets a client's retry find its answer.
"""

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid4

from agentic_flywheel.codec import Operation

KEPT_OPERATIONS = 32
"""Operation ids kept in a document: the newest of each of the last 32 writers, small beside a conversation."""

LOST = "~lost"
"""Marks a replace that came too late, and is kept as an older revision."""

_ID = re.compile(r"([0-9a-f]+)\.(\d{1,18})(~.*)?")


class Writer:
    """Gives ids, each with a higher number than the one before."""

    def __init__(self) -> None:
        self._name = uuid4().hex[:16]
        self._numbers = itertools.count(1)

    def next(self) -> str:
        """The id of the next write."""
        return f"{self._name}.{next(self._numbers)}"


def find(operations: Sequence[Operation], identity: str, retry: str = "") -> Operation | None:
    """The operation that shows that the write `identity`, or the one that it repeats (`retry`), was accepted."""
    for operation in reversed(operations):
        if (retry and operation.id.endswith("~" + retry)) or _covers(operation.id, identity):
            return operation
    return None


def of_an_earlier_life(operations: Sequence[Operation]) -> tuple[Operation, ...]:
    """The same writes, none of which a client can repeat any more: what it sends again is for the session of now."""
    return tuple(replace(operation, id=operation.id.partition("~")[0]) for operation in operations)


def _covers(known: str, identity: str) -> bool:
    if known.partition("~")[0] == identity.partition("~")[0]:
        return True
    later, earlier = _ID.fullmatch(known), _ID.fullmatch(identity)
    return bool(later and earlier and later[1] == earlier[1] and int(later[2]) >= int(earlier[2]))


def kept(operations: Sequence[Operation]) -> tuple[Operation, ...]:
    """Those that a document keeps: an older one of the same writer goes before any writer's newest."""
    keep = list(operations)
    while len(keep) > KEPT_OPERATIONS:
        later = [_writer(operation) for operation in keep]
        spare = next((i for i, writer in enumerate(later) if writer in later[i + 1 :]), 0)
        del keep[spare]
    return tuple(keep)


def _writer(operation: Operation) -> str:
    match = _ID.fullmatch(operation.id)
    return match[1] if match else operation.id
