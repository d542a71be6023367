"""Bounded waits for a condition; nothing in the tests sleeps for a fixed time."""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

STEP = 0.02  # seconds between two looks

PATIENCE = 60.0
"""Seconds that only what never comes takes: a wait that fails costs them once, a busy machine needs them by chance."""


def wait_until(condition: Callable[[], T | None], *, within: float = PATIENCE, what: str = "the condition") -> T:
    """The first truthy answer of `condition`; AssertionError when it has none after `within` seconds.

    The last look is after that time, however long this process was kept from looking.
    """
    deadline = time.monotonic() + within
    while True:
        late = time.monotonic() > deadline
        if answer := condition():
            return answer
        assert not late, f"waited {within} s for {what}; last answer: {answer!r}"
        time.sleep(STEP)


async def eventually(condition: Callable[[], Any], *, within: float = PATIENCE, what: str = "the condition") -> Any:
    """`wait_until` for a running event loop; the condition may be a coroutine function."""
    deadline = time.monotonic() + within
    while True:
        late = time.monotonic() > deadline
        answer = condition()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        assert not late, f"waited {within} s for {what}; last answer: {answer!r}"
        await asyncio.sleep(STEP)
