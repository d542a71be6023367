"""A disk that is full for a while under a running server: a small file system, else a limit on files."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

if sys.platform == "linux":
    import resource


class Disk(Protocol):
    """Where a machine's data folder is."""

    def fill(self, pids: Sequence[int]) -> None:
        """From now on nothing can be written there, by these processes."""
        ...

    def free(self, pids: Sequence[int]) -> None:
        """There is room again."""
        ...

    def close(self) -> None:
        """Nothing of it is left."""
        ...


class SmallDisk:
    """A file system in memory, mounted at `folder` (root's alone): SQLite meets "No space left on device"."""

    SIZE = "96m"

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={self.SIZE},mode=0700", "tmpfs", str(folder)]
        subprocess.run(command, check=True, capture_output=True)
        self._folder = folder
        self._ballast = folder / "ballast"

    def fill(self, pids: Sequence[int]) -> None:
        del pids
        with self._ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            for size in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(b"x" * size)

    def free(self, pids: Sequence[int]) -> None:
        del pids
        self._ballast.unlink(missing_ok=True)

    def close(self) -> None:
        subprocess.run(["umount", "-l", str(self._folder)], check=True, capture_output=True)  # noqa: S607


class LimitedFiles:
    """A limit of 0 bytes on what running processes may write to any file (Linux): SQLite meets "File too large"."""

    def fill(self, pids: Sequence[int]) -> None:
        self._limit(pids, 0)

    def free(self, pids: Sequence[int]) -> None:
        self._limit(pids, resource.RLIM_INFINITY)

    def close(self) -> None:
        """Nothing is left of it."""

    def _limit(self, pids: Sequence[int], size: int) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, most))


def disks(folder: Path) -> list[Disk]:
    """All the ways that this user has to fill the disk that `folder` is on."""
    found: list[Disk] = [LimitedFiles()] if sys.platform == "linux" else []
    if os.geteuid() == 0:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            found.append(SmallDisk(folder))
    return found
