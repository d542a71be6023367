"""Reads transcripts for another process, which writes what is in them.

    python -m agentic_flywheel.cli.reading_process     `[path, limit]` on standard input, a line each

It answers for each file with a pickle of `(stat, kind, is_followed)`, or of `None` where the other is to read it. Then
comes the whole of one whose lines are followed, or else entry by entry, and `None` at the end. A pipe holds little: it
waits with what is next until that is read. Where nobody reads any more, it ends.
"""

import contextlib
import json
import pickle
import signal
import sys
from pathlib import Path

from agentic_flywheel.cli.importers.files import is_database, read, recognise
from agentic_flywheel.cli.importers.following import FOLLOWED, read_whole
from agentic_flywheel.cli.reading_marks import Stat


def main() -> None:
    """Answer what is asked. Whoever asked ends this process: a signal to both is theirs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    wanted = [json.loads(line) for line in sys.stdin.buffer]
    with contextlib.suppress(BrokenPipeError):
        for name, limit in wanted:
            _answer(Path(name), limit)


def _answer(path: Path, limit: int) -> None:
    try:
        stat, kind = Stat.of(path), recognise(path, limit)
        if kind is None or kind == "flywheel" or is_database(path):
            _say(None)
            return
        grown = read_whole(path, kind, limit) if kind in FOLLOWED else None
    except OSError:
        _say(None)
        return
    _say((stat, kind, grown is not None))
    if grown:
        _say(grown)
        return
    for entry in read(path, kind, limit):  # an error ends this process: the other one meets it as well
        _say(entry)
    _say(None)


def _say(value: object) -> None:
    pickle.dump(value, sys.stdout.buffer, pickle.HIGHEST_PROTOCOL)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
