"""Runs the journal's verbs, which block, in worker threads, or at once where they would not.

The threads are of our own: a verb mostly takes half a millisecond, and `concurrent.futures` a fifth of that around it.
"""

import asyncio
import atexit
import contextlib
import functools
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from contextvars import ContextVar
from queue import SimpleQueue
from typing import Any, NamedTuple, ParamSpec, TypeVar

from agentic_flywheel.errors import JournalUnavailable
from agentic_flywheel.journal.connection import JournalFile

_P = ParamSpec("_P")
_R = TypeVar("_R")

MOST_THREADS = 8
"""Verbs that run side by side; those that write wait for each other anyway."""

LOOK_SECONDS = 0.001
"""From one look at whether a verb has ended to the next."""


class _Job(NamedTuple):
    """A verb, and who waits for it."""

    verb: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[Any]

    def run(self) -> Callable[[], None]:
        """Run it, unless nobody waits any more; what is returned hands over what it gave or raised."""
        if self.done.cancelled():
            return _nothing
        try:
            given = self.verb()
        except BaseException as exc:  # noqa: BLE001  whoever waits gets it
            return functools.partial(self._hand_over, self._raise, exc)
        return functools.partial(self._hand_over, self._give, given)

    def _hand_over(self, way: Callable[[Any], None], what: object) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop was closed meanwhile
            self.loop.call_soon_threadsafe(way, what)

    def _give(self, given: object) -> None:
        if not self.done.cancelled():
            self.done.set_result(given)

    def _raise(self, error: BaseException) -> None:
        if not self.done.cancelled():
            self.done.set_exception(error)


def _nothing() -> None:
    """Hand over nothing."""


class _Threads:
    """The worker threads of this process, begun as they are needed. What they were given is done before it ends.

    What is asked for later, by a program's own function for its end, is run where it is asked for.
    """

    def __init__(self) -> None:
        self.running: set[_Job] = set()
        self._ended = False
        self._lock = threading.Lock()
        self._idle: list[SimpleQueue[_Job | None]] = []
        self._waiting: deque[_Job] = deque()
        self._threads: dict[threading.Thread, SimpleQueue[_Job | None]] = {}

    def run(self, job: _Job) -> None:
        """Run a job in the thread that had one last: what it has read is still in the processor's caches.

        Here and now where the program ends and there is none.
        """
        with self._lock:
            given = not self._ended and self._given(job)
        if not given:
            job.run()()

    def _given(self, job: _Job) -> bool:
        """Whether a thread does the job: one that is idle, another one, or the next that will be idle."""
        if self._idle:
            self._idle.pop().put(job)
        elif len(self._threads) >= MOST_THREADS or not self._begin(job):
            if not self._threads:
                return False
            self._waiting.append(job)
        return True

    def _begin(self, job: _Job) -> bool:
        """Begin a thread with a job; whether one could: from Python 3.12 on none can once the main thread has ended."""
        given: SimpleQueue[_Job | None] = SimpleQueue()
        given.put(job)
        thread = threading.Thread(target=self._work, args=(given,), name="journal", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return False
        self._threads[thread] = given
        return True

    def _work(self, given: "SimpleQueue[_Job | None]") -> None:
        while job := given.get():
            self.running.add(job)
            hand_over = job.run()
            self.running.discard(job)
            with self._lock:
                if self._waiting:
                    given.put(self._waiting.popleft())
                else:
                    self._idle.append(given)
            hand_over()  # behind that: the next job, which may come at once, is for this thread
            del job, hand_over  # they hold what it gave

    def end(self) -> None:
        """Finish what is to be done, and end the threads."""
        with self._lock:
            self._ended = True
        while self._waiting:
            time.sleep(LOOK_SECONDS)
        for given in self._threads.values():
            given.put(None)
        for thread in self._threads:
            thread.join()

    def forget(self) -> None:
        """Begin anew in a process that was forked, which has none of the threads."""
        self.__init__()


_THREADS = _Threads()
atexit.register(_THREADS.end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_THREADS.forget)

_without = ContextVar("_without", default=False)


@contextlib.contextmanager
def without_threads() -> Generator[None]:
    """Have this task wait for the verbs itself: for a command that does one thing, a thread takes longer than most."""
    before = _without.set(True)
    try:
        yield
    finally:
        _without.reset(before)


async def in_thread(verb: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Run a blocking verb in a worker thread."""
    if _without.get():
        return verb(*args, **kwargs)
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_R] = loop.create_future()
    _THREADS.run(_Job(functools.partial(verb, *args, **kwargs), loop, done))
    return await done


def close_last(journal: JournalFile, loop: asyncio.AbstractEventLoop) -> None:
    """Close a journal, after the verbs of that event loop that nobody waits for any more: one would open it again."""
    while any(job.loop is loop and job.done.cancelled() for job in tuple(_THREADS.running)):
        time.sleep(LOOK_SECONDS)
    journal.close()


async def at_once(journal: JournalFile, verb: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Run a reading verb on the event loop if it need not wait there: a thread takes longer than such a verb."""
    try:
        return journal.nowait(verb, *args, **kwargs)
    except JournalUnavailable:
        return await in_thread(verb, *args, **kwargs)
