"""Merges what two versions of a session say beside their turns, field by field, from the revision both went on from.

A title that was given on one side and left alone on the other is the title, whichever side is newer.
"""

from dataclasses import replace

from agentic_flywheel.documents.codec import public
from agentic_flywheel.documents.model import Document, Past
from agentic_flywheel.documents.parse import document_in
from agentic_flywheel.documents.revisions import ASIDE, earlier
from agentic_flywheel.json_text import JSONObject

_OF_ONE_SAVE = {"id", "revision", "history", "created_at", "updated_at", "saved_at", "kept_until"}
"""What each save sets, or none: it says nothing of what a person changed."""

_BY_PARTS = {"context", "tags"}


def with_changes(mine: Document, there: Document) -> Document:
    """`there`, with what only `mine` has changed; with what it lacks, where no revision is known to both."""
    before = _common(mine, there)
    if before is None:
        context = {**mine.session.context, **there.session.context}
        return replace(
            there,
            session=replace(there.session, context=context),
            title=there.title or mine.title,
            summary=there.summary or mine.summary,
            tags=(*there.tags, *(tag for tag in mine.tags if tag not in there.tags)),
        )
    was, ours, theirs = (_fields(each) for each in (before, mine, there))
    changed = {
        name: ours.get(name)
        for name in (ours.keys() | theirs.keys()) - _BY_PARTS
        if theirs.get(name) == was.get(name) != ours.get(name)
    }
    context = _context(before.session.context, mine.session.context, there.session.context)
    added = [tag for tag in mine.tags if tag not in before.tags and tag not in there.tags]
    tags = [*(tag for tag in there.tags if tag in mine.tags or tag not in before.tags), *added]
    return _with(there, changed | {"context": context, "tags": tags})


def _fields(document: Document) -> JSONObject:
    return {name: value for name, value in public(document).items() if name not in _OF_ONE_SAVE}


def _context(was: JSONObject, ours: JSONObject, theirs: JSONObject) -> JSONObject:
    """The context with each key that only one side has set, changed or removed as that side has it."""
    left_alone = {key for key in was.keys() | theirs.keys() if _same(was, theirs, key)}
    taken = {key: value for key, value in ours.items() if key in left_alone or key not in theirs.keys() | was.keys()}
    return {key: value for key, value in theirs.items() if key not in left_alone} | taken


def _same(one: JSONObject, other: JSONObject, key: str) -> bool:
    return (key in one) == (key in other) and one.get(key) == other.get(key)


def _with(document: Document, fields: JSONObject) -> Document:
    """The document with other values in some of its fields; `None`: it has none."""
    shown = public(replace(document, session=replace(document.session, history=[]))) | fields
    data = {name: value for name, value in shown.items() if value is not None}
    made = document_in(data, document.session.id, "a merged session")
    session = replace(made.session, history=document.session.history)
    own = {name: getattr(document, name) for name in ("operations", "began", "note", "past")}
    return replace(made, session=session, **own)


def _common(mine: Document, there: Document) -> Document | None:
    """The newest revision that both went on from; `None` where neither can tell it."""
    known = {(each.revision, each.saved_at) for each in _all(mine)}
    for each in reversed(_all(there)):
        if (each.revision, each.saved_at) in known:
            one, other = earlier(mine, each.revision), earlier(there, each.revision)
            if one and other and one.session.history == other.session.history and _fields(one) == _fields(other):
                return other
    return None


def _all(document: Document) -> list[Past]:
    """The revisions that lead to a document, and it itself."""
    own = Past(document.revision, document.saved_at, len(document.session.history), None)
    return [*(each for each in document.past if each.note not in ASIDE), own]
