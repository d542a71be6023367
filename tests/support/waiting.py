"""Bounded waits for a condition; nothing in the tests sleeps for a fixed time."""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

STEP = 0.02  # seconds between two looks


def wait_until(condition: Callable[[], T | None], *, within: float = 10.0, what: str = "the condition") -> T:
    """The first truthy answer of `condition`; AssertionError when `within` seconds pass without one."""
    deadline = time.monotonic() + within
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"waited {within} s for {what}; last answer: {answer!r}"
        time.sleep(STEP)
    return answer


async def eventually(condition: Callable[[], Any], *, within: float = 10.0, what: str = "the condition") -> Any:
    """`wait_until` for a running event loop; the condition may be a coroutine function."""
    deadline = time.monotonic() + within
    while True:
        answer = condition()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        assert time.monotonic() < deadline, f"waited {within} s for {what}; last answer: {answer!r}"
        await asyncio.sleep(STEP)
