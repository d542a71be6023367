"""Tells by how much the clock of this machine is ahead of Redis' own."""

from collections.abc import Callable
from datetime import datetime, timedelta

from agentic_flywheel.documents.model import micros

TOLERATED = timedelta(minutes=1)
"""What clocks may be apart."""

UNTIL_KNOWN = timedelta(days=366)
"""How much later something is dropped as expired while Redis has not said what time it is."""


class RemoteClock:
    """Redis' time as of the last poll, beside the `clock` here."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._ahead: timedelta | None = None

    def note(self, time: int | None) -> None:
        """Note what Redis said, in microseconds since 1970; `None`: it does not say it, and our clock counts."""
        ahead = timedelta(microseconds=micros(self._clock()) - time) if time else timedelta()
        self._ahead = ahead if ahead > TOLERATED else timedelta()

    @property
    def ahead(self) -> timedelta:
        """How much later than here something expires, as far as that is known."""
        return self._ahead or timedelta()

    @property
    def may_be_ahead(self) -> timedelta:
        """The same for what drops it."""
        return UNTIL_KNOWN if self._ahead is None else self._ahead
