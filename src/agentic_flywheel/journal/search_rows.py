"""Searches this machine's sessions, and what the shared list shows of others, in the index beside the journal."""

import contextlib
import sqlite3
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from agentic_flywheel.documents.model import expired
from agentic_flywheel.documents.writes import ListRow
from agentic_flywheel.errors import Damaged, JournalUnavailable
from agentic_flywheel.journal.address import Address
from agentic_flywheel.journal.connection import JournalFile
from agentic_flywheel.journal.migrations import THIS_MACHINE
from agentic_flywheel.journal.question import Question
from agentic_flywheel.journal.records import LOW, Head, Lists, Matches, Saves
from agentic_flywheel.journal.recovery import cause
from agentic_flywheel.journal.retry import retry_once_if_replaced
from agentic_flywheel.journal.rows import PART, copy_of
from agentic_flywheel.journal.search_index import SearchIndex
from agentic_flywheel.journal.tokens import excerpt
from agentic_flywheel.json_text import load_object

SEARCH_SECONDS = 1.5
"""How long a search indexes sessions that are new to it, some 30 MB; the rest follows in the background."""


class SearchRows(JournalFile):
    """The verbs of searching."""

    def __init__(self, folder: Path, clock: Callable[[], datetime], address: Address) -> None:
        super().__init__(folder, clock, address)
        self._search_index = SearchIndex(folder)
        self._indexed: tuple[object, int] | None = None
        self._indexed_in = 0

    def search(self, index: str, question: Question) -> Matches:
        """The sessions known here that answer the question, the best first."""
        try:
            return self._search(index, question)
        except JournalUnavailable:  # a damaged index is deleted: it is made anew
            return self._search(index, question)

    def _search(self, index: str, question: Question) -> Matches:
        unread = self.index_new(SEARCH_SECONDS)
        with self._searching():
            matches = self._search_index.find(index, self._places(), question)
            if self._search_index.made != self._indexed_in:  # the file was made anew since it was filled
                self._indexed = None
                unread = self.index_new(SEARCH_SECONDS)
                matches = self._search_index.find(index, self._places(), question)
            return replace(matches, unread=unread)

    def index_new(self, seconds: float) -> int:
        """Index for so long what was saved since the last time; how many sessions are still to be read."""
        with self._searching():
            state = self._state()
            if state == self._indexed:
                return 0
            unread = self._index_new(seconds)
            self._indexed = None if unread else state
            self._indexed_in = self._search_index.made
            return unread

    def _index_new(self, seconds: float) -> int:
        """Index what was saved after all that is indexed; if other sessions differ then, compare all of them."""
        index, places = self._search_index, self._places()
        saved, indexed = self._saved(), index.indexed(places)
        if saved == indexed:
            return 0
        if unread := index.put(self._newer(saved, indexed), self._text_of, seconds):
            return unread
        if saved == index.indexed(places):
            return 0
        return index.put(index.outdated(self._heads(), places), self._text_of, seconds)

    def put_list_rows(self, rows: Sequence[ListRow], sessions: str) -> int:
        """Index rows of the shared list; how many were not known so. `sessions` is what keys of sessions begin with."""
        with self._searching():
            return self._search_index.put_rows(self._places()[-1], rows, lambda member: f"{sessions}{member}")

    def count_list_rows(self, index: str) -> int:
        """How many sessions of the shared list are known here."""
        with self._searching():
            return self._search_index.count(self._places()[-1], index)

    def whole_list_age(self, index: str) -> float | None:
        """How many seconds ago all rows of the shared list were put here; `None`: they never were."""
        with self._searching():
            at = self._search_index.read_whole_at(self._places()[-1], index)
        return None if at is None else abs(self._now() - at) / 1e6  # a clock that was ahead must not end it

    def note_whole_list(self, index: str) -> None:
        """Note that they were now."""
        with self._searching():
            self._search_index.note_whole(self._places()[-1], index, self._now())

    def forget_list_rows(self, keys: Sequence[str]) -> None:
        """Remove from the index what the shared list no longer has."""
        with self._searching():
            places = self._places()
            for key in keys:
                self._search_index.drop(places, key)
        self._indexed = None

    def excerpts(self, rows: Sequence[int], words: Sequence[str]) -> dict[int, str]:
        """An excerpt of what was said in each of these rows of the index, where it has one of the words."""
        with self._searching():
            texts = self._search_index.texts(rows)
        return {row: piece for row, text in texts.items() if (piece := excerpt(text, words))}

    def terms_like(self, beginning: str, most: int) -> list[str]:
        """Up to so many terms that begin so, of all that was said in sessions known here."""
        with self._searching():
            return self._search_index.terms_like(beginning, most)

    def terms_among(self, terms: Sequence[str]) -> list[str]:
        """Those of these terms that were said in sessions known here."""
        with self._searching():
            return self._search_index.terms_among(terms)

    def titles(self, index: str, most: int) -> list[tuple[str, str]]:
        """Member and note of the newest sessions known here."""
        with self._searching():
            return self._search_index.titles(index, self._places(), most)

    @retry_once_if_replaced
    def _state(self) -> tuple[object, int]:
        """What changes whenever the journal does."""
        with self._snapshot() as db:
            return (db, self._destination), db.execute("PRAGMA data_version").fetchone()[0]

    @retry_once_if_replaced
    def _places(self) -> list[int]:
        """Name this machine and the destination in use."""
        with self._snapshot():
            return [*dict.fromkeys((THIS_MACHINE, self._destination))]

    def _has_expired(self, note: str) -> bool:
        """Whether a row of a list says so, by our clock."""
        from agentic_flywheel.documents.parse import kept_until_in  # which a list of the journal does without

        try:
            until = kept_until_in({"kept_until": load_object(note, "a row of the list").get("expires_at")})
        except Damaged:
            return True
        return expired(until, self._clock())

    def _unindex(self, *keys: str) -> bool:
        """Remove deleted sessions from the index; what cannot be removed now is at the next purge. Whether it went."""
        with contextlib.suppress(JournalUnavailable), self._searching():
            gone = [self._search_index.drop((self._destination, THIS_MACHINE), key) for key in keys]
            return all(gone)
        return False

    def _prune_search_index(self) -> bool:
        """Remove what the journal no longer holds; whether it went."""
        with contextlib.suppress(JournalUnavailable), self._searching():
            self._search_index.keep_only(self._heads(everywhere=True), self._has_expired)
            self._indexed = None
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
            self._indexed = None
            raise JournalUnavailable(f"The turns cannot be searched now: {cause(exc).rstrip('.')}.") from exc

    @retry_once_if_replaced
    def _text_of(self, head: Head) -> str | None:
        with self._snapshot() as db:
            copy = copy_of(db, head.destination, head.key)
        return copy.text if copy else None

    @retry_once_if_replaced
    def _saved(self) -> Lists:
        """What is here of each list: one walk over an index, some 30 ms for 100,000 sessions."""
        with self._snapshot() as db:
            rows = db.execute(
                f"SELECT destination, list, count(*), sum(saved_at & {LOW}), max(saved_at) FROM documents"  # noqa: S608
                f" INDEXED BY recent WHERE destination IN ({THIS_MACHINE}, ?) AND list IS NOT NULL"
                f" AND saved_at != {PART} AND (kept_until IS NULL OR kept_until > ?) GROUP BY destination, list",
                (self._destination, self._now()),
            ).fetchall()
        return {(destination, index): Saves(*rest) for destination, index, *rest in rows}

    @retry_once_if_replaced
    def _newer(self, lists: Lists, indexed: Lists) -> list[Head]:
        """The sessions of these lists that were saved after the newest that is indexed, newest first."""
        heads: list[Head] = []
        with self._snapshot() as db:
            for (destination, index), saves in lists.items():
                known = indexed.get((destination, index))
                if saves != known:
                    rows = db.execute(
                        "SELECT destination, list, key, member, saved_at FROM documents INDEXED BY recent WHERE"
                        " destination = ? AND list = ? AND saved_at > ? AND (kept_until IS NULL OR kept_until > ?)",
                        (destination, index, known.newest if known else PART, self._now()),
                    )
                    heads += [Head(*row) for row in rows]
        return sorted(heads, key=lambda head: head.saved_at, reverse=True)

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
