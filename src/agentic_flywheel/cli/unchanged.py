"""Answers `import` where nothing has changed since the last time, from what was noted: it imports no reader.

Whatever is out of the ordinary (a file that is new or has changed, a link, an archive, a session that was deleted) is
left to `import_command.py`, which reads.
"""

import os
from argparse import Namespace
from pathlib import Path

from agentic_flywheel.cli.importers.names import may_be_wanted
from agentic_flywheel.cli.interrupts import interruptible
from agentic_flywheel.cli.reading_marks import Marks
from agentic_flywheel.cli.terminal import finish, there_already
from agentic_flywheel.errors import FlywheelError
from agentic_flywheel.sessions.wiring import is_there, open_journal
from agentic_flywheel.settings import Settings

_NOT_PATHS = ("-", "flowise", "langflow")

_IS_TO_BE_READ = -1
"""In the place of an exit code."""


def import_as_told(settings: Settings, options: Namespace) -> int:
    """Take in what a command line names; the exit code."""
    code = _IS_TO_BE_READ
    if options.source not in _NOT_PATHS and not options.file and settings.journal and is_there(settings):
        code = finish(lambda: _answer(settings, Path(options.source)))
    if code == _IS_TO_BE_READ:
        from agentic_flywheel.cli import import_command

        code = import_command.import_as_told(settings, options)
    return code


def _answer(settings: Settings, path: Path) -> int:
    with interruptible():
        number = _sessions_of(settings, path)
    if number is None:
        return _IS_TO_BE_READ
    there_already(number)
    return 0


def _sessions_of(settings: Settings, path: Path) -> int | None:
    """How many sessions a file or folder became of which all is as it was noted; `None` where it is to be read."""
    number = 0
    try:
        files = _files(path)
        journal = open_journal(settings)
        try:
            marks = Marks(journal, settings)
            with journal.one_moment():
                for file in files or ():
                    look = marks.compare(file)
                    if look.is_now != "unchanged" or not look.mark or not look.mark.is_clean:
                        return None
                    number += len(look.mark.sessions)
        finally:
            journal.close()
    except (OSError, FlywheelError):
        return None  # who reads it meets it again, and says so
    return number if files else None


def _files(path: Path) -> list[Path] | None:
    """The files that an import would look at; `None` where there is anything else.

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
                    return None
                if each.is_dir():
                    folders.append(Path(each.path))
                elif may_be_wanted(each.name):
                    found.append(Path(each.path))
    return found
