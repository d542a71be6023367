"""The Markdown report: what was promised, then a table of every operation, then what each run said by itself."""

import os
import platform
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.metadata import version

from .callers import OPERATION as AT_ONCE
from .measure import IN_A_ROW, Run, Spot, p99
from .peers import EMPTY, ENGINE, JOURNAL, LIBRARY, OURS, READY, REDIS_MCP, STOCK, TWO_HOPS
from .process import AFTER, BEFORE, MEMORY, SETTLED, TO_SAVE, TO_TOOLS
from .targets import TARGETS, Target

ORDER = (OURS, JOURNAL, LIBRARY, STOCK, REDIS_MCP, READY, EMPTY, TWO_HOPS, ENGINE)
"""Of the columns."""

COMPARED, COMPARED_AT_START = (STOCK, TWO_HOPS), (STOCK, EMPTY)
"""Beside whom our server is put in figures."""


def report(runs: Sequence[Run], rounds: int) -> str:
    """All of it."""
    return "\n".join([*_head(runs, rounds), *_must_show(runs), *_operations(runs), *_rates(runs), *_memory(runs), ""])


def _head(runs: Sequence[Run], rounds: int) -> list[str]:
    checked = {what: sum(run.checked[what] for run in runs) for run in runs for what in run.checked}
    about = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, mcp {version('mcp')}"
    lines = [
        "# Performance",
        "",
        f"{about}, Redis {runs[0].about['Redis']}. Whole runs, with servers and a Redis of their own: {len(runs)}; "
        f"{rounds} rounds of the small sizes. In each round every peer has its turn, in shuffled order: a call that "
        f"does not count and {IN_A_ROW} that do, or one of what is slow; behind the same client (MCP SDK 2, its own "
        "stdio). Times are ms, median / 99th percentile of all runs (the slowest of fewer than a hundred); ratios are "
        "of medians of the same run: the median of the runs (lowest to highest).",
        "",
        f"Checked outside the measured time: {', '.join(f'{n:,} {what}' for what, n in checked.items())}.",
    ]
    errors = sum((run.errors for run in runs), Counter[Spot]())
    if errors:
        named = ", ".join(f"{count} times {' '.join(filter(None, spot))}" for spot, count in errors.items() if count)
        lines += ["", f"**Not acknowledged as they should have been, or answered from elsewhere:** {named}."]
    lines += [f"\n{name} did not take part: {why}." for run in runs[:1] for name, why in run.absent.items()]
    return lines


def _must_show(runs: Sequence[Run]) -> list[str]:
    rows = []
    for target in TARGETS:
        figures = _figures(target, runs)
        holds = "" if target.limit is None else ("yes" if target.holds(figures) else "**no**") if figures else "-"
        goal = f" (goal {target.goal:g})" if target.goal is not None else ""
        limit = f"{target.sign} {target.limit:g}{target.unit}{goal}" if target.limit is not None else "-"
        rows.append([target.number, target.what, limit, _spread(figures, target.unit), holds])
    return ["\n## Must show\n", *_table(["", "what", "allowed", "measured", "holds"], rows), *_each_run(runs)]


def _each_run(runs: Sequence[Run]) -> list[str]:
    measured = [target for target in TARGETS if _figures(target, runs)]
    head = ["run", *(f"{target.number} {target.short}" for target in measured)]
    rows = [
        [str(number), *("-" if (f := target.figure(run)) is None else f"{f:.2f}{target.unit}" for target in measured)]
        for number, run in enumerate(runs, start=1)
    ]
    return ["\nThe same of each run:\n", *_table(head, rows)] if measured else []


def _figures(target: Target, runs: Sequence[Run]) -> list[float]:
    return [figure for run in runs if (figure := target.figure(run)) is not None]


def _operations(runs: Sequence[Run]) -> Iterable[str]:
    spots = list(dict.fromkeys(spot for run in runs for spot in run.times))
    for operation in dict.fromkeys(spot.operation for spot in spots):
        mine = [spot for spot in spots if spot.operation == operation]
        names = [name for name in ORDER if any(spot.peer == name for spot in mine)]
        compared = COMPARED_AT_START if operation in (TO_TOOLS, TO_SAVE) else COMPARED
        beside = [name for name in compared if name in names and OURS in names]
        rows = []
        for scale in sorted(dict.fromkeys(spot.scale for spot in mine), key=_magnitude):
            row = [scale]
            for name in names:
                times = [ms for run in runs for ms in run.times.get(Spot(operation, scale, name), ())]
                row.append(f"{_ms(statistics.median(times))} / {_ms(p99(times))}" if times else "-")
            for name in beside:
                ratios = (run.ratio(Spot(operation, scale, OURS), Spot(operation, scale, name)) for run in runs)
                row.append(_spread([ratio for ratio in ratios if ratio is not None]))
            rows.append(row)
        yield f"\n## {operation[0].upper()}{operation[1:]}\n"
        yield from _table(["", *names, *(f"ours ÷ {name}" for name in beside)], rows)


def _rates(runs: Sequence[Run]) -> Iterable[str]:
    scales = list(dict.fromkeys(spot.scale for run in runs for spot in run.rates))
    if not scales:
        return
    names = [name for name in ORDER if any(spot.peer == name for run in runs for spot in run.rates)]
    rows = []
    for scale in sorted(scales, key=_magnitude):
        row = [scale]
        for name in names:
            spot = Spot(AT_ONCE, scale, name)
            rates = [rate for run in runs for rate in run.rates.get(spot, ())]
            errors = sum(run.errors[spot] for run in runs)
            row.append(f"{statistics.median(rates):,.0f}{f', {errors} errors' if errors else ''}" if rates else "-")
        rows.append(row)
    yield f"\n## Calls per second: {AT_ONCE}\n"
    yield from _table(["", *names], rows)


def _memory(runs: Sequence[Run]) -> Iterable[str]:
    measured = [run for run in runs if run.memory]
    if measured:
        yield f"\n## {MEMORY[0].upper()}{MEMORY[1:]}, resident, MB: around the save and resume of 5 MB\n"
        rows = [
            [what, *(f"{run.memory[what][0] / 1e6:.0f} + {run.memory[what][1] / 1e6:.0f}" for run in measured)]
            for what in (BEFORE, AFTER, SETTLED)
        ]
        yield from _table(["", *(f"run {number}" for number, _ in enumerate(measured, start=1))], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def _spread(figures: Sequence[float], unit: str = "") -> str:
    if not figures:
        return "-"
    spread = f" ({min(figures):.2f} to {max(figures):.2f})" if len(figures) > 1 else ""
    return f"{statistics.median(figures):.2f}{unit}{spread}"


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:.2f}" if milliseconds < 100 else f"{milliseconds:,.0f}"


def _magnitude(scale: str) -> float:
    """The number that a scale begins with, in its unit."""
    number, _, unit = scale.replace(",", "").partition(" ")
    return float(number or 0) * {"KB": 1e3, "MB": 1e6}.get(unit, 1)
