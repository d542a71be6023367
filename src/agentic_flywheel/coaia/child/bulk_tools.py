"""Tells the versions of many documents, and puts many back, in one call."""

# pyright: basic
# redis-py 4 has no types; in strict mode every line that touches it would be an error.

from collections.abc import Sequence
from typing import Any

import redis

from document_tools import ANNOUNCED_DELETIONS, Documents, beats
from index_tools import Index
from redis_errors import words_of
from script_runner import Script, Scripts
from script_texts import ENDS, MARKS

MARKED_AT_ONCE = 100
"""Documents whose ends one script reads (less than 1 ms, which others wait for)."""

MATCHED = 1_000_000
"""Keys that are told at the most."""

HEAD_BYTES = 100
"""Of a document's beginning, beside its id, which may take three bytes for one of its key where it is escaped."""

TAIL_BYTES = 320
"""Of a document's end: 80 characters, of which each may have four."""

Reply = dict[str, Any]


class Bulk:
    """The verbs of many documents. `documents` has the scripts that write one, `index` the one that lists it."""

    def __init__(self, client: Any, scripts: Scripts, documents: Documents, index: Index) -> None:  # noqa: ANN401  it is untyped
        self._redis = client
        self._documents = documents
        self._index = index
        self._marks = scripts.of(MARKS, reads=True)
        self._ends = scripts.of(ENDS, reads=True)
        self._one_node = type(client) is redis.Redis

    def coaia_marks(self, keys: list[str], tombstone_keys: list[str]) -> Reply:
        """How the documents under `keys`, and the tombstones under `tombstone_keys`, begin and end.

        The answer has for each key null, where there is neither; else the document's beginning and its end, and the
        tombstone's beginning, each empty where there is none. What is no text has null for its beginning.
        """
        rows: list[Any] = []
        read = self._on_one_node if self._one_node else self._on_cluster
        for place in range(0, len(keys), MARKED_AT_ONCE):
            end = place + MARKED_AT_ONCE
            rows += read(keys[place:end], tombstone_keys[place:end])
        return {"success": True, "marks": [_mark(*row) for row in rows]}

    def coaia_restore(self, items: list[list[Any]], index: str) -> Reply:
        """Put documents where nothing is, and no tombstone that beats them.

        items: [key, tombstone's key, text, milliseconds to live or 0, member of a listing or "", score, note, listing]
        The answer has for each "put", "there" where something was there, or why Redis refused it.
        """
        tombstones = self._tombstones(items)
        done: list[Any] = [
            seen if isinstance(seen, Exception) else not beats(_whole(seen), item[2])
            for item, seen in zip(items, tombstones, strict=True)
        ]
        places = [place for place, free in enumerate(done) if free is True]
        put = self._put_on_one_node if self._one_node else self._put_on_cluster
        answers = put([items[place] for place in places], [tombstones[place] for place in places], index)
        for place, answer in zip(places, answers, strict=True):
            done[place] = answer
        return {"success": True, "done": [_outcome(answer) for answer in done]}

    def coaia_parts(self, members_of: str, patterns: list[str], seconds: float = 1.0) -> Reply:
        """The members of a sorted set, and the keys that each Redis glob matches, as found in so many seconds.

        `complete` tells whether these are all.
        """
        found: list[list[str]] = []
        complete = True
        for pattern in patterns:
            try:
                listed = self._documents.coaia_list(pattern, MATCHED, seconds / len(patterns))
            except redis.ResponseError:  # no right to scan
                listed = {"keys": [], "complete": False}
            found.append(listed["keys"])
            complete = complete and listed["complete"]
        members = self._redis.zrevrange(members_of, 0, -1)
        return {"success": True, "members": members, "found": found, "complete": complete}

    def coaia_erase(
        self, items: list[list[Any]], deletions: str = "", announced: list[list[str]] | None = None
    ) -> Reply:
        """Delete keys, whatever they hold, each after its tombstone is put.

        items: [key, tombstone's key or "", tombstone, milliseconds that it lives]
        announced: [key, tombstone] of earlier deletions that are told once more in the stream `deletions`
        """
        commands: list[Sequence[Any]] = [
            ("XADD", deletions, "MAXLEN", "~", ANNOUNCED_DELETIONS, "*", "key", key, "text", text)
            for key, text in announced or ()
        ]
        for key, tombstone_key, tombstone, life in items:
            if tombstone_key:
                commands.append(("SET", tombstone_key, tombstone, "PX", life))
            commands.append(("DEL", key))
        for answer in self._together(commands):
            if isinstance(answer, Exception):
                raise answer
        return {"success": True}

    def _on_one_node(self, keys: Sequence[str], tombstone_keys: Sequence[str]) -> list[Any]:
        return self._marks([*keys, *tombstone_keys], [HEAD_BYTES, TAIL_BYTES], NEVER_DECODE=True)

    def _on_cluster(self, keys: Sequence[str], tombstone_keys: Sequence[str]) -> list[Any]:
        arguments = [([key], [HEAD_BYTES, TAIL_BYTES]) for key in (*keys, *tombstone_keys)]
        ends = self._run(self._ends, arguments, NEVER_DECODE=True)
        for answer in ends:
            if isinstance(answer, Exception):
                raise answer
        documents, tombstones = ends[: len(keys)], ends[len(keys) :]
        return [[head, tail, seen[0] or b""] for (head, tail), seen in zip(documents, tombstones, strict=True)]

    def _tombstones(self, items: list[list[Any]]) -> list[Any]:
        """The tombstones that stand in the way, empty where there is none, or why they cannot be read."""
        found = self._together([("GET", item[1]) for item in items], NEVER_DECODE=True)
        return [tombstone or b"" for tombstone in found]

    def _put_on_one_node(self, items: list[list[Any]], tombstones: list[bytes], index: str) -> list[Any]:
        """Whether each was written, with its row; or what Redis said."""
        script = self._documents.commit_and_list
        arguments = [
            self._documents.put_and_list(item, seen, index) for item, seen in zip(items, tombstones, strict=True)
        ]
        return self._run(script, arguments)

    def _put_on_cluster(self, items: list[list[Any]], tombstones: list[bytes], _index: str) -> list[Any]:
        """The same, each step for all of them before the next one."""
        answers = self._run(self._documents.commit, [self._documents.put(item) for item in items])
        written = [place for place, answer in enumerate(answers) if answer == 1]
        for place, tombstone in zip(written, self._tombstones([items[place] for place in written]), strict=True):
            if tombstone != tombstones[place]:  # it was deleted meanwhile
                self._documents.take_back(items[place])
                answers[place] = 0
        rows = [items[place] for place in written if answers[place] == 1 and items[place][4]]
        placed = [([row[7]], [row[5], row[4], row[3], ""]) for row in rows]
        self._run(self._index.place, placed)
        self._run(self._index.note, [([f"{row[7]}:notes"], [row[4], row[6], row[3]]) for row in rows if row[6]])
        return answers

    def _run(self, script: Script, arguments: Sequence[tuple[list[str], list[Any]]], **options: Any) -> list[Any]:
        """The answers of a script to each of these keys and arguments, refusals among them."""
        answers = self._together([script.command(keys, args) for keys, args in arguments], **options)
        for place, answer in enumerate(answers):
            if isinstance(answer, redis.ResponseError) and script.has_another_way(answer):
                try:
                    answers[place] = script(*arguments[place], **options)
                except redis.ResponseError as exc:
                    answers[place] = exc
        return answers

    def _together(self, commands: Sequence[Sequence[Any]], **options: Any) -> list[Any]:
        """The answers to commands that are sent together, refusals among them."""
        with self._redis.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command, **options)
            return pipe.execute(raise_on_error=False)


def _mark(head: bytes | None, tail: bytes, tombstone: bytes) -> list[str | None] | None:
    if head == b"" and not tombstone:
        return None
    return [None if head is None else _whole(head), _whole(tail), _whole(tombstone)]


def _whole(part: bytes) -> str:
    """What was cut out of a text, without the pieces of characters at its ends."""
    return part.decode(errors="ignore")


def _outcome(answer: Any) -> str:  # noqa: ANN401
    if isinstance(answer, Exception):
        return f"Redis error: {words_of(answer)}"
    return "put" if answer else "there"  # it is put as well where it could not be listed: a listing finds it later
