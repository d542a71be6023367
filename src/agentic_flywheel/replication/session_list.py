"""Pages of the list of sessions: the stash's, corrected by what this machine knows and the stash does not yet."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from agentic_flywheel.coaia.stash import Stash
from agentic_flywheel.documents.commands import as_copy
from agentic_flywheel.documents.writes import EVERY_ROW, Filter, ListRow
from agentic_flywheel.errors import Damaged, DocumentError, JournalUnavailable, StashUnavailable
from agentic_flywheel.journal import Journal
from agentic_flywheel.journal.records import in_thread
from agentic_flywheel.json_text import load_object

logger = logging.getLogger(__name__)

SIDE_BY_SIDE = 8
"""Sessions that are read at a time to be listed."""

READ_AHEAD = 1_000
"""Entries of the journal read at once where some may not be wanted."""

FIRST_PLACE = (0, "")
"""The place before every entry."""

PUTTING_BACK = "Redis had lost sessions that this machine has; they are being put back, and listed from here meanwhile."


@dataclass(frozen=True, slots=True)
class Page:
    """Entries of a list, newest first; `older` is where to go on, `None` at the end. They may be fewer than asked for.

    `shared`: the stash answered; if it was to be asked and did not, `why`.
    """

    entries: list[ListRow]
    older: tuple[int, str] | None
    shared: bool
    why: str = ""


async def page(
    journal: Journal,
    stash: Stash | None,
    index: str,
    before: tuple[int, str] | None,
    limit: int,
    bound: float,
    wanted: Filter = EVERY_ROW,
) -> Page:
    """A page of the list: the stash's, if it answers till `bound`, with what is pending here; else the journal's.

    What is not `wanted` may be left out.

    Raises:
        Unavailable: there is neither.

    """
    why = ""
    if stash:
        try:
            await stash.ready(bound)
            if stash.atomic:
                return await _shared_page(journal, stash, index, before, limit, wanted, min(bound, stash.deadline()))
        except StashUnavailable as exc:
            logger.info("Listing this machine's sessions only: %s", exc)
            why = str(exc)
    at_once = limit if wanted == EVERY_ROW else max(limit, READ_AHEAD)  # nothing is left out here
    entries = await in_thread(journal.recent, index, before, at_once)
    return Page(entries, place_of(entries[-1]) if len(entries) == at_once else None, shared=False, why=why)


async def still_stored(stash: Stash | None, members: Sequence[str], bound: float) -> set[str]:
    """Those of these sessions that the stash holds, whatever our clock says; none if it is not known."""
    if stash and stash.atomic and members:
        with contextlib.suppress(StashUnavailable):
            marks = await stash.marks([stash.session_key(member) for member in members], bound)
            present = zip(members, marks.values(), strict=True)
            return {member for member, mark in present if mark and mark.revision is not None}
    return set()


async def entries_of(
    journal: Journal, stash: Stash | None, index: str, members: Sequence[str], bound: float
) -> list[ListRow]:
    """The entries of these members: the stash's, if it answers till `bound`, unless a newer one is pending here.

    Raises:
        Unavailable: it is not known what they are.

    """
    if stash:
        with contextlib.suppress(StashUnavailable):
            await stash.ready(bound)
            if stash.atomic:
                there = {entry.member: entry for entry in await stash.entries(index, members, bound)}
                unsent, deleted = await in_thread(journal.unsent, index)
                there |= {entry.member: entry for entry in unsent if entry.member in {*members}}
                missing = [member for member in members if member not in there]
                here = await in_thread(journal.entries, index, missing)
                there |= {entry.member: entry for entry in here if entry.here_alone}
                return [entry for entry in there.values() if stash.session_key(entry.member) not in deleted]
    return await in_thread(journal.entries, index, members)


async def _shared_page(
    journal: Journal,
    stash: Stash,
    index: str,
    before: tuple[int, str] | None,
    limit: int,
    wanted: Filter,
    deadline: float,
) -> Page:
    # What is here is read first: what is sent on meanwhile is then seen twice rather than not at all.
    here = await _here(journal, index, before, limit)
    listed = await stash.listed(index, before, limit, wanted, deadline)
    put, _ = await _put_in_list(stash, index, listed.unlisted, deadline)
    if put:
        listed = await stash.listed(index, before, limit, wanted, deadline)
    hidden = {entry.member for entry in here.unsent}
    members = {entry.member for entry in listed.entries}
    buried = await _buried(journal, stash, listed.entries)
    end = max(listed.older or FIRST_PLACE, here.end)
    added = [*here.unsent, *(e for e in here.others if e.member not in hidden | members)]
    theirs = [e for e in listed.entries if e.member not in hidden and stash.session_key(e.member) not in buried]
    entries = [e for e in (*added, *theirs) if (before is None or place_of(e) < before) and place_of(e) >= end]
    entries.sort(key=place_of, reverse=True)
    return Page(entries, None if end == FIRST_PLACE else end, shared=True, why=PUTTING_BACK if here.lost else "")


@dataclass(frozen=True, slots=True)
class _Here:
    """What this machine adds to a page: entries with a pending change, and others that the stash does not have.

    Of those there are more beyond the place `end`.
    """

    unsent: list[ListRow]
    others: list[ListRow]
    lost: bool
    end: tuple[int, str]


async def _here(journal: Journal, index: str, before: tuple[int, str] | None, limit: int) -> _Here:
    try:
        unsent, _ = await in_thread(journal.unsent, index)
        lost = await in_thread(journal.putting_back, index, before, limit)
        mine = await in_thread(journal.recent_of_this_machine, index, before, limit)
        ends = [place_of(some[-1]) for some in (lost, mine) if len(some) == limit]
        return _Here(unsent, [*lost, *mine], bool(lost), max(ends, default=FIRST_PLACE))
    except JournalUnavailable:
        return _Here([], [], lost=False, end=FIRST_PLACE)


async def _buried(journal: Journal, stash: Stash, entries: list[ListRow]) -> set[str]:
    """The keys of those of which this machine knows the deletion: it is still to be sent, or somebody undid it."""
    keys = [stash.session_key(entry.member) for entry in entries]
    try:
        known = await in_thread(journal.buried, keys)
    except JournalUnavailable:
        return set()
    rows = {stash.session_key(entry.member): entry for entry in entries}
    return {key for key, revision in known.items() if revision_in_note(rows[key]) <= revision}


async def heal(stash: Stash, index: str, place: str, deadline: float) -> str:
    """Compare a part of the shared list, from `place` on, with what is stored; where to go on.

    Where more is missing than there was time for, that is the same place again.
    """
    following, unlisted = await stash.heal(index, place, deadline)
    put, looked_at = await _put_in_list(stash, index, unlisted, deadline)
    return place if put and looked_at < len(unlisted) else following


async def _put_in_list(stash: Stash, index: str, members: Sequence[str], deadline: float) -> tuple[int, int]:
    """List sessions that somebody stored without listing them; how many that were, and how many were looked at."""

    async def put(member: str) -> bool:
        key = stash.session_key(member)
        with contextlib.suppress(DocumentError):
            if text := await stash.read(key, deadline):
                copy = as_copy(key, text, member, index)
                if copy.list_row:
                    await stash.put_in_list(copy.list_row, deadline)
                    return True
        return False

    done = 0
    loop = asyncio.get_running_loop()
    began = loop.time()
    for first in range(0, len(members), SIDE_BY_SIDE):
        if loop.time() > (began + deadline) / 2:
            return done, first
        done += sum(await asyncio.gather(*(put(member) for member in members[first : first + SIDE_BY_SIDE])))
    return done, len(members)


def revision_in_note(entry: ListRow) -> int:
    """The revision that a row of the list shows; 0 where it shows none."""
    try:
        revision = load_object(entry.note, "a row of the list").get("revision")
    except Damaged:
        return 0
    return revision if isinstance(revision, int) else 0


def place_of(entry: ListRow) -> tuple[int, str]:
    """Where an entry stands in the order of a list."""
    return entry.saved_at, entry.member
