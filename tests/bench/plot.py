"""The plot: how each operation grows, as one SVG that is the same for the same figures."""

import importlib.util
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .by_size import SIZES
from .measure import Run, Spot
from .peers import EMPTY, ENGINE, JOURNAL, OURS, REDIS_MCP, STOCK, TWO_HOPS
from .process import TO_SAVE, TO_TOOLS
from .stores import LIST

HOW_TO_GET_IT = 'No plot: `pip install -e ".[bench]"` brings what draws it.'

LOOKS = {
    OURS: {"color": "#c2410c", "linewidth": 2.4, "marker": "o"},
    JOURNAL: {"color": "#c2410c", "linewidth": 1.2, "marker": "o", "linestyle": "--"},
    STOCK: {"color": "#1d4ed8", "linewidth": 1.8, "marker": "s"},
    REDIS_MCP: {"color": "#0e7490", "linewidth": 1.2, "marker": "^"},
    TWO_HOPS: {"color": "#4b5563", "linewidth": 1.2, "marker": "D", "linestyle": "--"},
    EMPTY: {"color": "#9ca3af", "linewidth": 1.2, "marker": "v", "linestyle": ":"},
    ENGINE: {"color": "#111827", "linewidth": 1.0, "marker": ".", "linestyle": ":"},
}


def draws() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def draw(runs: Sequence[Run], path: Path) -> None:
    """Write the SVG."""
    import matplotlib as mpl  # pyright: ignore[reportMissingImports]  only the extra `bench` has it
    from matplotlib.figure import Figure  # pyright: ignore[reportMissingImports]  likewise

    with mpl.rc_context(
        {"svg.hashsalt": "bench", "font.size": 9, "axes.grid": True, "axes.axisbelow": True, "grid.color": "#e5e7eb"}
    ):
        figure = Figure(figsize=(13, 7.5), facecolor="white", layout="constrained")
        axes = figure.subplots(2, 3).flat
        for operation in ("save", "append", "resume"):
            _by_size(next(axes), runs, operation)
        _lists(next(axes), runs)
        _starts(next(axes), runs)
        _legend(next(axes))
        figure.savefig(path, format="svg", metadata={"Date": None})


def _median(runs: Sequence[Run], spot: Spot) -> float | None:
    medians = [median for run in runs if (median := run.median(spot)) is not None]
    return statistics.median(medians) if medians else None


def _curve(axes: Any, runs: Sequence[Run], points: Sequence[tuple[float, Spot]], **looks: Any) -> None:
    known = [(x, y) for x, spot in points if (y := _median(runs, spot)) is not None]
    if known:
        axes.plot(*zip(*known, strict=True), markersize=4, **looks)


def _by_size(axes: Any, runs: Sequence[Run], operation: str) -> None:
    for name, looks in LOOKS.items():
        points = [(float(count), Spot(operation, size, name)) for size, count in SIZES.items()]
        _curve(axes, runs, points, **looks)
    _logarithmic(axes, title=f"{operation}, median", xlabel="session")
    axes.set_xticks(list(SIZES.values()), list(SIZES))


def _logarithmic(axes: Any, **labels: Any) -> None:
    axes.set(xscale="log", yscale="log", ylabel="ms", **labels)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()


def _lists(axes: Any, runs: Sequence[Run]) -> None:
    counts = sorted({int(spot.scale.replace(",", "")) for run in runs for spot in run.times if spot.operation == LIST})
    _curve(axes, runs, [(float(count), Spot(LIST, f"{count:,}", OURS)) for count in counts], **LOOKS[OURS])
    _logarithmic(axes, title=f"{LIST}, median", xlabel="sessions stored", ylim=(1, None))
    axes.set_xticks(counts, [f"{count:,}" for count in counts])


def _starts(axes: Any, runs: Sequence[Run]) -> None:
    names = [name for name in LOOKS if _median(runs, Spot(TO_TOOLS, "", name)) is not None]
    for place, name in enumerate(names):
        tools, save = (_median(runs, Spot(operation, "", name)) or 0.0 for operation in (TO_TOOLS, TO_SAVE))
        axes.barh(place, save, color=LOOKS[name]["color"], alpha=0.35, height=0.6)
        axes.barh(place, tools, color=LOOKS[name]["color"], height=0.6)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(title="cold start: to tools/list, then (pale) to the first save", xlabel="ms")
    axes.grid(visible=False, axis="y")


def _legend(axes: Any) -> None:
    for name, looks in LOOKS.items():
        axes.plot([], [], label=name, markersize=4, **looks)
    axes.legend(loc="center", frameon=False, fontsize=11)
    axes.axis("off")
