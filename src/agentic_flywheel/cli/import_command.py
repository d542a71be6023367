"""`import`: adds what this program, Claude, ChatGPT or Claude Code exported, or a list of turns, to what is kept."""

import asyncio
import select
import sys
import tempfile
from collections.abc import AsyncGenerator, Iterator, Sequence
from io import BufferedReader
from pathlib import Path
from typing import IO, cast

from agentic_flywheel.cli.import_report import Report
from agentic_flywheel.cli.importer import Added, Importer, Ours
from agentic_flywheel.cli.importers import (
    BadEntry,
    Imported,
    JsonEntry,
    Source,
    Stream,
    exported,
    in_order,
    is_stray,
    mended,
    named_entry,
    read,
    recognise,
    sources,
)
from agentic_flywheel.cli.importers.archives import MAX_UNPACKED_BYTES
from agentic_flywheel.cli.interrupts import interruptible
from agentic_flywheel.cli.terminal import counting, reach, run, tell
from agentic_flywheel.documents.model import Document
from agentic_flywheel.documents.parse import decode
from agentic_flywheel.errors import FlywheelError, InvalidArgument
from agentic_flywheel.json_text import check_json, dumps
from agentic_flywheel.sessions.redaction.policy import Credentials
from agentic_flywheel.sessions.wiring import open_store
from agentic_flywheel.settings import Settings

COPIED_AT_ONCE = 2**20
"""Bytes of standard input."""

LOOK_SECONDS = 0.2
"""How long a signal may go unnoticed while standard input has nothing."""

STRAYS_NAMED = 3
"""Files without talks that are named."""

ENTRY_OF_SESSIONS = 4
"""How many times what a session may be an entry of a file may be: it is written less tersely."""


def import_from(settings: Settings, source: str, *, brings_back: bool = False) -> int:
    """Take in every conversation of a file, a folder or an archive, or of standard input for `-`.

    `brings_back`: also what was deleted here. 0 if all came in or was there, 1 if not all, 2 if nothing could be read.
    """
    if source == "-":
        return run(_from_standard_input(settings, brings_back=brings_back))
    return run(_import(settings, Path(source), brings_back=brings_back))


async def _from_standard_input(settings: Settings, *, brings_back: bool) -> int:
    # A file of its own, because what it is is seen by its beginning, and an archive is read from its end. It has no
    # name, so that nothing of it is left however this ends.
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]  it is, where whoever started us closed it
        raise InvalidArgument("standard input is closed: name a file.")
    with tempfile.TemporaryFile() as file:
        with interruptible():
            _copy(cast("BufferedReader", sys.stdin.buffer), file)
        return await _import(settings, Stream(file, "standard input"), brings_back=brings_back)


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


async def _import(settings: Settings, given: Path | Stream, *, brings_back: bool) -> int:
    limit = ENTRY_OF_SESSIONS * settings.max_session_bytes
    with sources(given) as found:
        for link in found.links:
            tell(f"{link} is a link, and is left. To take it in, name what it leads to.")
        # What is not there or cannot be read ends the command before anything is written.
        strays = {source for source in found.files if is_stray(source, limit) and source != given}
        if strays:
            tell(f"Left {len(strays):,} of {len(found.files):,} files that have no talks: {_first_of(strays)}.")
        files, related = in_order(found.files, limit)
        files = [each for each in files if each not in strays]
        credentials = Credentials(settings.secrets)
        report = Report(credentials, await _count(files, limit))
        sessions, _ = open_store(settings)
        async with sessions:
            importer = Importer(sessions, credentials, shared=await reach(sessions), brings_back=brings_back)
            try:
                async for source, each in _all_entries(files, limit):
                    try:
                        added = await importer.add(each, related=source in related)
                    except FlywheelError as exc:
                        added = Added("bad", f"is not taken in: {exc}")
                    report.note(source, each, added)
            except asyncio.CancelledError:
                report.interrupted()
                raise
    report.end(settings.session_ttl_seconds)
    return 0 if report.complete else 1


def _first_of(strays: set[Source]) -> str:
    shown = sorted(map(str, strays))
    return ", ".join(shown[:STRAYS_NAMED]) + (" …" if len(shown) > STRAYS_NAMED else "")


async def _count(files: Sequence[Source], limit: int) -> int:
    """How many entries there are. Reading all twice costs little beside the writing; it is done for who watches."""
    number = 0
    if sys.stderr.isatty():
        async for _ in _all_entries(files, limit):
            number += 1
            counting(number)
    return number


async def _all_entries(
    files: Sequence[Source], limit: int
) -> AsyncGenerator[tuple[Source, Ours | Imported | BadEntry]]:
    for source in files:
        for each in _entries(source, limit):
            await asyncio.sleep(0)  # a signal ends it here, too
            yield source, each


def _entries(source: Source, limit: int) -> Iterator[Ours | Imported | BadEntry]:
    if recognise(source, limit) != "flywheel":
        yield from read(source, limit=limit)
        return
    for entry in exported(source, limit):
        yield _ours(entry) if isinstance(entry, JsonEntry) else entry


def _ours(entry: JsonEntry) -> Ours | BadEntry:
    value, halves = mended(entry.value)
    own = value.get("id")
    talk = named_entry(entry, value.get("title"), own if isinstance(own, str) else "")
    try:
        check_json(value, "the document")
        document = decode(dumps(value), str(value.get("id") or ""))
    except FlywheelError as exc:
        return BadEntry(entry.line, f"is no session: {exc}", talk)
    if isinstance(document, Document):
        return Ours(entry.line, document, halves)
    return BadEntry(entry.line, "is a deleted one", talk)
