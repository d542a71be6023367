"""Servers on a machine in a bad mood: each is a command for `WireServer`, and holds for root as for anybody else."""

import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

SERVE = 'os.execv(sys.executable, [sys.executable, "-m", "agentic_flywheel", *sys.argv[1:]])'
"""The server, or the command of the arguments, in the place of the program that set its limits."""

# Root may write where nobody may, unless it gives up that right: CAP_DAC_OVERRIDE (1) and CAP_DAC_READ_SEARCH (2).
_UNPRIVILEGED = f"""
import ctypes, os, sys
if os.geteuid() == 0 and sys.platform == "linux":
    for capability in (1, 2):
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
{SERVE}
"""

_FULL = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (BYTES, BYTES))
"""


def unprivileged() -> list[str]:
    """A server to which the modes of files and folders apply, even if root starts it."""
    return [sys.executable, "-c", _UNPRIVILEGED]


def disk_full(after: int) -> list[str]:
    """A server that can make no file longer than `after` bytes, nor its child."""
    return [sys.executable, "-c", _FULL.replace("BYTES", str(after)) + SERVE]


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Callable[[], contextlib.AbstractContextManager[None]]]:
    """A disk of 8 MB at `folder`, and what fills it for as long as that is entered.

    Where nothing may be mounted the disk is that of the folder, and it is full for this process only.
    """
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    mounted = (
        sys.platform == "linux" and os.geteuid() == 0 and not subprocess.run(command, capture_output=True).returncode
    )
    try:
        yield (lambda: _filled(folder / "filling")) if mounted else _limited
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)  # noqa: S607


@contextlib.contextmanager
def _filled(filling: Path) -> Iterator[None]:
    with filling.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    try:
        yield
    finally:
        filling.unlink()


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
