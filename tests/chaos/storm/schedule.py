"""The faults of a seed, in order: which, at whom, for how long, and how long to wait then. Drawn, never timed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "redis killed", "redis frozen", "connections cut", "child killed", "child frozen", "server killed", "server ended"
]
WEIGHTS: dict[Kind, float] = {
    "redis killed": 1.0,
    "redis frozen": 1.0,
    "connections cut": 1.0,
    "child killed": 1.5,
    "child frozen": 1.5,
    "server killed": 1.5,
    "server ended": 1.0,
}
PAUSE = (0.2, 0.7)  # seconds after the beginning of a fault
CALM_ONE_IN = 12  # now and then everything may get well again before the next fault
FROZEN = (0.2, 3.0, 0.5)  # seconds: shortest, longest, most frequent
REDIS_DOWN = (0.0, 1.2)


@dataclass(frozen=True, slots=True)
class Fault:
    """`seat` is the number of the client whose server or child is hit; `seconds` how long a thing is frozen or down.

    `pause` is the time until the next one; after a `calm` one everything may get well first.
    """

    kind: Kind
    seat: int
    seconds: float
    pause: float
    calm: bool


def faults(seed: int, seats: int) -> Iterator[Fault]:
    """Without end: who takes them skips those that hit nothing at that moment."""
    rng = random.Random(f"faults {seed}")
    while True:
        (kind,) = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))
        seconds = rng.uniform(*REDIS_DOWN) if kind == "redis killed" else rng.triangular(*FROZEN)
        yield Fault(kind, rng.randrange(seats), seconds, rng.uniform(*PAUSE), rng.randrange(CALM_ONE_IN) == 0)
