"""Searches sessions by words: in what lists show of all of them, and in the turns of those that this machine has.

A session matches that has all of the words, or of three and more all but one; the best first. A word in turns matches
by its beginning, without endings and accents; in what lists show, any part matches, as it is typed.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from agentic_flywheel.documents.writes import ListRow
from agentic_flywheel.errors import JournalUnavailable, Unavailable
from agentic_flywheel.journal.records import Match, Matches
from agentic_flywheel.journal.threads import in_thread
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.keys import Keys
from agentic_flywheel.replication.repository import Repository
from agentic_flywheel.sessions.cursors import UNFINISHED, SearchPosition, read_search_cursor, write_search_cursor
from agentic_flywheel.sessions.results import ListResult
from agentic_flywheel.sessions.session_filter import Row, SessionFilter, searchable_text
from agentic_flywheel.sessions.unexpired import unexpired_rows

READ_AT_ONCE = 1_000
"""Entries of the list asked for at once."""

MAX_LISTED = 10_000
"""Matches in the shared list, the newest, after which it is read no further."""

WEIGHT_IN_LIST = 2.0
"""What a rare word counts in what lists show, of a session whose turns are not here: as much as it does beside them."""


@dataclass(frozen=True, slots=True)
class _Hit:
    """A session, how many of the words it has, and how well; the lower the score, the better."""

    entry: ListRow
    row: JSONObject
    words: int
    score: float


async def search(
    repository: Repository,
    keys: Keys,
    session_filter: SessionFilter,
    now: datetime,
    limit: int,
    cursor: str,
    deadline: float | None,
) -> ListResult:
    """Rows of the sessions that match, each with an `excerpt` where its turns have the words.

    Where the time was too short for all of the list, later pages go on with the rest.

    Raises:
        InvalidArgument: the cursor is none that an answer to the same question gave.

    """
    position = read_search_cursor(cursor, session_filter) if cursor else SearchPosition()
    words, needed = session_filter.words, session_filter.row_filter.needed
    deadline = repository.deadline(reading=True) if deadline is None else deadline
    searching = asyncio.create_task(repository.search(keys.index, words, needed))  # while Redis looks through the list
    listed = await _listed(repository, keys.index, session_filter, position.start, deadline)
    matches, problems = Matches(), [listed.why] if listed.why else []
    try:
        matches = await searching
    except JournalUnavailable as exc:
        problems.append(str(exc))
    by_member = {match.key.removeprefix(keys.sessions): match for match in matches.found}
    entries, problem = await _candidates(repository, keys.index, listed, by_member, first=position.start is None)
    rows = await unexpired_rows(repository, replace(session_filter, query=""), entries, now, listed.deadline)
    rarity = matches.rarity or [1.0] * len(words)
    hits = await in_thread(_ranked, rows, words, needed, rarity, by_member)
    page, next_page = _page(hits, position, limit, listed.older)
    return ListResult(
        sessions=await _with_excerpts(repository, keys, page, by_member, words),
        next_cursor=write_search_cursor(next_page, session_filter) if next_page else None,
        scope="shared" if listed.shared else "this machine",
        searched=_searched(matches, shared=listed.shared),
        message=" ".join(dict.fromkeys([*problems, problem])).rstrip(),
    )


@dataclass(frozen=True, slots=True)
class _Listed:
    """Entries of the shared list, or of this machine's; `older`: where to go on, if the time was too short."""

    entries: list[ListRow]
    shared: bool
    older: tuple[int, str] | None
    why: str
    deadline: float


async def _listed(
    repository: Repository, index: str, session_filter: SessionFilter, before: tuple[int, str] | None, deadline: float
) -> _Listed:
    """The entries that may match by what lists show."""
    entries: list[ListRow] = []
    shared = False
    deadline = await repository.deadline_once_ready(deadline)
    while True:
        try:
            page = await repository.recent(index, before, READ_AT_ONCE, deadline, session_filter.row_filter)
        except Unavailable as exc:
            return _Listed(entries, shared, None, str(exc), deadline)
        entries += page.entries
        shared, before = page.shared, page.older
        if before is None or (shared and len(entries) > MAX_LISTED):
            return _Listed(entries, shared, None, page.why, deadline)
        if not repository.has_time(deadline):
            return _Listed(entries, shared, before, UNFINISHED, deadline)


async def _candidates(
    repository: Repository, index: str, listed: _Listed, matches: Mapping[str, Match], *, first: bool
) -> tuple[list[ListRow], str]:
    """The entries of all that may match, by what lists show or by turns, and why some of them are missing.

    Matches by turns belong to the `first` part of the list, and to no later one.
    """
    entries = {entry.member: entry for entry in listed.entries}
    if not first:
        return [entry for member, entry in entries.items() if member not in matches], ""
    missing = [member for member in matches if member not in entries]
    try:
        for start in range(0, len(missing), READ_AT_ONCE):
            for entry in await repository.entries(index, missing[start : start + READ_AT_ONCE], listed.deadline):
                entries[entry.member] = entry
    except Unavailable as exc:
        return [*entries.values()], str(exc)
    return [*entries.values()], ""


def _ranked(
    rows: Sequence[Row], words: Sequence[str], needed: int, rarity: Sequence[float], matches: Mapping[str, Match]
) -> list[_Hit]:
    """Those that have enough of the words, the best first."""
    hits = [_hit(row, words, rarity, matches.get(row.entry.member)) for row in rows]
    enough = [hit for hit in hits if hit.words >= needed]
    return sorted(enough, key=lambda hit: (hit.words, -hit.score, hit.entry.saved_at, hit.entry.member), reverse=True)


def _hit(row: Row, words: Sequence[str], rarity: Sequence[float], match: Match | None) -> _Hit:
    text = searchable_text(row.shown)
    in_list = {place for place, word in enumerate(words) if word.casefold() in text}
    score = -WEIGHT_IN_LIST * sum(rarity[place] for place in in_list)
    if match is None:
        return _Hit(row.entry, row.shown, len(in_list), score)
    return _Hit(row.entry, row.shown, len(in_list | match.words), min(score, match.score))


def _page(
    hits: Sequence[_Hit], position: SearchPosition, limit: int, older: tuple[int, str] | None
) -> tuple[Sequence[_Hit], SearchPosition | None]:
    """The hits of a page, and where the next one begins, if there is one."""
    # What was saved since the page before moves it on: it ended with `last`, wherever that is now.
    offset = next((number for number, hit in enumerate(hits, 1) if hit.entry.member == position.last), position.offset)
    page = hits[offset : offset + limit]
    if offset + limit < len(hits):
        return page, SearchPosition(offset + limit, page[-1].entry.member, position.start)
    return page, SearchPosition(start=older) if older else None


async def _with_excerpts(
    repository: Repository, keys: Keys, page: Sequence[_Hit], matches: Mapping[str, Match], words: Sequence[str]
) -> list[JSONObject]:
    """The rows of a page, with a piece of the turns where these are here and have one of the words."""
    excerpts: dict[str, str] = {}
    of_turns = [keys.session(hit.entry.member) for hit in page if hit.entry.member in matches]
    with contextlib.suppress(JournalUnavailable):
        excerpts = await in_thread(repository.journal.excerpts, of_turns, words) if of_turns else {}
    for hit in page:
        hit.row.pop("excerpt", None)  # others who share the Redis may have written anything
        if excerpt := excerpts.get(keys.session(hit.entry.member)):
            hit.row["excerpt"] = excerpt
    return [hit.row for hit in page]


def _searched(matches: Matches, *, shared: bool) -> str:
    """Which part of what is kept was searched."""
    everywhere = "all sessions in Redis" if shared else "the sessions of this machine"
    text = f"ids, titles, summaries and tags of {everywhere}; turns of the {matches.searched:,} sessions here"
    if matches.unread:
        text += f" that have been read so far ({matches.unread:,} are still to be read: ask again)"
    return text
