"""`purge`: empties this machine's copies of what Redis holds. What is here alone stays."""

import sys

from agentic_flywheel.errors import JournalUnavailable
from agentic_flywheel.sessions.wiring import open_journal
from agentic_flywheel.settings import Settings


def purge(settings: Settings) -> int:
    """Purge and say what went; the exit code."""
    journal = open_journal(settings)
    try:
        gone = journal.purge()
        state = journal.state()
    except JournalUnavailable as exc:
        sys.stderr.write(f"agentic-flywheel-state: {exc}\n")
        return 1
    finally:
        journal.close()
    sys.stdout.write(
        f"Removed {gone} {'copy' if gone == 1 else 'copies'} of what Redis holds. {state.pending} pending "
        f"{'change' if state.pending == 1 else 'changes'} and all that is on this machine alone stay in {state.path} "
        f"({state.bytes:,} bytes).\n"
    )
    return 0
