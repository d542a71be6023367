"""Sends what is pending, the keys side by side, once."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import datetime

from agentic_flywheel.backoff import REFUSALS, delay
from agentic_flywheel.documents.model import micros
from agentic_flywheel.errors import JournalUnavailable, StashRefused, StashUnavailable
from agentic_flywheel.journal import Journal
from agentic_flywheel.journal.records import Due
from agentic_flywheel.journal.threads import in_thread
from agentic_flywheel.replication.key_locks import KeyLocks
from agentic_flywheel.replication.outbox import Outbox
from agentic_flywheel.session_keys import SessionKeys

logger = logging.getLogger(__name__)

ONCE = 1
"""Failed attempts that another key on the same connection may have caused."""

DRAINED_SIDE_BY_SIDE = 32
"""Keys sent at a time: a Redis may be 300 ms away."""


class Drain:
    """Sends what is due, once."""

    def __init__(self, journal: Journal, outbox: Outbox, locks: KeyLocks, clock: Callable[[], datetime]) -> None:
        self._journal = journal
        self._outbox = outbox
        self._locks = locks
        self._clock = clock
        self._limiter = asyncio.Semaphore(DRAINED_SIDE_BY_SIDE)
        self._refusals: list[StashRefused] = []

    async def send(self, due: list[Due]) -> None:
        """Send keys side by side; those that failed repeatedly come last, one at a time: they may cut the connection.

        Sessions come before what goes with them: a deletion must not meet in the stash what was kept after it.

        Raises:
            StashUnavailable: the stash is away, or refuses everything.

        """
        fresh = [each for each in due if each.attempts <= ONCE]
        sessions = [each for each in fresh if SessionKeys.of(each.key)]
        others = [each for each in fresh if each not in sessions]
        for group in (sessions, others, *([each] for each in due if each.attempts > ONCE)):
            outcomes = await asyncio.gather(*(self._send(each) for each in group), return_exceptions=True)
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
            if len(self._refusals) >= REFUSALS:
                self.end()

    def end(self) -> None:
        """Raise `StashRefused` if a key was refused."""
        if self._refusals:
            raise self._refusals[-1]

    async def _send(self, due: Due) -> None:
        async with self._limiter, self._locks.of(due.key):
            if len(self._refusals) >= REFUSALS:
                return
            try:
                await self._outbox.drain(due.key, self._outbox.remote.stash.deadline())
            except StashRefused as exc:
                self._refusals.append(exc)
                await self._postpone(due, str(exc))
            except StashUnavailable as exc:
                await self._postpone(due, str(exc))
                raise
            except JournalUnavailable as exc:  # full, or in use: the next round comes soon
                logger.info("%s", exc)

    async def _postpone(self, due: Due, cause: str) -> None:
        with contextlib.suppress(JournalUnavailable):
            item = await in_thread(self._journal.next_pending, due.key)
            if item:
                seconds = delay(due.attempts + 1, len(item.change))
                await in_thread(self._journal.postpone, due.key, cause, micros(self._clock()) + int(seconds * 1e6))
