"""Makes the next text of a document out of the one before, so that only what is new is parsed and written.

Parsing and writing a conversation of a megabyte takes milliseconds; most saves add a turn to it.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import NamedTuple, cast

from pydantic_core import from_json

from agentic_flywheel.backends.base import UniversalSession
from agentic_flywheel.documents.codec import around_history, encode_around, is_large, turns_of
from agentic_flywheel.documents.model import Document, Tombstone, expired
from agentic_flywheel.documents.parse import decode
from agentic_flywheel.documents.writes import Splice, shared
from agentic_flywheel.errors import Damaged, NewerSchema
from agentic_flywheel.json_text import JSONObject, dumps_checked, narrow, size_of

CACHED_CHARACTERS = 3_000_000
"""Characters of text whose documents are kept in memory; parsed, they take about four times as many bytes."""

LARGEST = 2_000_000
"""Characters of the largest of them."""


HEAD_PARSED_FROM = 100_000
"""Characters of a document from which on one that is replaced is not parsed whole."""

COMPARED_FIRST = 100
"""Characters at the end of the turns: what was changed is nearly always there."""

_BEFORE_TURNS, _BEHIND_TURNS = ',"history":[', '],"created_at":"'
"""What stands around the turns; in a text of ours the first and the last of them nearly always do."""


class DocumentCache:
    """Keeps the documents that were read and written last, one for each id, under their exact text."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._characters = 0

    def decode(self, text: str, session_id: str) -> Document | Tombstone:
        """What `parse.decode` gives; the caller must not change it."""
        known = self._get(text, session_id)
        if known and known.is_whole:
            return known.document
        document = decode(text, session_id)
        if isinstance(document, Document):
            self.keep(text, document, known.turns if known else None)
        return document

    def parse_head(self, text: str, session_id: str) -> tuple[Document, str] | None:
        """What the function `parse_head` gives, where that is quicker than to decode the text."""
        known = self._get(text, session_id)
        if known and known.turns and not known.is_whole:
            return known.document, text[slice(*known.turns)]
        return parse_head(text, session_id) if len(text) > HEAD_PARSED_FROM else None

    def newest(self, session_id: str) -> tuple[str, Document] | None:
        """The text of this id that was read or written last, and what is known of its document."""
        with self._lock:
            known = self._known.get(session_id)
        return known and (known.text, known.document)

    def place_of_turns(self, text: str, session_id: str) -> tuple[int, int] | None:
        """Where the turns stand in a text that this process has written; `None` for another one."""
        known = self._get(text, session_id)
        return known.turns if known else None

    def keep(
        self, text: str, document: Document, turns: tuple[int, int] | None = None, *, is_whole: bool = True
    ) -> None:
        """Keep it, if it is not too large; `turns`: where they stand in the text, if we wrote it.

        `is_whole`: the document has them.
        """
        session_id = document.session.id
        with self._lock:
            if before := self._known.pop(session_id, None):
                self._characters -= len(before.text)
            if len(text) <= LARGEST:
                self._known[session_id] = _Known(text, document, turns, is_whole)
                self._characters += len(text)
            while self._characters > CACHED_CHARACTERS:
                self._characters -= len(self._known.popitem(last=False)[1].text)

    def _get(self, text: str, session_id: str) -> "_Known | None":
        with self._lock:
            known = self._known.get(session_id)
        return known if known and known.text == text else None


class _Known(NamedTuple):
    text: str
    document: Document
    turns: tuple[int, int] | None
    is_whole: bool


DOCUMENT_CACHE = DocumentCache()
"""The documents of this process."""


def parse_head(text: str, session_id: str) -> tuple[Document, str] | None:
    """The document without its turns, and their text between its brackets, for one that is not to be parsed whole.

    `None` where the text is not written as this version writes, or it cannot be told where the turns begin and end.
    """
    start, end = text.find(_BEFORE_TURNS), text.rfind(_BEHIND_TURNS)
    if not 0 <= start < end:
        return None
    start += len(_BEFORE_TURNS)
    try:
        document = decode(text[:start] + text[end:], session_id)
    except (Damaged, NewerSchema):  # they were somewhere inside of another field
        return None
    if not isinstance(document, Document) or document.session.history:
        return None
    for narrowed in (is_large(text), False):
        head, tail = around_history(document, narrowed=narrowed)
        if len(head) == start and len(tail) == len(text) - end and text.startswith(head) and text.endswith(tail):
            return document, text[start:end]
    return None


@dataclass(frozen=True, slots=True)
class StoredSession:
    """What is stored where a save is applied: its text, what it says, and that again if it is a session that lives.

    `turns`: the text of its turns, where only the head was parsed.
    """

    text: str | None
    current: Document | Tombstone | None
    alive: Document | None
    turns: str | None


def read_stored(
    text: str | None, session_id: str, now: datetime, *, head_only: bool, alive_remotely: bool
) -> StoredSession:
    """What the text says, of a large document its head only if that will do.

    Raises:
        Damaged, NewerSchema: it is no document of this session, or one of a newer version.

    """
    if text is None:
        return StoredSession(None, None, None, None)
    head = DOCUMENT_CACHE.parse_head(text, session_id) if head_only else None
    current, turns = head or (DOCUMENT_CACHE.decode(text, session_id), None)
    lives = isinstance(current, Document) and (alive_remotely or not expired(current.kept_until, now))
    return StoredSession(text, current, current if lives and isinstance(current, Document) else None, turns)


def next_text(
    stored: StoredSession, document: Document, added: Sequence[JSONObject] | None, turns: bytes
) -> tuple[str, Splice | None]:
    """The text of `document`; as a splice too, where most of it is stored.

    It is what is stored with turns `added`, or another one (`None`), whose turns have this text, if that is known.
    """
    more = None
    if stored.text and stored.alive and added is not None:
        more = append_text(stored.text, stored.alive, document, added)
    return more or _whole_text(stored, document, turns or turns_of(document))


def append_text(
    before: str, base: Document, document: Document, added: Sequence[JSONObject]
) -> tuple[str, Splice] | None:
    """The text of `document`, which is `base`, the document in `before`, with other fields and turns `added`.

    With it that text as a splice. The document is remembered, with nothing in it that a caller may still change. `None`
    where `before` is not written as this version writes.
    """
    large = is_large(before)
    place = DOCUMENT_CACHE.place_of_turns(before, document.session.id) or _place_of_turns(before, base, large=large)
    if place is None:
        return None
    start, end = place
    head, tail = around_history(document, narrowed=large)
    written = dumps_checked(added)
    turns = (narrow(written) if large else written)[1:-1].decode()
    comma = "," if turns and base.session.history else ""
    text = "".join((head, before[start:end], comma, turns, tail))
    if is_large(text) != large:  # it has just become so
        return None
    splice = Splice(head, size_of(before[:start]), size_of(before[end:]), comma + turns + tail)
    if not _is_private(document, base):
        own = decode(head + turns + tail, document.session.id)
        if not isinstance(own, Document):
            return None
        new = own.session.history
    else:
        own, new = document, cast("list[JSONObject]", from_json(written))
    own = replace(own, session=replace(own.session, history=[*base.session.history, *new]))
    DOCUMENT_CACHE.keep(text, own, (len(head), len(text) - len(tail)))
    return text, splice


def _whole_text(stored: StoredSession, document: Document, turns: bytes) -> tuple[str, Splice | None]:
    """The text with these turns; as a splice where they begin as the stored ones do, for most of it.

    The document is remembered without its turns, which a caller may still change.
    """
    before, place_before = stored.text or "", _known_place(stored, document.session.id)
    text, place = encode_around(document, turns)
    head = replace(document, session=replace(document.session, history=[]))
    DOCUMENT_CACHE.keep(text, head, place, is_whole=False)
    same = shared(before[slice(*place_before)], text[slice(*place)])
    if 2 * same <= len(text):
        return text, None
    kept, anew = place_before[0] + same, place[0] + same
    return text, Splice(text[: place[0]], size_of(before[: place_before[0]]), size_of(before[kept:]), text[anew:])


def _known_place(stored: StoredSession, session_id: str) -> tuple[int, int]:
    """Where the turns of what is stored stand, if this process wrote it or has parsed its head; else an empty place."""
    if stored.text is None:
        return 0, 0
    if known := DOCUMENT_CACHE.place_of_turns(stored.text, session_id):
        return known
    start = stored.text.find(_BEFORE_TURNS) + len(_BEFORE_TURNS)
    return start, start + len(stored.turns or "")


def _place_of_turns(text: str, base: Document, *, large: bool) -> tuple[int, int] | None:
    """Where the turns of `base` stand in its text; `None` if that is not written as this version writes."""
    for narrowed in (True, False) if large else (False,):
        head, tail = around_history(base, narrowed=narrowed)
        if text.startswith(head) and text.endswith(tail):
            return len(head), len(text) - len(tail)
    return None


_FIELDS = [each.name for each in fields(UniversalSession) if each.name not in ("context", "history", "updated_at")]


def _is_private(document: Document, base: Document) -> bool:
    """Whether nothing in it but turns is a caller's, who may change it: all else is of `base`, or made by us."""
    session, before = document.session, base.session
    return (
        all(getattr(session, name) is getattr(before, name) for name in _FIELDS)
        and _has_same_values(session.context, before.context)
        and _has_same_values(document.extra, base.extra)
    )


def _has_same_values(one: JSONObject, other: JSONObject) -> bool:
    return len(one) == len(other) and all(one.get(name, _NOTHING) is value for name, value in other.items())


_NOTHING = object()


def is_same(document: Document, alive: Document, stored_turns: str | None, turns: bytes) -> bool:
    """Whether a save changes nothing but the times; `stored_turns` is the text of the turns if `alive` has none."""
    if stored_turns is None:
        if len(document.session.history) != len(alive.session.history):
            return False
    elif not _is_text_of(turns, stored_turns):
        return False
    else:
        document = replace(document, session=replace(document.session, history=[]))
    return replace(document, saved_at=alive.saved_at, kept_until=alive.kept_until) == alive


def _is_text_of(turns: bytes, stored: str) -> bool:
    """Whether these turns are stored as this text, narrow or not."""
    end = stored[-COMPARED_FIRST:].encode()
    return any(
        written(turns[-4 * COMPARED_FIRST :]).endswith(end) and written(turns).decode() == stored
        for written in (bytes, narrow)
    )
