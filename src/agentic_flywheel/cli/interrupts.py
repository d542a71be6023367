"""Ends a command in order at Ctrl-C, SIGTERM or SIGHUP: the first is a cancellation, the second an end at once."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Generator
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

ENDING = (signal.SIGINT,) if sys.platform == "win32" else (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that ask a command to end."""

TICK_SECONDS = 0.1

_noted: list[int] = []
"""The signals that came to the command that runs."""


class Interrupted(BaseException):  # no `except Exception` takes it for a fault
    """A signal ended the command; `code` is the exit code that shells give then, 128 and the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__("Interrupted.")
        self.code = 128 + number


def run_until_signal(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its result, or cancel it at the first signal and wait until it has ended.

    Raises:
        Interrupted: a signal came before the result.

    """
    import asyncio  # here: not every command needs it

    return asyncio.run(_until_signal(work))


async def _until_signal(work: Coroutine[Any, Any, T]) -> T:
    import asyncio

    task = asyncio.ensure_future(work)
    with _noted_signals(task) as received:
        try:
            return await task
        except asyncio.CancelledError:
            if received:
                raise Interrupted(received[0]) from None
            raise


@contextlib.contextmanager
def _noted_signals(task: "asyncio.Future[Any]") -> Generator[list[int]]:
    """The signals that came; the first cancels `task` as soon as the event loop runs, the second ends the process."""
    import asyncio

    received = _noted
    received.clear()

    def note(number: int, _frame: FrameType | None) -> None:  # runs between two bytecodes, also where nothing awaits
        if received:
            os._exit(128 + number)  # what was acknowledged is kept, and a child ends with us
        received.append(number)

    def cancel(number: int) -> None:
        if not received:
            received.append(number)
        task.cancel()

    with _handled(note) as numbers:
        loop = asyncio.get_running_loop()
        for number in () if sys.platform == "win32" else numbers:
            loop.add_signal_handler(number, cancel, number)  # wakes the loop wherever it waits
            signal.signal(number, note)
        try:
            yield received
        finally:
            for number in () if sys.platform == "win32" else numbers:
                loop.remove_signal_handler(number)


@contextlib.contextmanager
def interruptible() -> Generator[None]:
    """Let a signal end a wait for the person, or for a file, at once: the event loop stands still meanwhile."""

    def interrupt(number: int, _frame: FrameType | None) -> None:
        raise Interrupted(number)

    with _ticking(), _handled(interrupt):
        _raise_noted()
        yield
    _raise_noted()


def _raise_noted() -> None:
    """Raise for a signal that came while there was nothing to interrupt, and the event loop did not hear of."""
    if _noted:
        raise Interrupted(_noted[0])


@contextlib.contextmanager
def _ticking() -> Generator[None]:
    """Have a system call return ten times a second, so that Python looks for signals.

    A signal that comes after Python last looked, and before the call blocks, would else wait until the call returns.
    """
    if sys.platform == "win32":  # it has no timer; there the console itself ends a read at Ctrl-C
        yield
        return
    wakeup = signal.set_wakeup_fd(-1)  # the event loop, which stands still, would not read what each tick writes
    handler = signal.signal(signal.SIGALRM, lambda _number, _frame: None)
    before = signal.setitimer(signal.ITIMER_REAL, TICK_SECONDS, TICK_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *before)
        signal.signal(signal.SIGALRM, handler)
        signal.set_wakeup_fd(wakeup)


@contextlib.contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Generator[list[int]]:
    """Have `handler` for the signals that end a command, but those that are ignored, as `nohup` has it: the others."""
    before: dict[int, Any] = {number: signal.getsignal(number) for number in ENDING}
    numbers = [number for number, kept in before.items() if kept != signal.SIG_IGN]
    try:
        for number in numbers:
            signal.signal(number, handler)
        yield numbers
    finally:
        for number in numbers:
            signal.signal(number, before[number])
