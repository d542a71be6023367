"""A signal ends a wait for the person, whenever it comes."""

import os
import signal
import sys
import threading

import pytest

from agentic_flywheel.cli.interrupts import Interrupted, interruptible


def test_a_signal_between_pythons_last_look_and_the_wait_ends_the_wait():
    read, write = os.pipe()
    goes, ended, late = threading.Event(), threading.Event(), threading.Event()

    def signal_while_the_main_thread_waits() -> None:
        goes.wait(60)  # it returns when the main thread lets the interpreter go, which is right before it waits
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)  # noted, but the call is not interrupted
        if not ended.wait(10):
            late.set()
            os.write(write, b"what it waits for")

    def wait_for_input() -> None:
        with interruptible():
            goes.set()
            os.read(read, 10)

    asked = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has what it starts behind ignore it
    before = sys.getswitchinterval()
    alarm = signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)[0] > 0
    thread = threading.Thread(target=signal_while_the_main_thread_waits)
    thread.start()
    sys.setswitchinterval(60)
    try:
        with pytest.raises(Interrupted) as ends:
            wait_for_input()
    finally:
        sys.setswitchinterval(before)
        signal.signal(signal.SIGINT, asked)
        ended.set()
        thread.join()
        os.close(read)
        os.close(write)
    assert not late.is_set()
    assert ends.value.code == 130
    assert (signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)[0] > 0) == alarm
