"""Reads, writes, deletes and scans documents: the verbs that name one key, or a pattern of keys."""

# pyright: basic
# redis-py 4 has no types; in strict mode every line that touches it would be an error.

import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import redis

from commit_arguments import Commit, milliseconds
from index_tools import Index
from script_runner import Script, Scripts
from script_texts import COMMIT, COMMIT_AND_LIST, NOT_LISTED, READ, SWAP

ANNOUNCED_DELETIONS = 10_000
"""Tombstones that the stream of deletions holds; a machine that was away for longer meets the others one by one."""

ANNOUNCED_SECONDS = 366 * 86_400
"""How long the stream outlives the last of them: longer than any tombstone."""

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
    """A script to run for a call; `then` turns its answer into the reply, or into a function that makes it."""

    script: Script
    keys: list[str]
    args: list[Any]
    then: Callable[[Any], Reply | Callable[[], Reply]]


WRITTEN: Reply = {"success": True, "committed": True}

WRITTEN_UNLISTED: Reply = WRITTEN | {"unlisted": True}
"""It is written, and a listing finds it later."""


class Documents:
    """The verbs of documents. All are synchronous: each call has a worker thread.

    `tools` are coaiapy-mcp's two verbs, or what answers alike.
    """

    def __init__(self, tools: Any, client: Any, scripts: Scripts, index: Index) -> None:  # noqa: ANN401  they are untyped
        self._tools = tools
        self._redis = client
        self._index = index
        self._one_node = type(client) is redis.Redis  # a cluster's client is one of a kind of its own
        self._scripts = scripts
        self.commit = scripts.of(COMMIT)
        self._read_both = scripts.of(READ, reads=True)
        self._swap = scripts.of(SWAP)
        self.commit_and_list = scripts.of(COMMIT_AND_LIST)

    def coaia_tash(self, key: str, value: str, ttl_seconds: float | None = None) -> Reply:
        """Store text under a key; with ttl_seconds it expires, with 0 or without them it never does."""
        if ttl_seconds is None:
            return self._tools.coaia_tash(key, value)
        self._redis.set(key, value, px=milliseconds(ttl_seconds) or None)
        return {"success": True, "message": f"Stored '{key}' in Redis"}

    def coaia_fetch(self, key: str) -> Reply:
        """Fetch the text under a key."""
        return self._tools.coaia_fetch(key)

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

    def coaia_swap(self, key: str, seen: str, value: str, field: str = "") -> Reply:
        """Put another text in the place of the one seen, of a key or of a hash's field, if it is still there.

        It lives as long as that would have.
        """
        return {"success": True, "swapped": bool(self._swap([key], [field, seen, value]))}

    def coaia_commit(self, **arguments: Any) -> Reply | ScriptCall:
        """Write, if what the writer saw is still there.

        expected, ending: how the document seen begins and ends, or "" if there was none.
        tombstone_key: holds the tombstone of `key`; seen_tombstone: what was seen there when there was no document.
        delete: value is a tombstone; it is put there, and `key` is removed.
        entry: [index, member, score, note] for the listing; delete removes it.
        deletions: the stream in which a deletion is announced, and forget_before when the oldest of them was (ms).
        splice: instead of a value: [head, start, rest, tail]; between head and tail goes the document seen, without
        its first `start` and its last `rest` bytes.
        older: the key under which what was seen is kept, for ttl_seconds as well.
        extend_keys: other keys that live for ttl_seconds from now on; delete_keys: keys that are dropped.
        """
        commit = Commit(**arguments)
        if commit.delete:
            return self._delete(commit)
        return self._commit_by_script(commit) if self._one_node else self._commit_on_cluster(commit)

    def _commit_by_script(self, commit: Commit) -> ScriptCall:
        index, member, score, note = commit.entry or (commit.key, "", "", "")
        extended, deleted = commit.extend_keys or [], commit.delete_keys or []
        keys = [commit.key, commit.older or commit.key, commit.tombstone_key, index, f"{index}:notes"]
        args = [*commit.script_args(), commit.seen_tombstone, score, member, note, len(deleted), commit.fresh]

        def then(done: int) -> Reply | Callable[[], Reply]:
            if not done:
                return lambda: self._refused(commit)
            return WRITTEN_UNLISTED if done == NOT_LISTED else WRITTEN

        return ScriptCall(self.commit_and_list, [*keys, *extended, *deleted], args, then)

    def _commit_on_cluster(self, commit: Commit) -> Reply:
        """Do the same key by key."""
        if commit.older:
            self._keep_older(commit)
        if not self.commit([commit.key], commit.script_args()):
            return self._refused(commit)
        if not commit.expected and (self._redis.get(commit.tombstone_key) or "") != commit.seen_tombstone:
            # It was deleted meanwhile. What was written is below that tombstone, so nobody has seen it.
            self._drop(commit.key, commit.value)
            return self._refused(commit)
        self._extend_and_delete(commit)
        try:
            if commit.entry:
                self._index.put(*commit.entry, life=commit.life, fresh=commit.fresh)
        except redis.RedisError:
            return WRITTEN_UNLISTED
        return WRITTEN

    def _keep_older(self, commit: Commit) -> None:
        seen = self._redis.get(commit.key)
        if seen and seen.startswith(commit.expected) and seen.endswith(commit.ending):
            self._redis.set(commit.older, seen, px=commit.life or None)

    def _extend_and_delete(self, commit: Commit) -> None:
        for key in commit.extend_keys or ():
            with suppress(redis.ResponseError):
                self._redis.pexpire(key, commit.life) if commit.life else self._redis.persist(key)
        for key in commit.delete_keys or ():
            with suppress(redis.ResponseError):
                self._redis.delete(key)

    def _delete(self, commit: Commit) -> Reply:
        if not self._replace_by_tombstone(commit):
            refused = self._refused(commit)
            if refused["current"] != commit.value:  # else what was there is beaten by this very tombstone, and gone
                return refused
        try:
            for key in commit.delete_keys or ():
                self._redis.delete(key)
            if commit.entry:
                self._index.coaia_index(*commit.entry[:3])
            if commit.deletions:
                fields = {"key": commit.key, "text": commit.value}
                self._redis.xadd(commit.deletions, fields, maxlen=ANNOUNCED_DELETIONS, approximate=True)
                self._forget(commit)
        except redis.RedisError:  # who looks for it meets its tombstone
            return WRITTEN_UNLISTED
        return WRITTEN

    def _forget(self, commit: Commit) -> None:
        """Forget the deletions that nobody can need any more, and all of them if no other one follows for as long."""
        if commit.forget_before:
            with suppress(redis.ResponseError):  # before Redis 6.2
                seconds, rest = self._redis.time()  # the stream counts in Redis' time, the oldest in this machine's
                ahead = time.time() - seconds - rest / 1e6
                oldest = round(commit.forget_before - ahead * 1000)
                self._redis.xtrim(commit.deletions, minid=oldest, approximate=False)
                self._redis.pexpire(commit.deletions, 1000 * ANNOUNCED_SECONDS)

    def _replace_by_tombstone(self, commit: Commit) -> bool:
        """Put the tombstone, and remove the document if it is what the writer saw."""
        # The tombstone first: it beats only revisions up to its own, so it harms nothing if we stop here.
        before = self._redis.get(commit.tombstone_key)
        if not before or not beats(before, commit.value):
            self._redis.set(commit.tombstone_key, commit.value, px=commit.life or None)
        try:
            return bool(self._drop(commit.key, commit.expected, commit.ending))
        except redis.ResponseError:  # no right to delete: what cannot be removed must not look as if it were
            self._redis.set(commit.tombstone_key, before or "", px=commit.life if before else 1)
            raise

    def _refused(self, commit: Commit) -> Reply:
        return {"success": True, "committed": False, "current": self._current(commit.key, commit.tombstone_key)}

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
        """Whether the verb answers these arguments with a `ScriptCall`: it needs no thread, then."""
        if verb in ("coaia_read", "coaia_read_some"):
            return self._reads_by_script
        return self._one_node and verb == "coaia_commit" and not arguments.get("delete")

    @property
    def _reads_by_script(self) -> bool:
        """Whether a document and its tombstone are read by one command, which needs no thread; else by two."""
        return self._one_node and not self._scripts.forbidden

    def put_and_list(self, item: list[Any], seen_tombstone: bytes, index: str) -> tuple[list[str], list[Any]]:
        """Keys and arguments with which `commit_and_list` puts an item of `coaia_restore`, if that is its tombstone."""
        key, tombstone_key, text, life, member, score, note, *listed = item
        index = listed[0] if listed else index
        keys = [key, key, tombstone_key, index, f"{index}:notes"]
        row = [score, member, note] if member else ["", "", ""]
        return keys, ["", "", text, life, "", "", "", "", seen_tombstone, *row, 0, ""]

    def put(self, item: list[Any]) -> tuple[list[str], list[Any]]:
        """Keys and arguments with which `commit` puts it on a cluster's node, which knows the document alone."""
        return [item[0]], ["", "", item[2], item[3], "", "", "", ""]

    def take_back(self, item: list[Any]) -> None:
        """Remove what was put there, if it is still that."""
        self._drop(item[0], item[2])

    def _drop(self, key: str, expected: str, ending: str = "") -> int:
        """Remove a document that begins and ends so; whether it was there."""
        return self.commit([key], [expected, "drop", "", 0, ending, "", "", ""])

    def _current(self, key: str, tombstone_key: str) -> str | None:
        """The document, or the tombstone that beats it; finishes a deletion that was cut off."""
        if self._reads_by_script:
            document, tombstone = self._read_both([key, tombstone_key])
        else:
            with self._redis.pipeline(transaction=False) as pipe:
                document, tombstone = pipe.get(key).get(tombstone_key).execute()
        if document is None or tombstone is None:
            return tombstone if document is None else document
        return self._alive(key, document, tombstone)

    def _alive(self, key: str, document: str, tombstone: str) -> str:
        if not beats(tombstone, document):
            return document
        with suppress(redis.ResponseError):  # without the right to delete it stays hidden
            self._drop(key, document)
        return tombstone


def beats(tombstone: str, document: str) -> bool:
    """Whether the revision of a tombstone is not below that of a document; one without a revision is never beaten.

    Both are of one Redis, where a session begun anew goes on from its tombstone's revision; between two stores that is
    not so (`documents/lineage.py`).
    """
    deleted, revision = _REVISION.match(tombstone), _REVISION.match(document)
    return bool(deleted and revision and int(deleted[1]) >= int(revision[1]))
