"""`purge`: empties this machine's copies of what Redis holds. What this machine alone has stays."""

from agentic_flywheel.cli.terminal import say, tell
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
        tell(f"agentic-flywheel-state: {exc}")
        return 1
    finally:
        journal.close()
    say(
        f"Removed {gone} {'copy' if gone == 1 else 'copies'} of what Redis holds. {state.pending} pending "
        f"{'change' if state.pending == 1 else 'changes'} and all that is on this machine alone stay in {state.path} "
        f"({state.bytes:,} bytes)."
    )
    return 0
