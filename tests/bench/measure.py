"""Measuring: rounds that do one call of every peer in a shuffled order, and the statistics of what they took."""

import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

T = TypeVar("T")

Call = Callable[[], Awaitable[float]]
"""Prepares what it needs, does one call, makes sure of the outcome; how many ms the call took."""


class Spot(NamedTuple):
    """What a row of times is about; `scale` is the size of the session, or of the store."""

    operation: str
    scale: str
    peer: str


@dataclass(slots=True)
class Run:
    """All that one whole run found."""

    times: dict[Spot, list[float]] = field(default_factory=dict)
    """In ms."""
    rates: dict[Spot, list[float]] = field(default_factory=dict)
    """Calls per second."""
    errors: Counter[Spot] = field(default_factory=Counter)
    """Calls that failed or were not acknowledged as they should."""
    memory: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Resident bytes of our server and of its child, by when."""
    checked: Counter[str] = field(default_factory=Counter)
    """How many outcomes were looked at, by what was found."""
    about: dict[str, str] = field(default_factory=dict)
    """Versions of what took part."""
    absent: dict[str, str] = field(default_factory=dict)
    """Peers that could not take part, and why."""

    def add(self, spot: Spot, *milliseconds: float) -> None:
        """Note times."""
        self.times.setdefault(spot, []).extend(milliseconds)

    def median(self, spot: Spot) -> float | None:
        """The median in ms, if it was measured."""
        times = self.times.get(spot)
        return statistics.median(times) if times else None

    def ratio(self, above: Spot, below: Spot) -> float | None:
        """How many times the one median is the other."""
        over, under = self.median(above), self.median(below)
        return over / under if over is not None and under else None


def p99(times: list[float]) -> float:
    """The 99th percentile (nearest rank): the slowest where there are fewer than a hundred."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, -(-99 * len(ordered) // 100) - 1)]


MANY_ROUNDS, IN_A_ROW = 15, 10
"""From so many rounds on, the calls of a peer in a round that count; what is slower has one, and none before it."""


class Progress:
    """A counter line on stderr."""

    def __init__(self, *, shown: bool = True) -> None:
        self.shown = shown
        self.run = ""
        self._told = 0.0

    def tell(self, what: str, done: int = 0, of: int = 0) -> None:
        """Say what goes on, a few times a second at the most."""
        now = time.monotonic()
        if self.shown and (now - self._told > 0.3 or done == of):
            self._told = now
            counter = f" {done}/{of}" if of else ""
            sys.stderr.write(f"\r\x1b[K{self.run} {what}{counter}")
            sys.stderr.flush()


def innermost(group: BaseException) -> BaseException:
    """The exception in a nest of groups of one."""
    while isinstance(group, BaseExceptionGroup) and len(group.exceptions) == 1:
        group = group.exceptions[0]
    return group


async def timed(call: Awaitable[T]) -> tuple[float, T]:
    """How many ms it took, and its answer."""
    began = time.perf_counter()
    answer = await call
    return (time.perf_counter() - began) * 1000, answer


async def interleave(
    run: Run,
    operation: str,
    scale: str,
    calls: Mapping[str, Call],
    *,
    rounds: int,
    rng: random.Random,
    progress: Progress,
    warm: bool = True,
) -> None:
    """So many rounds, in each some calls of every peer in an order of its own.

    `warm`: a tenth of the rounds does not count; where there are many, nor does a peer's first call in a round: while
    the others had their turn, the processor has forgotten it.
    """
    names = list(calls)
    first = warm and rounds >= MANY_ROUNDS
    for number in range(-max(1, rounds // 10) if warm else 0, rounds):
        rng.shuffle(names)
        for name in names:
            if first:
                await calls[name]()
            for _ in range(IN_A_ROW if first else 1):
                milliseconds = await calls[name]()
                if number >= 0:
                    run.add(Spot(operation, scale, name), milliseconds)
        progress.tell(f"{operation} {scale}", max(number + 1, 0), rounds)
