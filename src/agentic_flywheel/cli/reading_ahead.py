"""Has many transcripts, or a large one, read by a process of its own, each talk while the one before it is written.

Reading is half of the work of an import. The process may be begun before it is known what it is to read, while this one
imports what writing needs. What it is asked and what it answers is in `reading_process.py`; what it cannot read, and
all once it has failed, the caller reads itself.
"""

import contextlib
import json
import os
import pickle
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, cast

if TYPE_CHECKING:
    from agentic_flywheel.cli.importers.conversation import Imported
    from agentic_flywheel.cli.importers.following import Grown
    from agentic_flywheel.cli.importers.json_entries import BadEntry
    from agentic_flywheel.cli.importers.kinds import Kind
    from agentic_flywheel.cli.reading_marks import Stat

WORTH_FILES, WORTH_BYTES = 8, 4_000_000
"""Fewer files, or smaller ones, are read sooner than another process has begun."""

HELD_BYTES = 2**20
"""What the pipe from it holds where that can be set: a few talks, so that none waits for the other at each."""

_FAILED = (OSError, EOFError, pickle.UnpicklingError, ValueError)


@dataclass(frozen=True, slots=True)
class Ahead:
    """What a file was before it was read, and its kind; what is in it, whole or entry by entry."""

    stat: "Stat"
    kind: "Kind"
    grown: "Grown | None" = None
    entries: "Iterator[Imported | BadEntry] | None" = None


class ReadingProcess:
    """The process; a context that ends it."""

    def __init__(self) -> None:
        """Begin it."""
        command = [sys.executable, "-P", "-m", "agentic_flywheel.cli.reading_process"]
        files = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=files, stdout=files, stderr=subprocess.DEVNULL)
        if sys.platform == "linux":
            import fcntl

            with contextlib.suppress(OSError):  # a system may allow less
                fcntl.fcntl(cast("BinaryIO", self._process.stdout), fcntl.F_SETPIPE_SZ, HELD_BYTES)

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def ask(self, files: Iterable[Path], limit: int) -> None:
        """Name the files that it is to read, in this order: once."""
        with contextlib.suppress(OSError), cast("BinaryIO", self._process.stdin) as given:
            given.write(b"".join(json.dumps([os.fsdecode(path), limit]).encode() + b"\n" for path in files))

    def next(self) -> Any:  # noqa: ANN401
        """What it answers next.

        Raises:
            OSError, EOFError, UnpicklingError, ValueError: it has ended, or was ended in the middle.

        """
        return pickle.load(cast("BinaryIO", self._process.stdout))  # noqa: S301  our own process wrote it

    def __enter__(self) -> "ReadingProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for file in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):  # what was not written has nobody to read it
                cast("BinaryIO", file).close()


def is_worth_it(files: Iterable[Path]) -> bool:
    """Whether reading so much is worth a process."""
    return (os.cpu_count() or 1) > 1 and sum(_sizes(files)) >= WORTH_BYTES


def _sizes(files: Iterable[Path]) -> Iterator[int]:
    for path in files:
        with contextlib.suppress(OSError):
            yield path.stat().st_size


class ReadAhead:
    """The files that are read ahead; a context that ends the process."""

    def __init__(self, files: Iterable[Path], limit: int, process: ReadingProcess | None = None) -> None:
        """Begin with these files, in a `process` that has begun, or in one of their own, if that is worth it."""
        self._waiting = deque(files)
        self._limit = limit
        begins = not process and len(self._waiting) >= WORTH_FILES and is_worth_it(self._waiting)
        self._process = ReadingProcess() if begins else process
        self._is_amid = False  # the entries of a file
        self._left = set(self._waiting) if self._process else set[Path]()
        if self._process:
            self._process.ask(self._waiting, limit)

    def take(self, path: Path) -> Ahead | None:
        """What is in the file; `None` where the caller is to read it. What was not taken before is passed over."""
        try:
            while path in self._left and self._process:
                while self._is_amid:  # who took the file before gave up
                    self._is_amid = self._process.next() is not None
                named = self._waiting.popleft()
                self._left.discard(named)
                found = self._answer(self._process, named)
                if named == path:
                    return found
        except _FAILED:
            self._left.clear()
        return None

    def _answer(self, process: ReadingProcess, path: Path) -> Ahead | None:
        head: tuple[Stat, Kind, bool] | None = process.next()
        if head is None:
            return None
        stat, kind, is_followed = head
        if is_followed:
            return Ahead(stat, kind, grown=process.next())
        self._is_amid = True
        return Ahead(stat, kind, entries=self._entries(process, path, kind))

    def _entries(self, process: ReadingProcess, path: Path, kind: "Kind") -> "Iterator[Imported | BadEntry]":
        done = 0
        try:
            while (entry := process.next()) is not None:
                done += 1
                yield entry
            self._is_amid = False
        except _FAILED:
            from agentic_flywheel.cli.importers.files import read

            self._is_amid = False
            self._left.clear()
            yield from islice(read(path, kind, self._limit), done, None)

    def __enter__(self) -> "ReadAhead":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process:
            self._process.__exit__(kind, exc, trace)
