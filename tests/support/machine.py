"""Servers on a machine in a bad mood: each is a command for `WireServer`, and holds for root as for anybody else."""

import sys

SERVE = 'os.execv(sys.executable, [sys.executable, "-m", "agentic_flywheel"])'
"""The server, in the place of the program that set its limits."""

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
