"""Decides what of a session becomes an older revision when a save takes its place, and keeps it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from dataclasses import fields as fields_of
from datetime import datetime

from agentic_flywheel.backends.base import UniversalSession
from agentic_flywheel.documents.codec import encode, public
from agentic_flywheel.documents.model import Document, Operation, Past, iso
from agentic_flywheel.documents.revisions import CAME_TOO_LATE, newest, turns_in
from agentic_flywheel.documents.write_ids import LOST, kept
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.json_text import JSONObject, dumps


def as_older(revisions: str, document: Document) -> Write:
    """The document as an older revision, kept under a key of its own for as long as the session."""
    return Write(f"{revisions}{document.revision}", encode(document), None, document.kept_until)


CHEAP = 2000
"""Characters of fields that differ, up to which they are kept as such."""

_NOT_COMPARED = {"id", "revision", "history", "updated_at", "saved_at", "kept_until"}


def superseded(
    alive: Document, document: Document, note: str, *, whole: bool, limit: int
) -> tuple[tuple[Past, ...], bool]:
    """The earlier revisions that `document` names as it takes the place of `alive`, and whether that is kept whole.

    `note` is how it comes about. `whole`: it took something away. The last `limit` are named, and what was replaced
    before.
    """
    if not limit:
        return (), False
    fields: JSONObject = {}
    if not whole:
        if _differ(alive, document):
            before, after = public(alive), public(document)
            names = (before.keys() | after.keys()) - _NOT_COMPARED
            fields = {name: before.get(name) for name in sorted(names) if before.get(name) != after.get(name)}
        if alive.session.updated_at != alive.saved_at:
            fields["updated_at"] = iso(alive.session.updated_at)
        whole = len(dumps(fields)) > CHEAP
    last = Past(alive.revision, alive.saved_at, turns_in(alive), None if whole else fields, alive.note)
    return newest((*alive.past, last), note, limit), whole


_OF_DOCUMENT = ("ttl_seconds", "title", "summary", "tags", "extra")
_OF_SESSION = [each.name for each in fields_of(UniversalSession) if each.name not in _NOT_COMPARED]


def _differ(one: Document, other: Document) -> bool:
    """Whether they differ in more than turns and times: most saves add turns alone, and this is told sooner."""
    return any(getattr(one, name) != getattr(other, name) for name in _OF_DOCUMENT) or any(
        getattr(one.session, name) != getattr(other.session, name) for name in _OF_SESSION
    )


@dataclass(frozen=True, slots=True)
class Taken:
    """What a replace took away: the `revision` that has it, its number of turns, and what is empty now.

    `context` are keys. `is_kept`: the revision can be had back.
    """

    revision: int
    turns: int
    fields: tuple[str, ...]
    context: tuple[str, ...]
    is_kept: bool

    @property
    def shown(self) -> JSONObject:
        """It as an answer tells it."""
        return {name: getattr(self, name) for name in ("revision", "turns", "fields", "context", "is_kept")}


def taken(alive: Document, document: Document, *, is_kept: bool) -> Taken:
    """What `document` took away that was in `alive`, in whose place it is."""
    tags = "tags" if set(alive.tags) - set(document.tags) else ""
    texts = [name for name in ("title", "summary") if getattr(alive, name) and not getattr(document, name)]
    context = tuple(sorted(alive.session.context.keys() - document.session.context.keys()))
    return Taken(alive.revision, turns_in(alive), (*texts, *([tags] if tags else [])), context, is_kept)


def forgotten(before: Sequence[Past], after: Sequence[Past]) -> list[int]:
    """The revisions that were kept whole for those that are not named any more."""
    named = {past.revision for past in after}
    return [past.revision for past in before if past.fields is None and past.revision not in named]


def above_a_late_write(alive: Document, operation: str, turns: int, limit: int, now: datetime) -> Document:
    """The stored document two revisions on, above a replace that came too late and becomes the one between them."""
    done = Operation(operation + LOST, alive.revision + 2, len(alive.session.history), 0)
    late = Past(alive.revision + 1, now, turns, None, CAME_TOO_LATE)
    past = newest((*alive.past, late), alive.note, limit)
    return replace(alive, revision=alive.revision + 2, operations=kept((*alive.operations, done)), past=past)
