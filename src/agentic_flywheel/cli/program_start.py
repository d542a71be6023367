"""Says how this program is started from anywhere: by an absolute command, since clients have next to no PATH."""

import os
import shutil
import sys
from pathlib import Path

from agentic_flywheel.cli.parser import PROGRAM


def program_start() -> list[str]:
    """How this program is started from anywhere."""
    called = Path(sys.argv[0])
    found = str(called) if called.is_absolute() and os.access(called, os.X_OK) and called.suffix != ".py" else ""
    found = found or shutil.which(PROGRAM) or ""
    return [found] if found else [sys.executable, "-P", "-m", "agentic_flywheel"]
