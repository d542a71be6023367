"""`import`: adds what this program exported, and the talks that other programs keep, to what is kept here."""

import asyncio
import os
import select
import sys
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from io import BufferedReader
from pathlib import Path
from typing import IO, cast

from agentic_flywheel.cli.executions_along import Along
from agentic_flywheel.cli.growing import Growing, known
from agentic_flywheel.cli.import_report import Report
from agentic_flywheel.cli.importers.archives import MAX_UNPACKED_BYTES
from agentic_flywheel.cli.importers.conversation import Imported
from agentic_flywheel.cli.importers.files import is_stray
from agentic_flywheel.cli.importers.flow_servers import PROGRAMS, FlowProgram, fetched
from agentic_flywheel.cli.importers.found_files import Source, Sources, Stream, sources
from agentic_flywheel.cli.importers.related import in_order
from agentic_flywheel.cli.interrupts import interruptible
from agentic_flywheel.cli.reading_ahead import ReadAhead, ReadingProcess
from agentic_flywheel.cli.reading_marks import Look
from agentic_flywheel.cli.terminal import complain, counting, reach, run, tell
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.journal.threads import without_threads
from agentic_flywheel.sessions.redaction.policy import Credentials
from agentic_flywheel.sessions.wiring import is_there, open_store
from agentic_flywheel.settings import Settings

COPIED_AT_ONCE = 2**20
"""Bytes of standard input."""

LOOK_SECONDS = 0.2
"""How long a signal may go unnoticed while standard input has nothing."""

STRAYS_NAMED = 3
"""Files without talks that are named."""


def import_as_told(settings: Settings, options: Namespace, process: ReadingProcess | None = None) -> int:
    """Take in what a command line names: a file, or a program that runs flows; a file of that name is ./flowise.

    `process`: one that was begun to read it.
    """
    program, brings_back = PROGRAMS.get(options.source), options.bring_back_deleted
    named = options.url or options.api_key or options.flow
    if program and not options.file:
        return import_from_server(
            settings, program, options.url, options.api_key, options.flow, brings_back=brings_back
        )
    if named or (options.file and not program):
        complain(_ONLY_SERVERS if named else "one file at a time; a folder is read whole.")
        return 2
    return import_from(settings, options.file or options.source, brings_back=brings_back, process=process)


_ONLY_SERVERS = "--url, --api-key and --flow are for import flowise and import langflow without a file."


def import_from(
    settings: Settings, source: str, *, brings_back: bool = False, process: ReadingProcess | None = None
) -> int:
    """Take in every conversation of a file, a folder or an archive, or of standard input for `-`.

    `brings_back`: also what was deleted here; `process`: one that was begun to read it.
    0 if all came in or was there, 1 if not all, 2 if nothing could be read.
    """
    if source == "-":
        return run(_from_standard_input(settings, brings_back=brings_back))
    return run(_from(settings, Path(source), brings_back=brings_back, process=process))


def import_from_server(
    settings: Settings,
    program: FlowProgram,
    url: str = "",
    key: str = "",
    flows: Sequence[str] = (),
    *,
    brings_back: bool = False,
) -> int:
    """Take in every conversation that a Flowise or a Langflow has, or those of some flows; as `import_from` does.

    Args:
        settings: those of the store.
        program: which of the two.
        url: its address; by default the one of its environment variable, else the program's own on this machine.
        key: what it wants to be shown; by default that of its environment variable.
        flows: ids of flows; none means all that the key may read.
        brings_back: also what was deleted here.

    """
    url = url or os.environ.get(f"{program.variable}_URL", "")
    key = key or os.environ.get(f"{program.variable}_API_KEY", "")
    return run(_from_server(settings, program, url, key, flows, brings_back=brings_back))


async def _from_server(
    settings: Settings, program: FlowProgram, url: str, key: str, flows: Sequence[str], *, brings_back: bool
) -> int:
    with ExitStack() as files:
        with interruptible():
            found = files.enter_context(fetched(program, program.server(url, key), flows))
        if not found.files:
            tell(f"{program.shown} has no messages that this key may read.")
            return 0
        return await _import(settings, found, None, brings_back=brings_back)


async def _from_standard_input(settings: Settings, *, brings_back: bool) -> int:
    # A file of its own, because what it is is seen by its beginning, and an archive is read from its end. It has no
    # name, so that nothing of it is left however this ends.
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]  it is, where whoever started us closed it
        raise InvalidArgument("standard input is closed: name a file.")
    with tempfile.TemporaryFile() as file:
        with interruptible():
            _copy(cast("BufferedReader", sys.stdin.buffer), file)
        return await _from(settings, Stream(file, "standard input"), brings_back=brings_back)


def _copy(source: BufferedReader, target: IO[bytes]) -> None:
    copied = 0
    while chunk := _next_of(source):
        copied += len(chunk)
        if copied > MAX_UNPACKED_BYTES:
            raise InvalidArgument("standard input is longer than 4 GB. If it is no mistake, name it as a file.")
        target.write(chunk)


def _next_of(source: BufferedReader) -> bytes:
    """What comes next; nothing at the end. No read is begun that would wait: it misses a signal just before it."""
    while sys.platform != "win32" and not select.select([source], [], [], LOOK_SECONDS)[0]:
        pass
    return source.read1(COPIED_AT_ONCE)


async def _from(
    settings: Settings, given: Path | Stream, *, brings_back: bool, process: ReadingProcess | None = None
) -> int:
    with sources(given) as found:
        return await _import(settings, found, given, brings_back=brings_back, process=process)


async def _import(
    settings: Settings,
    found: Sources,
    given: Path | Stream | None,
    *,
    brings_back: bool,
    process: ReadingProcess | None = None,
) -> int:
    sessions, executions = open_store(settings)
    growing = Growing(sessions, settings, brings_back=brings_back)
    looks = await _looks(growing, found.files) if is_there(settings) else {}
    there = _with_talks(found, given, looks, growing.limit)
    files, related = _to_read(there, looks, growing.limit)
    credentials = Credentials(settings.secrets)
    report = Report(credentials, await _count(growing, files))
    along = Along(executions, credentials, settings.session_ttl_seconds)
    read = set(files)
    for source in there:
        if source not in read:
            for each, added in known(looks[source]):
                report.note(source, each, added)
    async with sessions:
        growing.shared = await reach(sessions)
        try:
            whole = [each for each in files if isinstance(each, Path) and _is_whole(each, looks)]
            with (
                without_threads(),
                sessions.repository.journal.synced_at_end(),
                ReadAhead(whole, growing.limit, process) as growing.ahead,
            ):
                for source in files:
                    await _take_in(growing, source, looks.get(source), report, along, related=source in related)
        except asyncio.CancelledError:
            report.interrupted()
            raise
    report.end(settings.session_ttl_seconds, along.kept)
    return 0 if report.complete and not along.refused else 1


async def _take_in(
    growing: Growing, source: Source, look: Look | None, report: Report, along: Along, *, related: bool
) -> None:
    async for each, added in growing.read(source, look, related=related):
        report.note(source, each, added)
        if isinstance(each, Imported):
            report.note_executions(source, each, await along.keep(each, added.outcome))
    await growing.note(source)


def _with_talks(found: Sources, given: Path | Stream | None, looks: dict[Source, Look], limit: int) -> list[Source]:
    """The files that have talks, as far as is known. Says what is left.

    Raises:
        OSError: one is not there or cannot be read: that ends the command before anything is written.

    """
    for link in found.links:
        tell(f"{link} is a link, and is left. To take it in, name what it leads to.")
    new = [each for each in found.files if each not in looks or looks[each].mark is None]
    strays = [each for each in new if each != given and is_stray(each, limit)]
    if strays:
        tell(f"Left {len(strays):,} of {len(found.files):,} files that have no talks: {_first_of(strays)}.")
    return [each for each in found.files if each not in strays]


def _first_of(strays: Sequence[Source]) -> str:
    return ", ".join(map(str, strays[:STRAYS_NAMED])) + (" …" if len(strays) > STRAYS_NAMED else "")


async def _looks(growing: Growing, files: Sequence[Source]) -> dict[Source, Look]:
    """What was noted of each file. One of which not all came in is read whole again, so that all is told again."""
    with without_threads():
        looks = {source: await growing.marks.look(source) for source in files if isinstance(source, Path)}
    is_clean = {source: look.mark is not None and look.mark.is_clean for source, look in looks.items()}
    return {source: look if is_clean[source] else replace(look, is_now="other") for source, look in looks.items()}


def _to_read(files: Sequence[Source], looks: dict[Source, Look], limit: int) -> tuple[list[Source], set[Source]]:
    """The files that may have something new, in order, and which of them have to do with another one.

    Of those that have to do with a new one each is read whole: what that begins with is only told by all turns.
    """
    same = {source: look.mark for source, look in looks.items() if look.mark and look.is_now != "other"}
    ordered, related = in_order(files, limit, {source: mark.origin for source, mark in same.items()})
    if not related <= same.keys():
        looks |= {source: replace(looks[source], is_now="other") for source in related if source in looks}
    left = {source for source, look in looks.items() if look.is_now == "unchanged"}
    return [source for source in ordered if source not in left], related


def _is_whole(source: Source, looks: dict[Source, Look]) -> bool:
    """Whether all of a file is read, as far as is known."""
    return source not in looks or looks[source].is_now == "other"


async def _count(growing: Growing, files: Sequence[Source]) -> int:
    """How many entries there are. Reading all twice costs little beside the writing; it is done for who watches."""
    number = 0
    if sys.stderr.isatty():
        for source in files:
            for _ in growing.entries(source):
                await asyncio.sleep(0)  # a signal ends it here, too
                number += 1
                counting(number)
    return number
