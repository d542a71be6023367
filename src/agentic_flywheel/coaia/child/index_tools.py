"""Keeps and pages a listing: a sorted set of members by time, and a hash of what lists show of each."""

# pyright: basic
# redis-py 4 has no types; in strict mode every line that touches it would be an error.

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import redis

from index_repair import IndexRepair
from script_runner import Scripts
from script_texts import LOOK, NOTE, PLACE

SLICE_MICROSECONDS = 2_000
"""How long one script looks through a listing, some 2,000 rows, and others who use this Redis wait."""

LOOKED_AT_OUTSIDE = 1_000
"""Rows read at once where what is sought cannot be looked for inside of Redis: some 500 KB."""

Reply = dict[str, Any]
Row = list[Any]
"""Member, score, note (none: it has none)."""
Place = list[Any]
"""Score and member of a row to go on behind."""


class Sought(NamedTuple):
    """What rows must have: texts as they are written, ids of these patterns."""

    texts: Sequence[str]
    ids: Sequence[str]


class Index:
    """The verbs of the listing, over the child's Redis client. `repair` reconciles a small one as a whole."""

    def __init__(self, client: Any, scripts: Scripts, repair: IndexRepair) -> None:  # noqa: ANN401  it is untyped
        self._redis = client
        self._repair = repair
        self._look = scripts.of(LOOK, reads=True)
        self.place = scripts.of(PLACE)
        self.note = scripts.of(NOTE)
        self._one_node = type(client) is redis.Redis  # listing and notes are on it

    def coaia_index(self, index: str, member: str, score: int, note: str = "", ttl_seconds: float = 0) -> Reply:
        """Put a member with its note into a listing, no later than now; without a note take it out.

        The listing lives for ttl_seconds at least; 0 is for ever.
        """
        if note:
            self.put(index, member, score, note, round(ttl_seconds * 1000))
        else:
            self._redis.zrem(index, member)
            self._redis.hdel(f"{index}:notes", member)
        return {"success": True}

    def put(self, index: str, member: str, score: int, note: str, life: int, fresh: str = "") -> None:
        """Put a member into a listing, which lives for so many milliseconds at least; a set has no notes.

        `fresh`: "1" if it was saved just now.
        """
        self.place([index], [score, member, life, fresh])
        if note:
            self.note([f"{index}:notes"], [member, note, life])

    def coaia_recent(
        self,
        index: str,
        documents: str,
        limit: int = 100,
        before: list[Any] | None = None,
        texts: list[str] | None = None,
        ids: list[str] | None = None,
        seconds: float = 1.0,
        members: list[str] | None = None,
    ) -> Reply:
        """A page of a listing, newest first, older than before ([score, member]).

        documents: what the keys of listed documents begin with. In a small database the first page also takes out
        members whose document is gone, and names some documents that the listing does not know.
        texts: only members whose note has all of these JSON strings. ids: only members that the Lua patterns match, one
        after the other. Of members that have not all of that, some may be among the rows.
        seconds: how long is looked; `older`, where to go on, may then come with fewer rows than `limit`.
        members: instead of a page, those of these that are listed.
        """
        if members is not None:
            return {"success": True, "entries": self._these(index, members)}
        until = time.monotonic() + seconds
        unlisted = self._reconciled(index, documents) if before is None else []
        sought = Sought(texts or [], ids or [])
        rows, older = self._page(index, before, limit, sought, until)
        unlisted += [member for member, _, note in rows if note is None]
        return {"success": True, "entries": rows, "unlisted": unlisted, "older": older}

    def _reconciled(self, index: str, documents: str) -> list[str]:
        try:
            return self._repair.reconcile(index, documents)
        except redis.RedisError:  # no right to SCAN: the list is served as it is
            return []

    def _page(
        self, index: str, before: Place | None, limit: int, sought: Sought, until: float
    ) -> tuple[list[Row], Place | None]:
        """The rows older than `before` that are found in time, and where to go on; no place at the end."""
        rows: list[Row] = []
        place = before
        while True:
            began = time.monotonic()
            ended, place, some = self._slice(index, place, limit - len(rows), sought)
            rows += some
            if ended:
                return rows, None
            now = time.monotonic()
            if len(rows) >= limit or now + (now - began) > until:  # the next one would come too late
                return rows, place

    def _slice(
        self, index: str, before: Place | None, enough: int, sought: Sought
    ) -> tuple[bool, Place | None, list[Row]]:
        """Some rows older than `before`, whether there are no more, and else the place that was reached."""
        if self._one_node:
            return self._found(index, before, enough, sought, notes=True)
        at_once = max(enough, LOOKED_AT_OUTSIDE) if sought.texts else enough
        ended, place, rows = self._found(index, before, at_once, Sought([], sought.ids), notes=False)
        if rows:
            notes = self._redis.hmget(f"{index}:notes", [member for member, _, _ in rows])
            rows = [[*row[:2], note] for row, note in zip(rows, notes, strict=True) if _fits(note, sought)]
        if len(rows) > enough:
            rows = rows[:enough]
            ended, place = False, [rows[-1][1], rows[-1][0]]
        return ended, place, rows

    def _found(
        self, index: str, before: Place | None, enough: int, sought: Sought, *, notes: bool
    ) -> tuple[bool, Place | None, list[Row]]:
        """The same, as far as one script finds them; without `notes` it knows the members alone."""
        keys = [index, f"{index}:notes"] if notes else [index]
        args = [*(before or ("", "")), enough, SLICE_MICROSECONDS, len(sought.ids)]
        answer: Any = self._look(keys, [*args, *sought.ids, *sought.texts])
        ended, last, last_score, found = answer
        rows = [[member, _score(score), note] for member, score, note in found]
        place = [_score(last_score), last] if last else before
        return bool(ended), place, [row for row in rows if before is None or _is_older(row, before)]

    def _these(self, index: str, members: list[str]) -> list[Row]:
        """The rows of these members, without those that are not listed."""
        notes = self._redis.hmget(f"{index}:notes", members) if members else []
        rows = zip(members, self._scores(index, members), notes, strict=True)
        return [[member, _score(score), note] for member, score, note in rows if score is not None and note is not None]

    def _scores(self, index: str, members: list[str]) -> list[float | None]:
        """When each of these was saved; nothing for one that is not listed."""
        if not members:
            return []
        try:
            return self._redis.zmscore(index, members)
        except redis.ResponseError:  # before Redis 6.2
            with self._redis.pipeline(transaction=False) as pipe:
                for member in members:
                    pipe.zscore(index, member)
                return pipe.execute()


def _score(score: str | float) -> int:
    return int(float(score))


def _is_older(row: Row, before: list[Any]) -> bool:
    """Whether a row comes behind that place in the order of a listing: by score, then by the bytes of the member."""
    return (row[1], row[0].encode()) < (before[0], before[1].encode())


def _fits(note: str | None, sought: Sought) -> bool:
    """Whether a note may have what is sought; one that is missing may."""
    if note is None:
        return True
    escapes = "\\u" in note or "\\/" in note
    return escapes or all(text in note for text in sought.texts)
