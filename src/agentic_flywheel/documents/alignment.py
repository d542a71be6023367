"""Lays the turns that were sent beside the stored ones, in order, and takes only what is plainly a resend for one.

What was sent may be the whole talk, its end or a part of it, retyped or edited here and there; what is stored may hold
turns of others in between. So the stored turns are gone through once, and may be skipped; a turn that was sent is
skipped only if those behind it go on where it stood.
"""

import itertools
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from agentic_flywheel.documents.same_words import WordIndex, ends_of, text_in
from agentic_flywheel.json_text import JSONObject

Pairs = list[tuple[int, int]]
"""Positions of turns in what was sent and of what is stored there, both ascending."""

LONG_RUN = 3
"""Turns one after the other that nobody repeats by chance."""

LONG_TEXT = 64
"""Characters of several turns that nobody repeats by chance."""

ONE_TEXT = 16
"""Characters from which on a turn is no "yes" or "go on"."""


@dataclass(frozen=True, slots=True)
class Talk:
    """What is stored, what was sent, and at which lengths of the stored history the caller may have seen its end."""

    stored: Sequence[JSONObject]
    sent: Sequence[JSONObject]
    ends: Collection[int]
    seen: int
    """The greatest of these that it has seen for certain; what is behind that was added by others since."""
    remembered: bool
    """Whether it is known what the caller has seen: then `ends` is where, and what only looks like a resend is new."""


def aligned(talk: Talk, index: WordIndex) -> Pairs:
    """The turns that were sent already, each with the stored one that it is, in the order in which they were sent."""
    found = [index.places(turn) for turn in talk.sent]
    possible = sum(bool(places or index.whole(turn)) for places, turn in zip(found, talk.sent, strict=True))
    if not possible:
        return []
    once = _said_once(talk, index, found)
    telling = [(i, places) for i, places in once if len(text_in(talk.sent[i])) >= ONE_TEXT]
    best: Pairs = []
    sure = _longest(telling)
    unsure = [] if sure else [*_starts(talk, index, found), _longest(once), *_ends(talk, index, found)]
    for anchors in unsure or [sure, _refined(sure, once)]:
        pairs = _trusted(talk, _around(talk, index, found, anchors)) if anchors else []
        best = pairs if len(pairs) > len(best) else best
        if len(best) >= possible:
            break
    return sorted([*best, *_elsewhere(talk, index, found, best)])


def _starts(talk: Talk, index: WordIndex, found: Sequence[list[int]]) -> list[Pairs]:
    """Each place at which the first turn that is stored somewhere may stand; the last one first."""
    for i, turn in enumerate(talk.sent):
        places = ends_of(found[i] or index.whole(turn))
        if starts := [[(i, place)] for place in places if index.next(turn, place, found[i]) == place]:
            return starts[::-1]
    return []


def _ends(talk: Talk, index: WordIndex, found: Sequence[list[int]]) -> list[Pairs]:
    """What was sent up to each of the last places where the end may have been seen, if all from the first is there."""
    candidates: list[Pairs] = []
    for end in sorted(talk.ends)[-ENDS_TRIED:]:
        last, before = (_saying(talk, index, found, place) for place in (end - 1, end - 2))
        for i in [i for i in last if i - 1 in before][-1:] or [*last][-1:]:
            pairs = [*_before(talk, index, found, i, end - 1), (i, end - 1)]
            candidates += [pairs] if pairs[0][0] == 0 else []
    return candidates


def _saying(talk: Talk, index: WordIndex, found: Sequence[list[int]], place: int) -> dict[int, None]:
    """The turns that were sent which say what is stored there."""
    there = range(place, place + 1)
    return {i: None for i, turn in enumerate(talk.sent) if index.within(turn, there, found[i])}


ENDS_TRIED = 4
"""Places where the end may have been seen that are tried: others are far back, or all alike."""


def _said_once(talk: Talk, index: WordIndex, found: Sequence[list[int]]) -> list[tuple[int, list[int]]]:
    """The turns that are stored once and were sent once: they tell most surely where the others belong."""
    counted = Counter(places[0] for places in found if len(places) == 1)
    return [
        (i, places)
        for i, places in enumerate(found)
        if len(places) == 1 and counted[places[0]] == 1 and index.next(talk.sent[i], places[0], places) is not None
    ]


def _refined(anchors: Pairs, once: list[tuple[int, list[int]]]) -> Pairs:
    """The anchors, and between them the short turns that were said once, too."""
    refined, before, rest = Pairs(), -1, iter(once)
    for i, place in anchors:
        between = [(j, at) for j, at in itertools.takewhile(lambda each: each[0] != i, rest) if before < at[0] < place]  # noqa: B023
        refined += [*_longest(between), (i, place)]
        before = place
    return [*refined, *_longest([(j, at) for j, at in rest if at[0] > before])]


def _elsewhere(talk: Talk, index: WordIndex, found: Sequence[list[int]], pairs: Pairs) -> Pairs:
    """Turns that stand before others that were sent already, and are stored in another order: edited ones, mostly."""
    there, used, more = {i for i, _ in pairs}, {place for _, place in pairs}, Pairs()
    for i in range(pairs[-1][0] if pairs else 0):
        if i in there:
            continue
        free = [place for place in index.before(talk.sent[i], len(talk.stored), found[i]) if place not in used]
        if free:
            used.add(free[-1])
            more.append((i, free[-1]))
    for i in range(pairs[-1][0] + 1 if pairs else len(talk.sent), len(talk.sent)):
        places = index.within(talk.sent[i], range(pairs[0][1], pairs[-1][1]), found[i])
        free = [place for place in places if place not in used]
        if not free or len(text_in(talk.sent[i])) < ONE_TEXT:
            break
        used.add(free[-1])
        more.append((i, free[-1]))
    return more


def _longest(candidates: Iterable[tuple[int, Sequence[int]]]) -> Pairs:
    """The most pairs in one order, where each turn sent may be one of several stored ones (Hunt and Szymanski)."""
    piles: list[int] = []
    tops: list[_Link] = []
    for i, places in candidates:
        for place in reversed(places):
            pile = bisect_left(piles, place)
            if pile < len(piles) and piles[pile] == place:  # the first of those sent is more likely the stored one
                continue
            piles[pile : pile + 1], tops[pile : pile + 1] = [place], [(i, place, tops[pile - 1] if pile else None)]
    pairs: Pairs = []
    link = tops[-1] if tops else None
    while link is not None:
        pairs.append(link[:2])
        link = link[2]
    return pairs[::-1]


_Link = tuple[int, int, "_Link | None"]


def _around(talk: Talk, index: WordIndex, found: Sequence[list[int]], anchors: Pairs) -> Pairs:
    """The anchors, and what can be paired in order before, between and behind them."""
    first, end = anchors[0]
    pairs = [*_before(talk, index, found, first, end), anchors[0]]
    bounds = [*anchors[1:], (len(talk.sent), len(talk.stored))]
    for (begin, place), (until, end) in zip(anchors, bounds, strict=True):
        pairs += _between(talk, index, found, range(begin + 1, until), range(place + 1, end))
        if until < len(talk.sent):
            pairs.append((until, end))
    return pairs


def _before(talk: Talk, index: WordIndex, found: Sequence[list[int]], first: int, end: int) -> Pairs:
    """The most that can be paired before these positions, as near to them as can be."""
    backwards = range(first - 1, max(0, first - SMALL_GAP) - 1, -1)
    near = [(i, [-place for place in index.before(talk.sent[i], end, found[i])][::-1]) for i in backwards]
    return [(i, -place) for i, place in _longest(near)][::-1]


def _between(talk: Talk, index: WordIndex, found: Sequence[list[int]], sent: range, stored: range) -> Pairs:
    """What can be paired in order of these turns: the next one each time, or in a small gap the most."""
    pairs, after = Pairs(), stored.start
    for i in sent:
        place = index.next(talk.sent[i], after, found[i])
        if place is not None and place < stored.stop:
            pairs.append((i, place))
            after = place + 1
    if len(pairs) == len(sent) or len(sent) > SMALL_GAP:
        return pairs
    places = [(i, index.within(talk.sent[i], stored, found[i])) for i in sent]
    return max(pairs, _longest(places), key=len)


SMALL_GAP = 64
"""Turns between two that are sure among which the most are looked for that can be paired."""


def _trusted(talk: Talk, pairs: Pairs) -> Pairs:
    """The pairs up to the last one that is a resend rather than the same words said again."""
    blocks = _blocks(pairs)
    trusted, resend, waiting = list(blocks[0]), _is_resend(talk, blocks[0]), Pairs()
    for block in blocks[1:]:  # what was skipped before it was edited, or is stored elsewhere
        waiting += block
        (sent, stored), (last_sent, last_stored) = block[0], trusted[-1]
        if not resend:
            resend = taken = _is_long(talk, [*trusted, *waiting])
        else:
            here = stored - last_stored <= sent - last_sent
            taken = here or len(block) >= LONG_RUN or _characters(talk, block) >= ONE_TEXT
        if taken:
            trusted += waiting
            waiting = []
    if not resend:
        seen = _up_to_what_was_seen(talk, trusted)
        return seen if seen != trusted and _is_resend(talk, seen) else []
    return _up_to_what_was_seen(talk, trusted) if talk.remembered and trusted[-1][1] >= talk.seen else trusted


def _blocks(pairs: Pairs) -> list[Pairs]:
    """The pairs, divided where a turn that was sent is skipped."""
    blocks: list[Pairs] = []
    for pair in pairs:
        if blocks and blocks[-1][-1][0] == pair[0] - 1:
            blocks[-1].append(pair)
        else:
            blocks.append([pair])
    return blocks


def _is_resend(talk: Talk, block: Pairs) -> bool:
    """Whether the first pairs are a resend: by where they end, or because nobody says so much again."""
    count, (skipped, begin) = len(block), block[0]
    if _is_long(talk, block):
        return True
    whole, at_an_end = count == len(talk.sent), block[-1][1] + 1 in talk.ends
    if skipped:
        return at_an_end and begin == skipped and _characters(talk, block) >= ONE_TEXT
    if at_an_end:
        latest = block[-1][1] + 1 == len(talk.stored)
        return talk.remembered or latest or not whole or count > 1 or _characters(talk, block) >= ONE_TEXT
    return not talk.remembered and count > 1 and (whole or begin == 0)


def _is_long(talk: Talk, block: Pairs) -> bool:
    run = 1
    for (_, one), (_, other) in itertools.pairwise(block):
        run = run + 1 if other == one + 1 else 1
        if run == LONG_RUN:
            return True
    return len(block) > 1 and _characters(talk, block) >= LONG_TEXT


def _characters(talk: Talk, block: Pairs) -> int:
    total = 0
    for i, _ in block:
        total += len(text_in(talk.sent[i])) or ONE_TEXT  # one of another shape is told apart by all that it holds
        if total >= LONG_TEXT:
            break
    return total


def _up_to_what_was_seen(talk: Talk, pairs: Pairs) -> Pairs:
    """Without the pairs behind the last turn that the caller has seen, unless they are many: others say "yes" too."""
    seen = [n for n, (_, place) in enumerate(pairs, 1) if place + 1 in talk.ends]
    return pairs[: seen[-1]] if seen and not _is_long(talk, pairs[seen[-1] :]) else pairs
