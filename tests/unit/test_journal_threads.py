"""A journal's verbs run in few threads; one that was closed stays closed: verbs that nobody waits for end before."""

import asyncio
import contextlib
import itertools
import threading

from agentic_flywheel.journal import Journal
from agentic_flywheel.journal.threads import MOST_THREADS, close_last, in_thread

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


async def test_a_verb_runs_in_the_thread_that_ran_the_one_before_it():
    met = threading.Barrier(4)
    await asyncio.gather(*(in_thread(met.wait, 30) for _ in range(4)))
    used: list[int] = []
    for _ in range(20):
        used.append(await in_thread(threading.get_ident))
        await asyncio.to_thread(threading.get_ident)  # time enough to be idle again
    same = sum(one == other for one, other in itertools.pairwise(used))
    assert same >= 15  # not all: what another test left running may come between


async def test_more_verbs_than_threads_are_all_run():
    goes_on = threading.Event()
    begun: list[int] = []

    def verb(number: int) -> int:
        begun.append(number)
        goes_on.wait(30)
        return number

    numbers = range(3 * MOST_THREADS)
    verbs = [asyncio.create_task(in_thread(verb, number)) for number in numbers]
    await eventually(lambda: len(begun) == MOST_THREADS)
    goes_on.set()
    assert await asyncio.gather(*verbs) == [*numbers]
