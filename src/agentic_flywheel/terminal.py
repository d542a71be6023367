"""What commands show a person: harmless text, a bar of progress, errors in a line, and whether Redis was reached."""

import asyncio
import os
import re
import sys
from collections.abc import Coroutine
from typing import Any

from agentic_flywheel.errors import FlywheelError, StashUnavailable
from agentic_flywheel.listing import Wanted
from agentic_flywheel.local import NoJournal
from agentic_flywheel.store import SessionStore

START_SECONDS = 15.0
"""How long a command waits for the child and Redis before it goes on with what this machine has."""

BAR_WIDTH = 30
"""Characters of the bar: it fits the narrowest terminals beside its count."""

INTERRUPTED = 130
"""The exit code that shells give a command ended by Ctrl-C (128 and the signal's number)."""

# What a terminal would obey instead of show: control characters, and those that turn the writing direction.
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def shown(text: str) -> str:
    """The text without what a terminal would obey: it is shown as a question mark."""
    return _OBEYED.sub("?", text)


def run(command: Coroutine[Any, Any, int]) -> int:
    """Run a command to its exit code; 2, and a line on standard error, if it cannot do its work at all."""
    try:
        code = asyncio.run(command)
        sys.stdout.flush()
    except KeyboardInterrupt:
        tell("Interrupted.")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read this has read enough; what is left in the buffer must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (FlywheelError, OSError) as exc:
        tell(f"agentic-flywheel-state: {exc}")
        return 2
    return code


def tell(text: str) -> None:
    """A line on standard error, in the place of the bar."""
    sys.stderr.write(("\r\x1b[K" if sys.stderr.isatty() else "") + shown(text) + "\n")


def progress(done: int, total: int) -> None:
    """Draw the bar on standard error, if somebody sees it."""
    if sys.stderr.isatty():
        full = BAR_WIDTH * done // max(total, done, 1)
        sys.stderr.write(f"\r[{'#' * full}{'-' * (BAR_WIDTH - full)}] {done:,} of {total:,}")
        sys.stderr.flush()


async def reach(sessions: SessionStore) -> bool:
    """Wait for Redis if there is to be one; whether the list of sessions is Redis' own. If it does not come, say so.

    Raises:
        Unavailable: there is neither Redis nor a journal.

    """
    sessions.places.check_enabled()
    stash = sessions.places.stash
    if stash is None:
        return False
    await sessions.places.wait_for_child(START_SECONDS)
    shared = (await sessions.list_sessions(Wanted(), 1)).scope == "shared"
    if not shared and not stash.mirror:
        if isinstance(sessions.places.journal, NoJournal):
            raise StashUnavailable("Redis cannot be reached, and nothing is kept on this machine.")
        tell("Redis cannot be reached: this is about the sessions of this machine only.")
    return shared


def counted(number: int) -> str:
    """That many sessions, in words."""
    return f"{number:,} session{'' if number == 1 else 's'}"
