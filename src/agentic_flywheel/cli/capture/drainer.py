"""Reads what hooks left notes of into the store, and ends: at most one at a time, and never for longer than it may.

    capture drain --into FOLDER      started by hooks; FOLDER is where their notes are

It survives being killed at any point: a note goes only when what it is about is in the store.
"""

import asyncio
import os
import time
from pathlib import Path

from agentic_flywheel.cli.capture import installed, notes, outcomes, small_files
from agentic_flywheel.cli.capture.outcomes import Outcome
from agentic_flywheel.cli.capture.programs import HOOKED
from agentic_flywheel.cli.capture.shelf import changed_at, is_kept, is_same
from agentic_flywheel.cli.capture.start_drainer import lock
from agentic_flywheel.cli.capture.taking import Taker
from agentic_flywheel.cli.growing import Growing
from agentic_flywheel.errors import SettingError, Unavailable
from agentic_flywheel.journal.threads import in_thread
from agentic_flywheel.sessions.store import SessionStore
from agentic_flywheel.sessions.wiring import open_store
from agentic_flywheel.settings import Settings

LONGEST_SECONDS = 300.0
"""After this time a drainer ends, whatever is left; the next hook starts another."""

REDIS_SECONDS = 60.0
"""For how long it stays to send what Redis has not taken yet."""

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds from one try to the next of what was refused for a cause that passes."""

QUIET_SECONDS = 5.0
"""What changed within this time is still being written, and its program runs our hook."""

LOOK_SECONDS = 0.3
"""How often it is looked meanwhile whether hooks have left more notes."""

FAILURE = "drainer-failure.json"
"""Why the last drainer could do nothing at all."""


def drain(into: Path) -> int:
    """Take in what waits; 0, also if another one is at work."""
    place = into / "capture"
    while True:
        held = lock(str(place))
        if held is None:
            return 0
        try:
            with_notes = any(notes.waiting(str(place)))
            done = _drain(place) if with_notes else True
        finally:
            os.close(held)
        if not done or not any(notes.waiting(str(place))):  # one may have come before the lock was free
            return 0


def _drain(place: Path) -> bool:
    """Whether all notes were dealt with."""
    try:
        settings = Settings.of_this_process()
        done = asyncio.run(_take_all(settings, place))
    except (SettingError, Unavailable, OSError) as exc:
        small_files.write(str(place / FAILURE), {"cause": str(exc), "at": time.time()})
        return False
    small_files.remove(str(place / FAILURE))
    if done:
        small_files.remove(str(place / "hook-failure.json"))
    return done


async def _take_all(settings: Settings, place: Path) -> bool:
    sessions, _ = open_store(settings)
    end, left = time.monotonic() + LONGEST_SECONDS, 0
    async with sessions:
        taker = Taker(sessions, Growing(sessions, settings), place)
        for pause in (*PAUSES, None):
            left = await _take_those_that_wait(taker, str(place), end)
            if not left or pause is None or time.monotonic() > end:
                break
            await asyncio.sleep(pause)
        quiet = min(end, time.monotonic() + QUIET_SECONDS + 1)
        while await _take_what_no_hook_told_of(taker, end) and time.monotonic() < quiet:
            await asyncio.sleep(LOOK_SECONDS)
            left = await _take_those_that_wait(taker, str(place), end)
        outcomes.sum_up(place)
        if settings.redis_enabled:
            await _send(sessions, min(end, time.monotonic() + REDIS_SECONDS))
    return not left


async def _take_those_that_wait(taker: Taker, place: str, end: float) -> int:
    """Take in each transcript that there is a note of; how many notes stay, for a cause that passes."""
    left = 0
    for base in notes.waiting(place):
        if time.monotonic() > end:
            return left + 1
        note = notes.take(place, base)
        if not all(isinstance(note.get(name), str) for name in ("program", "path", "session", "cwd")):
            notes.done(place, base)
            continue
        second = notes.second_name(place, base)
        outcome = await taker.take(note["program"], note["path"], cwd=note["cwd"], session=note["session"],
                                   second=second)  # fmt: skip
        _note(taker.place, outcome)
        if outcome.again:
            left += 1
        else:
            notes.done(place, base)
    return left


async def _take_what_no_hook_told_of(taker: Taker, end: float) -> bool:
    """Take in what was written since hooks were installed, and whose program was killed before it ran one.

    Whether some of it changed so short a time ago that it may still be under way.
    """
    now, home, young = time.time(), Path.home(), False
    for name, entry in installed.all_of(taker.place).items():
        for program in (each for each in HOOKED if each.name == name):
            for path in program.found(os.environ, home):
                changed, known = changed_at(path), outcomes.of(taker.place, name, str(path))
                if changed < entry.at or time.monotonic() > end or is_kept(path, known) or _is_settled(path, known):
                    continue
                if now - changed < QUIET_SECONDS:
                    young = True
                    continue
                _note(taker.place, await taker.take(name, str(path), cwd=known.cwd if known else ""))
    return young


def _is_settled(path: Path, known: Outcome | None) -> bool:
    """Whether nothing else would become of it now."""
    return known is not None and is_same(path, known) and not known.again and known.outcome != "paused"


def _note(place: Path, outcome: Outcome) -> None:
    before = outcomes.of(place, outcome.program, outcome.path)
    if outcome.outcome == "vanished" and before and before.outcome in ("kept", "same"):
        return  # it was read to its end before
    outcomes.note(place, outcome)


async def _send(sessions: SessionStore, end: float) -> None:
    """Stay until Redis has taken what is pending, or the time is over: the store's own worker sends."""
    journal = sessions.repository.journal
    while time.monotonic() < end:
        if not (await in_thread(journal.state)).pending:
            return
        await asyncio.sleep(0.2)
