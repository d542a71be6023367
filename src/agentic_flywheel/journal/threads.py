"""Runs the journal's verbs, which block, in worker threads, or at once where they would not."""

import asyncio
import contextlib
import functools
from collections.abc import Callable, Generator
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

from agentic_flywheel.errors import JournalUnavailable
from agentic_flywheel.journal.connection import JournalFile

_P = ParamSpec("_P")
_R = TypeVar("_R")

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
    # Not anyio's threads: those of a task that never ends keep the process from ending.
    return await asyncio.get_running_loop().run_in_executor(None, functools.partial(verb, *args, **kwargs))


async def at_once(journal: JournalFile, verb: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Run a reading verb on the event loop if it need not wait there: a thread takes longer than such a verb."""
    try:
        return journal.nowait(verb, *args, **kwargs)
    except JournalUnavailable:
        return await in_thread(verb, *args, **kwargs)
