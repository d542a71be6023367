"""Finds the branch that the person saw last, where messages were edited, repeated or taken back."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from agentic_flywheel.errors import InvalidArgument

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def branch(leaf: str, parents: Mapping[str, object], before_the_root: Sequence[str] = ()) -> list[str]:
    """The ids from the root to `leaf`. `parents` has every id, in the order of the file.

    A parent that is not among them, nor what stands `before_the_root`, is missing from the file: then all that comes
    before its child in the file is taken for what led there, rather than left out.

    Raises:
        InvalidArgument: the parents go in a circle.

    """
    path = [leaf]
    seen = {leaf}
    while isinstance(parent := parents[path[-1]], str) and parent in parents:
        if parent in seen:
            raise InvalidArgument("has messages that follow each other in a circle")
        path.append(parent)
        seen.add(parent)
    if isinstance(parent, str) and parent not in before_the_root:
        ids = list(parents)
        earlier = [each for each in ids[: ids.index(path[-1])] if each not in seen]
        return [*earlier, *path[::-1]]
    return path[::-1]


def newest(times: dict[str, datetime | None]) -> str:
    """The id of the latest message; of several, the last in the file. There must be one."""
    return max(reversed(times), key=lambda each: times[each] or _LONG_AGO)


UNKNOWN = ""
"""The parent of what does not say which it has."""


def trunk(leaf: str, parents: Mapping[str, str | None]) -> list[str]:
    """The ids from one without parent (`None`) to `leaf`, or to what hangs below it.

    `parents` has every id, in the order of the file. Where a parent is not among them, or was met before, what stands
    before all that was met goes on.
    """
    ids = list(parents)
    places = {each: place for place, each in enumerate(ids)}
    at: str | None = _tip(leaf, parents) if leaf in places else None
    path, first = dict[str, None](), len(ids)
    while at is not None:
        path[at] = None
        first = min(first, places[at])
        parent = parents[at]
        if parent is not None and (parent not in places or parent in path):
            parent = ids[first - 1] if first else None
        at = parent
    return list(reversed(path))


def _tip(leaf: str, parents: Mapping[str, str | None]) -> str:
    """The last of what hangs below `leaf`: a program may write an answer before the question."""
    children = {parent: each for each, parent in parents.items() if parent}
    seen = set[str]()
    while leaf in children and leaf not in seen:
        seen.add(leaf)
        leaf = children[leaf]
    return leaf
