"""`capture watch`: notes what programs without hooks write, as they write it; the drainer takes it in as for hooks.

File-system events come by watchfiles (the extra `capture`): wheels for every Python and system promised here, and no
dependency but anyio, which is there anyway.
"""

import os
import sys
import time
from argparse import Namespace
from pathlib import Path

from agentic_flywheel.cli.capture import notes, off_record, outcomes, units
from agentic_flywheel.cli.capture.programs import ALL, Program, named
from agentic_flywheel.cli.capture.shelf import is_kept
from agentic_flywheel.cli.capture.start_drainer import start
from agentic_flywheel.cli.interrupts import ENDING
from agentic_flywheel.cli.terminal import complain, tell
from agentic_flywheel.settings import Settings

LOOK_AGAIN_MS = 30_000
"""How often it is looked whether a program has made its folder meanwhile."""

SETTLED_MS = 1_600
"""What is written within this time is one change."""


def watch(settings: Settings, options: Namespace) -> int:
    """Watch until a signal comes; 0. 1 if what tells of changes is not installed."""
    programs = named(options.clients, ALL)
    if options.unit:
        sys.stdout.write(units.unit(options.unit, [each.name for each in programs] if options.clients else []))
        return 0
    try:
        import watchfiles
    except ImportError:
        complain("watching needs watchfiles: pip install 'agentic-flywheel-state[capture]'.")
        return 1
    place, home = str(settings.data_dir / "capture"), Path.home()
    ended = _EndsAtSignals()
    while not ended.is_set():
        folders = sorted({str(each.folder(os.environ, home)) for each in programs if _is_there(each, home)})
        note_changed(place, programs, home)
        if not folders:
            time.sleep(1)
            continue
        tell(f"Watching {', '.join(folders)}.")
        changes = watchfiles.watch(
            *folders, stop_event=ended, debounce=SETTLED_MS, rust_timeout=LOOK_AGAIN_MS, yield_on_timeout=True,
            raise_interrupt=False, watch_filter=None,
        )  # fmt: skip
        for change in changes:
            if change:
                note_changed(place, programs, home)
            elif folders != sorted({str(each.folder(os.environ, home)) for each in programs if _is_there(each, home)}):
                break
    return 0


def _is_there(program: Program, home: Path) -> bool:
    return program.folder(os.environ, home).is_dir()


def note_changed(place: str, programs: list[Program], home: Path) -> None:
    """Leave a note of each transcript that is new or has changed."""
    new = False
    for program in programs:
        for path in program.found(os.environ, home):
            if is_kept(path, outcomes.of(Path(place), program.name, str(path))) or off_record.is_off(place, "", ()):
                continue
            note = {"program": program.name, "path": str(path), "session": "", "cwd": "", "event": "watch"}
            # Whether the talk is off the record is not known here, so that our folder must not hold it.
            notes.leave(place, note | {"at": time.time()}, holds=False)
            new = True
    if new:
        start(place)


class _EndsAtSignals:
    """Says whether a signal has asked this process to end, as an event does."""

    def __init__(self) -> None:
        import signal

        self._ended = False
        for number in ENDING:
            signal.signal(number, self._end)

    def _end(self, _number: int, _frame: object) -> None:
        self._ended = True

    def is_set(self) -> bool:
        """Whether one came."""
        return self._ended
