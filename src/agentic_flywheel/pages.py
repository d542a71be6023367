"""Pages of the list of sessions: the stash's, corrected by what this machine knows and the stash does not yet."""

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from agentic_flywheel.changes import as_copy
from agentic_flywheel.coaia.stash import Stash
from agentic_flywheel.errors import DocumentError, JournalUnavailable, StashUnavailable
from agentic_flywheel.keyvalue import Entry
from agentic_flywheel.local import LocalPlace, in_thread

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Page:
    """Entries of a list, newest first; `older` is where to go on, `None` at the end.

    `shared`: the stash answered; if it was to be asked and did not, `why`.
    """

    entries: list[Entry]
    older: tuple[int, str] | None
    shared: bool
    why: str = ""


async def page(
    journal: LocalPlace,
    stash: Stash | None,
    index: str,
    before: tuple[int, str] | None,
    limit: int,
    bound: float,
    words: Sequence[str] = (),
    needed: int = 0,
) -> Page:
    """A page of the list: the stash's, if it answers till `bound`, with what is pending here; else the journal's.

    `words`: sessions that do not have so many of them as `needed` in what lists show may be left out.

    Raises:
        Unavailable: there is neither.

    """
    why = ""
    if stash:
        try:
            await stash.ready(bound)
            if stash.atomic:
                deadline = min(bound, stash.deadline())
                return await _shared_page(journal, stash, index, before, limit, words, needed, deadline)
        except StashUnavailable as exc:
            logger.info("Listing this machine's sessions only: %s", exc)
            why = str(exc)
    entries = await in_thread(journal.recent, index, before, limit)
    return Page(entries, _order(entries[-1]) if len(entries) == limit else None, shared=False, why=why)


async def entries_of(
    journal: LocalPlace, stash: Stash | None, index: str, members: Sequence[str], bound: float
) -> list[Entry]:
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
                return [entry for entry in there.values() if stash.session_key(entry.member) not in deleted]
    return await in_thread(journal.entries, index, members)


async def _shared_page(
    journal: LocalPlace,
    stash: Stash,
    index: str,
    before: tuple[int, str] | None,
    limit: int,
    words: Sequence[str],
    needed: int,
    deadline: float,
) -> Page:
    # What is here is read first: what is sent on meanwhile is then seen twice rather than not at all.
    unsent: list[Entry] = []
    deleted: set[str] = set()
    with contextlib.suppress(JournalUnavailable):
        unsent, here_deleted = await in_thread(journal.unsent, index)
        deleted.update(here_deleted)
    listed = await stash.listed(index, before, limit, words, needed, deadline)
    if listed.unlisted and await put_in_list(stash, index, listed.unlisted, deadline):
        listed = await stash.listed(index, before, limit, words, needed, deadline)
    hidden = {entry.member for entry in unsent}
    hidden.update(entry.member for entry in listed.entries if stash.session_key(entry.member) in deleted)
    end = listed.older or (0, "")
    here = [e for e in unsent if (before is None or _order(e) < before) and _order(e) > end]
    entries = sorted([*here, *(e for e in listed.entries if e.member not in hidden)], key=_order, reverse=True)
    return Page(entries, listed.older, shared=True)


async def put_in_list(stash: Stash, index: str, members: list[str], deadline: float) -> bool:
    """List sessions that somebody stored without listing them; whether there was one."""
    put = False
    for member in members:
        key = stash.session_key(member)
        with contextlib.suppress(DocumentError):
            if text := await stash.read(key, deadline):
                copy = as_copy(key, text, member, index)
                if copy.entry:
                    await stash.put_in_list(copy.entry, deadline)
                    put = True
    return put


def _order(entry: Entry) -> tuple[int, str]:
    return entry.saved_at, entry.member
