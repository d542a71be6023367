"""A row of the table: how it is prepared for a build, and what one sample of it says."""

import statistics
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from .builds import Build

Figures = dict[str, float]
"""What a sample found. The first is what the row is about; all are shown below the table."""

Sampler = Callable[[], Figures]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row is prepared: a folder of its own that does not exist yet, and what all rows share."""

    folder: Path
    shared: Path
    before: Build
    """Makes what both builds are to meet."""


@dataclass(frozen=True, slots=True)
class Row:
    """`prepare(build, place)` is a context in which the build may be sampled as often as one likes."""

    name: str
    what: str
    unit: str
    must: float
    prepare: Callable[[Build, Place], AbstractContextManager[Sampler]]
    rounds: int = 5
    cap: float | None = None
    """Where a sample is given up, in the unit of the row: it took longer."""


@dataclass(slots=True)
class Found:
    """What the samples of one build said."""

    figures: dict[str, list[float]] = field(default_factory=dict)
    error: str = ""

    def add(self, sample: Figures) -> None:
        """Note a sample."""
        for name, value in sample.items():
            self.figures.setdefault(name, []).append(value)

    @property
    def main(self) -> Sequence[float]:
        """The samples of the figure that the row is about."""
        return next(iter(self.figures.values()), ())

    def median(self) -> float | None:
        """Of that figure; `None` if there is none."""
        return statistics.median(self.main) if self.main else None


def told(row: Row, found: Found) -> str:
    """A build's cell: the median, and between what the samples lie."""
    middle = found.median()
    if middle is None:
        return found.error or "-"
    more = "> " if row.cap is not None and middle >= row.cap else ""
    spread = f" ({number(min(found.main))} to {number(max(found.main))})" if len(found.main) > 1 else ""
    return f"{more}{number(middle)} {row.unit}{spread}"


def number(value: float) -> str:
    """Three figures that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(rows: Sequence[tuple[Row, dict[str, Found]]]) -> str:
    """The eight rows, and what else each sample found."""
    lines = ["| | what | before | now | now ÷ before | must | holds |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for row, found in rows:
        before, now = found["before"].median(), found["now"].median()
        ratio = f"{now / before:.2f}" if before and now is not None else "-"
        holds = "-" if now is None else ("yes" if now <= row.must else "**no**")
        cells = [row.name, row.what, told(row, found["before"]), told(row, found["now"]), ratio]
        lines.append(f"| {' | '.join([*cells, f'≤ {row.must:g} {row.unit}', holds])} |")
    lines += ["", "Medians of all figures:", "", "| | figure | before | now |", "| --- | --- | --- | --- |"]
    for row, found in rows:
        for name in dict.fromkeys([*found["before"].figures, *found["now"].figures]):
            cells = [_median(found[build].figures.get(name)) for build in ("before", "now")]
            lines.append(f"| {row.name} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _median(values: Sequence[float] | None) -> str:
    return number(statistics.median(values)) if values else "-"
