"""Runs the journal's verbs, which block, in worker threads."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import anyio.to_thread

_P = ParamSpec("_P")
_R = TypeVar("_R")


async def in_thread(verb: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Run a blocking verb in a worker thread."""
    return await anyio.to_thread.run_sync(lambda: verb(*args, **kwargs))
