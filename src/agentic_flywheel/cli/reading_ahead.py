"""Reads many transcripts in a process of its own, each while the one before it is written: reading is half of the work.

    python -m agentic_flywheel.cli.reading_ahead     `[path, limit]` on standard input, a line each

It answers each with a pickle, and waits with the next until that is read: a pipe holds less than one. Where nobody
reads any more, it ends. What it cannot read, and all once it has failed, the caller reads itself.
"""

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, cast

import anyio.to_thread

from agentic_flywheel.cli.importers.files import recognise
from agentic_flywheel.cli.importers.following import FOLLOWED, Grown, read_whole
from agentic_flywheel.cli.reading_marks import Stat

WORTH_FILES, WORTH_BYTES = 8, 4_000_000
"""Fewer files, or smaller ones, are read sooner than another process has begun."""

Answer = tuple[Stat, Grown]
"""What a file was before it was read, and what is in it."""


class Ahead:
    """The process, which gets its files when the first is asked for; a context that ends it."""

    def __init__(self, files: Iterable[Path], limit: int) -> None:
        """Begin with these files, if that is worth it."""
        wanted = list(files)
        self._limit = limit
        self._waiting = deque(wanted if _is_worth_it(wanted) else ())
        self._left = set(self._waiting)
        self._process: subprocess.Popen[bytes] | None = None

    async def take(self, path: Path) -> Answer | None:
        """What is in the file; `None` where the caller is to read it."""
        if path not in self._left:
            return None
        return await anyio.to_thread.run_sync(self._take, path, abandon_on_cancel=True)

    def _take(self, path: Path) -> Answer | None:
        try:
            process = self._process = self._process or self._begun()
            answers = cast("BinaryIO", process.stdout)
            while self._waiting:
                named, answer = self._waiting.popleft(), cast("Answer | None", pickle.load(answers))  # noqa: S301
                self._left.discard(named)
                if named == path:
                    return answer
        except (OSError, EOFError, pickle.UnpicklingError):
            self._left.clear()
        return None

    def _begun(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", "agentic_flywheel.cli.reading_ahead"]
        files = subprocess.PIPE
        process = subprocess.Popen(command, stdin=files, stdout=files, stderr=subprocess.DEVNULL)
        given = cast("BinaryIO", process.stdin)
        for path in self._waiting:  # it takes in all of them before it answers
            given.write(json.dumps([str(path), self._limit]).encode() + b"\n")
        given.close()
        return process

    def __enter__(self) -> "Ahead":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            cast("BinaryIO", self._process.stdout).close()


def _is_worth_it(files: list[Path]) -> bool:
    return len(files) >= WORTH_FILES and (os.cpu_count() or 1) > 1 and sum(_sizes(files)) >= WORTH_BYTES


def _sizes(files: list[Path]) -> Iterator[int]:
    for path in files:
        with contextlib.suppress(OSError):
            yield path.stat().st_size


def main() -> None:
    """Answer what is asked. Whoever asked ends this process: a signal to both is theirs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    wanted = [json.loads(line) for line in sys.stdin.buffer]
    with contextlib.suppress(BrokenPipeError):
        for name, limit in wanted:
            pickle.dump(_read(Path(name), limit), sys.stdout.buffer, pickle.HIGHEST_PROTOCOL)
            sys.stdout.buffer.flush()


def _read(path: Path, limit: int) -> Answer | None:
    try:
        stat, kind = Stat.of(path), recognise(path, limit)
        return (stat, read_whole(path, kind, limit)) if kind in FOLLOWED else None
    except OSError:
        return None


if __name__ == "__main__":
    main()
