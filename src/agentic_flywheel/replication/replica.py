"""Copies of what the stash holds, on their way to the journal: those of many calls in one transaction.

A thread that writes while others compute waits for the interpreter at every statement; one for all waits once.
"""

import asyncio
import logging

from agentic_flywheel.documents.writes import Append, Write
from agentic_flywheel.errors import JournalUnavailable
from agentic_flywheel.journal import Journal
from agentic_flywheel.journal.threads import in_thread

logger = logging.getLogger(__name__)


class Copies:
    """The copies that wait while others are written."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._waiting: list[tuple[tuple[Write | Append, ...], asyncio.Future[bool]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def keep(self, *writes: Write | Append) -> bool:
        """Keep copies, except where a change of that key is still pending; whether of all. What cannot be, is not."""
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((writes, done))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(), name="copies")
        return await done

    async def _write(self) -> None:
        try:
            while batch := self._waiting:
                self._waiting = []
                left_out = set[str]()
                try:
                    left_out = await in_thread(self._journal.remember, *(w for writes, _ in batch for w in writes))
                except JournalUnavailable as exc:
                    logger.warning("Kept in Redis only: %s", exc)
                finally:  # also if the event loop ends: nobody shall wait for ever
                    for writes, done in batch:
                        if not done.done():
                            done.set_result(not any(write.key in left_out for write in writes))
        finally:
            self._writing = None
