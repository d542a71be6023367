"""Keeps the checkpoints of threads in logs beside their sessions, and what tasks wrote at each in one of its own.

The log of a namespace is named by a digest, so a log of their own has the names of all but the graph's own.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from agentic_flywheel.errors import JournalUnavailable, Unavailable
from agentic_flywheel.integrations.langgraph.records import Place
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.sessions.attached import AttachedStore
from agentic_flywheel.sessions.tail_logs import Segment, TailLogs

_NAMESPACES = "langgraph.namespaces"

SIDE_BY_SIDE = 16
"""Logs of writes that are read or cleared at a time."""


REMEMBERED = 1024
"""Namespaces of which the newest checkpoint is remembered, and full segments."""

TRIES = 3
"""How often a write waits for the journal: SQLite lets those wait longest who have waited longest."""


@dataclass(frozen=True, slots=True)
class Found:
    """The record of a checkpoint; `stale`: Redis is in use and did not answer, so it is as this machine knows it."""

    record: JSONObject
    stale: bool

    @property
    def checkpoint_id(self) -> str:
        """The id of the checkpoint."""
        return self.record["checkpoint_id"]


class ThreadLogs:
    """The checkpoints of threads, as records, in the stores of one event loop."""

    def __init__(self, tails: TailLogs, attached: AttachedStore) -> None:
        self._tails = tails
        self._attached = attached
        self._newest_of_full: OrderedDict[tuple[str, str, int], str] = OrderedDict()
        self._newest_known: OrderedDict[tuple[str, str], str] = OrderedDict()

    async def put(self, place: Place, record: JSONObject, ttl_seconds: int) -> None:
        """Add a checkpoint.

        Raises:
            DocumentError, Unavailable: it is not kept.

        """
        log, thread_id = _log(place.namespace), place.thread_id
        if place.namespace and not await self._tails.has(thread_id, log):
            named: list[JSONObject] = [{"id": place.namespace}]
            await _patiently(lambda: self._attached.append(thread_id, _NAMESPACES, named, ttl_seconds=ttl_seconds))
        await _patiently(lambda: self._tails.append(thread_id, log, record, ttl_seconds))
        self._expect(place)

    async def is_empty(self, place: Place) -> bool:
        """Whether it is known that there is no checkpoint of a namespace."""
        try:
            return await self._newest(place.thread_id, place.namespace) is None
        except Unavailable:
            return False

    async def put_writes(self, place: Place, record: JSONObject, ttl_seconds: int) -> None:
        """Add what a task wrote at a checkpoint; that may come later than its writes.

        Raises:
            DocumentError, Unavailable: it is not kept.

        """
        thread_id, log = place.thread_id, _writes_log(place)
        await _patiently(lambda: self._attached.append(thread_id, log, [record], ttl_seconds=ttl_seconds))

    async def writes(self, place: Place, *, stale: bool = False) -> list[JSONObject]:
        """What tasks wrote at a checkpoint; `stale`: as far as this machine knows, as its checkpoint is."""
        try:
            return await self._attached.read(place.thread_id, _writes_log(place))
        except Unavailable:
            if not stale:
                raise
            return []

    async def writes_at(
        self, thread_id: str, namespace: str, checkpoint_ids: Sequence[str], *, stale: bool = False
    ) -> list[list[JSONObject]]:
        """What tasks wrote at each of these checkpoints; `stale`: as far as this machine knows."""
        limiter = asyncio.Semaphore(SIDE_BY_SIDE)

        async def read(checkpoint_id: str) -> list[JSONObject]:
            async with limiter:
                return await self.writes(Place(thread_id, namespace, checkpoint_id), stale=stale)

        return await asyncio.gather(*map(read, checkpoint_ids))

    async def writes_shown(
        self, thread_id: str, namespace: str, checkpoint_ids: Sequence[str]
    ) -> list[list[JSONObject]]:
        """The same to look at; while Redis is away as far as this machine knows, as its checkpoints are."""
        try:
            return await self.writes_at(thread_id, namespace, checkpoint_ids)
        except Unavailable:
            newest = await self._newest(thread_id, namespace)
            if newest is None or not newest.stale:
                raise
            return await self.writes_at(thread_id, namespace, checkpoint_ids, stale=True)

    async def find_with_writes(self, place: Place) -> tuple[Found | None, list[JSONObject]]:
        """The same, and what tasks wrote at it, which is read meanwhile where it is the one that is expected."""
        named, expected = (place.thread_id, place.namespace), place.checkpoint_id
        expected = expected or self._newest_known.get(named, "")
        guess = asyncio.ensure_future(self.writes(place._replace(checkpoint_id=expected))) if expected else None
        try:
            found = await self.find(place)
            if found is None:
                return None, []
            if not place.checkpoint_id:
                self._expect(place._replace(checkpoint_id=found.checkpoint_id))
            stale = found.stale
            if guess and found.checkpoint_id == expected and not stale:
                try:
                    return found, await guess
                except Unavailable:
                    stale = True  # Redis went away between the two: as if it had before both
            return found, await self.writes(place._replace(checkpoint_id=found.checkpoint_id), stale=stale)
        finally:
            if guess:
                guess.cancel()
                await asyncio.gather(guess, return_exceptions=True)

    def _expect(self, place: Place) -> None:
        """Remember the checkpoint that is the newest, most likely."""
        self._newest_known[place.thread_id, place.namespace] = place.checkpoint_id
        self._newest_known.move_to_end((place.thread_id, place.namespace))
        if len(self._newest_known) > REMEMBERED:
            self._newest_known.popitem(last=False)

    async def find(self, place: Place) -> Found | None:
        """A checkpoint, or the newest one; `None` if there is none."""
        if not place.checkpoint_id:
            try:
                return await self._newest(place.thread_id, place.namespace)
            except Unavailable:
                if await self._begins(place):
                    return None
                raise
        async for segment in self._tails.backwards(place.thread_id, _log(place.namespace)):
            for record in reversed(segment.records):
                if record["checkpoint_id"] == place.checkpoint_id:
                    return Found(record, segment.stale)
        return None

    async def _begins(self, place: Place) -> bool:
        """Whether a subgraph begins, while Redis is away, in a thread that goes on from what this machine knows.

        Its namespace is named after a task of the graph above, which has written nothing yet, as far as is known here:
        one that was interrupted in the subgraph has.
        """
        names = place.namespace.split("|")
        if names[-1].isdecimal():  # of several subgraphs in one task
            names.pop()
        task_id = names.pop().partition(":")[2] if names else ""
        try:
            above = await self._newest(place.thread_id, "|".join(names)) if task_id else None
        except Unavailable:
            return False
        if above is None or not above.stale:
            return False
        written = await self.writes(Place(place.thread_id, "|".join(names), above.checkpoint_id), stale=True)
        return all(each["task_id"] != task_id for each in written)

    async def _newest(self, thread_id: str, namespace: str) -> Found | None:
        """The checkpoint with the highest id: it is in the last segment, or was a little faster than others there."""
        log = _log(namespace)
        segment = await self._tails.last(thread_id, log)
        newest = _newest_in(segment)
        if segment and segment.is_full and not segment.stale:  # soon the one before the last
            self._note_full(thread_id, namespace, segment.number, newest)
        while segment and segment.number:
            before, stale = (thread_id, namespace, segment.number - 1), segment.stale
            known = self._newest_of_full.get(before)
            if newest and (stale or (known is not None and known <= newest.checkpoint_id)):
                return newest
            segment = await self._tails.segment(thread_id, log, before[2])
            older = _newest_in(segment)
            self._note_full(thread_id, namespace, before[2], older)
            if newest:
                return older if older and older.checkpoint_id > newest.checkpoint_id else newest
            newest = older
        return newest

    def _note_full(self, thread_id: str, namespace: str, number: int, newest: Found | None) -> None:
        """Remember the newest checkpoint of a segment to which nothing is added any more."""
        self._newest_of_full[thread_id, namespace, number] = newest.checkpoint_id if newest else ""
        if len(self._newest_of_full) > REMEMBERED:
            self._newest_of_full.popitem(last=False)

    async def ancestors(self, place: Place, child: JSONObject) -> AsyncGenerator[JSONObject]:
        """The records of the parent of a checkpoint, of that one's parent, and so on."""
        wanted: str | None = child["parent_id"]
        known: dict[str, JSONObject] = {}
        async for segment in self._tails.backwards(place.thread_id, _log(place.namespace)):
            for record in reversed(segment.records):
                known.setdefault(record["checkpoint_id"], record)
            while wanted and (found := known.pop(wanted, None)):
                yield found
                wanted = found["parent_id"]
            if not wanted:
                return

    async def all_of(self, thread_id: str, namespace: str) -> list[JSONObject]:
        """The records of a namespace, the newest checkpoint first; one for each checkpoint."""
        known: dict[str, JSONObject] = {}
        async for segment in self._tails.backwards(thread_id, _log(namespace)):
            for record in reversed(segment.records):
                known.setdefault(record["checkpoint_id"], record)
        return [known[checkpoint_id] for checkpoint_id in sorted(known, reverse=True)]

    async def namespaces(self, thread_id: str) -> list[str]:
        """The namespaces of a thread, the graph's own first."""
        return ["", *(record["id"] for record in await self._attached.read(thread_id, _NAMESPACES))]

    async def drop(self, thread_id: str, namespace: str, checkpoint_ids: Iterable[str]) -> None:
        """Delete checkpoints, and what tasks wrote at them; the checkpoints go first."""
        gone, ids = {*checkpoint_ids}, list[str]()
        async for segment in self._tails.backwards(thread_id, _log(namespace)):
            ids += [record["id"] for record in segment.records if record["checkpoint_id"] in gone]
        if ids:
            await self._tails.drop(thread_id, _log(namespace), ids)
        limiter = asyncio.Semaphore(SIDE_BY_SIDE)

        async def clear(checkpoint_id: str) -> None:
            async with limiter:
                await self._attached.clear(thread_id, _writes_log(Place(thread_id, namespace, checkpoint_id)))

        await asyncio.gather(*map(clear, sorted(gone)))

    async def renew(self, thread_id: str, ttl_seconds: int) -> None:
        """Have all checkpoints of a thread live so long from now on; 0: for ever."""
        for namespace in await self.namespaces(thread_id):
            await self._tails.renew(thread_id, _log(namespace), ttl_seconds)
            checkpoint_ids = [record["checkpoint_id"] for record in await self.all_of(thread_id, namespace)]
            for checkpoint_id in checkpoint_ids:
                log = _writes_log(Place(thread_id, namespace, checkpoint_id))
                if written := await self._attached.read(thread_id, log):
                    await self._attached.rewrite(thread_id, log, written, ttl_seconds=ttl_seconds)
        if named := await self._attached.read(thread_id, _NAMESPACES):
            await self._attached.rewrite(thread_id, _NAMESPACES, named, ttl_seconds=ttl_seconds)

    def forget(self, thread_id: str) -> None:
        """Know nothing more of a thread that was deleted."""
        self._tails.forget(thread_id)
        for known in [known for known in self._newest_of_full if known[0] == thread_id]:
            del self._newest_of_full[known]


def _newest_in(segment: Segment | None) -> Found | None:
    if segment is None or not segment.records:
        return None
    return Found(max(reversed(segment.records), key=lambda record: record["checkpoint_id"]), segment.stale)


async def _patiently(write: Callable[[], Awaitable[None]]) -> None:
    """Make a write whose records have ids, again where many processes kept it from the journal for its whole time."""
    for _ in range(TRIES - 1):
        try:
            return await write()
        except JournalUnavailable:
            continue
    return await write()


def _log(namespace: str) -> str:
    return f"langgraph.{_digest(namespace)}" if namespace else "langgraph"


def _writes_log(place: Place) -> str:
    return f"langgraph.writes.{_digest(place.namespace, place.checkpoint_id)}"


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(errors="surrogatepass"), digest_size=16).hexdigest()
