"""Searches the turns of this machine's sessions in the index beside the journal, which is filled from its rows."""

import contextlib
import sqlite3
from collections.abc import Callable, Generator, Sequence
from datetime import datetime
from pathlib import Path

from agentic_flywheel.errors import JournalUnavailable
from agentic_flywheel.journal.address import Address
from agentic_flywheel.journal.connection import JournalFile
from agentic_flywheel.journal.migrations import THIS_MACHINE
from agentic_flywheel.journal.records import Head, Matches
from agentic_flywheel.journal.recovery import cause
from agentic_flywheel.journal.retry import retry_once_if_replaced
from agentic_flywheel.journal.rows import PART, copy_of
from agentic_flywheel.journal.search_index import SearchIndex

SEARCH_SECONDS = 1.5
"""How long a search indexes sessions that are new to it: some 30 MB."""


class SearchRows(JournalFile):
    """The verbs of searching."""

    def __init__(self, folder: Path, clock: Callable[[], datetime], address: Address) -> None:
        super().__init__(folder, clock, address)
        self._search_index = SearchIndex(folder)

    def search(self, index: str, words: Sequence[str], needed: int) -> Matches:
        """The sessions here with `needed` of the words, in their turns or in what lists show of them."""
        with self._searching():
            return self._search_index.find(index, self._heads(), self._text_of, words, needed, SEARCH_SECONDS)

    def excerpts(self, keys: Sequence[str], words: Sequence[str]) -> dict[str, str]:
        """An excerpt of the turns with some of the words, by key, where they have one."""
        with self._searching():
            with self._snapshot():
                destinations = THIS_MACHINE, self._destination
            return self._search_index.excerpts(destinations, keys, words)

    def _unindex(self, *keys: str) -> bool:
        """Remove deleted sessions from the index; what cannot be removed now is at the next purge. Whether it went."""
        with contextlib.suppress(JournalUnavailable), self._searching():
            gone = [self._search_index.drop((self._destination, THIS_MACHINE), key) for key in keys]
            return all(gone)
        return False

    def _prune_search_index(self) -> bool:
        """Remove what the journal no longer holds; whether it went."""
        with contextlib.suppress(JournalUnavailable), self._searching():
            self._search_index.keep_only(self._heads(everywhere=True))
            return True
        return False

    def _delete_search_index(self) -> None:
        with self._searching():
            self._search_index.delete()

    @contextlib.contextmanager
    def _searching(self) -> Generator[None]:
        """Map the errors of the index, which are none of the journal."""
        try:
            yield
        except (sqlite3.Error, OSError) as exc:
            raise JournalUnavailable(f"The turns cannot be searched now: {cause(exc)}") from exc

    @retry_once_if_replaced
    def _text_of(self, head: Head) -> str | None:
        with self._snapshot() as db:
            copy = copy_of(db, head.destination, head.key)
        return copy.text if copy else None

    @retry_once_if_replaced
    def _heads(self, *, everywhere: bool = False) -> list[Head]:
        """The listed sessions here, or of every destination, that have not expired, newest first."""
        where = "destination IS NOT NULL" if everywhere else f"destination IN ({THIS_MACHINE}, ?)"
        with self._snapshot() as db:
            rows = db.execute(
                f"SELECT destination, list, key, member, saved_at FROM documents INDEXED BY recent WHERE {where}"  # noqa: S608
                f" AND list IS NOT NULL AND saved_at != {PART} AND (kept_until IS NULL OR kept_until > ?)",
                (self._now(),) if everywhere else (self._destination, self._now()),
            ).fetchall()
        return sorted((Head(*row) for row in rows), key=lambda head: head.saved_at, reverse=True)
