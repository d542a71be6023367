"""Stands in for the journal when `FLYWHEEL_JOURNAL` is false: its verbs raise `JournalUnavailable`."""

import contextlib
from collections.abc import Generator
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from agentic_flywheel.documents.writes import Write
from agentic_flywheel.errors import JournalUnavailable
from agentic_flywheel.journal.journal import Journal
from agentic_flywheel.journal.records import JournalState, Pending


class NoJournal(Journal):
    """Holds nothing and takes nothing."""

    off = True

    def __init__(self) -> None:
        super().__init__(Path(), datetime.now)

    def _ensure_open(self, timeout: float) -> NoReturn:  # noqa: ARG002
        raise JournalUnavailable("The journal is switched off (FLYWHEEL_JOURNAL=false).")

    @contextlib.contextmanager
    def _searching(self) -> Generator[None]:
        with self._snapshot():
            yield

    def lookup_nowait(self, key: str, largest: int = 0) -> tuple[Pending | None, Write | None] | None:  # noqa: ARG002
        """Answer that nothing is kept, so that no thread is asked."""
        return None, None

    def state(self) -> JournalState:
        """Switched off."""
        return JournalState(None)
