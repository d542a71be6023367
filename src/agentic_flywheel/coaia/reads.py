"""Reads documents through the child: those of one moment in one call, and without the text of one that is known.

What a caller has seen is compared inside of Redis, by its size and its etag, as a compare-and-set does.
"""

import asyncio
from dataclasses import dataclass, field

from agentic_flywheel.coaia.child_calls import ChildCalls
from agentic_flywheel.coaia.envelope import Envelopes, etag_of_envelope
from agentic_flywheel.coaia.replies import texts_read
from agentic_flywheel.documents.writes import etag
from agentic_flywheel.errors import Damaged, FlywheelError, StashRefused
from agentic_flywheel.json_text import size_of
from agentic_flywheel.keys import Keys

TOLD_FROM = 4096
"""Characters of a document from which on it is told what of it is known: a shorter one is as quickly sent."""

AT_ONCE = 16
"""Documents of one call: with 256 KB each, a few megabytes."""

SAME_MOMENT = 0.05
"""Seconds by which the deadlines of reads in one call may differ."""


@dataclass(slots=True)
class _Batch:
    """Reads that wait to be sent together: by key, what is known of each, and who waits for it."""

    deadline: float
    known: list[tuple[str, str | None]] = field(default_factory=list[tuple[str, str | None]])
    waiting: list["asyncio.Future[bool | str | None]"] = field(
        default_factory=list["asyncio.Future[bool | str | None]"]
    )


class DocumentReads:
    """The reads of a stash behind `calls`."""

    def __init__(self, calls: ChildCalls, keys: Keys, envelopes: Envelopes | None) -> None:
        self._calls = calls
        self._keys = keys
        self._envelopes = envelopes
        self._batch: _Batch | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self._is_refused = False

    @property
    def are_told(self) -> bool:
        """Whether a read can say what is known: not on a cluster, nor where scripts are forbidden."""
        return self._calls.has("coaia_read_some") and not self._is_refused

    async def read(self, key: str, known: str | None, deadline: float) -> str | None:
        """The document or tombstone under `key`, as it is stored: `known` itself, if it is that.

        Raises:
            StashUnavailable: it is not known what is there.
            Damaged: something is there that is no text of ours.

        """
        if self.are_told:
            found = await self._together(key, known, deadline)
            if found is True:
                return known
            if found is not False:
                return self._opened(key, found)
        reply = await self._calls.call("coaia_read", {"key": key, "tombstone_key": self._keys.tombstone(key)}, deadline)
        return self._opened(key, reply.get("current"))

    async def _together(self, key: str, known: str | None, deadline: float) -> bool | str | None:
        """The text; `True`: it is what is known; `False`: it has to be read alone."""
        batch = self._batch
        if batch is None or len(batch.known) >= AT_ONCE or abs(batch.deadline - deadline) > SAME_MOMENT:
            self._batch = batch = _Batch(deadline)
            task = asyncio.create_task(self._send(batch), name="coaia reads")
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        answer: asyncio.Future[bool | str | None] = asyncio.get_running_loop().create_future()
        batch.known.append((key, known))
        batch.waiting.append(answer)
        batch.deadline = max(batch.deadline, deadline)
        return await answer

    async def _send(self, batch: _Batch) -> None:
        """Ask for what has come together until this task had its turn."""
        if self._batch is batch:
            self._batch = None
        found: list[bool | str | None] = [False] * len(batch.known)
        try:
            items = [self._item(key, known) for key, known in batch.known]
            found = texts_read(await self._calls.call("coaia_read_some", {"items": items}, batch.deadline), len(items))
        except StashRefused:
            self._is_refused = True
        except Damaged:  # one of them: the others are well
            pass
        except FlywheelError as exc:
            for answer in batch.waiting:
                if not answer.done():
                    answer.set_exception(exc)
        finally:
            for answer, each in zip(batch.waiting, found, strict=True):
                if not answer.done():
                    answer.set_result(each)

    def _item(self, key: str, known: str | None) -> list[object]:
        tombstone_key = self._keys.tombstone(key)
        if known is None or len(known) < TOLD_FROM:
            return [key, tombstone_key, "", "", 0]
        if self._envelopes:
            return [key, tombstone_key, *etag_of_envelope(known), 0]
        head, ending = etag(known)
        return [key, tombstone_key, head, ending, size_of(known)] if ending else [key, tombstone_key, "", "", 0]

    def _opened(self, key: str, text: str | None) -> str | None:
        return self._envelopes.open(key, text) if self._envelopes and text else text
