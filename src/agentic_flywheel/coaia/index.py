"""The verbs that keep a listing: a sorted set of members by time, and a hash of what lists show of each.

The child loads this file by its path; it imports nothing of this package, therefore.
"""

# pyright: basic
# redis-py 4 has no types; in strict mode every line that touches it would be an error.

from typing import Any

import redis

RECONCILE_UP_TO = 2_000
"""Keys in a database up to which a listing looks for what the index does not know (about 2 ms), if their number or
the index's has changed. Larger ones are healed bit by bit (`coaia_heal`)."""

HEALED_AT_ONCE = 5_000
"""Keys, and members of the index, that one step of healing looks at (some 20 ms)."""

HEALED_EVERY_MS = 1_000
"""From one step to the next, for all machines together: a thousandth of what a Redis can do."""

SEARCHED_AT_ONCE = 2_500
"""Notes read at once by a search: about a megabyte."""

LOOKED_AT = 20_000
"""Members that one search for words looks at (some 100 ms); its caller asks on from there."""

# Inside of Redis: to read thousands of notes only to throw them away takes most of a search. For ASCII words, since Lua
# knows no other letters. ARGV: the first and the last place, how many of the words, the words. The answer: the members
# that were looked at, then those found and their notes in turn.
_FILTER = """
local members = redis.call('ZREVRANGE', KEYS[1], ARGV[1], ARGV[2])
local found = {}
if #members == 0 then return {members, found} end
local notes = redis.call('HMGET', KEYS[2], unpack(members))
for i, note in ipairs(notes) do
  if note then
    local text, has = string.lower(note), 0
    for word = 4, #ARGV do
      if string.find(text, ARGV[word], 1, true) then has = has + 1 end
    end
    if has >= tonumber(ARGV[3]) then
      found[#found + 1] = members[i]
      found[#found + 1] = note
    end
  end
end
return {members, found}
"""

Reply = dict[str, Any]


class Index:
    """The verbs of the listing, over the child's Redis client."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401  it is untyped
        self._redis = client
        self._filter = client.register_script(_FILTER) if type(client) is redis.Redis else None  # both keys on one node
        self._reconciled: dict[str, tuple[int, int]] = {}  # keys and members when all was well

    def coaia_index(self, index: str, member: str, score: int, note: str = "") -> Reply:
        """Put a member with its note into a listing; without a note take it out."""
        with self._redis.pipeline(transaction=False) as pipe:
            if note:
                pipe.zadd(index, {member: score})
                pipe.hset(f"{index}:notes", member, note)
            else:
                pipe.zrem(index, member)
                pipe.hdel(f"{index}:notes", member)
            pipe.execute()
        return {"success": True}

    def coaia_recent(
        self,
        index: str,
        documents: str,
        limit: int = 100,
        before: list[Any] | None = None,
        words: list[str] | None = None,
        needed: int | None = None,
        members: list[str] | None = None,
    ) -> Reply:
        """A page of a listing, newest first, older than before ([score, member]).

        documents: what the keys of listed documents begin with. In a small database the first page also takes out
        members whose document is gone, and names up to 100 documents that the listing does not know.
        words: only members whose note has so many of them as `needed` says, or all, whatever their case.
        members: instead of a page, those of these that are listed.
        """
        if members is not None:
            return {"success": True, "entries": self._these(index, members)}
        unlisted = []
        if before is None:
            try:
                unlisted = self._reconcile(index, documents)
            except redis.RedisError:  # no right to SCAN: the list is served as it is
                unlisted = []
        if words:
            return {"success": True, "unlisted": unlisted} | self._search(index, limit, before, words, needed)
        entries = self._older(index, before, limit)
        notes = self._redis.hmget(f"{index}:notes", [m for m, _ in entries]) if entries else []
        rows = [[member, score, note] for (member, score), note in zip(entries, notes, strict=True)]
        unlisted += [member for member, _, note in rows if note is None]
        older = [rows[-1][1], rows[-1][0]] if len(rows) == limit else None
        return {"success": True, "entries": rows, "unlisted": unlisted, "older": older}

    def _these(self, index: str, members: list[str]) -> list[list[Any]]:
        """The rows of these members, without those that are not listed."""
        notes = self._redis.hmget(f"{index}:notes", members) if members else []
        rows = zip(members, self._scores(index, members), notes, strict=True)
        return [[member, int(score), note] for member, score, note in rows if score is not None and note is not None]

    def _search(self, index: str, limit: int, before: list[Any] | None, words: list[str], needed: int | None) -> Reply:
        """A page of the members whose notes have the words: looked for by place, since scores are slow to read."""
        wanted = [word.casefold() for word in words]
        needed = len(wanted) if needed is None else needed
        place = 0
        if before:
            rank = self._redis.zrevrank(index, before[1])
            place = self._redis.zcount(index, f"({before[0]}", "+inf") if rank is None else rank + 1
        found: list[tuple[str, str]] = []
        last = ""
        end = place + LOOKED_AT
        while len(found) < limit and place < end:
            members, some = self._having(index, place, wanted, needed)
            found += some[: limit - len(found)]
            if len(found) == limit:
                last = found[-1][0]
            else:
                last = members[-1] if members else last
                place += len(members)
                if len(members) < SEARCHED_AT_ONCE:
                    last = ""
                    break
        members = [*(member for member, _ in found), *([last] if last else [])]
        scores = [int(score or 0) for score in self._scores(index, members)]
        rows = [[member, score, note] for (member, note), score in zip(found, scores[: len(found)], strict=True)]
        return {"entries": rows, "older": [scores[-1], last] if last else None}

    def _having(self, index: str, place: int, words: list[str], needed: int) -> tuple[list[str], list[tuple[str, str]]]:
        """Some members from a place on, and those of them whose notes have so many of the words."""
        end = place + SEARCHED_AT_ONCE - 1
        if self._filter and all(word.isascii() for word in words):
            answer: Any = self._filter(keys=[index, f"{index}:notes"], args=[place, end, needed, *words])
            members, flat = answer
            return members, [*zip(flat[::2], flat[1::2], strict=True)]
        members = self._redis.zrevrange(index, place, end)
        notes = self._redis.hmget(f"{index}:notes", members) if members else []
        rows = zip(members, notes, strict=True)
        return members, [(member, note) for member, note in rows if _has((note or "").casefold(), words, needed)]

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

    def _older(self, index: str, before: list[Any] | None, count: int) -> list[tuple[str, int]]:
        """Up to `count` members with their scores, older than before; fewer: there are no more."""
        if before is None:
            page = self._redis.zrevrange(index, 0, count - 1, withscores=True)
            return [(member, int(score)) for member, score in page]
        found: list[tuple[str, int]] = []
        offset = 0
        while len(found) < count:
            page = self._redis.zrevrangebyscore(index, before[0], "-inf", start=offset, num=count, withscores=True)
            found += [(m, int(s)) for m, s in page if int(s) < before[0] or m.encode() < before[1].encode()]
            offset += len(page)
            if len(page) < count:
                break
        return found[:count]

    def coaia_heal(self, index: str, documents: str, place: str = "") -> Reply:
        """A step of healing: some documents, and members, beyond `place` (the answer of the step before).

        Members whose document is gone are taken out; up to 100 documents that the listing does not know are named.
        """
        if not self._redis.set(f"{index}:healing", "1", nx=True, px=HEALED_EVERY_MS):
            return {"success": True, "place": place, "unlisted": []}
        at, _, there = place.partition(" ")
        at, keys = self._redis.scan(int(at or 0), match=f"{documents}*", count=HEALED_AT_ONCE)
        listed_at, pairs = self._redis.zscan(index, int(there or 0), count=HEALED_AT_ONCE)
        members = [key[len(documents) :] for key in keys]
        with self._redis.pipeline(transaction=False) as pipe:
            for member in members:
                pipe.zscore(index, member)
            for member, _ in pairs:
                pipe.exists(documents + member)
            answers = pipe.execute() if members or pairs else []
        scores, stored = answers[: len(members)], answers[len(members) :]
        for (member, _), is_stored in zip(pairs, stored, strict=True):
            if not is_stored:
                self.coaia_index(index, member, 0)
        unlisted = [member for member, score in zip(members, scores, strict=True) if score is None]
        return {"success": True, "place": f"{at} {listed_at}", "unlisted": unlisted[:100]}

    def _reconcile(self, index: str, documents: str) -> list[str]:
        """Take out members whose document is gone; documents that the listing does not know."""
        size = self._redis.dbsize()
        counts = (size, self._redis.zcard(index))
        if size > RECONCILE_UP_TO or counts == self._reconciled.get(index):
            return []
        stored = {
            key[len(documents) :] for key in self._redis.scan_iter(match=f"{documents}*", count=1000, _type="string")
        }
        listed = set(self._redis.zrange(index, 0, -1))
        for member in listed - stored:
            if not self._redis.exists(documents + member):  # a scan may miss a key that was written meanwhile
                self.coaia_index(index, member, 0)
        unlisted = sorted(stored - listed)[:100]
        if not unlisted and listed <= stored:
            self._reconciled[index] = counts
        return unlisted


def _has(text: str, words: list[str], needed: int) -> bool:
    if needed == len(words):
        return all(word in text for word in words)
    return sum(word in text for word in words) >= needed
