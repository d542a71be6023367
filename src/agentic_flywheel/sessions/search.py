"""Finding sessions by words: in what lists show of all of them, and in the turns of those that this machine has.

A session is found that has all of the words, or of three and more all but one; the best first. In turns words are
looked for by their beginnings, endings and accents left aside; in what lists show, for any part, as they are typed.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from agentic_flywheel.documents.writes import ListRow
from agentic_flywheel.errors import JournalUnavailable, Unavailable
from agentic_flywheel.journal.records import Match, Matches, in_thread
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.keys import Keys
from agentic_flywheel.replication.repository import Places
from agentic_flywheel.sessions.listing import (
    UNFINISHED,
    FoundPlace,
    Row,
    Wanted,
    living_rows,
    read_place,
    shown_text,
    write_place,
)
from agentic_flywheel.sessions.results import ListResult

READ_AT_ONCE = 1_000
"""Entries of the list asked for at once."""

MOST_FOUND = 10_000
"""Sessions found in the shared list, the newest, before it is looked at no further."""

IN_A_TITLE = 2.0
"""What a rare word counts in what lists show, of a session whose turns are not here: as much as it does beside them."""


@dataclass(frozen=True, slots=True)
class _Hit:
    """A session, how many of the words it has, and how well; the lower the score, the better."""

    entry: ListRow
    row: JSONObject
    words: int
    score: float


async def find(
    places: Places, keys: Keys, wanted: Wanted, now: datetime, limit: int, cursor: str, bound: float | None
) -> ListResult:
    """Rows of the sessions that are found, each with an `excerpt` where its turns have the words.

    Where the time was too short for all of the list, the pages behind those found so far are of what follows.

    Raises:
        InvalidArgument: the cursor is none that an answer to the same question gave.

    """
    place = read_place(cursor, wanted) if cursor else FoundPlace()
    words, needed = wanted.words, wanted.filter.needed
    why: list[str] = []
    matches = Matches()
    bound = places.bound(reading=True) if bound is None else bound
    searching = asyncio.create_task(places.search(keys.index, words, needed))  # while Redis looks through the list
    listed = await _listed(places, keys.index, wanted, place.start, bound)
    try:
        matches = await searching
    except JournalUnavailable as exc:
        why.append(str(exc))
    here = {match.key: match for match in matches.found}
    entries = {entry.member: entry for entry in listed.entries}
    if place.start:  # what is here was found with the first part of the list
        entries = {member: entry for member, entry in entries.items() if keys.session(member) not in here}
    else:
        missing = [member for key in here if (member := key.removeprefix(keys.sessions)) not in entries]
        try:
            for first in range(0, len(missing), READ_AT_ONCE):
                for entry in await places.entries(keys.index, missing[first : first + READ_AT_ONCE], listed.bound):
                    entries[entry.member] = entry
        except Unavailable as exc:
            why.append(str(exc))
    rows = await living_rows(places, replace(wanted, query=""), [*entries.values()], now, listed.bound)
    rarity = matches.rarity or [1.0] * len(words)
    found = await in_thread(
        _best, rows, words, needed, rarity, {key.removeprefix(keys.sessions): here[key] for key in here}
    )
    # What was saved since the page before moves it on: it ended with `last`, wherever that is now.
    offset = next((number for number, hit in enumerate(found, 1) if hit.entry.member == place.last), place.offset)
    page = found[offset : offset + limit]
    result = ListResult(
        sessions=await _with_excerpts(places, keys, page, here, words),
        scope="shared" if listed.shared else "this machine",
        searched=_searched(matches, shared=listed.shared),
        message=" ".join(dict.fromkeys([*([listed.why] if listed.why else []), *why])),
    )
    if offset + limit < len(found):
        result.next_cursor = write_place(FoundPlace(offset + limit, page[-1].entry.member, place.start), wanted)
    elif listed.older:
        result.next_cursor = write_place(FoundPlace(start=listed.older), wanted)
    return result


@dataclass(frozen=True, slots=True)
class _Listed:
    """What was found in the shared list, or in this machine's; `older`: where to go on, if the time was too short.

    `bound` is the time by which the rest must be done.
    """

    entries: list[ListRow]
    shared: bool
    older: tuple[int, str] | None
    why: str
    bound: float


async def _listed(places: Places, index: str, wanted: Wanted, before: tuple[int, str] | None, bound: float) -> _Listed:
    """The entries that may be found by what lists show."""
    entries: list[ListRow] = []
    shared = False
    bound = await places.bound_once_ready(bound)
    while True:
        try:
            page = await places.recent(index, before, READ_AT_ONCE, bound, wanted.filter)
        except Unavailable as exc:
            return _Listed(entries, shared, None, str(exc), bound)
        entries += page.entries
        shared, before = page.shared, page.older
        if before is None or (shared and len(entries) > MOST_FOUND):
            return _Listed(entries, shared, None, page.why, bound)
        if not places.has_time(bound):
            return _Listed(entries, shared, before, UNFINISHED, bound)


def _best(
    rows: Sequence[Row], words: Sequence[str], needed: int, rarity: Sequence[float], matches: Mapping[str, Match]
) -> list[_Hit]:
    """Those that have enough of the words, the best first."""
    hits = [_hit(row, words, rarity, matches.get(row.entry.member)) for row in rows]
    found = [hit for hit in hits if hit.words >= needed]
    return sorted(found, key=lambda hit: (hit.words, -hit.score, hit.entry.saved_at, hit.entry.member), reverse=True)


async def _with_excerpts(
    places: Places, keys: Keys, page: Sequence[_Hit], here: Mapping[str, Match], words: Sequence[str]
) -> list[JSONObject]:
    """The rows of a page, with a piece of the turns where these are here and have one of the words."""
    excerpts: dict[str, str] = {}
    of_turns = [key for hit in page if (key := keys.session(hit.entry.member)) in here]
    with contextlib.suppress(JournalUnavailable):
        excerpts = await in_thread(places.journal.excerpts, of_turns, words) if of_turns else {}
    for hit in page:
        hit.row.pop("excerpt", None)  # whoever shares the Redis may have written anything
        if excerpt := excerpts.get(keys.session(hit.entry.member)):
            hit.row["excerpt"] = excerpt
    return [hit.row for hit in page]


def _hit(row: Row, words: Sequence[str], rarity: Sequence[float], match: Match | None) -> _Hit:
    text = shown_text(row.shown)
    in_list = {place for place, word in enumerate(words) if word.casefold() in text}
    score = -IN_A_TITLE * sum(rarity[place] for place in in_list)
    if match is None:
        return _Hit(row.entry, row.shown, len(in_list), score)
    return _Hit(row.entry, row.shown, len(in_list | match.words), min(score, match.score))


def _searched(matches: Matches, *, shared: bool) -> str:
    """Which part of what is kept was searched."""
    everywhere = "all sessions in Redis" if shared else "the sessions of this machine"
    text = f"ids, titles, summaries and tags of {everywhere}; turns of the {matches.searched:,} sessions here"
    if matches.unread:
        text += f" that have been read so far ({matches.unread:,} are still to be read: ask again)"
    return text
