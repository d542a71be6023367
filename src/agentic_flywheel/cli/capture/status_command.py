"""`capture status`: for each program what is kept, what is not, what it will delete, and what is wrong."""

import os
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path

from agentic_flywheel.cli.capture import installed, off_record
from agentic_flywheel.cli.capture.faults import Fault, faults
from agentic_flywheel.cli.capture.programs import ALL, HOOKED
from agentic_flywheel.cli.capture.shelf import Shelf, look
from agentic_flywheel.cli.parser import PROGRAM
from agentic_flywheel.cli.terminal import say, say_json, say_table
from agentic_flywheel.settings import Settings


def status(settings: Settings, options: Namespace) -> int:
    """Say how capture stands; 0 if nothing is wrong."""
    shelves, found = examined(settings)
    known = installed.all_of(settings.data_dir / "capture")
    if options.json:
        say_json({
            "programs": [_told(shelf, is_hooked=shelf.program.name in known) for shelf in shelves],
            "faults": [{"program": each.program, "what": each.what} for each in found],
        })  # fmt: skip
        return int(bool(found))
    rows: list[tuple[str, ...]] = [("PROGRAM", "HOOKS", "KEPT", "NOT YET", "REFUSED", "PAUSED", "DUE", "LAST OUTCOME")]
    for shelf in shelves:
        hooks = "in" if shelf.program.name in known else "out" if shelf.program in HOOKED else "none"
        counts = (shelf.kept, len(shelf.not_yet), len(shelf.refused), shelf.paused, len(shelf.due) + shelf.due_kept)
        last = f"{shelf.last.told}, {_when(shelf.last.at)}" if shelf.last else ""
        rows.append((shelf.program.shown, hooks, *map(str, counts), last))
    if len(rows) > 1:
        say_table(rows)
    else:
        say("No program whose talks can be captured was found on this machine.")
    for each in found:
        say(f"✗ {_shown(each, shelves)}{each.what}", 31, coloured=1)
    if len(rows) > 1 and not found:
        say("Nothing is wrong. DUE are talks that the program itself deletes within 7 days.")
    if any(shelf.not_yet for shelf in shelves):
        say(f"What is NOT YET kept comes in with: {PROGRAM} capture backfill")
    for each in off_record.open_now(str(settings.data_dir / "capture")):
        say(f"Off the record: {each}.")
    return int(bool(found))


def examined(settings: Settings) -> tuple[list[Shelf], list[Fault]]:
    """The programs of this machine with what is kept of them, and what is wrong."""
    home, place = Path.home(), settings.data_dir / "capture"
    known = installed.all_of(place)
    shelves = [look(program, place, os.environ, home) for program in ALL]
    shelves = [each for each in shelves if each.folder.is_dir() or each.last or each.program.name in known]
    return shelves, faults(settings, shelves, os.environ, home)


def _told(shelf: Shelf, *, is_hooked: bool) -> dict[str, object]:
    last = shelf.last
    return {
        "program": shelf.program.name,
        "hooks": is_hooked,
        "kept": shelf.kept,
        "not_yet": [str(path) for path in shelf.not_yet],
        "refused": [{"path": each.path, "cause": each.cause, "version": each.version} for each in shelf.refused],
        "paused": shelf.paused,
        "due_within_7_days": len(shelf.due) + shelf.due_kept,
        "due_and_not_kept": [str(path) for path in shelf.due],
        "last": {"path": last.path, "outcome": last.outcome, "told": last.told, "version": last.version,
                 "at": datetime.fromtimestamp(last.at, UTC).isoformat()} if last else None,
    }  # fmt: skip


def _shown(fault: Fault, shelves: list[Shelf]) -> str:
    return next((f"{each.program.shown}: " for each in shelves if each.program.name == fault.program), "")


def _when(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
