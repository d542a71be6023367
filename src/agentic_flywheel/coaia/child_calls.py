"""Calls the child's tools: each call has a deadline and goes through the circuit breaker."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from agentic_flywheel.coaia.circuit_breaker import CircuitBreaker
from agentic_flywheel.coaia.replies import StartedWithoutRedis, understood
from agentic_flywheel.coaia.supervisor import Supervisor
from agentic_flywheel.errors import StashSilent
from agentic_flywheel.json_text import JSONObject

logger = logging.getLogger(__name__)

OWN_VERBS = frozenset({"coaia_commit", "coaia_read", "coaia_recent", "coaia_index", "coaia_list"})
"""What a child must have to be more than a mirror."""

BYTES_A_SECOND = 1_000_000
"""Bytes for which an operation gets a second more; two hops need about a fiftieth of it."""


class ChildCalls:
    """Calls the child of `supervisor`. `seconds` and a second per megabyte bound each operation."""

    def __init__(self, supervisor: Supervisor, seconds: float, clock: Callable[[], datetime]) -> None:
        self.supervisor = supervisor
        self.breaker = CircuitBreaker()
        self._seconds = seconds
        self._clock = clock
        self._judged: tuple[tuple[str, ...], bool] = (), False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.breaker!r}, {self.supervisor!r})"

    @property
    def atomic(self) -> bool:
        """Whether the child compares and sets inside Redis, expires keys and lists them."""
        verbs = self.supervisor.verbs
        if self._judged[0] is not verbs:
            self._judged = verbs, OWN_VERBS.issubset(verbs)
        return self._judged[1]

    @property
    def mirror(self) -> bool:
        """Whether the child is known to have only the two stock verbs."""
        return bool(self.supervisor.verbs) and not self.atomic

    def has(self, verb: str) -> bool:
        """Whether the child has that tool."""
        return verb in self.supervisor.verbs

    def deadline(self, size: int = 0, at_least: float = 0.0) -> float:
        """The event loop's time by which an operation on `size` bytes must be done."""
        return asyncio.get_running_loop().time() + max(self._seconds + size / BYTES_A_SECOND, at_least)

    def ttl(self, kept_until: datetime | None) -> float:
        """Seconds until then, at least a thousandth; 0 for what never expires."""
        return 0 if kept_until is None else max(0.001, (kept_until - self._clock()).total_seconds())

    async def ready(self, deadline: float) -> None:
        """Wait until the child answers.

        Raises:
            StashUnavailable: it does not, or Redis is known not to answer.

        """
        self.breaker.check()
        try:
            await self.supervisor.ready(deadline)
        except StashSilent as exc:
            self.breaker.open(str(exc))
            raise

    async def call(self, verb: str, arguments: JSONObject, deadline: float, *, probe: bool = False) -> JSONObject:
        """What a tool replies. A probe is made while Redis is silent, too.

        Raises:
            StashUnavailable: nothing, or a failure.
            Damaged: what is stored under the key is no text of ours.

        """
        with self.breaker.around(verb, arguments, probe=probe):
            generation = self.supervisor.generation
            answer = await self.supervisor.call(verb, arguments, deadline)
            try:
                return understood(answer, arguments.get("key"))
            except StartedWithoutRedis:
                self.supervisor.replace(generation, "it was started while Redis was away and will not look again")
                raise
            except StashSilent:
                if not self.breaker.is_open:
                    logger.warning("Redis did not answer in time; until it does, saves go to the journal.")
                raise
