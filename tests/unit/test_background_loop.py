"""A loop in a thread of its own, for code that does not await."""

import asyncio
import os
import threading
from collections.abc import Iterator

import pytest

from agentic_flywheel.errors import Unavailable
from agentic_flywheel.integrations import background_loop
from agentic_flywheel.integrations.background_loop import BackgroundLoop

from ..support.waiting import wait_until

NAME = "a loop of a test"


async def where() -> str:
    return threading.current_thread().name


async def nothing() -> None:
    pass


def running() -> bool:
    return any(thread.name == NAME for thread in threading.enumerate())


@pytest.fixture
def loop() -> Iterator[BackgroundLoop]:
    made = BackgroundLoop(NAME)
    yield made
    made.close(nothing())


def test_no_thread_runs_before_the_first_call_and_none_after_the_last(loop: BackgroundLoop):
    assert not running()
    assert loop.run(where()) == NAME
    loop.close(nothing())
    assert not running()
    assert loop.run(where()) == NAME


def test_what_goes_wrong_is_raised(loop: BackgroundLoop):
    async def wrong() -> None:
        raise KeyError("beans")

    with pytest.raises(KeyError, match="beans"):
        loop.run(wrong())


def test_a_call_that_takes_too_long_is_ended(loop: BackgroundLoop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(background_loop, "CALL_SECONDS", 0.05)
    ended = threading.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(Unavailable):
        loop.run(endless())
    wait_until(ended.is_set, what="the work to be cancelled")


async def test_it_may_be_called_where_a_loop_runs(loop: BackgroundLoop):
    assert loop.run(where()) == NAME


def test_what_is_under_way_when_it_is_closed_is_told(loop: BackgroundLoop):
    begun, told = threading.Event(), list[BaseException]()

    async def endless() -> None:
        begun.set()
        await asyncio.Event().wait()

    def call() -> None:
        try:
            loop.run(endless())
        except Unavailable as exc:
            told.append(exc)

    caller = threading.Thread(target=call)
    caller.start()
    assert begun.wait(60)
    loop.close(nothing())
    caller.join(60)
    assert told


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a fork beside threads, which is what is tried
def test_a_fork_has_a_loop_of_its_own(loop: BackgroundLoop):
    loop.run(where())
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if loop.run(where()) == NAME else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_where_no_thread_begins_any_more_the_call_is_refused(loop: BackgroundLoop, monkeypatch: pytest.MonkeyPatch):
    """As from Python 3.12 on, once the main thread has ended."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(Unavailable, match="has ended"):
            loop.run(where())
    assert loop.run(where()) == NAME
