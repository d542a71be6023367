"""`capture pause` and `capture resume`: from when on, and until when, nothing is kept; and what is paused here."""

import os
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path

from agentic_flywheel.cli.capture import off_record
from agentic_flywheel.cli.terminal import say
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.settings import Settings


def paused_here(settings: Settings) -> Callable[[str], str]:
    """What tells of a session's id whether a talk in the working folder is off the record, and by what."""
    place = str(settings.data_dir / "capture")
    try:
        folder = off_record.real(str(Path.cwd()))
    except OSError:  # it was deleted
        folder = os.sep
    files = [off_record.diary(place), *off_record.switches_of(folder)]
    is_there = quick_lexists()

    def paused(session_id: str) -> str:
        # Every save asks, and mostly there is none of these files.
        return off_record.paused_by(place, folder, session_id) if any(map(is_there, files)) else ""

    return paused


def quick_lexists() -> Callable[[str], bool]:
    """`os.path.lexists`, or what tells the same in a fifth of the time, where this system does: it raises nothing."""
    quick = partial(os.access, mode=os.F_OK, follow_symlinks=False)
    try:
        works = quick(os.sep)  # where a filter of system calls or an old C library refuses to tell, nothing is there
    except NotImplementedError:
        works = False
    return quick if works else os.path.lexists


def pause(settings: Settings, options: Namespace) -> int:
    """Pause or resume; 0."""
    place = str(settings.data_dir / "capture")
    if "" in (options.folder, options.session):
        raise InvalidArgument(f"{'--folder' if options.folder == '' else '--session'} names nothing.")
    about: off_record.Span = {off_record.ALL: True}
    what = "All talks are"
    if options.folder is not None:
        about = {"folder": off_record.real(options.folder)}
        what = f"Talks in {about['folder']} are"
    elif options.session:
        about, what = {"session": options.session}, f"Session {options.session} is"
    if options.verb == "pause":
        new = off_record.begin(place, about)
        say(
            f"{what} off the record{' from now on' if new else ' already'}. What was said before may still be taken in."
        )
        return 0
    ended = off_record.end(place, about)
    switch = off_record.switch_above(options.folder) if options.folder is not None else ""
    if switch:
        say(f"{what} still off the record: there is {switch}/{off_record.SWITCH}. Take that file away.")
        return 1
    still = ", ".join(off_record.open_now(place, about))
    if still and off_record.ALL not in about:
        say(f"{what} still off the record: {still}. Resume that.")
        return 1
    but = f", but for {still}" if still else ""
    say(f"{what} on the record from now on{but}." if ended else f"{what} not off the record{but}.")
    return 0
