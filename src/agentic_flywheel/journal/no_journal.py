"""Stands in for the journal when `FLYWHEEL_JOURNAL` is false: its verbs raise `JournalUnavailable`."""

from datetime import datetime
from pathlib import Path
from typing import NoReturn

from agentic_flywheel.documents.writes import Write
from agentic_flywheel.errors import JournalUnavailable
from agentic_flywheel.journal.journal import Journal
from agentic_flywheel.journal.migrations import THIS_MACHINE
from agentic_flywheel.journal.records import JournalState, Pending
from agentic_flywheel.journal.search_index import SearchIndex


class NoJournal(Journal):
    """Holds nothing and takes nothing."""

    off = True

    def __init__(self) -> None:
        super().__init__(Path(), datetime.now)
        self._search_index = SearchIndex(Path(), in_memory=True)

    def _ensure_open(self, timeout: float) -> NoReturn:  # noqa: ARG002
        raise JournalUnavailable("The journal is switched off (FLYWHEEL_JOURNAL=false).")

    def index_new(self, seconds: float) -> int:  # noqa: ARG002
        """Nothing is kept here: what lists show is searched in memory."""
        return 0

    def _places(self) -> list[int]:
        return [THIS_MACHINE]

    def lookup_nowait(self, key: str, largest: int = 0) -> tuple[Pending | None, Write | None] | None:  # noqa: ARG002
        """Answer that nothing is kept, so that no thread is asked."""
        return None, None

    def has_none_here(self, key: str) -> bool:  # noqa: ARG002
        """Answer the same."""
        return True

    def state(self) -> JournalState:
        """Switched off."""
        return JournalState(None)
