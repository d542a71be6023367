"""Reconciles a listing with the stored documents: it is written beside them, so it may drift from them."""

# pyright: basic
# redis-py 4 has no types; in strict mode every line that touches it would be an error.

import time
from collections.abc import Iterable
from typing import Any

import redis

RECONCILE_UP_TO = 2_000
"""Keys in a database up to which a listing looks for what the index does not know (about 2 ms), if their number or
the index's has changed. Larger ones are reconciled step by step (`coaia_heal`)."""

NAMED_AT_ONCE = 100
"""Documents that a list names as not listed, which its caller then lists before it answers."""

RECONCILED_AT_ONCE = 2_000
"""Keys, and members of the index, that one step looks at: some 10 ms, and 200 KB over the network."""

RECONCILED_EVERY_MS = 1_000
"""From one step to the next, for all machines together: a thousandth of what a Redis can do."""

WELL_SECONDS = 10.0
"""How long nothing is looked for where the numbers are as when all was well: one key may have gone as another came."""

Reply = dict[str, Any]


class IndexRepair:
    """Reconciles a listing step by step, or a small one as a whole."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401  it is untyped
        self._redis = client
        self._scans_by_type = True
        self._reconciled: dict[str, tuple[int, int, float]] = {}  # keys and members when all was well, and till when

    def coaia_heal(self, index: str, documents: str, place: str = "") -> Reply:
        """Reconcile some documents, and members, beyond `place` (the answer of the step before).

        Members whose document is gone are taken out; documents that the listing does not know are named.
        """
        if not self._redis.set(f"{index}:healing", "1", nx=True, px=RECONCILED_EVERY_MS):
            return {"success": True, "place": place, "unlisted": []}
        at, _, there = place.partition(" ")
        at, keys = self._redis.scan(int(at or 0), match=f"{documents}*", count=RECONCILED_AT_ONCE)
        listed_at, pairs = self._redis.zscan(index, int(there or 0), count=RECONCILED_AT_ONCE)
        members = [key[len(documents) :] for key in keys]
        with self._redis.pipeline(transaction=False) as pipe:
            for member in members:
                pipe.zscore(index, member)
            for member, _ in pairs:
                pipe.exists(documents + member)
            answers = pipe.execute() if members or pairs else []
        scores, stored = answers[: len(members)], answers[len(members) :]
        self._take_out(index, (member for (member, _), there in zip(pairs, stored, strict=True) if not there))
        unlisted = [member for member, score in zip(members, scores, strict=True) if score is None]
        return {"success": True, "place": f"{at} {listed_at}", "unlisted": unlisted}

    def reconcile(self, index: str, documents: str) -> list[str]:
        """Take out members whose document is gone; some documents that the listing does not know."""
        size, listed = self._redis.dbsize(), self._redis.zcard(index)
        *known, until = self._reconciled.get(index, (0, 0, 0.0))
        if size > RECONCILE_UP_TO or ([size, listed] == known and time.monotonic() < until):
            return []
        stored = self._stored(documents)
        members = set(self._redis.zrange(index, 0, -1))
        # A scan may miss a key that was written meanwhile.
        self._take_out(index, (each for each in members - stored if not self._redis.exists(documents + each)))
        unlisted = sorted(stored - members)[:NAMED_AT_ONCE]
        if not unlisted and members <= stored:
            self._reconciled[index] = size, listed, time.monotonic() + WELL_SECONDS
        return unlisted

    def _stored(self, documents: str) -> set[str]:
        """The members whose documents a scan finds."""
        kind = "string" if self._scans_by_type else None
        try:
            keys = [*self._redis.scan_iter(match=f"{documents}*", count=1000, _type=kind)]
        except redis.ResponseError as exc:
            if not kind or "syntax" not in str(exc):
                raise
            self._scans_by_type = False  # before Redis 6
            return self._stored(documents)
        return {key[len(documents) :] for key in keys}

    def _take_out(self, index: str, members: Iterable[str]) -> None:
        with self._redis.pipeline(transaction=False) as pipe:
            for member in members:
                pipe.zrem(index, member)
                pipe.hdel(f"{index}:notes", member)
            pipe.execute()
