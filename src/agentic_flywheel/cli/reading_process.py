"""Reads transcripts for another process, which writes what is in them.

    python -m agentic_flywheel.cli.reading_process     `[path, limit]` on standard input, a line each

It answers for each file with a pickle of `(stat, kind, is_followed)`, or of `None` where the other is to read it. Then
comes the whole of one whose lines are followed, or else entry by entry, and `None` at the end. A pipe holds little: it
waits with what is next until that is read. Where nobody reads any more, it ends.
"""

import contextlib
import gc
import json
import pickle
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from agentic_flywheel.cli.importers.conversation import Imported
from agentic_flywheel.cli.importers.files import is_database, read, recognise
from agentic_flywheel.cli.importers.following import FOLLOWED, Grown, read_whole
from agentic_flywheel.cli.importers.json_entries import BadEntry
from agentic_flywheel.cli.reading_marks import Stat
from agentic_flywheel.sessions.redaction.values import redacted

WAITED_SECONDS, BYTES_A_SECOND = 0.0005, 100_000_000
"""Where a write took longer, the other process has more to do than this one, which looks for credentials then."""

LOOKED_FOR_GARBAGE = 1_000_000
"""New objects before garbage is looked for: what a file holds goes by itself, and looking took a tenth of the time."""


def main() -> None:
    """Answer what is asked. Whoever asked ends this process: a signal to both is theirs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.set_threshold(LOOKED_FOR_GARBAGE)
    wanted = [json.loads(line) for line in sys.stdin.buffer]
    answers = _Answers()
    with contextlib.suppress(BrokenPipeError):
        for name, limit in wanted:
            answers.answer(Path(name), limit)


class _Answers:
    def __init__(self) -> None:
        self._waited = False

    def answer(self, path: Path, limit: int) -> None:
        """Say what is in a file."""
        try:
            stat, kind = Stat.of(path), recognise(path, limit)
            if kind is None or kind == "flywheel" or is_database(path):
                self._say(None)
                return
            grown = read_whole(path, kind, limit) if kind in FOLLOWED else None
        except OSError:
            self._say(None)
            return
        self._say((stat, kind, grown is not None))
        if grown:
            self._say(replace(grown, entries=[*map(self._looked_through, grown.entries)]))
            return
        for entry in read(path, kind, limit):  # an error ends this process: the other one meets it as well
            self._say(self._looked_through(entry))
        self._say(None)

    def _looked_through(self, entry: Imported | BadEntry) -> Imported | BadEntry:
        """The entry, with whether it is clean, if there is time for that."""
        if not self._waited or isinstance(entry, BadEntry):
            return entry
        return replace(entry, is_clean=not redacted(entry.history, "history")[1])

    def _say(self, value: object) -> None:
        data, began = pickle.dumps(value, pickle.HIGHEST_PROTOCOL), time.monotonic()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        waited = time.monotonic() - began > WAITED_SECONDS + len(data) / BYTES_A_SECOND
        self._waited = waited or (self._waited and not isinstance(value, Imported | Grown))


if __name__ == "__main__":
    main()
