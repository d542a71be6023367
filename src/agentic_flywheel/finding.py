"""Finding sessions by words: in what lists show of all of them, and in the turns of those that this machine has.

A session is found that has all of the words, or of three and more all but one; the best first. In turns words are
looked for by their beginnings, endings and accents left aside; in what lists show, for any part, as they are typed.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from agentic_flywheel.errors import JournalUnavailable, Unavailable
from agentic_flywheel.jsontext import JSONObject
from agentic_flywheel.keys import Keys
from agentic_flywheel.keyvalue import Entry
from agentic_flywheel.listing import Wanted, read_place, shown_text, write_place
from agentic_flywheel.local import Match, Matches, in_thread
from agentic_flywheel.places import Places
from agentic_flywheel.results import ListResult

MANY_WORDS = 3
"""From so many words on one may be missing: it was misspelt, or is remembered from elsewhere."""

READ_AT_ONCE = 1_000
"""Entries of the list asked for at once."""

MOST_FOUND = 10_000
"""Sessions found in the shared list, the newest, before it is looked at no further."""

IN_A_TITLE = 2.0
"""What a rare word counts in what lists show, of a session whose turns are not here: as much as it does beside them."""


@dataclass(frozen=True, slots=True)
class _Hit:
    """A session, how many of the words it has, and how well; the lower the score, the better."""

    entry: Entry
    row: JSONObject
    words: int
    score: float


async def find(
    places: Places, keys: Keys, wanted: Wanted, now: datetime, limit: int, cursor: str, bound: float | None
) -> ListResult:
    """Rows of the sessions that are found, each with an `excerpt` where its turns have the words.

    Raises:
        InvalidArgument: the cursor is none that an answer to the same question gave.

    """
    offset, last = read_place(cursor, wanted) if cursor else (0, "")
    words = wanted.words
    needed = len(words) - (len(words) >= MANY_WORDS)
    why: list[str] = []
    matches = Matches()
    bound = places.bound(reading=True) if bound is None else bound
    searching = asyncio.create_task(places.search(keys.index, words, needed))  # while Redis looks through the list
    listed, shared, unread = await _listed(places, keys.index, words, needed, bound)
    try:
        matches = await searching
    except JournalUnavailable as exc:
        why.append(str(exc))
    here = {match.key: match for match in matches.found}
    missing = [member for key in here if (member := key.removeprefix(keys.sessions)) not in listed]
    try:
        for place in range(0, len(missing), READ_AT_ONCE):
            for entry in await places.entries(keys.index, missing[place : place + READ_AT_ONCE], places.bound()):
                listed[entry.member] = entry
    except Unavailable as exc:
        unread = unread or str(exc)
    rows = replace(wanted, query="").rows([*listed.values()], now)
    rarity = matches.rarity or [1.0] * len(words)
    hits = [_hit(entry, row, words, rarity, here.get(keys.session(entry.member))) for entry, row in rows]
    found = [hit for hit in hits if hit.words >= needed]
    found.sort(key=lambda hit: (hit.words, -hit.score, hit.entry.saved_at, hit.entry.member), reverse=True)
    # What was saved since the page before moves it on: it ended with `last`, wherever that is now.
    offset = next((place for place, hit in enumerate(found, start=1) if hit.entry.member == last), offset)
    page = found[offset : offset + limit]
    for hit in page:
        hit.row.pop("excerpt", None)  # whoever shares the Redis may have written anything
    try:
        of_turns = [key for hit in page if (key := keys.session(hit.entry.member)) in here]
        excerpts = await in_thread(places.journal.excerpts, of_turns, words) if of_turns else {}
    except JournalUnavailable:
        excerpts = {}
    shown = [
        {**hit.row, "excerpt": excerpt} if (excerpt := excerpts.get(keys.session(hit.entry.member))) else hit.row
        for hit in page
    ]
    result = ListResult(
        sessions=shown,
        scope="shared" if shared else "this machine",
        searched=_searched(matches, shared=shared),
        message=" ".join([*([unread] if unread else []), *why]),
    )
    if offset + limit < len(found):
        result.next_cursor = write_place(offset + limit, page[-1].entry.member, wanted)
    return result


async def _listed(
    places: Places, index: str, words: Sequence[str], needed: int, bound: float
) -> tuple[dict[str, Entry], bool, str]:
    """The entries that may have so many of the words in what lists show, whether of all, and why not of all."""
    entries: dict[str, Entry] = {}
    before, shared = None, False
    while True:
        try:
            page = await places.recent(index, before, READ_AT_ONCE, bound, words, needed)
        except Unavailable as exc:
            return entries, shared, str(exc)
        entries |= {entry.member: entry for entry in page.entries}
        shared = page.shared
        if page.older is None or (shared and len(entries) > MOST_FOUND):
            return entries, shared, page.why
        before = page.older


def _hit(entry: Entry, row: JSONObject, words: Sequence[str], rarity: Sequence[float], match: Match | None) -> _Hit:
    text = shown_text(row)
    in_list = {place for place, word in enumerate(words) if word.casefold() in text}
    score = -IN_A_TITLE * sum(rarity[place] for place in in_list)
    if match is None:
        return _Hit(entry, row, len(in_list), score)
    return _Hit(entry, row, len(in_list | match.words), min(score, match.score))


def _searched(matches: Matches, *, shared: bool) -> str:
    """Which part of what is kept was searched."""
    everywhere = "all sessions in Redis" if shared else "the sessions of this machine"
    text = f"ids, titles, summaries and tags of {everywhere}; turns of the {matches.searched:,} sessions here"
    if matches.unread:
        text += f" that have been read so far ({matches.unread:,} are still to be read: ask again)"
    return text
