"""Answers `import` where nothing has changed since the last time, from what was noted: it imports no reader.

Whatever is out of the ordinary (a file that is new or has changed, a link, an archive, a session that was deleted) is
left to `import_command.py`, which reads.
"""

import contextlib
import os
from argparse import Namespace
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from agentic_flywheel.cli.importers.names import may_be_wanted
from agentic_flywheel.cli.interrupts import interruptible
from agentic_flywheel.cli.reading_ahead import ReadingProcess, is_worth_it
from agentic_flywheel.cli.reading_marks import Marks
from agentic_flywheel.cli.terminal import finish, there_already
from agentic_flywheel.errors import FlywheelError
from agentic_flywheel.sessions.wiring import is_there, open_journal
from agentic_flywheel.settings import Settings

_NOT_PATHS = ("-", "flowise", "langflow")


@dataclass(slots=True)
class _Seen:
    """How many `sessions` the files became, whether all is as it was noted, and what is to be read whole."""

    sessions: int = 0
    is_same: bool = False
    changed: list[Path] = field(default_factory=list[Path])


def import_as_told(settings: Settings, options: Namespace) -> int:
    """Take in what a command line names; the exit code."""
    seen = _Seen()
    if options.source not in _NOT_PATHS and not options.file and settings.journal:
        if code := finish(lambda: _look(settings, Path(options.source), seen)):
            return code
        if seen.is_same:
            there_already(seen.sessions)
            return 0
    with ReadingProcess() if is_worth_it(seen.changed) else nullcontext() as process:
        from agentic_flywheel.cli import import_command

        return import_command.import_as_told(settings, options, process)


def _look(settings: Settings, path: Path, seen: _Seen) -> int:
    with contextlib.suppress(OSError, FlywheelError), interruptible():  # who reads it meets it again, and says so
        files = _files(path)
        if is_there(settings):
            _compare(settings, files, seen)
        else:
            seen.changed = files
    return 0


def _compare(settings: Settings, files: list[Path], seen: _Seen) -> None:
    journal = open_journal(settings)
    try:
        marks = Marks(journal, settings)
        with journal.one_moment():
            looks = {file: marks.compare(file) for file in files}
    finally:
        journal.close()
    noted = [look.mark for look in looks.values() if look.is_now == "unchanged" and look.mark and look.mark.is_clean]
    seen.is_same = bool(files) and len(noted) == len(files)
    seen.sessions = sum(len(mark.sessions) for mark in noted)
    seen.changed = [file for file, look in looks.items() if look.is_now == "other"]


def _files(path: Path) -> list[Path]:
    """The files that an import would look at; none where there is anything else.

    Raises:
        OSError: a folder cannot be read.

    """
    if path.is_file():
        return [path]
    found, folders = list[Path](), [path]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for each in entries:
                if each.is_symlink() or each.name.lower().endswith(".zip"):
                    return []
                if each.is_dir():
                    folders.append(Path(each.path))
                elif may_be_wanted(each.name):
                    found.append(Path(each.path))
    return found
