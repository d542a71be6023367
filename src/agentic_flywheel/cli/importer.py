"""Adds the conversations of an import to a store, each turn once, and overwrites nothing.

Where a session of our own export is not there yet, it becomes what it was; where something else is there, that is
reported. Of a conversation from elsewhere that is there, only new turns are added, at the end. One that begins with
what another one has, which was sent to the background or forked, comes in without that, and names the other in
`context.parent_session`. What was deleted here stays so, unless it is to be brought back. In all of them, what looks
like a credential is replaced (`FLYWHEEL_SECRETS=off` takes all as it is). What was written is read again and compared.
"""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Literal

from agentic_flywheel.backends.base import UniversalSession
from agentic_flywheel.cli.importers import BadEntry, Imported, named
from agentic_flywheel.documents.list_row import first_words
from agentic_flywheel.documents.model import Document, Tombstone, iso
from agentic_flywheel.documents.save_request import Save
from agentic_flywheel.errors import InvalidArgument, Unavailable
from agentic_flywheel.json_text import JSONObject, canonical
from agentic_flywheel.sessions.caller_view import CallerViews
from agentic_flywheel.sessions.history import save_fields
from agentic_flywheel.sessions.redaction.documents import redacted_document
from agentic_flywheel.sessions.redaction.ids import check_ids
from agentic_flywheel.sessions.redaction.policy import Credentials
from agentic_flywheel.sessions.store import SessionStore

Outcome = Literal["new", "more", "same", "copy", "deleted", "bad"]
"""What became of an entry: taken in, added to, there already, there in another one, deleted here, not taken in."""


@dataclass(frozen=True, slots=True)
class Ours:
    """A line of our own export."""

    line: int
    document: Document
    halves: int = 0

    @property
    def talk(self) -> str:
        """What a report calls it."""
        return named(self.document.title or first_words(self.document.session.history), self.document.session.id)


@dataclass(frozen=True, slots=True)
class Added:
    """What became of an entry, what there is to tell of it, and how many halves of characters were mended in it."""

    outcome: Outcome
    message: str = ""
    halves: int = 0


_WHY_NOT = {
    "another": "there is another session {!r} here; it stays as it is",
    "expired": "session {!r} has expired",
}

_DELETED = "was deleted here, and stays so"


class Importer:
    """Adds conversations to a store, one at a time. `shared`: Redis answers; `brings_back`: what was deleted, too."""

    def __init__(self, sessions: SessionStore, credentials: Credentials, *, shared: bool, brings_back: bool) -> None:
        self._sessions = sessions
        self._credentials = credentials
        self._shared = shared
        self._brings_back = brings_back
        self._whose: dict[str, str] = {}
        """In which session each turn stands of those that others may begin with, by the turn's id."""

    async def add(self, each: Ours | Imported | BadEntry, *, related: bool = False) -> Added:
        """Add one; `related`: another one may begin with it, or it with another.

        Raises:
            FlywheelError: it cannot be kept, or something else is there under its id.

        """
        if isinstance(each, BadEntry):
            return Added("bad", each.reason)
        session_id = each.document.session.id if isinstance(each, Ours) else each.session_id
        await check_ids(self._credentials, self._sessions, session_id)
        if isinstance(each, Ours):
            return await self._put(each)
        added = await self._merge(each, related=related)
        if related:
            for turn in each.history:
                self._whose.setdefault(_identity(turn), session_id)
        return added

    async def _put(self, ours: Ours) -> Added:
        session_id = ours.document.session.id
        clean, findings = redacted_document(self._credentials, ours.document)
        outcome = await self._sessions.put(clean)
        if outcome == "deleted":
            return await self._bring_back(clean, ours.halves) if self._brings_back else Added("deleted", _DELETED)
        there, _ = await self._sessions.load(session_id) if outcome == "another" else (None, None)
        # It may be there with its credentials, as it was exported, or have been brought back.
        equal = isinstance(there, Document) and save_fields(there) in (save_fields(ours.document), save_fields(clean))
        if outcome == "same" or equal:
            return Added("same")
        if outcome != "put":
            raise InvalidArgument(_WHY_NOT[outcome].format(session_id))
        stored, _ = await self._sessions.load(session_id)
        if stored != clean:
            raise InvalidArgument(_reads_otherwise(session_id))
        return Added("new", self._credentials.report(findings)[1], ours.halves)

    async def _bring_back(self, document: Document, halves: int) -> Added:
        """Begin a session anew that was deleted here, with all but the earlier revisions."""
        save = Save(
            session_id=document.session.id, expected_revision=0, said_at=document.saved_at, **save_fields(document)
        )
        saved = await self._sessions.save(save, CallerViews())
        if not saved.saved:
            raise InvalidArgument(saved.message or f"it was not saved: {saved.reason}")
        return Added("new", halves=halves)

    async def _merge(self, talk: Imported, *, related: bool) -> Added:
        stored = await self._stored(talk.session_id)
        if _is_deleted(stored) and not self._brings_back:
            return Added("deleted", _DELETED)
        if not isinstance(stored, Document):
            talk = await self._linked(talk, related=related)
            if not talk.history:
                return Added("copy")
            if talk.relation == "sub-agent" and not self._brings_back and _is_deleted(await self._stored(talk.parent)):
                return Added("deleted", f"belongs to {talk.parent!r}, which {_DELETED}")
        sent = {"title": talk.title, "summary": talk.summary, "history": talk.history, "context": talk.context,
                "values": self._values(talk)}  # fmt: skip
        clean, findings = self._credentials.redact(sent)
        wanted: list[JSONObject] = clean["history"]
        if isinstance(stored, Document):
            wanted = _missing(stored.session, _own_part(stored.session, wanted))
            if not wanted:
                return Added("same")
            # Only turns: a title or a summary may have been changed here since.
            save = Save(session_id=talk.session_id, history=wanted, expected_revision=stored.revision,
                        said_at=talk.said_at)  # fmt: skip
        else:
            save = Save(session_id=talk.session_id, tags=list(talk.tags), said_at=talk.said_at, **clean)
        saved = await self._sessions.save(save, CallerViews())
        if not saved.saved:
            raise InvalidArgument(saved.message or f"it was not saved: {saved.reason}")
        after, _ = await self._sessions.load(talk.session_id)
        if not isinstance(after, Document) or _missing(after.session, wanted):
            raise InvalidArgument(_reads_otherwise(talk.session_id))
        told = self._credentials.report(findings)[1]
        return Added("more" if isinstance(stored, Document) else "new", told, talk.halves)

    def _values(self, talk: Imported) -> JSONObject:
        """Other fields of the session: its times, and its user, unless it is one whose sessions are not shown here."""
        given = talk.values | {"created_at": iso(talk.created_at), "updated_at": iso(talk.updated_at)}
        is_shown = self._sessions.is_shown(talk.values.get("user_id"))
        return {name: value for name, value in given.items() if value and (is_shown or name != "user_id")}

    async def _linked(self, talk: Imported, *, related: bool) -> Imported:
        """The talk without the turns that it begins with and another one has, and with the name of that one."""
        parent, own = talk.parent, talk.history
        if talk.relation != "sub-agent" and (related or parent):
            if parent and isinstance(there := await self._stored(parent), Document):
                for turn in there.session.history:
                    self._whose.setdefault(_identity(turn), parent)
            shared = 0
            while shared < len(own) and self._whose.get(_identity(own[shared]), talk.session_id) != talk.session_id:
                parent = self._whose[_identity(own[shared])]
                shared += 1
            own = own[shared:]
        link = {"parent_session": parent, "relation": talk.relation} if parent else {}
        return replace(talk, parent=parent, history=own, context=talk.context | link)

    async def _stored(self, session_id: str) -> Document | Tombstone | None:
        """What is stored, as far as is known; what is saved while Redis is away is merged when it answers."""
        try:
            return (await self._sessions.load(session_id))[0] if session_id else None
        except Unavailable:
            if self._shared:
                raise
            return None


def _is_deleted(stored: Document | Tombstone | None) -> bool:
    return isinstance(stored, Tombstone) and stored.because == "deleted"


def _own_part(session: UniversalSession, history: list[JSONObject]) -> list[JSONObject]:
    """The turns from the first on that the session has, where it came in without what its parent has."""
    if "parent_session" in session.context:
        stored = set(map(_identity, session.history))
        first = next((place for place, turn in enumerate(history) if _identity(turn) in stored), 0)
        return history[first:]
    return history


def _missing(session: UniversalSession, history: list[JSONObject]) -> list[JSONObject]:
    """The turns that the session does not have, or not as often; those with an id are told by it."""
    stored = Counter(map(_identity, session.history))
    missing: list[JSONObject] = []
    for turn in history:
        identity = _identity(turn)
        if stored[identity]:
            stored[identity] -= 1
        else:
            missing.append(turn)
    return missing


def _identity(turn: JSONObject) -> str:
    return f"id {canonical(turn['id'])}" if turn.get("id") else canonical(turn)


def _reads_otherwise(session_id: str) -> str:
    return f"session {session_id!r} reads otherwise than it was written"
