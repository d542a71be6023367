"""Fails calls at once while Redis is silent, until a probe is answered; remembers what Redis refused."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from agentic_flywheel.errors import StashRefused, StashSilent, StashUnavailable
from agentic_flywheel.json_text import JSONObject

REFUSALS_KEPT = 100
"""Keys whose last refusal is remembered."""

LARGE_WRITE = 256 * 1024
"""Characters of a write whose refusal tells nothing of others: it may be refused for its size."""

_WRITES = frozenset({"coaia_commit", "coaia_tash"})

_READS = frozenset({"coaia_read", "coaia_read_some", "coaia_fetch", "coaia_marks", "coaia_recent"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why Redis did not take the write of a key, which it first refused after it had taken `after` others.

    `alone`: a deletion, or a large document. It tells nothing of other writes.
    """

    why: str
    after: int
    alone: bool


class CircuitBreaker:
    """Open once a call went unanswered; closed again by the next answer."""

    def __init__(self) -> None:
        self.is_open = False
        self.last_error: str | None = None
        self.refused: dict[str, Refusal] = {}
        """The keys whose last write Redis refused, the newest refusal last."""
        self.unread: str | None = None
        """Why Redis refused the last read, if it has answered none since."""
        self._taken = 0

    def __repr__(self) -> str:
        return f"CircuitBreaker({'open' if self.is_open else 'closed'})"

    @property
    def refuses_all(self) -> str | None:
        """Why Redis takes no writes, if it has taken none since it refused an ordinary one."""
        newest_first = reversed(self.refused.values())
        return next((each.why for each in newest_first if not each.alone and each.after == self._taken), None)

    def check(self) -> None:
        """Let a call pass.

        Raises:
            StashUnavailable: Redis is known not to answer.

        """
        if self.is_open:
            why = (self.last_error or "It did not answer").rstrip(".")
            raise StashUnavailable(f"{why}. It is asked again in the background.")

    def open(self, why: str) -> None:
        """Let no call pass but probes."""
        self.is_open, self.last_error = True, why

    @contextmanager
    def around(self, verb: str, arguments: JSONObject, *, probe: bool) -> Generator[None]:
        """Check before a call, unless it is a probe, and note how it went.

        Raises:
            StashUnavailable: Redis is known not to answer, or the call raises it.

        """
        if not probe:  # a call that was on its way when Redis fell silent
            self.check()
        try:
            yield
        except StashUnavailable as exc:
            self.last_error = str(exc)
            self.is_open = self.is_open or isinstance(exc, StashSilent)
            if isinstance(exc, StashRefused):
                self.is_open = False
                if verb in _WRITES:
                    self._note_refused(arguments, str(exc))
                elif verb in _READS:
                    self.unread = str(exc)
            raise
        self.last_error = None
        self.is_open = False
        if verb in _READS:
            self.unread = None

    def note_taken(self, key: str) -> None:
        """Remember that Redis took the write of a key."""
        self._taken += 1
        self.unread = None
        self.refused.pop(key, None)

    def _note_refused(self, arguments: JSONObject, why: str) -> None:
        key, alone = str(arguments["key"]), bool(arguments.get("delete")) or len(arguments["value"]) > LARGE_WRITE
        before = self.refused.pop(key, None)  # the newest is the last
        self.refused[key] = Refusal(why, before.after if before else self._taken, alone)
        if len(self.refused) > REFUSALS_KEPT:
            del self.refused[next(iter(self.refused))]
