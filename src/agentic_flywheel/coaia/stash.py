"""The stash: the far key-value place, and the one reader of the coaia tools' replies.

Success is JSON with `"success": true` and nothing else: the stock tools report every failure as a normal
result, some of them as plain text. A child that has our verbs is atomic (`coaia_commit` compares and sets inside
Redis). One with only `coaia_tash` and `coaia_fetch` is a mirror: it is read, compared and written in turn.
"""

import asyncio
import json
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import cast
from uuid import uuid4

from agentic_flywheel.coaia.client import CoaiaClient
from agentic_flywheel.codec import load, revision_in, tombstone_of
from agentic_flywheel.errors import (
    Damaged,
    NewerSchema,
    StashRefused,
    StashSilent,
    StashUnavailable,
    StashUnreached,
    Unfinished,
)
from agentic_flywheel.jsontext import JSONObject, dumps
from agentic_flywheel.keys import Keys, glob_escape, lua_patterns
from agentic_flywheel.keyvalue import (
    EVERY_ROW,
    MARKED,
    Append,
    Entry,
    Filter,
    Outcome,
    Write,
    marks,
    revision_at_head,
)

logger = logging.getLogger(__name__)

OWN_VERBS = frozenset({"coaia_commit", "coaia_read", "coaia_recent", "coaia_index", "coaia_list"})
"""What a child must have to be more than a mirror."""

SPLICED_FROM = 4096
"""Characters of a document from which on only what changed is sent."""

REFUSALS_KEPT = 100
"""Keys of which it is known why their last write was refused."""

UNREADABLE = 2**62
"""A revision above all others: what is there must never be overwritten."""

MARKS_AT_ONCE = 500
"""Keys whose marks one call asks for: its answer has some 300 KB, read in a few ms."""

NONSENSE = "The coaia child answered something that makes no sense."

KEYS_LISTED = 1_000_000
"""Keys asked for at the most: those of one session, or all of a prefix when Redis was started again."""

LOOKED_FOR = 0.6
"""The part of the time left in which the child looks for a page: its answer still has to come here."""

LEAST_SCAN_SECONDS = 0.05
"""What a scan is given at least: some 50,000 keys."""

_WRITES = frozenset({"coaia_commit", "coaia_tash"})

_READS = frozenset({"coaia_read", "coaia_fetch", "coaia_marks", "coaia_recent"})

LARGE_WRITE = 256 * 1024
"""Characters of a write whose refusal tells nothing of others: it may be refused for its size."""

MIRROR_LIMIT = 4 * 2**20
"""Bytes of a document that a mirror child is given; the stock one holds up everybody else for larger ones."""

BYTES_A_SECOND = 1_000_000
"""What an operation's bound is prolonged for; two hops need about a fiftieth of it."""


TRANSIENT = re.compile(r"Error \d|Connection|closed|reset|refused|timed? ?out", re.IGNORECASE)
"""Redis errors that tell of the way to Redis; all others are its own answers (redis-py 4.3 `connection.py`)."""

NO_RIGHT = "The user executing the script can't run this command"
"""How Redis 6 and 7.0 say it of a script; all others, and both of a command alone, begin with NOPERM."""

UNREACHED = re.compile(r"Error -?\d+ connecting to ")
"""Those of them that say that there was no connection to send anything on."""


class TooLargeForMirror(StashUnavailable):
    """A document that only the journal keeps, because the child is a mirror."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What a look at the stash showed. `epoch` changes when it lost everything, `run` when it was started again.

    Either may be empty, where it cannot be known: Redis takes no writes, or does not say.

    `deleted` are the keys and texts of tombstones announced since; `after` is where to go on. The rest is `None` where
    it is not known.
    """

    epoch: str
    run: str
    deleted: list[tuple[str, str]]
    after: str
    time: int | None = None
    """Redis' own, in microseconds since 1970."""
    evicted: int | None = None
    """Keys that Redis has evicted since it was started."""
    roomy: bool = False
    """Whether it certainly need not evict anything for a while."""
    policy: str | None = None
    """Its `maxmemory-policy`."""
    listed: tuple[int, int] | None = None
    """Sessions in the list, and the newest one's `saved_at` (0: it is empty): both only grow but by deletions."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why Redis did not take the write of a key, which it first refused after it had taken `after` others.

    `alone`: a deletion, or a large document. It tells nothing of other writes.
    """

    why: str
    after: int
    alone: bool


@dataclass(frozen=True, slots=True)
class Mark:
    """Which version is stored under a key, told without its text.

    `revision` of the document (`None`: there is none; `UNREADABLE`: what is there is no text) and the last 80
    characters, which name its last write; `tombstone`: the revision that was deleted, if there is a tombstone.
    """

    revision: int | None
    ending: str
    tombstone: int | None

    def is_of(self, text: str) -> bool:
        """Whether that text is the document of this mark; never of one of another shape than ours."""
        ending = marks(text)[1]
        return bool(ending) and (revision_at_head(text), ending) == (self.revision, self.ending)


@dataclass(frozen=True, slots=True)
class Listed:
    """Entries of the list, newest first; `older` is where to go on, `None` at the end.

    `unlisted` are sessions that are stored but not in the list.
    """

    entries: list[Entry]
    older: tuple[int, str] | None
    unlisted: list[str]


class Stash:
    """The stash behind `client`. `seconds` and a second per megabyte bound each operation.

    It is a circuit breaker too: once something went unanswered, every verb but `watch`, the probe, fails at once,
    until something is answered again.
    """

    def __init__(self, client: CoaiaClient, keys: Keys, seconds: float, clock: Callable[[], datetime]) -> None:
        self.client = client
        self._keys = keys
        self._seconds = seconds
        self._clock = clock
        self.last_error: str | None = None
        self.refused: dict[str, Refusal] = {}
        """The keys whose last write Redis refused, the newest refusal last."""
        self.unread: str | None = None
        """Why Redis refused the last read, if it has answered none since."""
        self._taken = 0
        self._silent = False

    def __repr__(self) -> str:
        return f"Stash({'silent' if self._silent else 'closed circuit'}, {self.client!r})"

    @property
    def atomic(self) -> bool:
        """Whether the child compares and sets inside Redis, expires keys and lists them."""
        return set(self.client.verbs) >= OWN_VERBS

    @property
    def mirror(self) -> bool:
        """Whether the child is known to have only the two stock verbs."""
        return bool(self.client.verbs) and not self.atomic

    @property
    def refuses_all(self) -> str | None:
        """Why Redis takes no writes, if it has taken none since it refused one that others are like."""
        newest_first = reversed(self.refused.values())
        return next((each.why for each in newest_first if not each.alone and each.after == self._taken), None)

    def deadline(self, size: int = 0, at_least: float = 0.0) -> float:
        """The event loop's time by which an operation on `size` bytes must be done."""
        return asyncio.get_running_loop().time() + max(self._seconds + size / BYTES_A_SECOND, at_least)

    async def ready(self, deadline: float) -> None:
        """Wait until the child answers.

        Raises:
            StashUnavailable: it does not, or Redis is known not to answer.

        """
        if self._silent:
            raise StashUnavailable(f"{self.last_error or 'It did not answer.'} It is asked again in the background.")
        try:
            await self.client.ready(deadline)
        except StashSilent as exc:
            self._silent, self.last_error = True, str(exc)
            raise

    async def watch(self, epoch: str, deletions: str, after: str) -> Watched:
        """Ask whether the stash is there and still the same: the one call that is made while it is silent.

        `epoch` and `deletions` are keys. A child without a verb for it announces nothing.

        Raises:
            StashUnavailable: it does not answer.

        """
        deadline = self.deadline()
        await self.client.ready(deadline)
        offer = uuid4().hex
        if "coaia_watch" not in self.client.verbs:
            known = await self._fetch(epoch, deadline, probe=True)
            if known is None:
                await self._call("coaia_tash", {"key": epoch, "value": offer}, deadline, probe=True)
            return Watched(known or offer, "", [], after)
        arguments: JSONObject = {
            "epoch": epoch, "offer": offer, "deletions": deletions, "after": after, "index": self._keys.index,
        }  # fmt: skip
        reply = await self._call("coaia_watch", arguments, deadline, probe=True)
        try:
            rows = [(str(identity), str(key), str(text)) for identity, key, text in reply["deleted"]]
            listed = reply["listed"]
            return Watched(
                str(reply["epoch"] or ""),
                str(reply["run"]),
                [(key, text) for _, key, text in rows],
                rows[-1][0] if rows else after,
                reply["time"],
                reply["evicted"],
                reply["roomy"],
                reply["policy"],
                listed and (int(listed[0]), int(listed[1])),
            )
        except (KeyError, TypeError, ValueError, IndexError) as exc:
            raise StashUnavailable(NONSENSE) from exc

    async def marks(self, keys: Sequence[str], deadline: float) -> dict[str, Mark | None]:
        """Which versions of documents are stored under `keys`; `None` where there is neither document nor tombstone.

        Raises:
            StashUnavailable: it is not known.

        """
        await self.ready(deadline)
        if "coaia_marks" not in self.client.verbs:
            return {key: _mark_of(await self.read(key, deadline)) for key in keys}
        found: dict[str, Mark | None] = {}
        for place in range(0, len(keys), MARKS_AT_ONCE):
            some = keys[place : place + MARKS_AT_ONCE]
            arguments: JSONObject = {"keys": [*some], "graves": [self._keys.tombstone(key) for key in some]}
            reply = await self._call("coaia_marks", arguments, deadline)
            try:
                found |= {key: _mark(row) for key, row in zip(some, reply["marks"], strict=True)}
            except (KeyError, TypeError, ValueError) as exc:
                raise StashUnavailable(NONSENSE) from exc
        return found

    async def still_has(self, copy: Write, deadline: float) -> bool:
        """Whether a document is stored as in this copy, where that can be told without reading it.

        Raises:
            StashUnavailable: it is not known.

        """
        await self.ready(deadline)
        mark = (await self.marks([copy.key], deadline))[copy.key] if "coaia_marks" in self.client.verbs else None
        return mark is not None and mark.is_of(copy.text) and (mark.tombstone or 0) < (mark.revision or 0)

    async def restore(self, writes: Sequence[Write], deadline: float) -> list[str]:
        """Put documents back, each only where nothing is and no tombstone beats it.

        The deadline is prolonged by a second per megabyte. The answer has for each write "put", "there", or why it was
        refused; one that is refused does not hold up the others.

        Raises:
            StashUnavailable: whether they are there again is unknown. To put them back again does no harm.

        """
        deadline += sum(len(write.text) for write in writes) / BYTES_A_SECOND
        await self.ready(deadline)
        if "coaia_restore" not in self.client.verbs:
            return [await self._restored_alone(write, deadline) for write in writes]
        items = [self._item(write) for write in writes]
        reply = await self._call("coaia_restore", {"items": items, "index": self._keys.index}, deadline)
        answers: object = reply.get("done")
        if not isinstance(answers, list) or len(cast("list[object]", answers)) != len(items):
            raise StashUnavailable(NONSENSE)
        done = [_without_script(str(answer)) for answer in cast("list[object]", answers)]
        for write, answer in zip(writes, done, strict=True):
            if answer in ("put", "there"):  # it may have been refused before
                self.refused.pop(write.key, None)
        return done

    async def _restored_alone(self, write: Write, deadline: float) -> str:
        try:
            outcome = await self.commit(replace(write, seen=None), deadline)
        except (StashRefused, TooLargeForMirror) as exc:
            return str(exc)
        return "put" if outcome.accepted else "there"

    def _item(self, write: Write) -> list[object]:
        entry = write.entry
        row = [entry.member, entry.saved_at, entry.note] if entry else ["", 0, ""]
        grave, life = self._keys.tombstone(write.key), round(self._ttl(write) * 1000)
        return [write.key, grave, write.text, life, *row]

    async def keep(self, write: Write, deadline: float) -> None:
        """Put a text that nobody else writes, an older revision, whatever is there."""
        deadline += len(write.text) / BYTES_A_SECOND
        await self.ready(deadline)
        await self._tash(write, deadline)

    async def drop(self, key: str, deadline: float) -> None:
        """Take such a text away; a child that cannot lets it expire."""
        await self.ready(deadline)
        if "coaia_drop" in self.client.verbs:
            await self._call("coaia_drop", {"key": key}, deadline)

    async def read(self, key: str, deadline: float | None = None) -> str | None:
        """The document or tombstone under `key`; `None` if there is neither (an expired one counts as none).

        Raises:
            StashUnavailable: it is not known what is there.
            Damaged: something is there that is no text of ours.

        """
        deadline = deadline or self.deadline()
        await self.ready(deadline)
        if self.atomic:
            reply = await self._call("coaia_read", {"key": key, "grave": self._keys.tombstone(key)}, deadline)
            return reply.get("current")
        return await self._fetch(key, deadline)

    async def commit(self, write: Write, deadline: float | None = None, older: Write | None = None) -> Outcome:
        """Write, if what the writer saw is still there. The deadline is prolonged by a second per megabyte.

        `older` is what is replaced, to be kept under a key of its own first.

        On a mirror this is read, compare, write: another machine's save of the same moment can be overwritten,
        and the journal's copy counts as newer unless the mirror's revision is higher.

        Raises:
            StashUnavailable: whether it was written is unknown.

        """
        deadline = (deadline or self.deadline()) + len(write.text) / BYTES_A_SECOND
        await self.ready(deadline)
        if older and not (self.atomic and older.text == write.seen):
            await self._tash(older, deadline)
        if not self.atomic:
            return await self._commit_to_mirror(write, deadline)
        seen, buried = write.seen or "", ""
        if seen and tombstone_of(seen):
            seen, buried = "", seen
        entry = write.entry
        expected, ending = marks(seen)
        part = write.splice if len(write.text) > SPLICED_FROM else None
        arguments: JSONObject = {
            "key": write.key,
            "value": "" if part else write.text,
            "splice": [part.head, part.start, part.rest, part.tail] if part else None,
            "older": older.key if older and older.text == write.seen else "",
            "expected": expected,
            "ending": ending,
            "grave": self._keys.tombstone(write.key),
            "buried": buried,
            "ttl_seconds": self._ttl(write),
            "bury": write.tombstone,
            "entry": [entry.index, entry.member, entry.saved_at, entry.note] if entry else None,
        }
        if write.beside:
            arguments["beside"] = [*write.beside]
        if write.gone:
            arguments["gone"] = [*write.gone]
        if write.tombstone and "coaia_watch" in self.client.verbs:
            arguments["deletions"] = self._keys.deletions
        reply = await self._call("coaia_commit", arguments, deadline)
        self._note_taken(write.key)
        return Outcome(accepted=bool(reply.get("committed")), current=reply.get("current"))

    async def append(self, write: Append, deadline: float) -> Outcome:
        """Change a document at its ends, if what the writer saw is still there; a mirror cannot.

        Raises:
            StashUnavailable: whether it was written is unknown.

        """
        await self.ready(deadline)
        expected, ending = write.before
        arguments: JSONObject = {
            "key": write.key,
            "value": "",
            "splice": [write.splice.head, write.splice.start, write.splice.rest, write.splice.tail],
            "expected": expected,
            "ending": ending,
            "grave": self._keys.tombstone(write.key),
            "ttl_seconds": self._ttl(write),
        }
        reply = await self._call("coaia_commit", arguments, deadline)
        self._note_taken(write.key)
        return Outcome(accepted=bool(reply.get("committed")), current=reply.get("current"))

    async def recent(self, index: str, before: tuple[int, str] | None, limit: int) -> list[Entry]:
        """A page of the list, newest first; empty on a mirror, which cannot list."""
        return (await self.listed(index, before, limit)).entries

    async def listed(
        self,
        index: str,
        before: tuple[int, str] | None,
        limit: int,
        wanted: Filter = EVERY_ROW,
        deadline: float | None = None,
    ) -> Listed:
        """A page of the list, of what may be `wanted`: as far as it is found in good time before the deadline."""
        deadline = deadline or self.deadline()
        await self.ready(deadline)
        if not self.atomic:
            return Listed([], None, [])
        # A note is JSON: words that are written differently there are not looked for there.
        plain = [word for word in wanted.words if dumps(word) == f'"{word}"']
        arguments: JSONObject = {
            "index": index,
            "documents": self._keys.sessions,
            "limit": limit,
            "before": before and [*before],
            "words": plain,
            "needed": max(0, wanted.needed - (len(wanted.words) - len(plain))),
            "texts": [dumps(text) for text in wanted.texts],
            "ids": lua_patterns(wanted.pattern),
            "seconds": (deadline - asyncio.get_running_loop().time()) * LOOKED_FOR,
        }
        try:
            reply = await self._call("coaia_recent", arguments, deadline)
        except Damaged as exc:
            why = f"The list that Redis holds under {index} is not ours. Delete it there, and it is made anew."
            raise StashUnavailable(why) from exc
        try:
            older = reply.get("older")
            place = (int(older[0]), str(older[1])) if older else None
            return Listed(_entries(index, reply), place, [str(member) for member in reply.get("unlisted", [])])
        except (TypeError, ValueError, IndexError) as exc:
            raise StashUnavailable(NONSENSE) from exc

    async def entries(self, index: str, members: Sequence[str], deadline: float) -> list[Entry]:
        """The entries of these members of the list; none on a mirror, which cannot list."""
        await self.ready(deadline)
        if not self.atomic or not members:
            return []
        arguments: JSONObject = {"index": index, "documents": self._keys.sessions, "members": [*members]}
        return _entries(index, await self._call("coaia_recent", arguments, deadline))

    async def heal(self, index: str, place: str, deadline: float) -> tuple[str, list[str]]:
        """Compare a part of the list with what is stored; where to go on, and members that are not in the list."""
        await self.ready(deadline)
        if "coaia_heal" not in self.client.verbs:
            return "", []
        arguments: JSONObject = {"index": index, "documents": self._keys.sessions, "place": place}
        reply = await self._call("coaia_heal", arguments, deadline)
        unlisted: list[object] = reply.get("unlisted") or []
        return str(reply.get("place") or ""), [str(member) for member in unlisted]

    async def put_in_list(self, entry: Entry, deadline: float) -> None:
        """List a session that was stored by somebody who keeps no list."""
        arguments = {"index": entry.index, "member": entry.member, "score": entry.saved_at, "note": entry.note}
        await self._call("coaia_index", arguments, deadline)

    async def keys(self, prefix: str, deadline: float | None = None) -> list[str]:
        """The keys that begin with `prefix`; none on a mirror, which cannot list.

        A Redis of millions of keys, other programs' among them, is looked through as far as half of the time allows.

        Raises:
            ValueError: the prefix is empty, and would name every key of every program.
            Unfinished: there may be more than those that it carries.
            StashUnavailable: it is not known which there are.

        """
        if not prefix:
            raise ValueError("An empty prefix names every key of the database.")
        deadline = deadline or self.deadline()
        await self.ready(deadline)
        if not self.atomic:
            return []
        seconds = max(LEAST_SCAN_SECONDS, (deadline - asyncio.get_running_loop().time()) / 2)
        arguments: JSONObject = {"pattern": glob_escape(prefix) + "*", "limit": KEYS_LISTED, "seconds": seconds}
        reply = await self._call("coaia_list", arguments, deadline)
        keys = [str(key) for key in reply.get("keys", [])]
        if not reply.get("complete"):
            raise Unfinished("Redis holds too many keys to look through all of them in time.", keys)
        return keys

    def session_key(self, session_id: str) -> str:
        """The key of a session."""
        return self._keys.session(session_id)

    async def status(self) -> JSONObject:
        """What Redis says of itself, as far as the child can ask.

        Raises:
            StashUnavailable: it does not answer.

        """
        deadline = self.deadline()
        await self.ready(deadline)
        if "coaia_status" in self.client.verbs:
            return await self._call("coaia_status", {}, deadline)
        await self._fetch(self._keys.index, deadline)
        return {}

    def _ttl(self, write: Write | Append) -> float:
        if write.kept_until is None:
            return 0
        return max(0.001, (write.kept_until - self._clock()).total_seconds())

    async def _fetch(self, key: str, deadline: float, *, probe: bool = False) -> str | None:
        reply = await self._call("coaia_fetch", {"key": key}, deadline, probe=probe)
        value = reply.get("value")
        return value if isinstance(value, str) else None

    async def _tash(self, write: Write, deadline: float) -> None:
        if self.mirror and len(write.text.encode()) > MIRROR_LIMIT:
            raise TooLargeForMirror(f"This child takes documents up to {MIRROR_LIMIT // 2**20} MiB.")
        arguments: JSONObject = {"key": write.key, "value": write.text}
        if self.client.tash_expires and (ttl := self._ttl(write)):
            arguments["ttl_seconds"] = ttl if self.atomic else max(1, round(ttl))
        await self._call("coaia_tash", arguments, deadline)

    async def _commit_to_mirror(self, write: Write, deadline: float) -> Outcome:
        if len(write.text.encode()) > MIRROR_LIMIT:
            raise TooLargeForMirror(f"This child takes documents up to {MIRROR_LIMIT // 2**20} MiB.")
        current = await self._fetch(write.key, deadline)
        if current is not None and current != write.seen and revision_of(current) >= revision_of(write.seen):
            return Outcome(accepted=False, current=current)
        await self._tash(write, deadline)
        self._note_taken(write.key)
        return Outcome(accepted=True)

    async def _call(self, verb: str, arguments: JSONObject, deadline: float, *, probe: bool = False) -> JSONObject:
        if self._silent and not probe:  # whoever was already on the way when it fell silent
            raise StashUnavailable(f"{self.last_error or 'It did not answer.'} It is asked again in the background.")
        generation = self.client.generation
        try:
            answer = await self.client.call(verb, arguments, deadline)
            reply = self._understood(answer, arguments.get("key"), generation)
        except StashUnavailable as exc:
            self.last_error = str(exc)
            self._silent = self._silent or isinstance(exc, StashSilent)
            if isinstance(exc, StashRefused):
                self._silent = False
                if verb in _WRITES:
                    self._note_refused(arguments, str(exc))
                elif verb in _READS:
                    self.unread = str(exc)
            raise
        self.last_error = None
        self._silent = False
        if verb in _READS:
            self.unread = None
        return reply

    def _note_refused(self, arguments: JSONObject, why: str) -> None:
        key, alone = str(arguments["key"]), bool(arguments.get("bury")) or len(arguments["value"]) > LARGE_WRITE
        before = self.refused.pop(key, None)  # the newest is the last
        self.refused[key] = Refusal(why, before.after if before else self._taken, alone)
        if len(self.refused) > REFUSALS_KEPT:
            del self.refused[next(iter(self.refused))]

    def _note_taken(self, key: str) -> None:
        self._taken += 1
        self.unread = None
        self.refused.pop(key, None)

    def _understood(self, answer: JSONObject | str, key: str | None, generation: int) -> JSONObject:
        """The reply if it reports success, or that a key is absent.

        The wordings are those of coaiapy-mcp 0.4.3 `tools.py`.
        """
        reply: object = answer
        if isinstance(answer, str):
            try:
                reply = json.loads(answer)
            except ValueError:
                reply = None
        if not isinstance(reply, dict):
            raise StashUnavailable("The coaia child answered something that is not JSON.")
        reply = cast("JSONObject", reply)
        if reply.get("success") is True:
            if not isinstance(reply.get("current"), str | None):
                raise StashUnavailable(NONSENSE)
            return reply
        error = str(reply.get("error", ""))
        if error == f"Key '{key}' not found in Redis":
            return {}
        if error.startswith("Redis is not available"):
            self.client.replace(generation, "it was started while Redis was away and will not look again")
            raise StashUnavailable("Redis was not available when the coaia child started; it is being replaced.")
        if "WRONGTYPE" in error or "DAMAGED" in error:
            raise Damaged(f"What is stored under {key!r} in Redis is not text of ours; it is left as it is.")
        error = _without_script(error)
        if re.search("time(d )?out", error, re.IGNORECASE):
            if not self._silent:
                logger.warning("Redis did not answer in time; until it does, saves go to the journal.")
            raise StashSilent(f"Redis did not answer in time ({error}).")
        if UNREACHED.match(error):
            raise StashUnreached(error)
        if error and not TRANSIENT.search(error):
            raise StashRefused(error)
        raise StashUnavailable(error or "The coaia child reported no reason.")


def _without_script(error: str) -> str:
    """A refusal of Redis without the name of our script, cut short."""
    before = r"^((ERR )?Error running script \(call to \w+\): )?(@user_script: ?\d+: )*"
    error = re.sub(before, "", error.removeprefix("Redis error: "))
    if error.startswith(NO_RIGHT):
        error = f"NOPERM {error}"
    return re.sub(r"\.? script: [0-9a-f]{40}, on @user_script:\d+\.?$", "", error)[:300]


def _mark(row: Sequence[str | None] | None) -> Mark | None:
    """The mark that is told by how a document begins and ends, and how its tombstone begins."""
    if row is None:
        return None
    beginning, end, grave = row
    if beginning is None or end is None or grave is None:
        return Mark(UNREADABLE, end or "", revision_at_head(grave) if grave else None)
    revision = revision_at_head(beginning) if beginning else None
    return Mark(revision, end[-MARKED:], revision_at_head(grave) if grave else None)


def _mark_of(text: str | None) -> Mark | None:
    if text is None:
        return None
    grave = tombstone_of(text)
    return Mark(None, "", grave.revision) if grave else Mark(revision_at_head(text), text[-MARKED:], None)


def _entries(index: str, reply: JSONObject) -> list[Entry]:
    try:
        return [Entry(index, str(m), int(score), note or "") for m, score, note in reply.get("entries", [])]
    except (TypeError, ValueError) as exc:
        raise StashUnavailable(NONSENSE) from exc


def revision_of(text: str | None) -> int:
    """The revision of a document; 0 for none, and above all others for one that must never be overwritten."""
    if text is None:
        return 0
    try:
        return revision_in(load(text, "the document"))
    except (Damaged, NewerSchema):
        return UNREADABLE
