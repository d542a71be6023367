"""Append's one rule: tells which of the turns that were sent are new, whoever sent them and after whatever restart."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from agentic_flywheel.documents.alignment import LONG_RUN, ONE_TEXT, Pairs, Talk, aligned
from agentic_flywheel.documents.append import (
    NOTHING_CUT,
    Fingerprint,
    Fingerprints,
    fingerprint,
    last,
    overlap,
    turn_id,
    view,
    whole,
)
from agentic_flywheel.documents.same_words import TRIED, WordIndex, fields_agree, key_of, text_in
from agentic_flywheel.json_text import JSONObject

FEW, NEAR = 2, 64
"""So few turns of a caller that is remembered are looked for only so near the end: most saves are of that kind."""

TIMES = ("ts", "time", "timestamp", "date", "created_at", "createdAt", "uuid")
"""Fields that tell a turn from the same words said again."""


@dataclass(frozen=True, slots=True)
class Appended:
    """What of the turns that were sent is new, and what the others were taken for."""

    added: list[JSONObject]
    retyped: tuple[int, ...] = ()
    """Positions in what was sent of turns that are not quite the stored ones that they were taken for."""
    unsure: int = 0
    """Turns that were taken for a resend, but may have been said again."""
    repeated: bool = False
    """Whether the only turn that was sent says what is stored further up, and was taken for said again."""
    marks: Fingerprints = ()
    """The turns without an `id`, as they are stored: what their caller has sent now."""


def appended(
    stored: Sequence[JSONObject],
    sent: Sequence[JSONObject],
    views: Sequence[Fingerprints] | None,
    cut: Mapping[Fingerprint, Fingerprint] = NOTHING_CUT,
    *,
    set_back: bool = False,
    ends: Collection[int] = (),
) -> Appended:
    """Tell which turns of `sent` are not in `stored` yet.

    A turn with an `id` is known anywhere, as often as it is stored, by its id and its words. All are laid beside what
    their caller has seen (`views`) and beside what is stored, in order: those that say the same are there already.
    Long: each step needs what those before it found.

    Args:
        stored: the history.
        sent: all of a talk, its end, a part of it or only what is new.
        views: what its caller has seen. An empty sequence drops nothing by its place; `None` is no memory of it.
        cut: that of `view`.
        set_back: the store may lack what the views show: only what it holds is dropped.
        ends: without memory, the lengths of the history at which the caller may have seen it, beside that of now.

    """
    raw = [fingerprint(turn) for turn in sent]
    prints = [cut.get(mark, mark) for mark in raw]
    known = _known_by_id(stored, sent, prints)
    plain = [i for i, turn in enumerate(sent) if turn_id(turn) is None]
    marks = tuple(prints[i] for i in plain)
    seen = [last(stored, len(plain))] if views is None else views
    drop = max((overlap(each, marks) for each in seen), default=0)
    # The views may be of an older state than what is stored.
    all_there = drop if drop >= len(stored) else whole(stored, marks) if seen else 0
    by_place = set(plain[: max(drop, all_there)])
    pairs, repeated = Pairs(), False
    left = len(sent) - len(known) - len(by_place)
    # What is behind all that is stored is new; so are a few turns behind what their caller has seen last.
    all_told = len(known) + len(plain) == len(sent)  # else one with a known id may have been retyped
    only_new = all_told and (bool(all_there) if views is None else drop >= LONG_RUN >= left)
    if seen and left > 0 and not only_new:
        near = views is not None and left <= FEW
        index = WordIndex(stored, len(stored) - NEAR, sent) if near else WordIndex(stored)
        if not near or any(map(index.may_have, sent)):
            talk = Talk(stored, sent, *seen_ends(stored, views, ends), remembered=views is not None)
            pairs = aligned(talk, index)
            repeated = len(sent) == 1 and not pairs and bool(index.places(sent[0]))
    found = {i for i, _ in pairs}
    if len(found - known) > _explained(by_place, known.union(plain)):
        for i, place in pairs:
            prints[i] = fingerprint(stored[place])
        marks = tuple(prints[i] for i in plain)
        drop = max((overlap(each, marks) for each in seen), default=0)
        by_place = found | set(plain[:drop] if drop >= len(found) else ())
    else:
        pairs = []
    by_place -= known
    if set_back:
        by_place = _held(by_place, {i for i, _ in pairs}, prints, stored)
    from_the_first = (0, 0) in pairs[:1] or bool(all_there) or any(0 < drop == len(each) for each in views or ())
    return Appended(
        added=[turn for i, turn in enumerate(sent) if i not in by_place and i not in known],
        retyped=tuple(i for i in sorted(by_place | known) if raw[i] != prints[i]),
        unsure=_unsure(sent, by_place, from_the_first=from_the_first),
        repeated=repeated,
        marks=marks,
    )


def _explained(by_place: set[int], told: set[int]) -> int:
    """How many turns are explained by what their caller has seen; fewer if one between them is not `told` of."""
    end = max(by_place, default=-1) + 1
    return len(by_place) - (len(told.intersection(range(end))) < end)


def compared_then(history: Sequence[JSONObject], compared: tuple[int, Fingerprint]) -> int:
    """How many turns of the history those that were sent were compared with; none where it begins otherwise than then.

    `compared` is how many there were then, and the last of them.
    """
    count, mark = compared
    return count if 0 < count <= len(history) and fingerprint(history[count - 1]) == mark else 0


def seen_ends(
    stored: Sequence[JSONObject], views: Sequence[Fingerprints] | None, ends: Collection[int]
) -> tuple[set[int], int]:
    """At which lengths of the stored history its caller may have seen the end of it, and the greatest that it has.

    With `views` that is where what is last in each may be stored, and the turns behind it that have an `id`: behind the
    last one before it, since others may have said the same as the last one since.
    """
    if views is None:
        return {*ends, len(stored)}, len(stored)
    wanted = {each[-1]: each[-2:-1] for each in views if each}
    may, found, elsewhere, with_ids, greatest = set[int](), set[Fingerprint](), set[Fingerprint](), list[int](), 0
    for length in range(len(stored), max(0, len(stored) - LOOKED_BACK), -1):
        turn = stored[length - 1]
        if turn_id(turn) is not None:
            with_ids.append(length)
            continue
        mark = fingerprint(turn)
        before = [end for end in wanted if wanted[end] == (mark,)]
        lacking = {end for end in before if end not in found}  # the last one was taken for another, further up
        if mark in wanted or mark in elsewhere or lacking:
            may.update((length, *with_ids))
            greatest = max(greatest, length)
        if mark in wanted:
            found.add(mark)
        elsewhere = (elsewhere - {mark}) | lacking
        for end in before:
            del wanted[end]
        if not wanted and not elsewhere:
            break
    return may or {*with_ids}, greatest


LOOKED_BACK = 200
"""Turns of others among which the last one that a caller has seen is looked for."""


def _known_by_id(stored: Sequence[JSONObject], sent: Sequence[JSONObject], prints: list[Fingerprint]) -> set[int]:
    """Which of the turns sent are stored with their id and their words; `prints` then has the stored ones."""
    ids = {identity: i for i, turn in enumerate(sent) if (identity := turn_id(turn)) is not None}
    if not ids:
        return set()
    there: dict[Fingerprint, list[int]] = defaultdict(list)
    places: dict[str | int, list[int]] = defaultdict(list)
    for place, turn in enumerate(stored):
        if (identity := turn_id(turn)) is not None and identity in ids:
            there[fingerprint(turn)].append(place)
            places[identity].append(place)
    count, known = Counter({mark: len(at) for mark, at in there.items()}), set[int]()
    changed: list[int] = []
    for i, turn in enumerate(sent):
        if turn_id(turn) is None:
            continue
        if count[prints[i]]:
            count[prints[i]] -= 1
            known.add(i)
        else:
            changed.append(i)
    marks = {place: mark for mark, at in there.items() for place in at}
    for i in changed:
        for place in places.get(turn_id(sent[i]) or 0, [])[-TRIED:]:
            mark = marks[place]
            if count[mark] and key_of(stored[place]) == key_of(sent[i]) and fields_agree(stored[place], sent[i]):
                count[mark] -= 1
                prints[i] = mark
                known.add(i)
                break
    return known


def _held(
    by_place: set[int], paired: set[int], prints: Sequence[Fingerprint], stored: Sequence[JSONObject]
) -> set[int]:
    """Those of the turns sent that the store holds; it lacks what was lost with its last state."""
    there = Counter(view(stored))
    held = set(paired) & by_place
    for i in held:
        there[prints[i]] -= 1
    for i in sorted(by_place - held):
        if there[prints[i]] > 0:
            there[prints[i]] -= 1
            held.add(i)
    return held


def _unsure(sent: Sequence[JSONObject], by_place: set[int], *, from_the_first: bool) -> int:
    """How many of the turns that were dropped by their place may have been said again.

    None where one names its time, or where all from the first on are a talk of some length that ends in more than a
    "yes". In all other cases people who say the same again cannot be told from programs that send it again.
    """
    behind = max(by_place, default=-1) + 1
    if from_the_first and len(by_place) == behind >= LONG_RUN and len(text_in(sent[behind - 1])) >= ONE_TEXT:
        return 0
    return 0 if any(name in sent[i] for i in by_place for name in TIMES) else len(by_place)
