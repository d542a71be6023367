"""Which worlds a run consists of, and running them: each in a process of its own, some at once."""

import asyncio
import math
import random
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from .book import Book, Kind
from .episode import play
from .kinds import KINDS
from .storm.run import run as run_storm
from .story import story
from .world import a_world

MIXED, STORM = "mixed", "storm"
ALL = (*KINDS, MIXED, STORM)
"""`mixed`: all kinds in one world; `storm`: what dies, freezes and is cut off at random under six busy clients."""

FAULTS_A_WORLD = 16
STORM_A_WORLD = 120


@dataclass(frozen=True, slots=True)
class Unit:
    """One world: so many faults of a kind."""

    seed: int
    kind: str
    number: int
    faults: int

    @property
    def name(self) -> str:
        return f"{self.seed}-{self.kind.replace(' ', '-')}-{self.number}"


@dataclass(slots=True)
class Outcome:
    """What a world came to."""

    unit: Unit
    faults: Counter[str] = field(default_factory=Counter)
    by_fault: Counter[tuple[str, Kind]] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)
    story: list[str] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    stored_in: Counter[str] = field(default_factory=Counter)
    operations: int = 0
    acknowledged: int = 0
    times: tuple[float, ...] = ()
    seconds: float = 0.0
    folder: str = ""
    broke: str = ""  # why the runner itself could not go on


def units(seeds: Sequence[int], kinds: Sequence[str], faults: int) -> Iterator[Unit]:
    """The worlds of a run with so many faults of each seed, the same number of every kind, as far as it goes."""
    for seed in seeds:
        for place, kind in enumerate(kinds):
            count = faults // len(kinds) + (place < faults % len(kinds))
            most = STORM_A_WORLD if kind == STORM else FAULTS_A_WORLD
            worlds = math.ceil(count / most)
            for number in range(worlds):
                yield Unit(seed, kind, number, count // worlds + (number < count % worlds))


def run_all(todo: Sequence[Unit], at_once: int, python: str, logs: Path) -> Iterator[Outcome]:
    """The outcomes, as they come."""
    if at_once == 1:
        yield from (run_unit(unit, python, logs) for unit in todo)
        return
    with ProcessPoolExecutor(at_once) as pool:
        for future in as_completed([pool.submit(run_unit, unit, python, logs) for unit in todo]):
            yield future.result()


def run_unit(unit: Unit, python: str = sys.executable, logs: Path | None = None) -> Outcome:
    """One world from its beginning to its end."""
    for number in (signal.SIGINT, signal.SIGTERM):  # so that nothing is left of a run that is ended
        signal.signal(number, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix=f"chaos-{unit.name}-"))
    outcome = Outcome(unit, folder=str(folder))
    log = (logs or folder) / f"{unit.name}.jsonl"
    try:
        asyncio.run(run_world(unit, folder, log, python, outcome))
    except Exception:  # noqa: BLE001  one world that breaks must not take the others' outcomes along
        outcome.broke = traceback.format_exc()
    if not outcome.told and not outcome.broke:
        shutil.rmtree(folder, ignore_errors=True)
    return outcome


async def run_world(unit: Unit, folder: Path, log: Path, python: str, outcome: Outcome) -> None:
    """Play the faults of a world."""
    if unit.kind == STORM:
        book = await run_storm(unit.seed * 1000 + unit.number, unit.faults, folder, log, python)
        _note(outcome, book)
        outcome.faults = Counter({STORM: book.faults.total()})
        outcome.story = story(book.lately, book.first_about) if book.violations else []
        return
    with Book(unit.seed, log) as book:
        rng = random.Random(f"{unit.name}")
        try:
            async with a_world(folder, book, python) as world:
                for number in range(1, unit.faults + 1):
                    book.lately.clear()
                    kind = rng.choice(list(KINDS)) if unit.kind == MIXED else unit.kind
                    await play(world, kind, number, rng)
                    if book.violations and not outcome.story:
                        outcome.story = story(book.lately, book.first_about)
        finally:
            _note(outcome, book)


def _note(outcome: Outcome, book: Book) -> None:
    outcome.faults, outcome.by_fault, outcome.told, outcome.notes = book.faults, book.by_fault, book.told, book.notes
    outcome.stored_in, outcome.operations, outcome.acknowledged = book.stored_in, book.operations, book.acknowledged
    outcome.times, outcome.seconds = tuple(book.times), book.seconds()
