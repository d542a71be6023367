"""Looks at what a program has on this machine, and what of it is kept, for `status`, `backfill` and `doctor`."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agentic_flywheel.cli.capture import outcomes
from agentic_flywheel.cli.capture.outcomes import Outcome
from agentic_flywheel.cli.capture.programs import Program, due_in_days
from agentic_flywheel.cli.importers import opencode

SOON_DAYS = 7
"""What its program deletes within this many days is named."""

WRITING_SECONDS = 600.0
"""A transcript that changed within this time may still be under way, so that it is no fault that it is not kept yet."""


@dataclass(slots=True)
class Shelf:
    """The talks of one program: how many are kept, which are not, which are due."""

    program: Program
    folder: Path
    kept: int = 0
    not_yet: list[Path] = field(default_factory=list[Path])
    refused: list[Outcome] = field(default_factory=list[Outcome])
    cut: list[Outcome] = field(default_factory=list[Outcome])
    """Those that are kept but for lines that were not understood."""
    paused: int = 0
    due: list[Path] = field(default_factory=list[Path])
    """Those that are not kept and that the program deletes soon."""
    due_kept: int = 0
    unreadable: list[Path] = field(default_factory=list[Path])
    """Folders in which there may be more."""
    lost: list[Outcome] = field(default_factory=list[Outcome])
    """Those that are not kept and lie nowhere on this shelf: deleted meanwhile, or elsewhere."""
    last: Outcome | None = None

    @property
    def overdue(self) -> list[Path]:
        """Those that should be kept by now."""
        now = time.time()
        return [path for path in self.not_yet if now - changed_at(path) > WRITING_SECONDS]


def look(program: Program, place: Path, environ: Mapping[str, str], home: Path) -> Shelf:
    """What there is of a program's."""
    shelf = Shelf(program, program.folder(environ, home))
    of_it = {each.path: each for each in outcomes.all_of(place) if each.program == program.name}
    shelf.last = max(of_it.values(), key=lambda each: each.at, default=None)
    days = program.deletes_after_days(environ, home)
    for path in program.found(environ, home, shelf.unreadable):
        outcome = of_it.pop(str(path), None)
        is_due = bool(days) and due_in_days(path, days) <= SOON_DAYS
        if is_kept(path, outcome):
            shelf.kept += 1
            shelf.cut += [outcome] if outcome and outcome.left_out else []
            shelf.due_kept += is_due
        elif outcome and outcome.outcome == "paused":
            shelf.paused += 1
        else:
            if outcome and outcome.outcome == "refused" and is_same(path, outcome):
                shelf.refused.append(outcome)
            else:
                shelf.not_yet.append(path)
            if is_due:
                shelf.due.append(path)
    shelf.lost = [each for each in of_it.values() if each.is_lost and not _is_below(each, shelf.unreadable)]
    return shelf


def _is_below(outcome: Outcome, folders: list[Path]) -> bool:
    return any(Path(outcome.path).is_relative_to(folder) for folder in folders)


def is_kept(path: Path, outcome: Outcome | None) -> bool:
    """Whether all of a transcript is kept, or there is nothing to keep."""
    return outcome is not None and outcome.outcome in ("kept", "same", "nothing", "deleted") and is_same(path, outcome)


def is_same(path: Path, outcome: Outcome) -> bool:
    """Whether a transcript is as it was when this became of it."""
    if path.suffix == ".db":
        is_as_it_was = change_of(path) == (outcome.size, outcome.mtime_ns)
        return is_as_it_was or (outcome.newest > 0 and opencode.newest(path) == outcome.newest)
    try:
        status = path.stat()
    except OSError:
        return False
    return status.st_size == outcome.size and status.st_mtime <= outcome.at


def changed_at(path: Path) -> float:
    """When it was written last; of a database, its log too."""
    return change_of(path)[1] / 1e9


def change_of(path: Path) -> tuple[int, int]:
    """The size of a file and the time of its last change, in ns; of a database, with its log, where the newest is."""
    sizes, times = [0], [0]
    for each in (path, path.with_name(f"{path.name}-wal")):
        try:
            status = each.stat()
        except OSError:
            continue
        sizes.append(status.st_size)
        times.append(status.st_mtime_ns)
    return sum(sizes), max(times)
