"""Knows whether traces arrive, and says so in the log without filling it."""

import logging
import time
from collections.abc import Callable

from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.sessions.tracing.outbox import TraceOutbox

logger = logging.getLogger(__name__)

SAID_AT_ONCE, QUIET_SECONDS = 2, 60.0
"""Lines of the log that are written as it happens; after those there is one a minute."""


class Arrival:
    """What became of the attempts to send what is in `outbox`; `at_the_end` is called once nothing ever can be sent."""

    def __init__(self, outbox: TraceOutbox, at_the_end: Callable[[], None]) -> None:
        self.useless: str | None = None
        """Why nothing can ever be sent, if nothing can."""
        self._outbox = outbox
        self._at_the_end = at_the_end
        self._confirmed: bool | None = None
        self._said = 0
        self._quiet_until = 0.0

    @property
    def failing(self) -> bool:
        """Whether the last attempt failed."""
        return self._outbox.counts.failing

    def status(self) -> JSONObject:
        """Whether traces arrive, what became of all so far, and the last error; no content and no key."""
        counts = self._outbox.counts
        return {
            "state": self._state(),
            "sent": counts.sent,
            "pending": self._outbox.pending,
            "dropped": counts.dropped,
            "failed": counts.failed,
            "last_error": self.useless or counts.last_error,
        }

    def _state(self) -> str:
        if self.useless:
            return "not installed"
        if self.failing:
            return "not arriving"
        if self._outbox.counts.sent:
            return "arriving" if self._confirmed else "sent, unconfirmed"
        return "starting" if self._outbox.pending else "nothing sent yet"

    def give_up(self, why: str) -> None:
        """Take nothing any more."""
        if not self.useless:
            self.useless = why
            logger.warning("Nothing is traced: %s.", why)
            self._at_the_end()

    def failed(self, why: str, *, all_alike: bool) -> None:
        """Note that an attempt failed; `all_alike`: as every other would."""
        counts = self._outbox.counts
        counts.last_error = why
        if all_alike or not counts.sent:
            if not counts.failing:
                self._say(f"Traces do not arrive: {why}")
            counts.failing = True

    def took(self, *, confirmed: bool) -> None:
        """Note that an attempt went well."""
        if self.failing:
            self._say("Traces arrive again.")
        self._outbox.counts.failing, self._confirmed = False, confirmed

    def _say(self, what: str) -> None:
        """Log it, unless as much was said lately: a Langfuse that comes and goes fills no log."""
        if not self.useless and time.monotonic() > self._quiet_until:
            self._said += 1
            self._quiet_until = time.monotonic() + (QUIET_SECONDS if self._said >= SAID_AT_ONCE else 0.0)
            logger.warning("%s", what)
