"""Finds the earlier revisions of a session, which are kept as the fields that differ, or whole elsewhere.

An append takes nothing away, so what came before it is the beginning of what is there. What took something away, or
changed much, leaves the earlier document under a key of its own, with the earlier revisions that it names itself.
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace

from agentic_flywheel.backends.base import UniversalSession
from agentic_flywheel.documents.codec import public
from agentic_flywheel.documents.model import Document, Past, iso
from agentic_flywheel.documents.parse import document_in
from agentic_flywheel.json_text import JSONObject

CAME_TOO_LATE = "came too late and was kept aside"
"""The note of a replace that lost against another save: the revisions before it do not lead to it."""

KEPT_ASIDE = "was saved before Redis went back to an older state"
"""The note of a version that was merged into what others had saved since: the revisions before it do not lead to it."""

ASIDE = (CAME_TOO_LATE, KEPT_ASIDE)

REPLACED = "replaced"
"""The note of a revision that took something away."""

IMPORTED = "imported"
"""The note of a revision that an import made of what only imports had written: a save of anybody else ends that."""

RESTORED = "restored from revision"
"""What the note of a revision begins with that is an earlier one again."""

KEPT_REPLACED = 3
"""How many revisions that a replace took the place of stay, however many appends came after it."""


def next_note(note: str, before: str, *, replaces: bool, takes: bool) -> str:
    """The note of a revision above one with the note `before`, whose writer gave this `note`.

    `takes`: it takes something away. What an import adds to what somebody else has written is no import's alone.
    """
    if note == IMPORTED and before != IMPORTED and not replaces:
        return ""
    return note or (REPLACED if takes else "")


def newest(past: Sequence[Past], note: str, limit: int) -> tuple[Past, ...]:
    """The revisions that stay named below one with this `note`: the last `limit`, and the last that were replaced.

    Where a revision is missing after one that is kept whole, the latter had stayed for having been replaced.
    """
    if not limit:
        return ()
    notes = [*(after.note for after in past[1:]), note]
    missing = [after.revision > each.revision + 1 for each, after in itertools.pairwise(past)]
    replaced = [
        each
        for each, after, gap in zip(past, notes, [*missing, False], strict=True)
        if each.fields is None
        and each.note not in ASIDE
        and (gap or after in (REPLACED, IMPORTED) or after.startswith(RESTORED))
    ]
    stay = {each.revision for each in (*past[-limit:], *replaced[-KEPT_REPLACED:])}
    return tuple(each for each in past if each.revision in stay)


def kept_whole(document: Document) -> list[int]:
    """The revisions that are kept whole, for as long as the document."""
    return [past.revision for past in document.past if past.fields is None]


def turns_in(document: Document) -> int:
    """How many turns it has, also if only its head was parsed."""
    named = (done.turns for done in reversed(document.operations) if done.revision == document.revision)
    return next(named, len(document.session.history))


def whole_for(document: Document, revision: int) -> int | None:
    """The revision to be read whole for an earlier one: itself, or the first after it; `None`: it is in `document`."""
    whole = [past for past in document.past if past.fields is None and past.revision >= revision]
    return next((past.revision for past in whole if past.revision == revision or past.note not in ASIDE), None)


def was_replaced_since(document: Document, revision: int) -> bool:
    """Whether a save took something of this revision or a later one away; a restore does not count."""
    notes = [*(after.note for after in document.past[1:]), document.note]
    return any(
        past.fields is None
        and past.revision >= revision
        and (past.revision == revision or past.note not in ASIDE)
        and not note.startswith(RESTORED)
        for past, note in zip(document.past, notes, strict=False)  # of the only revision there is the note alone
    )


def earlier(document: Document, revision: int) -> Document | None:
    """An earlier revision that is the beginning of this one; `None` if it is not named, or kept elsewhere."""
    if document.revision == revision:
        return document
    fields: JSONObject = {}
    for place in range(len(document.past) - 1, -1, -1):
        past = document.past[place]
        if past.note in ASIDE:
            continue
        if past.fields is None:
            return None
        fields |= {"updated_at": iso(past.saved_at)} | past.fields  # what is not named there was the time of the save
        if past.revision == revision:
            made = _with_fields(document, fields)
            session = replace(made.session, history=document.session.history[: past.turns])
            return replace(
                made, session=session, revision=revision, saved_at=past.saved_at, note=past.note,
                past=document.past[:place],
            )  # fmt: skip
    return None


def _with_fields(document: Document, fields: JSONObject) -> Document:
    """The document without its turns and with other values in some of the fields that `public` gives; `None`: none."""
    shown = public(replace(document, session=replace(document.session, history=[]))) | fields
    data = {name: value for name, value in shown.items() if value is not None}
    made = document_in(data, document.session.id, "an earlier revision")
    return replace(made, operations=document.operations, began=document.began, begun_after=document.begun_after)


def listed(document: Document) -> list[JSONObject]:
    """The revisions as callers see them, newest first: number, time, turns, and what became of the one before."""
    known = [
        *((past.revision, past.saved_at, past.turns, past.note) for past in document.past),
        (document.revision, document.saved_at, len(document.session.history), document.note),
    ]
    rows: list[JSONObject] = []
    for place, (revision, saved_at, turns, note) in enumerate(known):
        before = known[place - 1] if place else None
        if not note and before and before[0] == revision - 1:
            whole = document.past[place - 1].fields is None
            added = turns - before[2]
            note = REPLACED if whole and added <= 0 else f"{added} turn{'' if added == 1 else 's'} added"
        rows.append({"revision": revision, "saved_at": iso(saved_at), "turns": turns, "note": note})
    return rows[::-1]


def values_of(document: Document) -> JSONObject:
    """The fields of the session, but its turns and context, as a save takes them."""
    shown = public(document)
    names = UniversalSession.__dataclass_fields__.keys() - {"id", "context", "history"}
    return {name: shown[name] for name in sorted(names) if shown[name] not in (None, "")}
