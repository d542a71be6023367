"""The book of one run: an event log in a file, the answers' times, and every violation with all that is known of it."""

import json
import sys
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

Kind = Literal["lost", "resurrected", "duplicated", "torn", "wrongly reported", "over the bound", "left behind"]
KINDS: tuple[Kind, ...] = (
    "lost",
    "resurrected",
    "duplicated",
    "torn",
    "wrongly reported",
    "over the bound",
    "left behind",
)
"""What must never happen. `left behind`: a process that outlives its server."""

LINES_SHOWN = 40
"""Violations of one kind written to stderr; the log has all of them."""


class Book:
    """One seed's events, counts and violations. `log` is appended to."""

    def __init__(self, seed: int, log: Path) -> None:
        self.seed = seed
        self.path = log
        self.violations: Counter[Kind] = Counter()
        self.faults: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()  # worth knowing, no violation
        self.stored_in: Counter[str] = Counter()
        self.operations = 0
        self.acknowledged = 0
        self.times: list[float] = []
        self._told: set[tuple[Kind, str]] = set()
        self._unfound: set[int] = set()
        self._began = time.monotonic()
        self._file = log.open("a")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def found_again(self) -> int:
        """Acknowledged writes without one that is lost or undone."""
        return self.acknowledged - len(self._unfound)

    def seconds(self, at: float | None = None) -> float:
        """Seconds since the beginning, of now or of a moment of the monotonic clock."""
        return round((time.monotonic() if at is None else at) - self._began, 4)

    def event(self, who: str, what: str, **known: Any) -> None:
        line = {"t": self.seconds(), "seed": self.seed, "who": who, "event": what, **known}
        self._file.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")

    def violation(self, kind: Kind, about: str, text: str, *, write: int | None = None, **known: Any) -> None:
        """Count a violation, once for each kind and `about` (a turn, a call); `write` is the one that was not kept."""
        if write is not None and kind in ("lost", "resurrected"):
            self._unfound.add(write)
        if (kind, about) in self._told:
            return
        self._told.add((kind, about))
        self.violations[kind] += 1
        self.event("judge", "violation", kind=kind, about=about, text=text, write=write, **known)
        self._file.flush()
        if self.violations[kind] <= LINES_SHOWN:
            facts = " ".join(f"{name}={value!r}" for name, value in known.items())
            sys.stderr.write(f"VIOLATION seed {self.seed} {kind.upper()} {about}: {text} {facts}\n")

    def quantile(self, share: float) -> float:
        """An answer time in seconds that `share` of the answers did not exceed."""
        ordered = sorted(self.times) or [0.0]
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    @property
    def clean(self) -> bool:
        return not self.violations
