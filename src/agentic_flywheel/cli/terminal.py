"""Writes what commands show a person: harmless text, tables, a progress bar, errors in a line, questions."""

import errno
import json
import os
import re
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from agentic_flywheel.cli.interrupts import Interrupted, interruptible, run_until_signal
from agentic_flywheel.errors import FlywheelError, StashUnavailable
from agentic_flywheel.plain_text import columns, one_line, shown

if TYPE_CHECKING:  # a command that needs the journal alone does not pay for all that a store needs
    from agentic_flywheel.sessions.store import SessionStore

START_SECONDS = 15.0
"""How long a command waits for the child and Redis before it goes on with what this machine has."""

BAR_WIDTH = 30
"""Characters of the bar: it fits the narrowest terminals beside its count."""


def run(command: Coroutine[Any, Any, int]) -> int:
    """Run a command to its exit code, as `finish` does."""
    return finish(lambda: run_until_signal(command))


def finish(command: Callable[[], int]) -> int:
    """Run a command to its exit code; 2, and a line on standard error, if it cannot do its work at all."""
    try:
        code = command()
        sys.stdout.flush()
    except Interrupted as exc:
        tell(str(exc))
        return exc.code
    except BrokenPipeError:
        # Whoever read this has read enough; what is left in the buffer must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (FlywheelError, OSError) as exc:
        complain(plainly(exc))
        return 2
    return code


def plainly(exc: Exception) -> str:
    """What is wrong, in a sentence without the system's numbers."""
    if not isinstance(exc, OSError) or not exc.strerror:
        return str(exc)
    name = exc.filename if isinstance(exc.filename, str) else "a file"
    if isinstance(exc, FileNotFoundError):
        return f"there is no such file or folder: {name}."
    if isinstance(exc, IsADirectoryError):
        return f"{name} is a folder; name a file."
    if isinstance(exc, PermissionError):
        return f"you have no right to {name}."
    if exc.errno == errno.ENOSPC:
        return "the disk is full."
    return f"{name} cannot be used: {exc.strerror[:1].lower()}{exc.strerror[1:]}."


def complain(text: str) -> None:
    """Say on standard error why this is not done."""
    tell(f"agentic-flywheel-state: {text}")


def tell(text: str) -> None:
    """A line on standard error, in the place of the bar."""
    sys.stderr.write(("\r\x1b[K" if sys.stderr.isatty() else "") + one_line(text) + "\n")


def say(text: str, colour: int = 0, coloured: int | None = None) -> None:
    """A line on standard output, in the characters that it takes.

    Where a person sees it, its first `coloured` characters (`None`: all) have that ANSI colour (0: none).
    """
    line = one_line(text)
    if colour and sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        coloured = len(line) if coloured is None else coloured
        line = f"\x1b[{colour}m{line[:coloured]}\x1b[0m{line[coloured:]}"
    _write(line)


def say_text(text: str) -> None:
    """Lines on standard output, in the characters that it takes."""
    _write(shown(text))


def say_json(value: Any) -> int:  # noqa: ANN401
    """A value for programs, in ASCII; the exit code of a command that has done its work."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")
    return 0


def say_table(rows: Sequence[Sequence[str]], below: Sequence[str] = ()) -> None:
    """Rows in columns; `below` each of them may stand a line of its own."""
    rows = [[re.sub(r"[\n\t]", " ", shown(cell)) for cell in row] for row in rows]
    widths = [max(columns(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        cells = (cell + " " * (width - columns(cell)) for cell, width in zip(row, widths, strict=True))
        _write("  ".join(cells).rstrip())
        if number < len(below) and below[number]:
            say(f"    {below[number]}")


def _write(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding) + "\n")


def ask(question: str, doing: str) -> int:
    """Ask the person at the terminal; 0 for yes, 1 for no, 2 where nobody can be asked what is about to be done."""
    if not sys.stdin or not sys.stdin.isatty():
        complain(f"{doing} needs --yes where nobody can be asked.")
        return 2
    with interruptible():
        sys.stderr.write(f"{one_line(question)} [y/N] ")
        sys.stderr.flush()
        answer = sys.stdin.readline().strip().casefold()
    if answer in ("y", "yes"):
        return 0
    tell("Nothing was done.")
    return 1


def progress(done: int, total: int) -> None:
    """Draw the bar on standard error, if somebody sees it."""
    if sys.stderr.isatty():
        full = BAR_WIDTH * done // max(total, done, 1)
        sys.stderr.write(f"\r[{'#' * full}{'-' * (BAR_WIDTH - full)}] {done:,} of {total:,}")
        sys.stderr.flush()


def counting(found: int) -> None:
    """Show on standard error how much was found yet of what there is to do, if somebody sees it."""
    if sys.stderr.isatty() and (found % 100 == 1 or found < 10):
        sys.stderr.write(f"\rLooking through it: {found:,} so far")
        sys.stderr.flush()


async def reach(sessions: "SessionStore") -> bool:
    """Wait for Redis if there is to be one; whether the list of sessions is Redis' own. If it does not come, say so.

    Raises:
        Unavailable: there is neither Redis nor a journal.

    """
    from agentic_flywheel.journal import NoJournal
    from agentic_flywheel.sessions.session_filter import SessionFilter

    sessions.repository.check_enabled()
    stash = sessions.repository.stash
    if stash is None:
        return False
    await sessions.repository.wait_for_child(START_SECONDS)
    shared = (await sessions.list_sessions(SessionFilter(), 1)).scope == "shared"
    if not shared and not stash.mirror:
        if isinstance(sessions.repository.journal, NoJournal):
            raise StashUnavailable("Redis cannot be reached, and nothing is kept on this machine.")
        tell("Redis cannot be reached: this is about the sessions of this machine only.")
    return shared


def there_already(number: int) -> None:
    """Say that an import of so many sessions had nothing to do."""
    tell(f"Took in {counted(0)}; {number:,} were there already, 0 could not be taken in.")


def counted(number: int) -> str:
    """That many sessions, in words."""
    return f"{number:,} session{'' if number == 1 else 's'}"
