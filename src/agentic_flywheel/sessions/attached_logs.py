"""Keeps each log beside a session in segments: where one is full, the log goes on in the next.

A process adds to the first segment until it is told that this is full; then it looks where the log ends, and remembers
that. Full segments live twice as long as the log and are renewed when it is time, so that none expires before the end.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from agentic_flywheel.documents.append_log import AppendLogCommand, LogFull, is_full
from agentic_flywheel.documents.flow_document import Outline, earliest, flow_history, outline
from agentic_flywheel.documents.flow_history import MAX_EXECUTIONS
from agentic_flywheel.documents.model import EPOCH, iso
from agentic_flywheel.documents.parse import tombstone_of
from agentic_flywheel.documents.writes import ends_of
from agentic_flywheel.errors import Conflict, Damaged
from agentic_flywheel.journal.threads import in_thread
from agentic_flywheel.json_text import JSONObject, dumps, size_of
from agentic_flywheel.keys import Keys
from agentic_flywheel.replication.repository import Repository

SEGMENT_BYTES = 2**20
"""Bytes from which on a log goes on in another segment: each append of a journal alone rewrites the one it adds to."""

READ_AT_ONCE = 256 * 1024
"""Characters of a segment that are read on the event loop: a thread takes as long, or a millisecond less."""

REMEMBERED = 256
"""Logs of several segments whose ends and ids are remembered."""

BEGUN_ANEW = 8
"""How often an append begins anew because others cleared the log meanwhile."""


@dataclass(slots=True)
class _End:
    """Where a log of several segments ends: its newest one, what the full ones hold, and until when those live."""

    newest: int = 0
    begun: bool = False
    """Whether that is known to be there."""
    ids: set[str] = field(default_factory=set[str])
    older_until: datetime | None = EPOCH
    ends_at: datetime | None = None
    """Until when the log lives, as far as this process knows."""


class _Segment(NamedTuple):
    outline: Outline
    records: list[JSONObject]
    size: int


class AttachedLogs:
    """The logs beside the sessions of a `repository`."""

    def __init__(self, repository: Repository, keys: Keys, *, max_bytes: int, clock: Callable[[], datetime]) -> None:
        self._repository = repository
        self._keys = keys
        self._max_bytes = max_bytes
        self._clock = clock
        self._full_bytes = min(SEGMENT_BYTES, max_bytes // 4)
        self._ends: OrderedDict[tuple[str, str], _End] = OrderedDict()

    async def append(self, session_id: str, log: str, records: Sequence[JSONObject], ttl_seconds: int) -> None:
        """Add the records whose ids are not there yet."""
        for batch in _batches(self._wrapped(records), self._full_bytes):
            await self._append(session_id, log, batch, ttl_seconds)

    async def _append(self, session_id: str, log: str, records: list[JSONObject], ttl_seconds: int) -> None:
        for _ in range(BEGUN_ANEW):
            end = self._known_end(session_id, log)
            new = [record for record in records if record["id"] not in end.ids]
            if not new:
                return
            change = self._change(session_id, log, end.newest, new, ttl_seconds, begins=not end.begun)
            try:
                placed = await self._repository.write(change)
            except LogFull:
                await self._look_for_end(session_id, log)
            except Conflict:
                self._ends.pop((session_id, log), None)
            else:
                end.begun, end.ends_at = end.newest > 0, placed.answer.kept_until
                await self._renew_older(session_id, log, end, ttl_seconds)
                return
        raise Conflict("Others clear the log again and again: try again.")

    def _wrapped(self, records: Sequence[JSONObject]) -> list[JSONObject]:
        """Records as they are stored: whatever fields they have, none is taken for one of an execution."""
        now = iso(self._clock())
        return [{"id": record["id"], "cached_at": now, "value": record} for record in records]

    def _known_end(self, session_id: str, log: str) -> _End:
        """Where the log ends as far as this process knows: in its first segment, unless it was told otherwise."""
        end = self._ends.get((session_id, log))
        if end and (end.ends_at is None or end.ends_at > self._clock()):
            self._ends.move_to_end((session_id, log))
            return end
        self._ends.pop((session_id, log), None)
        return _End()

    async def _look_for_end(self, session_id: str, log: str) -> None:
        """Read the segments from the first to the last, and remember where the log ends."""
        end, full = _End(), list[Outline]()
        while (segment := await self._segment(session_id, log, end.newest)) is not None:
            if not is_full(segment.outline, segment.size):
                end.begun = True
                break
            full.append(segment.outline)
            end.ids |= {str(record["id"]) for record in segment.records}
            end.newest += 1
        if full and not end.begun and self._has_ended(full[-1]):  # the last one, which expired, is gone already
            await self.clear(session_id, log)
            return
        end.older_until = earliest(each.kept_until for each in full)
        self._ends[session_id, log] = end
        while len(self._ends) > REMEMBERED:
            self._ends.popitem(last=False)

    async def _renew_older(self, session_id: str, log: str, end: _End, ttl_seconds: int) -> None:
        """Have the full segments live on where one of them might end before the newest."""
        until = end.ends_at
        if not end.newest or end.older_until is None or (until and end.older_until >= until):
            return
        life = ttl_seconds * 2
        for number in range(end.newest):
            await self._repository.write(self._change(session_id, log, number, [], life, renews=True))
        end.older_until = self._clock() + timedelta(seconds=life) if life else None

    async def read(self, session_id: str, log: str, newest: int | None) -> list[JSONObject]:
        """The records, or the newest of them, oldest first."""
        found: list[_Segment] = []
        while (segment := await self._segment(session_id, log, len(found), newest)) is not None:
            found.append(segment)
            if not is_full(segment.outline, segment.size):
                break
        if newest == 0 or (found and self._has_ended(found[-1].outline)):
            return []
        records = [record["value"] for each in found for record in each.records]
        return records if newest is None else records[-newest:]

    async def rewrite(self, session_id: str, log: str, records: Sequence[JSONObject], ttl_seconds: int) -> None:
        """Make these the records; what is left of a longer log goes."""
        wrapped = self._wrapped(records)
        if not wrapped:
            await self.clear(session_id, log)
            return
        self._ends.pop((session_id, log), None)
        number = 0
        for number, batch in enumerate(_batches(wrapped, self._full_bytes)):
            await self._repository.write(self._change(session_id, log, number, batch, ttl_seconds, replaces=True))
        await self._clear_from(session_id, log, number + 1)

    async def clear(self, session_id: str, log: str) -> None:
        """Delete all segments."""
        self._ends.pop((session_id, log), None)
        await self._clear_from(session_id, log, 0)

    async def _clear_from(self, session_id: str, log: str, number: int) -> None:
        """Delete the segments from this one on, the first of them first: then the log ends there at once."""
        gone: list[str] = []
        while await self._segment(session_id, log, number) is not None:
            key = self._key(session_id, log, number)
            await self._repository.remove(key)
            gone.append(key)
            number += 1
        if gone:
            await self._repository.forget(gone)

    async def _segment(self, session_id: str, log: str, number: int, newest: int | None = None) -> "_Segment | None":
        """A segment with its records, or the newest of them; `None` if there is none."""
        found = await self._repository.read(self._key(session_id, log, number))
        if found.text is None or tombstone_of(found.text):
            return None
        there, size = outline(ends_of(found.text)), size_of(found.text)
        if there is None:
            raise Damaged("What is stored as the log is none.")
        is_alive = self._repository.expires(found)
        records = await records_in(found.text, self._clock(), alive_remotely=is_alive, limit=newest)
        return _Segment(there, records, size) if records else None

    def _has_ended(self, there: Outline) -> bool:
        """Whether the log, whose last segment this is, has expired: full ones live longer than the log."""
        if not there.ttl_seconds or there.saved_at is None:
            return False
        return there.saved_at + timedelta(seconds=there.ttl_seconds) <= self._clock()

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
        replaces: bool = False,
        renews: bool = False,
        begins: bool = True,
    ) -> AppendLogCommand:
        return AppendLogCommand(
            key=self._key(session_id, log, number),
            session_id=session_id,
            flow_id=flow_of(log, number),
            records=records,
            ttl_seconds=ttl_seconds,
            max_bytes=self._max_bytes,
            full_bytes=self._full_bytes,
            replaces=replaces,
            renews=renews,
            begins=begins,
            written_at=self._clock(),
            direct=True,
        )


def flow_of(log: str, number: int) -> str:
    """The name under which a segment is kept among the flow histories of its session."""
    return f"attached:{log}:{number}"


async def records_in(text: str, now: datetime, *, alive_remotely: bool, limit: int | None = None) -> list[JSONObject]:
    """The records of a segment's text, or the newest of them; a large one is read in a thread."""
    read = partial(flow_history, text, now, alive_remotely=alive_remotely, limit=limit)
    return (read() if len(text) <= READ_AT_ONCE else await in_thread(read)).executions


def _batches(records: Sequence[JSONObject], full_bytes: int) -> Iterator[list[JSONObject]]:
    """The records in order; each batch but the last would fill a segment."""
    if len(records) == 1:
        yield [*records]
        return
    size, batch = 0, list[JSONObject]()
    for record in records:
        batch.append(record)
        size += size_of(dumps(record))
        if size >= full_bytes or len(batch) >= MAX_EXECUTIONS:
            yield batch
            size, batch = 0, []
    if batch:
        yield batch
