"""`sessions list` where the journal is all there is: it imports neither asyncio nor pydantic, and starts nothing."""

from argparse import Namespace
from dataclasses import replace
from datetime import UTC, datetime

from agentic_flywheel.cli.interrupts import interruptible
from agentic_flywheel.cli.session_table import show_listed
from agentic_flywheel.cli.terminal import finish
from agentic_flywheel.keys import Keys
from agentic_flywheel.sessions.journal_list import newest
from agentic_flywheel.sessions.session_filter import SessionFilter, check_limit, whose
from agentic_flywheel.sessions.wiring import has_store, open_journal
from agentic_flywheel.settings import Settings


def list_sessions(settings: Settings, options: Namespace) -> int:
    """List the newest sessions; the exit code."""
    if (
        settings.redis_enabled or not settings.journal or options.query or not has_store(settings)
    ):  # which all need a store
        from agentic_flywheel.cli.sessions_command import sessions

        return sessions(settings, options)
    return finish(lambda: _list_here(settings, options))


def _list_here(settings: Settings, options: Namespace) -> int:
    check_limit(options.limit)
    asked = SessionFilter(tags=tuple(options.tag), user_id=options.user)
    session_filter = replace(asked, user_id=whose(asked.user_id, settings.user, own_only=settings.user_only))
    journal = open_journal(settings)
    try:
        with interruptible():
            rows, more = newest(
                journal, Keys(settings.key_prefix).index, session_filter, options.limit, datetime.now(UTC)
            )
    finally:
        journal.close()
    show_listed(rows, more=more, filtered=asked != SessionFilter(), options=options)
    return 0
