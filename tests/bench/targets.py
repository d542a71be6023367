"""What the figures are held to: each target, how it is read off a run, and its limit."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from .by_size import IN_BUDGET
from .callers import OPERATION as AT_ONCE
from .measure import Run, Spot, p99
from .peers import EMPTY, OURS, READY, STOCK, TWO_HOPS
from .process import BEFORE, SETTLED, TO_SAVE, TO_TOOLS
from .stores import BESIDE, LIST, SEARCH, SEARCHED

Figure = Callable[[Run], float | None]
"""A figure of one run; `None` if it was not measured."""


@dataclass(frozen=True, slots=True)
class Target:
    """One promise. A target without a limit is shown, not held."""

    number: str
    what: str
    figure: Figure
    limit: float | None = None
    goal: float | None = None
    sign: Literal["≤", "≥", "<"] = "≤"
    unit: str = ""
    short: str = ""

    def holds(self, figures: Sequence[float]) -> bool:
        """Whether the median of the runs is within the limit."""
        figure = statistics.median(figures)
        assert self.limit is not None
        return {"≤": figure <= self.limit, "≥": figure >= self.limit, "<": figure < self.limit}[self.sign]


def _between(operation: str, size: str, other: str) -> Figure:
    return lambda run: run.ratio(Spot(operation, size, OURS), Spot(operation, size, other))


def _within(above: Spot, below: Spot) -> Figure:
    return lambda run: run.ratio(above, below)


def _throughput(run: Run) -> float | None:
    many, lone = (run.rates.get(Spot(AT_ONCE, callers, OURS)) for callers in ("32", "1"))
    return statistics.median(many) / statistics.median(lone) if many and lone else None


def _tail(run: Run) -> float | None:
    many, lone = run.times.get(Spot(AT_ONCE, "32", OURS)), run.median(Spot(AT_ONCE, "1", OURS))
    return p99(many) / lone if many and lone else None


def _errors(run: Run) -> float | None:
    counted = [count for spot, count in run.errors.items() if spot.peer == OURS]
    return float(sum(counted)) if run.rates else None


def _left_behind(run: Run) -> float | None:
    return (sum(run.memory[SETTLED]) - sum(run.memory[BEFORE])) / 1e6 if run.memory else None


TARGETS = (
    Target("1", "save 10 KB: ours ÷ stock `coaia_tash`", _between("save", "10 KB", STOCK), 1.25, 1.0, short="save"),
    Target(
        "1", "resume 10 KB: ours ÷ stock `coaia_fetch`", _between("resume", "10 KB", STOCK), 1.25, 1.0, short="resume",
    ),
    Target("1", "save 10 KB: ours ÷ two plain hops", _between("save", "10 KB", TWO_HOPS), short="save ÷ hops"),
    Target("1", "resume 10 KB: ours ÷ two plain hops", _between("resume", "10 KB", TWO_HOPS), short="resume ÷ hops"),
    Target(
        "2", "append of a turn: to 1 MB ÷ to 10 KB",
        _within(Spot("append", "1 MB", OURS), Spot("append", "10 KB", OURS)), 4, 2, short="append",
    ),
    Target(
        "3", "list of 20: among 100,000 ÷ among 100",
        _within(Spot(LIST, "100,000", OURS), Spot(LIST, "100", OURS)), 3, short="list",
    ),
    Target(
        "3", f"search by words through {SEARCHED:,} ÷ a plain page of them",
        _within(Spot(SEARCH, f"{SEARCHED:,}", OURS), Spot(BESIDE, f"{SEARCHED:,}", OURS)), 20, sign="<", short="search",
    ),
    Target("4", "32 callers: calls per second ÷ one caller's", _throughput, 1.5, sign="≥", short="throughput"),
    Target("4", "32 callers: 99th percentile ÷ the lone median", _tail, 50, short="p99"),
    Target("4", "callers: errors", _errors, 0, short="errors"),
    Target(
        "5", "start to `tools/list` ÷ that of the empty SDK 2 server",
        _within(Spot(TO_TOOLS, "", OURS), Spot(TO_TOOLS, "", EMPTY)), 1.2, short="start",
    ),
    Target(
        "5", "start to the first save in Redis ÷ the empty server's start to `tools/list`",
        _within(Spot(TO_SAVE, "", OURS), Spot(TO_TOOLS, "", EMPTY)), 2.5, short="first save",
    ),
    Target("6", "save 5 MB: ours ÷ stock `coaia_tash`", _between("save", "5 MB", STOCK), 1.0, short="save 5 MB"),
    Target("6", "resume 5 MB: ours ÷ stock `coaia_fetch`", _between("resume", "5 MB", STOCK), 1.0, short="resume 5 MB"),
    Target("6", "save 5 MB: ours ÷ the client alone", _between("save", "5 MB", READY), short="save ÷ client"),
    Target("6", "resume 5 MB: ours ÷ the client alone", _between("resume", "5 MB", READY), short="resume ÷ client"),
    Target(
        "6", "resume 5 MB: the client alone ÷ stock `coaia_fetch`",
        _within(Spot("resume", "5 MB", READY), Spot("resume", "5 MB", STOCK)), short="client ÷ stock",
    ),
    Target(
        "6",
        "resume 5 MB within the default budget ÷ stock `coaia_fetch` of it all",
        _within(Spot(IN_BUDGET, "5 MB", OURS), Spot("resume", "5 MB", STOCK)),
        1.0,
        short="in budget",
    ),
    Target("6", "memory of both processes that 5 MB leave behind", _left_behind, 30, unit=" MB", short="memory"),
)  # fmt: skip
