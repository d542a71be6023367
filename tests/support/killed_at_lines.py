"""Kills `seal_journal` and `unseal_journal` at each line: `python -m tests.support.killed_at_lines VERB FOLDER`.

FOLDER/store is the folder to begin with. FOLDER/0, FOLDER/1 … are what was left of copies of it, the last of one that
came to its end.
"""

import os
import shutil
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from agentic_flywheel.journal.conversion import seal_journal, unseal_journal

from .sealed import ring

FILES = ("conversion.py", "key_file.py")
"""Those whose lines are counted."""

VERBS = {"seal": seal_journal, "unseal": unseal_journal}


def killed_after(lines: int, verb: str, folder: Path) -> bool:
    """Do it in a process of its own that is killed at that line; whether it was killed."""
    if (pid := os.fork()) == 0:
        left = lines

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal left
            if not frame.f_code.co_filename.endswith(FILES):
                return None
            if event == "line":
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        VERBS[verb](folder, ring("a"))
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert status in (0, signal.SIGKILL), status
    return status != 0


def main(verb: str, work: Path) -> None:
    """Kill it at its first line, its second, until it comes to its end."""
    for lines in range(10_000):
        folder = work / str(lines)
        shutil.copytree(work / "store", folder)
        if not killed_after(lines, verb, folder):
            return
    raise AssertionError("it never came to its end")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
