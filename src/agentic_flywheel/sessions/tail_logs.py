"""Keeps logs of which mostly the newest records are read: in small segments, the last of which is found from the end.

A log beside a session that is read whole goes into large segments (`attached_logs.py`). Here an append writes a small
text, a read of the newest reads one, and how long the log is makes no difference to either.

A log lives as long as it is given, from its last record on. Its segments live twice as long, so that those written
first need to be renewed once in that time only; the last one tells whether the log has ended.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from agentic_flywheel.documents.append_log import AppendLogCommand, LogFull, is_full
from agentic_flywheel.documents.delete import DeleteCommand
from agentic_flywheel.documents.drop_records import DropRecordsCommand
from agentic_flywheel.documents.flow_document import outline
from agentic_flywheel.documents.parse import tombstone_of
from agentic_flywheel.documents.writes import ends_of
from agentic_flywheel.errors import Conflict, Damaged, Unavailable
from agentic_flywheel.json_text import JSONObject, dumps_checked, size_of
from agentic_flywheel.keys import Keys
from agentic_flywheel.replication.repository import Repository
from agentic_flywheel.sessions.attached_logs import flow_of, records_in

SEGMENT_BYTES = 32 * 1024
"""Bytes from which on a log goes on in another segment: a journal alone writes a whole one at each append."""

REMEMBERED = 1024
"""Logs whose ends are remembered."""

TRIES = 16
"""How often an append looks for the end anew because others moved it."""

MARK = "life:"
"""What the id of a record begins with that says only that the log was given another life; no read gives it."""


@dataclass(frozen=True, slots=True)
class Segment:
    """The records of one segment of a log, oldest first; `is_full`: none will ever be added."""

    number: int
    records: list[JSONObject]
    is_full: bool
    ends_at: datetime | None
    """When the log ends, if this is the last segment."""
    kept_until: datetime | None
    stale: bool
    """Redis is in use and did not answer: this is what this machine knows, and a later segment may be unknown here."""


@dataclass(slots=True)
class _End:
    """Where a log ends, as far as this process knows, and when; `size`: bytes that its last segment has at least."""

    number: int
    ends_at: datetime | None
    size: int = 0
    first_until: datetime | None = None
    """Until when the first segment is kept; no other is kept shorter, but for the last."""


class TailLogs:
    """The logs beside the sessions that `repository` keeps under `keys`. They are named as those of attachments are."""

    def __init__(self, repository: Repository, keys: Keys, *, max_bytes: int, clock: Callable[[], datetime]) -> None:
        self._repository = repository
        self._keys = keys
        self._max_bytes = max_bytes
        self._clock = clock
        self._ends: OrderedDict[tuple[str, str], _End] = OrderedDict()

    async def append(self, session_id: str, log: str, record: JSONObject, ttl_seconds: int) -> None:
        """Add a record, unless the last segment has one of its `id`; the log lives so long from now on.

        Raises:
            DocumentError, Unavailable: it is not kept.

        """
        size = len(dumps_checked(record))
        for _ in range(TRIES):
            end = self._known_end(session_id, log) or await self._end_or_none(session_id, log)
            number, begins = (end.number, False) if end else (0, True)
            if end and end.size >= SEGMENT_BYTES:
                if not await self._is_there(session_id, log, number):  # deleted meanwhile: it begins anew
                    self._ends.pop((session_id, log), None)
                    continue
                number, begins = end.number + 1, True
            try:
                await self._add(session_id, log, number, record, ttl_seconds, begins=begins)
            except LogFull:  # others have gone on, maybe by far
                await self._find_last(session_id, log, _End(number, None, 0, end.first_until if end else None))
            except Conflict:  # it was cleared meanwhile, or its last segment emptied
                self._ends.pop((session_id, log), None)
            else:
                await self._added(session_id, log, number, size, ttl_seconds, end)
                return
        raise Conflict("Others change the log again and again: try again.")

    async def _is_there(self, session_id: str, log: str, number: int) -> bool:
        found = await self._repository.read(self._key(session_id, log, number))
        return found.text is not None and tombstone_of(found.text) is None

    async def _add(
        self, session_id: str, log: str, number: int, record: JSONObject, ttl_seconds: int, *, begins: bool
    ) -> None:
        await self._repository.write(self._change(session_id, log, number, [record], ttl_seconds, begins=begins))

    async def _added(
        self, session_id: str, log: str, number: int, size: int, ttl_seconds: int, before: _End | None
    ) -> None:
        """Remember what was added, and have the older segments live on where one might end before the log does."""
        ends_at = self._clock() + timedelta(seconds=ttl_seconds) if ttl_seconds else None
        first_until = before.first_until if before else None
        if before and before.number == number:
            size += before.size
        if not before or (number == 0 and before.number == 0):
            first_until = self._clock() + timedelta(seconds=ttl_seconds * 2) if ttl_seconds else None
        elif first_until and (ends_at is None or first_until < ends_at):
            for older in range(number):
                await self._renew(session_id, log, older, ttl_seconds)
            first_until = self._clock() + timedelta(seconds=ttl_seconds * 2) if ttl_seconds else None
        self._remember(session_id, log, _End(number, ends_at, size, first_until))

    async def renew(self, session_id: str, log: str, ttl_seconds: int) -> None:
        """Have a log live so long from now on, shorter or longer than before; 0: for ever."""
        if not await self.has(session_id, log):
            return
        await self.append(session_id, log, {"id": f"{MARK}{uuid4().hex}"}, ttl_seconds)
        for number in range(self._ends[session_id, log].number + 1):
            await self._renew(session_id, log, number, ttl_seconds)

    async def _renew(self, session_id: str, log: str, number: int, ttl_seconds: int) -> None:
        await self._repository.write(self._change(session_id, log, number, [], ttl_seconds, renews=True))

    async def has(self, session_id: str, log: str) -> bool:
        """Whether there is such a log, as far as that is known."""
        return (self._known_end(session_id, log) or await self._end_or_none(session_id, log)) is not None

    async def last(self, session_id: str, log: str) -> Segment | None:
        """The last segment; `None` if there is no such log."""
        end = self._ends.get((session_id, log))
        last, is_newest = await self._newest_known(session_id, log, end) if end else (None, False)
        if last is None:
            self._ends.pop((session_id, log), None)
            last = await self._find_last(session_id, log)
        elif end and last.is_full and not is_newest:
            last = await self._find_from(session_id, log, last, end.first_until)
        return None if last and last.ends_at and last.ends_at <= self._clock() else last

    async def _newest_known(self, session_id: str, log: str, end: _End) -> tuple[Segment | None, bool]:
        """The segment that was the last one, and whether it is known to be; one that was full is read with the next."""
        if end.size < SEGMENT_BYTES:
            return await self.segment(session_id, log, end.number), False
        both = (self.segment(session_id, log, number) for number in (end.number, end.number + 1))
        last, after = await asyncio.gather(*both, return_exceptions=True)
        if isinstance(last, BaseException):
            raise last
        return last, after is None

    async def backwards(self, session_id: str, log: str) -> AsyncGenerator[Segment]:
        """The segments, the last one first."""
        segment = await self.last(session_id, log)
        while segment:
            yield segment
            segment = await self.segment(session_id, log, segment.number - 1) if segment.number else None

    async def segment(self, session_id: str, log: str, number: int) -> Segment | None:
        """A segment by its number; `None` if there is none."""
        found = await self._repository.read(self._key(session_id, log, number))
        if found.text is None or tombstone_of(found.text):
            return None
        there, size = outline(ends_of(found.text)), size_of(found.text)
        if there is None:
            raise Damaged("What is stored as the log is none.")
        now, is_alive = self._clock(), self._repository.expires(found)
        if there.kept_until and there.kept_until <= now and not is_alive:
            return None
        found_here = await records_in(found.text, now, alive_remotely=is_alive)
        records = [record for record in found_here if not str(record.get("id")).startswith(MARK)]
        ends_at = there.saved_at + timedelta(seconds=(there.ttl_seconds or 0) / 2) if there.saved_at else None
        return Segment(
            number, records, is_full(there, size), ends_at if there.kept_until else None, there.kept_until, found.stale
        )

    async def _later(self, session_id: str, log: str, known: Segment, number: int) -> Segment | None:
        """A segment after one that is known; none where Redis does not answer and this machine has none."""
        try:
            return await self.segment(session_id, log, number)
        except Unavailable:
            if not known.stale:
                raise
            return None

    async def drop(self, session_id: str, log: str, ids: Sequence[str]) -> None:
        """Take the records of these ids out; what others add meanwhile stays."""
        gone = frozenset(ids)
        async for segment in self.backwards(session_id, log):
            there = [record["id"] for record in segment.records if record["id"] in gone]
            if there:
                key = self._key(session_id, log, segment.number)
                await self._repository.write(DropRecordsCommand(key=key, ids=there))

    def _known_end(self, session_id: str, log: str) -> _End | None:
        """Where the log ends as far as this process knows; `None` if that may have ended meanwhile."""
        end = self._ends.get((session_id, log))
        return None if end and end.ends_at and end.ends_at <= self._clock() else end

    async def _end_or_none(self, session_id: str, log: str) -> _End | None:
        """The same; none where that is not known: then the log is new, most likely, and what is added begins it."""
        try:
            return await self._find_end(session_id, log)
        except Unavailable:
            return None

    async def _find_end(self, session_id: str, log: str) -> _End | None:
        """Where the log ends, by what is stored; one that has expired is cleared away: nothing of it may come back."""
        last = await self._find_last(session_id, log)
        if last is None:
            return None
        if last.ends_at is None or last.ends_at > self._clock():
            return self._ends[session_id, log]
        self._ends.pop((session_id, log), None)
        for number in range(last.number + 1):
            await self._repository.write(DeleteCommand(key=self._key(session_id, log, number), member=""))
        return None

    async def _find_last(self, session_id: str, log: str, known: _End | None = None) -> Segment | None:
        """The last segment, found in a number of reads that grows as the logarithm of its distance does.

        `known`: the segment to begin at; without it the first.
        """
        first = await self.segment(session_id, log, known.number if known else 0)
        if first is None:
            self._ends.pop((session_id, log), None)
            return None
        return await self._find_from(session_id, log, first, known.first_until if known else first.kept_until)

    async def _find_from(self, session_id: str, log: str, low: Segment, first_until: datetime | None) -> Segment:
        """The same, beginning at a segment that was read just now."""
        step = 1
        while after := await self._later(session_id, log, low, low.number + step):
            low, step = after, step * 2
        high = low.number + step
        while high - low.number > 1:
            middle = (low.number + high) // 2
            after = await self._later(session_id, log, low, middle)
            low, high = (after, high) if after else (low, middle)
        self._remember(session_id, log, _End(low.number, low.ends_at, SEGMENT_BYTES * low.is_full, first_until))
        return low

    def _remember(self, session_id: str, log: str, end: _End) -> None:
        self._ends[session_id, log] = end
        self._ends.move_to_end((session_id, log))
        if len(self._ends) > REMEMBERED:
            self._ends.popitem(last=False)

    def forget(self, session_id: str) -> None:
        """Know nothing more of the logs of a session that was deleted."""
        for known in [known for known in self._ends if known[0] == session_id]:
            del self._ends[known]

    def _key(self, session_id: str, log: str, number: int) -> str:
        return self._keys.history(session_id, flow_of(log, number))

    def _change(
        self,
        session_id: str,
        log: str,
        number: int,
        records: list[JSONObject],
        ttl_seconds: int,
        *,
        renews: bool = False,
        begins: bool = True,
    ) -> AppendLogCommand:
        return AppendLogCommand(
            key=self._key(session_id, log, number),
            session_id=session_id,
            flow_id=flow_of(log, number),
            records=records,
            ttl_seconds=ttl_seconds * 2,
            max_bytes=self._max_bytes,
            full_bytes=SEGMENT_BYTES,
            renews=renews,
            begins=begins,
            written_at=self._clock(),
            direct=True,
        )
