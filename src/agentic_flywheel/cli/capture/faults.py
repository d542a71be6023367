"""Names what keeps talks from being kept, each fault in a sentence with what to do; none where all is well."""

import os
import shutil
import time
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agentic_flywheel.cli import config_files
from agentic_flywheel.cli.capture import (
    hook_settings,
    installed,
    notes,
    off_record,
    opencode_plugin,
    small_files,
)
from agentic_flywheel.cli.capture.drainer import FAILURE, LONGEST_SECONDS
from agentic_flywheel.cli.capture.greeting import STALE_SECONDS
from agentic_flywheel.cli.capture.installed import Installed
from agentic_flywheel.cli.capture.programs import Program, settings_of
from agentic_flywheel.cli.capture.shelf import Shelf
from agentic_flywheel.cli.capture.start_drainer import LOCK, lock
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.private_files import check_folder
from agentic_flywheel.sessions.wiring import is_there, open_journal
from agentic_flywheel.settings import Settings

LEAST_FREE = 64 * 2**20
"""Bytes that must be free on the disk."""

WAITS_SECONDS = 3600.0
"""For how long something may wait for Redis before it is named."""

AGAIN = "agentic-flywheel-state capture install"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, with whom: a program's name, or empty for all."""

    program: str
    what: str


def faults(settings: Settings, shelves: list[Shelf], environ: Mapping[str, str], home: Path) -> list[Fault]:
    """All that is wrong now."""
    place = settings.data_dir / "capture"
    known = installed.all_of(place)
    found = [Fault("", what) for what in (*_of_the_store(settings), *_of_the_drainer(place))]
    for shelf in shelves:
        program = shelf.program
        if program.name in known:
            found += [
                Fault(program.name, what) for what in _of_hooks(program, known[program.name], settings, environ, home)
            ]
        found += [Fault(program.name, what) for what in _of_a_shelf(shelf, is_hooked=program.name in known)]
    return found


def _of_the_store(settings: Settings) -> Iterator[str]:
    """What is wrong with where talks are kept."""
    if not settings.journal and not settings.redis_enabled:
        yield "nothing is kept: the journal is switched off (FLYWHEEL_JOURNAL=false), and no Redis is used."
    try:
        check_folder(settings.data_dir)
    except OSError as exc:
        yield str(exc)
        return
    folder = settings.data_dir
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        yield f"nothing can be written into {folder}. Make it writable, or set FLYWHEEL_DATA_DIR."
    elif (free := shutil.disk_usage(folder).free) < LEAST_FREE:
        yield f"the disk of {folder} is full: {free // 2**20} MB are free. Make room."
    if not settings.journal or not is_there(settings):
        return
    journal = open_journal(settings)
    try:
        journal.state()  # sets a damaged one aside
        state = journal.state()
    finally:
        journal.close()
    if state.error:
        yield f"the journal cannot be used: {state.error}"
    elif state.pending and state.pending_seconds > WAITS_SECONDS:
        yield f"{state.pending:,} changes wait for Redis: {state.pending_cause or 'it does not answer'}"
    if set_aside := (*state.damaged, *state.recovered):
        yield f"a damaged journal was set aside: {set_aside[-1]}"


def _of_the_drainer(place: Path) -> Iterator[str]:
    """What is wrong with what hooks left, and with who takes it."""
    if failure := small_files.read(str(place / FAILURE)):
        yield f"what hooks note cannot be taken in: {failure.get('cause')}"
    if failure := small_files.read(str(place / "hook-failure.json")):
        yield f"a hook of {failure.get('client')} failed: {failure.get('cause')}"
    if (place / "off.json").exists() and off_record.spans(str(place)) == [{off_record.ALL: True, "since": 0}]:
        yield f"{place / 'off.json'} cannot be read, so all is off the record. Delete it, and pause again."
    if not place.is_dir():
        return
    now = time.time()
    stale = [base for base in notes.waiting(str(place)) if notes.age(str(place), base, now) > STALE_SECONDS]
    if not stale:
        return
    held = lock(str(place))
    if held is None:
        began = (place / LOCK).stat().st_mtime
        if now - began > LONGEST_SECONDS + STALE_SECONDS:
            yield f"who takes in what hooks note has hung for {int(now - began) // 60} minutes. End that process."
        return
    os.close(held)
    yield f"{len(stale)} notes of hooks wait. agentic-flywheel-state capture backfill takes them in."


def _of_hooks(
    program: Program, known: Installed, settings: Settings, environ: Mapping[str, str], home: Path
) -> Iterator[str]:
    """What is wrong with the hooks of a program."""
    if not program.folder(environ, home).is_dir() and program.name != "opencode":
        yield f"{program.folder(environ, home)} is not there. Where its talks are now, capture does not see."
    executable = known.command[0] if known.command else ""
    if not os.access(executable, os.X_OK):
        yield f"its hooks run {executable}, which is not there any more. Run: {AGAIN} {program.name}"
    if "--into" in known.command:
        into = Path(known.command[known.command.index("--into") + 1])
        if into != settings.data_dir:
            moved = f"its hooks leave notes in {into}, but the data folder is {settings.data_dir}."
            yield f"{moved} Run: {AGAIN} {program.name}"
    if program.name == "opencode":
        yield from _of_the_plugin(environ, home)
        return
    yield from _of_settings(program, environ, home)


def _of_the_plugin(environ: Mapping[str, str], home: Path) -> Iterator[str]:
    path = opencode_plugin.path(environ, home)
    try:
        content = config_files.read(path)
    except InvalidArgument as exc:
        yield str(exc)
        return
    if content is None or not opencode_plugin.is_ours(content.decode(errors="replace")):
        yield f"our plugin {path} is gone or was changed. Run: {AGAIN} opencode"


def _of_settings(program: Program, environ: Mapping[str, str], home: Path) -> Iterator[str]:
    path = program.settings_file(environ, home)
    try:
        content = config_files.read(path) or b""
        text = config_files.text_of(path, content)[1]
        hook_settings.check(text or "{}")
    except InvalidArgument as exc:
        yield f"its settings cannot be read: {str(exc).removesuffix(' Nothing was changed.')}"
        return
    if missing := [event for event in program.hooks if event not in hook_settings.has_hooks(text)]:
        yield f"its hooks are not in {path} any more ({', '.join(missing)}). Run: {AGAIN} {program.name}"
    if _is_switched_off(program, environ, home):
        yield f"its settings switch all hooks off ({'.'.join(program.off_switch) or 'features.hooks'})."
    if program.name == "codex" and not missing:
        yield from _of_codex(program, environ, home)


def _is_switched_off(program: Program, environ: Mapping[str, str], home: Path) -> bool:
    if not program.off_switch:
        return False
    value: object = settings_of(program.settings_file(environ, home))
    for key in program.off_switch:
        value = value.get(key) if isinstance(value, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    return value is (program.off_switch[-1] != "enabled")


def _of_codex(program: Program, environ: Mapping[str, str], home: Path) -> Iterator[str]:
    """Codex' hooks run once they were reviewed; its `notify` runs without."""
    folder = program.folder(environ, home)
    try:
        config = tomllib.loads((folder / "config.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        config = dict[str, object]()
    except (OSError, ValueError, RecursionError):
        yield f"its settings cannot be read: {folder / 'config.toml'} is no TOML."
        return
    features, hooks = config.get("features"), config.get("hooks")
    off = isinstance(features, dict) and False in (features.get("hooks"), features.get("codex_hooks"))  # pyright: ignore[reportUnknownMemberType]
    reviewed = isinstance(hooks, dict) and str(folder / "hooks.json") in str(hooks.get("state"))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    notifies = hook_settings.OURS.search(" ".join(map(str, config.get("notify") or [])))  # pyright: ignore[reportUnknownArgumentType, reportArgumentType]
    if notifies or (reviewed and not off):
        return
    why = "are switched off (features.hooks)" if off else "were not reviewed in Codex (/hooks)"
    yield f"its hooks {why}, and its notify is another program's: nothing is captured."


def _of_a_shelf(shelf: Shelf, *, is_hooked: bool) -> Iterator[str]:
    """What is wrong with a program's talks."""
    cure = f"Run: {BACKFILL} {shelf.program.name}"
    for outcome in shelf.refused:
        yield f"{outcome.path} is not kept: {outcome.cause}"
    last, overdue = shelf.last, shelf.overdue
    for outcome in shelf.lost:
        yield f"{outcome.path} is not kept: {outcome.cause}"
    for folder in shelf.unreadable:
        yield f"{folder} cannot be read (you have no right to it), and what talks there are in it is not seen."
    unread = [path for path in overdue if not os.access(path, os.R_OK)]
    if unread:
        yield f"{unread[0]} cannot be read (you have no right to it)."
    if is_hooked and overdue:
        yield f"{len(overdue):,} talks are not kept though its hooks are in, as {overdue[0]}. {cure}"
    if shelf.due:
        yield f"{len(shelf.due):,} talks that are not kept are deleted by it within 7 days. {cure}"
    for outcome in shelf.cut:
        yield f"{outcome.left_out:,} lines of {outcome.path} were not understood: {outcome.cause}."
    if last and last.left_out and last.version and not _is_known(last.version, shelf.program.read_from):
        yield f"it is version {last.version} now; what it writes is known as of {shelf.program.read_from}."


BACKFILL = "agentic-flywheel-state capture backfill"


def _is_known(version: str, read_from: str) -> bool:
    return not read_from or version.startswith(f"{read_from}.") or version == read_from
