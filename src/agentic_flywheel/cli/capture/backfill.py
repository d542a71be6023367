"""`capture backfill`: takes in what programs have on this machine by now; what is kept already is not read again."""

import os
from pathlib import Path

from agentic_flywheel.cli.capture import notes, outcomes, small_files
from agentic_flywheel.cli.capture.drainer import FAILURE
from agentic_flywheel.cli.capture.outcomes import Outcome
from agentic_flywheel.cli.capture.programs import ALL, Program, named
from agentic_flywheel.cli.capture.shelf import is_kept
from agentic_flywheel.cli.capture.taking import Taker
from agentic_flywheel.cli.growing import Growing
from agentic_flywheel.cli.reading_ahead import ReadAhead
from agentic_flywheel.cli.terminal import progress, reach, run, say, tell
from agentic_flywheel.journal.threads import without_threads
from agentic_flywheel.sessions.wiring import open_store
from agentic_flywheel.settings import Settings

SYNCED_AT_ONCE = 25
"""Transcripts that are on the disk together, before it is noted of each that it is kept."""


def backfill(settings: Settings, clients: list[str]) -> int:
    """Take in what there is; 0 if all is in, 1 if something was refused."""
    return run(_backfill(settings, named(clients, ALL)))


async def _backfill(settings: Settings, programs: list[Program]) -> int:
    place, home = settings.data_dir / "capture", Path.home()
    unreadable: list[Path] = []
    wanted = [(program, path) for program in programs for path in program.found(os.environ, home, unreadable)]
    wanted = [(program, path) for program, path in wanted if not is_kept(path, _of(place, program, path))]
    counts = {"kept": 0, "refused": 0}
    sessions, _ = open_store(settings)
    async with sessions:
        growing = Growing(sessions, settings)
        growing.shared = await reach(sessions)
        taker = Taker(sessions, growing, place)
        unread = [path for program, path in wanted if not _of(place, program, path)]
        with without_threads(), ReadAhead(unread, growing.limit) as growing.ahead:
            for begin in range(0, len(wanted), SYNCED_AT_ONCE):
                taken: list[Outcome] = []
                with sessions.repository.journal.synced_at_end():
                    for program, path in wanted[begin : begin + SYNCED_AT_ONCE]:
                        taken.append(await taker.take(program.name, str(path)))
                        progress(begin + len(taken), len(wanted))
                for outcome in taken:
                    outcomes.note(place, outcome, is_synced=False)  # where it is lost, the file is read again
                    notes.done(str(place), notes.digest(outcome.program, outcome.path))
                    counts[outcome.outcome] = counts.get(outcome.outcome, 0) + 1
                    _tell(outcome)
    outcomes.sum_up(place)
    small_files.remove(str(place / FAILURE))
    small_files.remove(str(place / "hook-failure.json"))
    for folder in unreadable:
        tell(f"{folder} cannot be read: you have no right to it.")
    say(f"Looked at {len(wanted):,} transcripts that are new or have changed: {_summed(counts)}.")
    return 1 if counts["refused"] or unreadable else 0


def _of(place: Path, program: Program, path: Path) -> Outcome | None:
    return outcomes.of(place, program.name, str(path))


def _tell(outcome: Outcome) -> None:
    if outcome.outcome == "refused" or outcome.left_out:
        tell(f"{outcome.path}: {outcome.told}")


def _summed(counts: dict[str, int]) -> str:
    words = {"kept": "kept", "same": "nothing new", "nothing": "nothing said", "paused": "off the record",
             "deleted": "deleted here", "refused": "refused", "vanished": "gone"}  # fmt: skip
    return ", ".join(f"{number:,} {words[name]}" for name, number in counts.items())
