"""Remembers which ids are in the flow histories that grew last, so that an append need not look through their text."""

import threading
from collections import OrderedDict

from agentic_flywheel.documents.writes import Append

REMEMBERED, IDS_REMEMBERED = 64, 200_000
"""Histories whose ids are kept in memory, and the ids of all of them: some 25 MB. An append looks for its own there."""

_ID = '"id":"'
"""What stands before an id."""


class KnownIds:
    """The ids in the histories that grew last, by the version of each: all that its text calls an id, or more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[set[str], tuple[tuple[str, str], ...]]] = OrderedDict()
        self._counts: dict[str, int] = {}
        self._count = 0

    def add(self, append: Append, ids: list[str], text: str | None, *, fresh: bool) -> bool:
        """Whether none of these is in what the append is made to; `text` is all of that, where it is at hand.

        `fresh`: they cannot be.
        """
        known = self._of(append)
        if known is None and not fresh and text is not None:
            known = {part[: part.find('"')] for part in text.split(_ID)[1:]}
        if not fresh and (known is None or not known.isdisjoint(ids)):
            return False
        if known is not None:
            known.update(ids)
            self.keep(append.key, known, append.before, append.after)
        return True

    def keep(self, key: str, ids: set[str], *versions: tuple[str, str]) -> None:
        """Know from now on that there are no others in these versions of a history."""
        with self._lock:
            self._known.pop(key, None)
            self._known[key] = ids, versions
            self._count += len(ids) - self._counts.pop(key, 0)
            self._counts[key] = len(ids)
            while len(self._known) > REMEMBERED or self._count > IDS_REMEMBERED:
                self._count -= self._counts.pop(self._known.popitem(last=False)[0])

    def _of(self, append: Append) -> set[str] | None:
        with self._lock:
            ids, versions = self._known.get(append.key, (None, ()))
        return ids if append.before in versions else None
