"""Answers the first questions of a client while the SDK is being imported, from answers that the SDK's server gave.

Clients wait one to three seconds for a first answer, and importing the SDK takes longer on a busy machine. So this
file, which imports nothing heavy, reads standard input from the first moment. What it may answer, and with what,
`prepared_answers.py` says; everything else it leaves to the server, in its order.

The server is then given what it must have seen: an `initialize` and the `subscriptions/listen` that were answered here,
whose answers it gives once more and which are left out, and every line that was not answered here. What asks and
changes nothing is not repeated.
"""

import json
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from typing import NoReturn, Self

from agentic_flywheel.server.prepared_answers import CHUNK, Answers, is_notification

PAUSE_SECONDS = 0.01
"""How long the next question of a client that was answered may take before the import begins, which slows answers."""

CONVERSATION_SECONDS = 0.1
"""After this time the import begins, whatever the client asks."""

UNREAD_BYTES = 2**20
"""What is read ahead for the server; the rest waits in the pipe."""

SWITCH_SECONDS = 0.0005
"""How long the import may go on while an answer is due; Python's own is ten times as much."""

ENDING = () if sys.platform == "win32" else (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""The signals that ask this process to end."""


def end_at_signals(end: Callable[[int], NoReturn] = os._exit) -> None:
    """End this process at once when a signal comes: nothing is under way that was or will be acknowledged."""
    for number in ENDING:
        signal.signal(number, lambda received, _: end(128 + received))


class Front:
    """Holds standard input and output from the start of this process until the server takes them over."""

    def __init__(self, tools: str = "all") -> None:
        self.answers = Answers(tools)
        self.unread = bytearray()
        """What the server is to read before standard input."""
        self.initialized_as: int | str | None = None
        """The id of the `initialize` in it that was answered already."""
        self.at_sudden_end: Callable[[], None] = lambda: None
        """What is to be done if this process ends before the server has standard input."""
        self._line = b""
        self._at_end = False
        self._owes = False
        self._woken, self._wake = os.pipe()
        self._switch_seconds = SWITCH_SECONDS
        self._thread = threading.Thread(target=self._answer_until_woken, name="front", daemon=True)

    def begin(self) -> Self:
        """Answer what has arrived, and go on in a thread.

        From here on, a signal ends the process at once: nothing was acknowledged yet.
        """
        end_at_signals(self._end)
        waited = 0.0
        while waited < CONVERSATION_SECONDS and self._reads and _readable(0, within=PAUSE_SECONDS if waited else 0):
            self._take()
            waited += PAUSE_SECONDS
        self._switch_seconds = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_SECONDS)
        self._thread.start()
        return self

    def hand_over(self) -> None:
        """Leave standard input to the server, which reads `unread` first."""
        os.write(self._wake, b".")
        self._thread.join()
        sys.setswitchinterval(self._switch_seconds)
        os.close(self._wake)
        os.close(self._woken)
        self.unread += self._line

    @property
    def _reads(self) -> bool:
        return not self._at_end and len(self.unread) + len(self._line) < UNREAD_BYTES

    def _answer_until_woken(self) -> None:
        while self._reads and self._woken not in _readable(0, self._woken):
            self._take()

    def _take(self) -> None:
        """Read what is there, and answer it or keep it."""
        try:
            chunk = os.read(0, CHUNK)
        except BlockingIOError:
            return
        except OSError:  # the terminal has gone
            chunk = b""
        self._at_end = not chunk
        *lines, self._line = (self._line + (chunk or b"\n")).split(b"\n")
        for line in lines:
            if line:
                self._answer(line + b"\n")
        if self._at_end and not self._owes:
            self._end(0)  # everything is answered, and nobody will ask any more

    def _end(self, code: int) -> NoReturn:
        try:
            self.at_sudden_end()
        finally:
            os._exit(code)

    def _answer(self, line: bytes) -> None:
        is_open = self.answers.opened
        if answer := self.answers.answer(line):
            _write(answer)
            if self.answers.opened and not is_open:
                self.initialized_as = json.loads(line)["id"]
                self.unread += line
        else:
            if acknowledgement := self.answers.acknowledgement(line):
                _write(acknowledgement)
            self._owes = self._owes or not is_notification(line)
            self.unread += line


def _readable(*descriptors: int, within: float | None = None) -> list[int]:
    try:
        return select.select(descriptors, [], [], within)[0]
    except OSError:  # there is no standard input, as reading it says
        return [0]


def _write(data: bytes) -> None:
    """Write to standard output; a client that has gone is no error."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(1, view) :]
        except BlockingIOError:
            select.select([], [1], [])
        except OSError:
            return
