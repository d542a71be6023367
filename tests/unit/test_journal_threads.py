"""A journal that was closed stays closed: a verb that nobody waits for any more is ended before."""

import asyncio
import contextlib
import threading

from agentic_flywheel.journal import Journal
from agentic_flywheel.journal.threads import close_last, in_thread

from ..support.waiting import eventually


async def test_a_verb_that_was_given_up_opens_no_journal_that_was_closed(journal: Journal):
    begun, goes_on, ended = threading.Event(), threading.Event(), threading.Event()

    def slow_verb() -> None:
        begun.set()
        goes_on.wait(30)
        journal.purge_expired()
        ended.set()

    verb = asyncio.create_task(in_thread(slow_verb))
    await eventually(begun.is_set)
    verb.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await verb
    closing = asyncio.create_task(in_thread(close_last, journal, asyncio.get_running_loop()))
    await asyncio.wait([closing], timeout=0.2)  # it is not done before the verb
    goes_on.set()
    await closing
    await eventually(ended.is_set)
    assert "closed" in repr(journal)
