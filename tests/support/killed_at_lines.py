"""Shows what `seal_journal` and `unseal_journal` leave when they are killed, at each of their lines.

    python -m tests.support.killed_at_lines VERB FOLDER

FOLDER/store is the folder to begin with. FOLDER/0, FOLDER/1 … are what would be left of it by a kill at some line: a
copy that another process makes while this one stands there. The last one is that of the end. One that would be like the
one before is left out.
"""

import os
import shutil
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from agentic_flywheel.journal.conversion import seal_journal, unseal_journal

from .files import contents
from .sealed import ring

FILES = ("conversion.py", "key_file.py")
"""Those whose lines are counted."""

VERBS = {"seal": seal_journal, "unseal": unseal_journal}


def copied(store: Path, folder: Path) -> None:
    """Copy the folder in a process of its own: to close a file here would let go of the locks that we hold on it."""
    if (pid := os.fork()) == 0:
        try:
            sys.settrace(None)
            shutil.copytree(store, folder)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0


def texts(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): text for path, text in contents(folder)}


def main(verb: str, work: Path) -> None:
    """Copy what is there at its first line, its second, until it comes to its end."""
    lines = 0

    def copy() -> None:
        nonlocal lines
        copied(work / "store", work / str(lines))
        if lines and texts(work / str(lines)) == texts(work / str(lines - 1)):
            shutil.rmtree(work / str(lines))
        else:
            lines += 1

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.endswith(FILES):
            return None
        if event == "line":
            copy()
        return trace

    sys.settrace(trace)
    VERBS[verb](work / "store", ring("a"))
    sys.settrace(None)
    copy()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
