"""Lists sessions: the stash's list, corrected by what this machine knows and the stash does not yet."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from agentic_flywheel.coaia.stash import Stash
from agentic_flywheel.documents.commands import as_copy
from agentic_flywheel.documents.list_row import revision_in
from agentic_flywheel.documents.writes import EVERY_ROW, Filter, ListRow
from agentic_flywheel.errors import DocumentError, JournalUnavailable, StashUnavailable
from agentic_flywheel.journal import Journal
from agentic_flywheel.journal.threads import at_once, in_thread

logger = logging.getLogger(__name__)

SIDE_BY_SIDE = 8
"""Sessions that are read at a time to be listed."""

READ_AHEAD = 1_000
"""Entries of the journal read at once where some may not be wanted."""

END = (0, "")
"""The position beyond every entry."""

PUTTING_BACK = "Redis had lost sessions that this machine has; they are being put back, and listed from here meanwhile."


@dataclass(frozen=True, slots=True)
class Page:
    """Entries of a list, newest first; `older` is where to go on, `None` at the end. There may be fewer than asked for.

    `shared`: the stash answered; if it was to be asked and did not, `why`.
    """

    entries: list[ListRow]
    older: tuple[int, str] | None
    shared: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class _Local:
    """What this machine adds to a page: entries with a pending change, and others that the stash does not have.

    Of those there are more beyond the position `end`. `lost`: Redis had some of them once.
    """

    unsent: list[ListRow]
    others: list[ListRow]
    lost: bool
    end: tuple[int, str]


class SessionList:
    """The list of sessions in the stash, if there is one, and in the journal."""

    def __init__(self, journal: Journal, stash: Stash | None) -> None:
        self._journal = journal
        self._stash = stash

    async def page(
        self, index: str, before: tuple[int, str] | None, limit: int, deadline: float, wanted: Filter = EVERY_ROW
    ) -> Page:
        """A page of the list: the stash's, if it answers till the deadline, with what is pending; else the journal's.

        What is not `wanted` may be left out.

        Raises:
            Unavailable: there is neither.

        """
        why = ""
        if self._stash:
            try:
                await self._stash.ready(deadline)
                if self._stash.atomic:
                    until = min(deadline, self._stash.deadline())
                    return await self._shared_page(self._stash, index, before, limit, wanted, until)
            except StashUnavailable as exc:
                logger.info("Listing this machine's sessions only: %s", exc)
                why = str(exc)
        at_once = limit if wanted == EVERY_ROW else max(limit, READ_AHEAD)  # nothing is left out here
        entries = await in_thread(self._journal.recent, index, before, at_once)
        return Page(entries, position_of(entries[-1]) if len(entries) == at_once else None, shared=False, why=why)

    async def still_stored(self, members: Sequence[str], deadline: float) -> set[str]:
        """Those of these sessions that the stash holds, whatever our clock says; none if it is not known."""
        stash = self._stash
        if stash and stash.atomic and members:
            with contextlib.suppress(StashUnavailable):
                marks = await stash.versions([stash.session_key(member) for member in members], deadline)
                present = zip(members, marks.values(), strict=True)
                return {member for member, mark in present if mark and mark.revision is not None}
        return set()

    async def entries(self, index: str, members: Sequence[str], deadline: float) -> list[ListRow]:
        """The entries of these members: the stash's, if it answers till the deadline, unless a newer one is pending.

        Raises:
            Unavailable: it is not known what they are.

        """
        if not members:
            return []
        if self._stash:
            with contextlib.suppress(StashUnavailable):
                await self._stash.ready(deadline)
                if self._stash.atomic:
                    return await self._shared_entries(self._stash, index, members, deadline)
        return await in_thread(self._journal.entries, index, members)

    async def _shared_entries(self, stash: Stash, index: str, members: Sequence[str], deadline: float) -> list[ListRow]:
        found = {entry.member: entry for entry in await stash.index.entries(index, members, deadline)}
        deleted: list[str] = []
        with contextlib.suppress(JournalUnavailable):  # what Redis has is listed all the same
            unsent, deleted = await in_thread(self._journal.unsent, index)
            wanted = {*members}
            found |= {entry.member: entry for entry in unsent if entry.member in wanted}
            if missing := [member for member in members if member not in found]:
                local = await in_thread(self._journal.entries, index, missing)
                found |= {entry.member: entry for entry in local if entry.here_alone}
        return [entry for entry in found.values() if stash.session_key(entry.member) not in deleted]

    async def _shared_page(
        self,
        stash: Stash,
        index: str,
        before: tuple[int, str] | None,
        limit: int,
        wanted: Filter,
        deadline: float,
    ) -> Page:
        # The journal is read first: what is sent meanwhile is then seen twice rather than not at all.
        try:
            local = await at_once(self._journal, self._local, index, before, limit)
        except JournalUnavailable:
            local = _Local([], [], lost=False, end=END)
        listed = await stash.index.page(index, before, limit, wanted, deadline)
        put, _ = await index_sessions(stash, index, listed.unlisted, deadline)
        if put:
            listed = await stash.index.page(index, before, limit, wanted, deadline)
        hidden = {entry.member for entry in local.unsent}
        members = {entry.member for entry in listed.entries}
        deleted = await self._deleted(stash, listed.entries)
        end = max(listed.older or END, local.end)
        added = [*local.unsent, *(e for e in local.others if e.member not in hidden | members)]
        shared = [e for e in listed.entries if e.member not in hidden and stash.session_key(e.member) not in deleted]
        entries = [
            e for e in (*added, *shared) if (before is None or position_of(e) < before) and position_of(e) >= end
        ]
        entries.sort(key=position_of, reverse=True)
        return Page(entries, None if end == END else end, shared=True, why=PUTTING_BACK if local.lost else "")

    def _local(self, index: str, before: tuple[int, str] | None, limit: int) -> _Local:
        with self._journal.one_moment():
            unsent, _ = self._journal.unsent(index)
            lost = self._journal.list_missing(index, before, limit)
            own = self._journal.recent_of_this_machine(index, before, limit)
        ends = [position_of(entries[-1]) for entries in (lost, own) if len(entries) == limit]
        return _Local(unsent, [*lost, *own], bool(lost), max(ends, default=END))

    async def _deleted(self, stash: Stash, entries: list[ListRow]) -> set[str]:
        """The keys of those whose deletion this machine knows: it is still to be sent, or somebody undid it."""
        rows = {stash.session_key(entry.member): entry for entry in entries}
        try:
            deleted = await at_once(self._journal, self._journal.tombstone_revisions, [*rows])
        except JournalUnavailable:
            return set()
        return {key for key, revision in deleted.items() if revision_in(rows[key].note) <= revision}


async def reconcile_index(stash: Stash, index: str, position: str, deadline: float) -> str:
    """Compare a part of the shared list, from `position` on, with what is stored; where to go on.

    Where more is missing than there was time for, that is the same position again.
    """
    following, unlisted = await stash.index.reconcile(index, position, deadline)
    put, looked_at = await index_sessions(stash, index, unlisted, deadline)
    return position if put and looked_at < len(unlisted) else following


async def index_sessions(stash: Stash, index: str, members: Sequence[str], deadline: float) -> tuple[int, int]:
    """List sessions that are stored and not listed; how many that were, and how many were looked at."""

    async def put(member: str) -> bool:
        key = stash.session_key(member)
        with contextlib.suppress(DocumentError):
            if text := await stash.read(key, deadline):
                copy = as_copy(key, text, member, index)
                if copy.list_row:
                    await stash.index.index_session(copy.list_row, copy.kept_until, deadline)
                    return True
        return False

    listed = 0
    loop = asyncio.get_running_loop()
    began = loop.time()
    for first in range(0, len(members), SIDE_BY_SIDE):
        if loop.time() > (began + deadline) / 2:
            return listed, first
        listed += sum(await asyncio.gather(*(put(member) for member in members[first : first + SIDE_BY_SIDE])))
    return listed, len(members)


def position_of(entry: ListRow) -> tuple[int, str]:
    """Where an entry stands in the order of a list."""
    return entry.saved_at, entry.member
