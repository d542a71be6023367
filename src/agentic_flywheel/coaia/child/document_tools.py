"""The verbs that read and write documents, and look at the Redis that holds them."""

# pyright: basic
# redis-py 4 has no types; in strict mode every line that touches it would be an error.

import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import redis

from index_tools import Index
from script_runner import Script, Scripts
from script_texts import COMMIT, COMMIT_AND_LIST, NOT_LISTED, READ

ANNOUNCED_DELETIONS = 10_000
"""Tombstones that the stream of deletions holds; whoever was away for longer meets them one by one."""

SCANNED_AT_ONCE = 5_000
"""Keys that one step of a scan looks at (a few ms)."""

ANY_TIME = 1e9
"""Seconds: no bound."""

_REVISION = re.compile(
    r'\s*\{\s*"schema_version"\s*:\s*\d+\s*,\s*"id"\s*:\s*"(?:[^"\\]|\\.)*"\s*,\s*"revision"\s*:\s*(\d{1,18})\b'
)
"""How a session document and its tombstone begin."""

Reply = dict[str, Any]


class ScriptCall(NamedTuple):
    """One script that answers a call, and what its answer comes to: the reply, or what is still to be done for it."""

    script: Script
    keys: list[str]
    args: list[Any]
    then: Callable[[Any], Reply | Callable[[], Reply]]


class Documents:
    """The verbs of documents, over coaiapy-mcp's Redis client. All are synchronous: each call has a worker thread."""

    def __init__(self, tools: Any, client: Any, scripts: Scripts, index: Index) -> None:  # noqa: ANN401  they are untyped
        self._tools = tools
        self._redis = client
        self._index = index
        self._one_node = type(client) is redis.Redis  # a cluster's client is one of a kind of its own
        self._scripts = scripts
        self.commit = scripts.of(COMMIT)
        self._read_both = scripts.of(READ, reads=True)
        self.commit_and_list = scripts.of(COMMIT_AND_LIST)

    def coaia_tash(self, key: str, value: str, ttl_seconds: float = 0) -> Reply:
        """Store text under a key; with ttl_seconds it expires, without it never does."""
        if not ttl_seconds:
            return _finish(self._tools.get().coaia_tash(key, value))
        self._redis.set(key, value, px=_milliseconds(ttl_seconds))
        return {"success": True, "message": f"Stored '{key}' in Redis"}

    def coaia_fetch(self, key: str) -> Reply:
        """Fetch the text under a key."""
        return _finish(self._tools.get().coaia_fetch(key))

    def coaia_list(self, pattern: str = "*", limit: int = 10_000, seconds: float = 0) -> Reply:
        """List keys that match a Redis glob; with `seconds`, those that are found in that time.

        `complete` tells whether these are all.
        """
        until = time.monotonic() + (seconds or ANY_TIME)
        keys: set[str] = set()
        place = 0
        while True:
            place, found = self._redis.scan(place, match=pattern, count=SCANNED_AT_ONCE)
            keys.update(found)
            ended = not int(place)
            if ended or len(keys) >= limit or time.monotonic() > until:
                return {"success": True, "keys": sorted(keys)[:limit], "complete": ended and len(keys) <= limit}

    def coaia_drop(self, key: str) -> Reply:
        """Remove a key."""
        return {"success": True, "dropped": bool(self._redis.delete(key))}

    def coaia_commit(
        self,
        key: str,
        value: str,
        expected: str,
        tombstone_key: str,
        ending: str = "",
        seen_tombstone: str = "",
        ttl_seconds: float = 0,
        delete: bool = False,  # noqa: FBT001, FBT002  an argument of a tool, always passed by name
        entry: list[Any] | None = None,
        deletions: str = "",
        splice: list[Any] | None = None,
        older: str = "",
        extend_keys: list[str] | None = None,
        delete_keys: list[str] | None = None,
    ) -> Reply | ScriptCall:
        """Write, if what the writer saw is still there.

        expected, ending: how the document seen begins and ends, or "" if there was none.
        tombstone_key: holds the tombstone of `key`; seen_tombstone: what was seen there when there was no document.
        delete: value is a tombstone; it is put there, and `key` is removed.
        entry: [index, member, score, note] for the listing; delete removes it.
        deletions: the stream in which a burial is announced.
        splice: instead of a value: [head, start, rest, tail]; between head and tail goes the document seen, without
        its first `start` and its last `rest` bytes.
        older: the key under which what was seen is kept, for ttl_seconds as well.
        extend_keys: other keys that live for ttl_seconds from now on; delete_keys: keys that are dropped.
        """
        life = _milliseconds(ttl_seconds)
        if delete:
            return self._delete(key, value, expected, ending, tombstone_key, life, entry, deletions, delete_keys or [])
        arguments = [expected, "", value, life, ending, "", "", ""]
        if splice:
            head, start, rest, tail = splice
            arguments = [expected, "", head, life, ending, start, -rest - 1, tail]
        if not self._one_node:
            return self._commit_on_cluster(
                key, tombstone_key, seen_tombstone, entry, older, extend_keys or [], delete_keys or [], arguments
            )
        index, member, score, note = entry or (key, "", "", "")
        keys = [key, older or key, tombstone_key, index, f"{index}:notes", *(extend_keys or ()), *(delete_keys or ())]

        def then(done: int) -> Reply | Callable[[], Reply]:
            if not done:
                return lambda: {"success": True, "committed": False, "current": self._current(key, tombstone_key)}
            # It is written all the same: a listing finds it later.
            return {"success": True, "committed": True} | ({"unlisted": True} if done == NOT_LISTED else {})

        return ScriptCall(
            self.commit_and_list, keys, [*arguments, seen_tombstone, score, member, note, len(delete_keys or ())], then
        )

    def _commit_on_cluster(
        self,
        key: str,
        tombstone_key: str,
        seen_tombstone: str,
        entry: list[Any] | None,
        older: str,
        extend_keys: list[str],
        delete_keys: list[str],
        arguments: list[Any],
    ) -> Reply:
        """The same, a key at a time."""
        expected, ending, life = arguments[0], arguments[4], arguments[3]
        if older:
            seen = self._redis.get(key)
            if seen and seen.startswith(expected) and seen.endswith(ending):
                self._redis.set(older, seen, px=life or None)
        if not self.commit(keys=[key], args=arguments):
            return {"success": True, "committed": False, "current": self._current(key, tombstone_key)}
        if not expected and (self._redis.get(tombstone_key) or "") != seen_tombstone:
            # It was deleted meanwhile. What was written is below that tombstone, so nobody has seen it.
            self.commit(keys=[key], args=[arguments[2], "drop", "", 0, "", "", "", ""])
            return {"success": True, "committed": False, "current": self._current(key, tombstone_key)}
        for each in extend_keys:
            with suppress(redis.ResponseError):
                self._redis.pexpire(each, life) if life else self._redis.persist(each)
        for each in delete_keys:
            with suppress(redis.ResponseError):
                self._redis.delete(each)
        try:
            if entry:
                self._index.coaia_index(*entry)
        except redis.RedisError:
            return {"success": True, "committed": True, "unlisted": True}
        return {"success": True, "committed": True}

    def _delete(
        self,
        key: str,
        tombstone: str,
        expected: str,
        ending: str,
        tombstone_key: str,
        life: int,
        entry: list[Any] | None,
        deletions: str,
        delete_keys: list[str],
    ) -> Reply:
        # The tombstone first: it beats only revisions up to its own, so it harms nothing if we stop here.
        before = self._redis.get(tombstone_key)
        if not before or not _beats(before, tombstone):
            self._redis.set(tombstone_key, tombstone, px=life or None)
        try:
            accepted = self.commit(keys=[key], args=[expected, "drop", "", life, ending, "", "", ""])
        except redis.ResponseError:  # no right to delete: what cannot be removed must not look as if it were
            self._redis.set(tombstone_key, before or "", px=life if before else 1)
            raise
        if not accepted:
            current = self._current(key, tombstone_key)
            if current != tombstone:  # else what was there is beaten by this very tombstone, and gone
                return {"success": True, "committed": False, "current": current}
        try:  # it is gone all the same: who touches it meets its tombstone
            for each in delete_keys:
                self._redis.delete(each)
            if entry:
                self._index.coaia_index(*entry[:3])
            if deletions:
                fields = {"key": key, "text": tombstone}
                self._redis.xadd(deletions, fields, maxlen=ANNOUNCED_DELETIONS, approximate=True)
        except redis.RedisError:
            return {"success": True, "committed": True, "unlisted": True}
        return {"success": True, "committed": True}

    def coaia_read(self, key: str, tombstone_key: str) -> Reply | ScriptCall:
        """The document under a key, or the tombstone under `tombstone_key` if it beats that, or null."""
        if not self._reads_by_script:
            return {"success": True, "current": self._current(key, tombstone_key)}

        def then(found: list[str | None]) -> Reply | Callable[[], Reply]:
            document, tombstone = found
            if document is None or tombstone is None:
                return {"success": True, "current": tombstone if document is None else document}
            return lambda: {"success": True, "current": self._alive(key, document, tombstone)}

        return ScriptCall(self._read_both, [key, tombstone_key], [], then)

    def asks_one_script(self, verb: str, arguments: Reply) -> bool:
        """Whether the verb only says what to ask, with these arguments: it takes no thread, then."""
        if verb == "coaia_read":
            return self._reads_by_script
        return self._one_node and verb == "coaia_commit" and not arguments.get("delete")

    @property
    def _reads_by_script(self) -> bool:
        """Whether a document and its tombstone are read by one command, which needs no thread; else by two."""
        return self._one_node and not self._scripts.forbidden

    def put_and_list(self, item: list[Any], seen_tombstone: bytes, index: str) -> tuple[list[str], list[Any]]:
        """Keys and arguments with which `commit_and_list` puts an item of `coaia_restore`, if that is its tombstone."""
        key, tombstone_key, text, life, member, score, note = item
        keys = [key, key, tombstone_key, index, f"{index}:notes"]
        row = [score, member, note] if member else ["", "", ""]
        return keys, ["", "", text, life, "", "", "", "", seen_tombstone, *row, 0]

    def put(self, item: list[Any]) -> tuple[list[str], list[Any]]:
        """Those with which `commit` does so on a cluster's node, which knows the document alone."""
        return [item[0]], ["", "", item[2], item[3], "", "", "", ""]

    def take_back(self, item: list[Any]) -> None:
        """Remove what was put there, if it is still that."""
        self.commit([item[0]], [item[2], "drop", "", 0, "", "", "", ""])

    def beats(self, tombstone: str, document: str) -> bool:
        """Whether a tombstone hides a document."""
        return _beats(tombstone, document)

    def _current(self, key: str, tombstone_key: str) -> str | None:
        """What is there: a tombstone beats every revision up to its own; a deletion that was cut off is finished."""
        if self._reads_by_script:
            document, tombstone = self._read_both([key, tombstone_key])
        else:
            with self._redis.pipeline(transaction=False) as pipe:
                document, tombstone = pipe.get(key).get(tombstone_key).execute()
        if document is None or tombstone is None:
            return tombstone if document is None else document
        return self._alive(key, document, tombstone)

    def _alive(self, key: str, document: str, tombstone: str) -> str:
        if not _beats(tombstone, document):
            return document
        with suppress(redis.ResponseError):  # without the right to delete it stays hidden
            self.commit(keys=[key], args=[document, "drop", "", 0, "", "", "", ""])
        return tombstone


def _beats(tombstone: str, document: str) -> bool:
    """Whether the revision of a tombstone is not below that of a document; one without a revision is never beaten."""
    deleted, revision = _REVISION.match(tombstone), _REVISION.match(document)
    return bool(deleted and revision and int(deleted[1]) >= int(revision[1]))


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000)) if seconds else 0


def _finish(coroutine: Any) -> Reply:  # noqa: ANN401
    """The reply of one of coaiapy's coroutines, which never wait for anything."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise RuntimeError("a coaiapy tool waited")
