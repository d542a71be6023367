"""The book of one run: an event log in a file, the answers' times, and every violation with all that is known of it."""

import json
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

Kind = Literal[
    "lost", "holes", "crossed", "resurrected", "duplicated", "wrongly reported", "over the deadline", "torn",
    "left behind",
]  # fmt: skip
KINDS: tuple[Kind, ...] = (
    "lost",
    "holes",
    "crossed",
    "resurrected",
    "duplicated",
    "wrongly reported",
    "over the deadline",
    "torn",
    "left behind",
)
"""What must never happen. `holes`: a turn is missing and a later one of its client is there. `crossed`: something of
one destination shows in another. `torn`: what nobody sent, or another order. `left behind`: a process that outlives
its server."""


class Book:
    """One run's events, counts and violations. `log` is appended to."""

    def __init__(self, seed: int, log: Path) -> None:
        self.seed = seed
        self.during = ""  # the kind of fault that violations are put down to
        self.violations: Counter[Kind] = Counter()
        self.by_fault: Counter[tuple[str, Kind]] = Counter()
        self.told: list[str] = []  # every violation in a line
        self.first_about = ""
        self.faults: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()  # worth knowing, no violation
        self.stored_in: Counter[str] = Counter()
        self.operations = 0
        self.acknowledged = 0
        self.times: list[float] = []
        self.lately: list[dict[str, Any]] = []  # events since somebody emptied it
        self._known: set[tuple[Kind, str]] = set()
        self._began = time.monotonic()
        self._file = log.open("a")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def seconds(self, at: float | None = None) -> float:
        """Seconds since the beginning, of now or of a moment of the monotonic clock."""
        return round((time.monotonic() if at is None else at) - self._began, 4)

    def event(self, who: str, what: str, **known: Any) -> None:
        line = {"t": self.seconds(), "seed": self.seed, "who": who, "event": what, **known}
        self.lately.append(line)
        self._file.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")

    def violation(self, kind: Kind, about: str, text: str, *, write: int | None = None, **known: Any) -> None:
        """Count a violation, once for each kind and `about` (a turn, a call); `write` is the one that was not kept."""
        if (kind, about) in self._known:
            return
        self._known.add((kind, about))
        self.violations[kind] += 1
        self.by_fault[self.during, kind] += 1
        self.first_about = self.first_about or about
        self.event("judge", "violation", kind=kind, about=about, text=text, write=write, **known)
        self._file.flush()
        facts = " ".join(f"{name}={value!r}" for name, value in known.items() if name != "turns")
        self.told.append(f"seed {self.seed} {self.during}: {kind.upper()} {about}: {text} {facts}".rstrip())

    @property
    def clean(self) -> bool:
        return not self.violations
