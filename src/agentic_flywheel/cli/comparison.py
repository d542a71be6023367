"""Compares a talk as its program has it now with the session that it became, and says what is to be saved.

Where only imports wrote the session (`IMPORTED`, kept up by each save), it becomes what the person sees there now:
another branch or an answer that has grown takes the place of what was there, which stays as an older revision. Where
somebody else wrote in it too, new turns are added at the end, and an answer that has grown is replaced in its place. An
older or shorter copy of a talk changes nothing; where its program changed it since, the rest was taken back.
"""

import hashlib
from collections import Counter
from collections.abc import Collection
from datetime import datetime
from typing import cast

from agentic_flywheel.cli.importers.conversation import Imported, time_of, title
from agentic_flywheel.cli.under_other_ids import has_recorded
from agentic_flywheel.documents.model import Document, iso
from agentic_flywheel.documents.revisions import IMPORTED
from agentic_flywheel.documents.save_request import Save
from agentic_flywheel.json_text import JSONObject, canonical
from agentic_flywheel.sessions.history import save_fields


def change(stored: Document, talk: Imported, unchanged: Collection[str] = (), *, goes_on: bool = False) -> Save | None:
    """The save that brings the session up to the talk; `None` where there is nothing new.

    `unchanged`: which of title and summary are stored as an import set them, as far as that is known.
    `goes_on`: its file only grew since it wrote what is stored, so that one with less in it is no older copy: the
    rest was taken back.
    """
    alone = wrote_alone(stored)
    if stored.note == IMPORTED or (alone and not stored.past):
        unchanged = ("title", "summary")
    fields = _fields(stored, talk, unchanged)
    history, own = stored.session.history, own_part(stored, talk.history)
    if not alone and (between := _between(history, own)):
        return _replace(stored, talk, between, fields, note="")
    if own[: len(history)] == history or (not alone and not _grown(history, own)):
        added = own[len(history) :] if own[: len(history)] == history else missing(history, own)
        if added and alone and "summary" in unchanged and stored.summary and not talk.summary:
            return _replace(stored, talk, own, {"summary": ""} | fields, note=IMPORTED)  # it was taken back
        return _append(stored, talk, added, fields)
    if not alone:
        grown = _grown(history, own)
        merged = [grown.get(identity(turn), turn) for turn in history]
        return _replace(stored, talk, [*merged, *missing(history, own)], fields, note="")
    if not goes_on and _is_older(history, own) and not _was_cut(history, own, talk.changed_at):
        return _append(stored, talk, [], _fields(stored, talk, ()))
    return _replace(stored, talk, own, {"summary": talk.summary} | fields, note=IMPORTED)  # it may be taken back, too


def ends_alike(stored: Document, save: Save | None, history: list[JSONObject]) -> bool:
    """Whether the session, as it is or as it is saved, ends as the talk does; an older copy of the talk does not."""
    now = (save.history if save else None) or stored.session.history
    return bool(now and history) and identity(now[-1]) == identity(history[-1])


def wrote_alone(stored: Document) -> bool:
    """Whether only imports wrote the session.

    Earlier versions did not note that: there it is so where each turn has an id, as those of programs do, and no
    revision says anything else.
    """
    if stored.note or any(past.note for past in stored.past):
        return stored.note == IMPORTED
    return "imported_from" in stored.session.context and all(turn.get("id") for turn in stored.session.history)


def identity(turn: JSONObject) -> str:
    """What tells a turn from others: its id, or all of it."""
    return f"id {canonical(turn['id'])}" if turn.get("id") else canonical(turn)


def missing(stored: list[JSONObject], history: list[JSONObject]) -> list[JSONObject]:
    """The turns that are not stored, or not as often; those with an id are told by it."""
    there = Counter(map(identity, stored))
    found: list[JSONObject] = []
    for turn in history:
        name = identity(turn)
        if there[name]:
            there[name] -= 1
        else:
            found.append(turn)
    return found


def overlap(stored: list[JSONObject], tail: list[JSONObject]) -> int | None:
    """The place in what is stored at which the end of the talk begins, which may be there in part.

    `None` where that cannot be told: programs may give one id to more than one turn, as models do to their calls.
    """
    names, new = list(map(identity, stored)), list(map(identity, tail))
    if not all(turn.get("id") for turn in tail):
        return None
    first = max(len(names) - len(new), 0)
    found = [at for at in range(first, len(names)) if names[at:] == new[: len(names) - at]]
    if not found and set(new).isdisjoint(names[first:]):
        return len(names)
    return found[0] if len(found) == 1 else None


def own_part(stored: Document, history: list[JSONObject]) -> list[JSONObject]:
    """The turns from the first on that the session has, where it came in without what its parent has."""
    if "parent_session" in stored.session.context and stored.session.context.get("relation") != "sub-agent":
        there = set(map(identity, stored.session.history))
        first = next((place for place, turn in enumerate(history) if identity(turn) in there), 0)
        return history[first:]
    return history


def _between(stored: list[JSONObject], history: list[JSONObject]) -> list[JSONObject]:
    """All of the talk in its order, where what is stored was recorded from the middle of it; else nothing."""
    there, names = {identity(turn): turn for turn in stored}, list(map(identity, history))
    if not has_recorded(stored) or not there.keys() <= set(names) or names[: len(stored)] == list(there):
        return []
    return [there.get(name, turn) for name, turn in zip(names, history, strict=True)]


def _append(stored: Document, talk: Imported, added: list[JSONObject], fields: JSONObject) -> Save | None:
    if not added and not ({"title", "summary"} & fields.keys()):
        return None
    return _save(stored, talk, added, fields, IMPORTED)


def _replace(stored: Document, talk: Imported, history: list[JSONObject], fields: JSONObject, note: str) -> Save:
    return replacing(stored, _save(stored, talk, history, fields, note))


def _save(stored: Document, talk: Imported, history: list[JSONObject], fields: JSONObject, note: str) -> Save:
    return Save.model_validate(
        fields
        | {
            "session_id": talk.session_id,
            "history": history,
            "expected_revision": stored.revision,
            "said_at": talk.said_at if history else stored.saved_at,
            "note": note,
        }
    )


def replacing(stored: Document, save: Save) -> Save:
    """The save as one that puts its turns in the place of those stored, and keeps all else that it does not name."""
    kept = save_fields(stored)
    named = {name: getattr(save, name) for name in ("title", "summary") if name in save.model_fields_set}
    own: JSONObject = {"context": kept["context"] | (save.context or {}), "history": save.history}
    return save.model_copy(update={"mode": "replace", **kept, **named, **own})


def first_save(talk: Imported) -> Save:
    """The save that begins the session."""
    times = {"created_at": iso(talk.created_at), "updated_at": iso(talk.updated_at)}
    return Save(
        session_id=talk.session_id,
        history=talk.history,
        context=talk.context,
        title=talk.title,
        summary=talk.summary,
        tags=list(talk.tags),
        values=talk.values | {name: time for name, time in times.items() if time},
        said_at=talk.said_at,
        note=IMPORTED,
        is_checked=True,
    )


def digest(text: str) -> str:
    """What a text is known by where its words are not to be noted."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _fields(stored: Document, talk: Imported, unchanged: Collection[str]) -> JSONObject:
    """What else of the talk is other than stored, and may be set; a title of first words stands for none."""
    context = {name: value for name, value in talk.context.items() if stored.session.context.get(name) != value}
    found: JSONObject = {"context": context} if context else {}
    for name, value, before in (("title", talk.title, stored.title), ("summary", talk.summary, stored.summary)):
        if value and value != before and (name in unchanged or not before):
            found[name] = value
    if stored.title and _is_made(talk.title, talk.history) and not _is_made(stored.title, stored.session.history):
        found.pop("title", None)
    return found


def _is_made(named: str, history: list[JSONObject]) -> bool:
    """Whether a title is the first words of the talk, as it has them that its program gave none."""
    return named == title("", history)


def _grown(stored: list[JSONObject], history: list[JSONObject]) -> dict[str, JSONObject]:
    """The turns that go on from a stored one of their id, by their identity."""
    there = {identity(turn): turn for turn in stored if turn.get("id")}
    return {
        name: turn
        for turn in history
        if (name := identity(turn)) in there and turn != there[name] and _goes_on(there[name], turn)
    }


def _is_older(stored: list[JSONObject], history: list[JSONObject]) -> bool:
    """Whether a copy of a talk has nothing that the stored one does not have, or was said before it."""
    there = {identity(turn): turn for turn in stored}
    if all((name := identity(turn)) in there and _goes_on(turn, there[name]) for turn in history):
        return True
    ended, ends = (max(filter(None, map(time_of, turns)), default=None) for turns in (history, stored))
    return ended is not None and ends is not None and ended < ends


def _was_cut(stored: list[JSONObject], history: list[JSONObject], changed_at: datetime | None) -> bool:
    """Whether the talk is the beginning of what is stored, and was changed when all the rest had been said."""
    rest = [time_of(turn) for turn in stored[len(history) :]]
    is_beginning = bool(history) and stored[: len(history)] == history
    return is_beginning and changed_at is not None and all(time is not None and time < changed_at for time in rest)


def _goes_on(before: JSONObject, turn: JSONObject) -> bool:
    """Whether a turn is the other one, or that with more behind it."""
    if before == turn:
        return True
    if before.get("role") != turn.get("role"):
        return False
    first, second = before.get("content"), turn.get("content")
    if isinstance(first, str) and isinstance(second, str):
        return second.startswith(first)
    blocks, more = _blocks(first), _blocks(second)
    if not blocks or len(more) < len(blocks):
        return False
    last, over = blocks[-1], more[len(blocks) - 1]
    if blocks[:-1] != more[: len(blocks) - 1]:
        return False
    if last == over:
        return True
    texts = last.get("text"), over.get("text")
    return isinstance(texts[0], str) and isinstance(texts[1], str) and texts[1].startswith(texts[0])


def _blocks(content: object) -> list[JSONObject]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return cast("list[JSONObject]", content) if isinstance(content, list) else []
