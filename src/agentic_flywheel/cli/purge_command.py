"""`forget-copies`: empties this machine's copies of what Redis holds, or erases only what has expired."""

import time

from agentic_flywheel.cli.terminal import complain, say, tell
from agentic_flywheel.errors import JournalUnavailable
from agentic_flywheel.journal import PAUSE_SECONDS, Journal
from agentic_flywheel.sessions.wiring import is_there, open_journal
from agentic_flywheel.settings import Settings


def purge(settings: Settings, *, expired_only: bool = False) -> int:
    """Forget the copies and say what went; the exit code. What this machine alone has stays, if it has not expired."""
    if not settings.journal or not is_there(settings):
        say("This machine keeps no copies: there is no journal.")
        return 0
    journal = open_journal(settings)
    try:
        gone = _erase_expired(journal) if expired_only else journal.purge()
        wiped = journal.wipe()
        state = journal.state()
    except JournalUnavailable as exc:
        complain(str(exc))
        return 1
    finally:
        journal.close()
    copies = "copy" if gone == 1 else "copies"
    copies += " of what Redis holds" if settings.redis_named else ""
    what = "expired " + ("document" if gone == 1 else "documents") if expired_only else copies
    alone = "all that has not expired" if expired_only else "all that is on this machine alone"
    say(
        f"Removed {gone} {what}. {state.pending} pending {'change' if state.pending == 1 else 'changes'} and {alone} "
        f"stay in {state.path} ({state.bytes:,} bytes)."
    )
    if not wiped:
        tell("Another program is reading the files, so a trace may be left in them. Run this once more.")
    return 0


def _erase_expired(journal: Journal) -> int:
    """Erase what has expired, in short steps; how many documents of the destination in use went."""
    gone, more = 0, True
    while more:
        purged = journal.purge_expired(at_once=True)
        gone, more = gone + len(purged.gone), purged.more
        time.sleep(PAUSE_SECONDS if more else 0)
    return gone
