"""Adds the conversations of an import to a store, each turn once, and overwrites nothing that somebody wrote here.

Where a session of our own export is not there yet, it becomes what it was; where something else is there, that is
reported. Of a conversation from elsewhere that is there, only new turns are added, at the end. One that begins with
what another one has, which was sent to the background or forked, comes in without that, and names the other in
`context.parent_session`. What was deleted here stays so, unless it is to be brought back. In all of them, what looks
like a credential is replaced (`FLYWHEEL_SECRETS=off` takes all as it is). What was written is read again and compared.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from agentic_flywheel.cli.added import Added
from agentic_flywheel.cli.comparison import (
    change,
    digest,
    ends_alike,
    first_save,
    identity,
    missing,
    overlap,
    own_part,
    replacing,
    wrote_alone,
)
from agentic_flywheel.cli.importers.conversation import Imported
from agentic_flywheel.cli.importers.json_entries import BadEntry
from agentic_flywheel.cli.own_export import Ours, own_by
from agentic_flywheel.cli.shortening import shortened
from agentic_flywheel.cli.under_other_ids import as_stored
from agentic_flywheel.documents.incremental import DOCUMENT_CACHE
from agentic_flywheel.documents.model import Document, Tombstone
from agentic_flywheel.documents.parse import decode
from agentic_flywheel.documents.revisions import IMPORTED
from agentic_flywheel.documents.save_request import Save
from agentic_flywheel.errors import InvalidArgument, Unavailable
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.keys import Keys
from agentic_flywheel.sessions.caller_view import CallerViews
from agentic_flywheel.sessions.history import save_fields
from agentic_flywheel.sessions.redaction.documents import redacted_document
from agentic_flywheel.sessions.redaction.ids import check_ids
from agentic_flywheel.sessions.redaction.policy import Credentials
from agentic_flywheel.sessions.store import SessionStore

if TYPE_CHECKING:
    from agentic_flywheel.sessions.redaction.values import Finding

_WHY_NOT = {
    "another": "there is another session {!r} here; it stays as it is",
    "expired": "session {!r} has expired",
}

_DELETED = "was deleted here, and stays so"


class Importer:
    """Adds conversations to a store, one at a time. `shared`: Redis answers; `brings_back`: deleted ones, too."""

    def __init__(
        self,
        sessions: SessionStore,
        credentials: Credentials,
        keys: Keys,
        max_bytes: int,
        *,
        brings_back: bool,
    ) -> None:
        self._sessions = sessions
        self._credentials = credentials
        self._keys = keys
        self._max_bytes = max_bytes
        self.shared = False
        self._brings_back = brings_back
        self._whose: dict[str, str] = {}
        """In which session each turn stands of those that others may begin with, by the turn's id."""

    async def add(
        self,
        each: Ours | Imported | BadEntry,
        *,
        related: bool = False,
        given: tuple[str, str] | None = None,
        wrote: int = 0,
    ) -> Added:
        """Add one; `related`: another one may begin with it, or it with another; `given`: as `Added` has it.

        `wrote`: the revision that ended as its file did, which only grew since; else 0.

        Raises:
            FlywheelError: it cannot be kept, or something else is there under its id.

        """
        if isinstance(each, BadEntry):
            return Added("bad", each.reason)
        session_id = each.document.session.id if isinstance(each, Ours) else each.session_id
        await check_ids(self._credentials, self._sessions, session_id)
        if isinstance(each, Ours):
            return await self._put(each)
        added = await self._merge(each, related=related, given=given, wrote=wrote)
        if related:
            for turn in each.history:
                self._whose.setdefault(identity(turn), session_id)
        return added

    async def add_tail(self, talk: Imported, revision: int, given: tuple[str, str], *, overlaps: bool) -> Added | None:
        """Add the turns that were appended to a talk since this revision; `None` where the whole talk is needed.

        `overlaps`: some of them may be there.

        Raises:
            FlywheelError: they cannot be kept.

        """
        if not overlaps:
            talk, findings = self._clean(talk, ())
            save = Save(session_id=talk.session_id, history=talk.history, context=talk.context,
                        expected_revision=revision, said_at=talk.said_at, note=IMPORTED)  # fmt: skip
            saved = await self._sessions.save(save, CallerViews(once=True))
            if not saved.saved:
                return None
            await self._check_written(talk.session_id, talk.history)
            told = self._credentials.report(findings)[1]
            return Added("more", told, talk.halves, saved.added_turns, saved.revision, saved.stored_in, given)
        stored = await self._stored(talk.session_id)
        if not isinstance(stored, Document) or stored.revision != revision:
            return None
        if (begin := overlap(stored.session.history, talk.history)) is None:
            return None
        whole = [*stored.session.history[:begin], *talk.history]
        return await self._merge_into(
            stored, replace(talk, history=whole, title=stored.title, summary=stored.summary), given
        )

    async def _put(self, ours: Ours) -> Added:
        session_id = ours.document.session.id
        clean, findings = redacted_document(self._credentials, ours.document)
        outcome = await self._sessions.put(clean)
        if outcome == "deleted":
            return await self._bring_back(clean, ours.halves) if self._brings_back else Added("deleted", _DELETED)
        there, _ = await self._sessions.load(session_id) if outcome == "another" else (None, None)
        # It may be there with its credentials, as it was exported, have been brought back, or still be nobody's.
        equal = isinstance(there, Document) and own_by(there, ours) in (save_fields(ours.document), save_fields(clean))
        if outcome == "same" or equal:
            return Added("same")
        if outcome != "put":
            raise InvalidArgument(_WHY_NOT[outcome].format(session_id))
        stored, _ = await self._sessions.load(session_id)
        if stored != clean:
            raise InvalidArgument(f"session {session_id!r} reads otherwise than it was written")
        return Added("new", ". ".join(filter(None, (self._credentials.report(findings)[1], ours.told))), ours.halves)

    async def _bring_back(self, document: Document, halves: int) -> Added:
        """Begin a session anew that was deleted here, with all but the earlier revisions."""
        save = Save(
            session_id=document.session.id, expected_revision=0, said_at=document.saved_at, **save_fields(document)
        )
        saved = await self._sessions.save(save, CallerViews(once=True))
        if not saved.saved:
            raise InvalidArgument(saved.message or f"it was not saved: {saved.reason}")
        return Added("new", halves=halves)

    async def _merge(self, talk: Imported, *, related: bool, given: tuple[str, str] | None, wrote: int) -> Added:
        stored = await self._stored(talk.session_id)
        if _is_deleted(stored) and not self._brings_back:
            return Added("deleted", _DELETED)
        if isinstance(stored, Document):
            own = own_part(stored, talk.history)
            own = as_stored(stored.session.history, own) if talk.values else own
            goes_on = stored.revision == wrote
            return await self._merge_into(stored, replace(talk, history=own), given or ("", ""), goes_on=goes_on)
        talk = await self._linked(talk, related=related)
        if not talk.history:
            return Added("copy")
        if talk.relation == "sub-agent" and not self._brings_back and _is_deleted(await self._stored(talk.parent)):
            return Added("deleted", f"belongs to {talk.parent!r}, which {_DELETED}")
        talk, findings = self._clean(talk, ())
        added = await self._write(first_save(talk), talk, findings)
        return replace(added, given=(digest(talk.title), digest(talk.summary)))

    async def _merge_into(
        self, stored: Document, talk: Imported, given: tuple[str, str], *, goes_on: bool = False
    ) -> Added:
        """Bring a session up to the talk, which `goes_on` from it or may be an older copy."""
        talk, findings = self._clean(talk, stored.session.history)
        now = digest(stored.title), digest(stored.summary)
        unchanged = [
            name for name, then, is_now in zip(("title", "summary"), given, now, strict=True) if then == is_now
        ]
        save = change(stored, talk, unchanged, goes_on=goes_on)
        is_end = ends_alike(stored, save, talk.history)
        if wrote_alone(stored):
            given = now
        if save is None:
            return Added("same", revision=stored.revision, given=given, is_end=is_end)
        given = digest(save.title) if save.title else given[0], digest(save.summary) if save.summary else given[1]
        return replace(await self._write(save, talk, findings, stored), given=given, is_end=is_end)

    def _clean(self, talk: Imported, stored: Sequence[JSONObject]) -> "tuple[Imported, list[Finding]]":
        """The talk without what looks like a credential; turns that are stored as they are were looked through then."""
        there = {identity(turn): turn for turn in stored}
        is_new = [there.get(identity(turn)) != turn for turn in talk.history] if stored else [True] * len(talk.history)
        if talk.is_clean and not stored:  # of some of its turns it could not be said: others are neighbours then
            is_new = [False] * len(talk.history)
        new = [turn for turn, new in zip(talk.history, is_new, strict=True) if new]
        sent = {"title": talk.title, "summary": talk.summary, "history": new, "context": talk.context,
                "values": self._values(talk)}  # fmt: skip
        clean, findings = self._credentials.redact(sent)
        cleaned = iter(clean["history"])
        history = [next(cleaned) if new else turn for turn, new in zip(talk.history, is_new, strict=True)]
        return replace(talk, **(clean | {"history": history})), findings

    def _values(self, talk: Imported) -> JSONObject:
        """Other fields of the session, but for its user, if that is one whose sessions are not shown here."""
        is_shown = self._sessions.is_shown(talk.values.get("user_id"))
        return {name: value for name, value in talk.values.items() if is_shown or name != "user_id"}

    async def _write(
        self, save: Save, talk: Imported, findings: "list[Finding]", stored: Document | None = None
    ) -> Added:
        """Save it, shortened if it is too large, and see that it is there."""
        saved, told = await self._sessions.save(save, CallerViews(once=True)), ""
        if saved.reason == "too_large":
            save, told = self._fitting(save, stored)
            if stored and save.history == stored.session.history:
                return Added("same", revision=stored.revision)
            saved = await self._sessions.save(save, CallerViews(once=True))
        if not saved.saved:
            raise InvalidArgument(saved.message or f"it was not saved: {saved.reason}")
        await self._check_written(talk.session_id, save.history or [])
        told = ". ".join(filter(None, (told, self._credentials.report(findings)[1])))
        before = len(stored.session.history) if stored and save.mode == "replace" else 0
        turns = max(saved.turns - before, 1) if before else saved.added_turns
        what = "more" if stored else "new"
        return Added(what, told, talk.halves, turns, saved.revision, saved.stored_in)

    def _fitting(self, save: Save, stored: Document | None) -> tuple[Save, str]:
        """The save of all turns, the oldest of them shortened; and what is told of that."""
        history = save.history or []
        if save.mode == "append" and stored:
            save = replacing(stored, save)
            history = [*stored.session.history, *history]
        shorter = shortened(history, self._max_bytes)
        return save.model_copy(update={"history": shorter.history}), shorter.message

    async def _check_written(self, session_id: str, history: list[JSONObject]) -> None:
        """Read again what was just written: the same text, or one in which its turns are as they were sent.

        Raises:
            InvalidArgument: they are not.

        """
        key, wrote = self._keys.session(session_id), DOCUMENT_CACHE.newest(session_id)  # which to read may change
        text = (await self._sessions.repository.read(key, session_id, self._keys.index)).text
        if wrote and text == wrote[0]:
            return
        after = decode(text, session_id) if text is not None else None
        if not isinstance(after, Document) or missing(after.session.history, history):
            raise InvalidArgument(f"session {session_id!r} reads otherwise than it was written")

    async def _linked(self, talk: Imported, *, related: bool) -> Imported:
        """The talk without the turns that it begins with and another one has, and with the name of that one."""
        parent, own = talk.parent, talk.history
        if talk.relation != "sub-agent" and (related or parent):
            await self.may_begin_with(parent)
            shared = 0
            while shared < len(own) and self._whose.get(identity(own[shared]), talk.session_id) != talk.session_id:
                parent = self._whose[identity(own[shared])]
                shared += 1
            own = own[shared:]
        link = {"parent_session": parent, "relation": talk.relation} if parent else {}
        return replace(talk, parent=parent, history=own, context=talk.context | link)

    async def may_begin_with(self, session_id: str) -> None:
        """Know the turns of a session, as others that are added may begin with them."""
        if isinstance(there := await self._stored(session_id), Document):
            for turn in there.session.history:
                self._whose.setdefault(identity(turn), session_id)

    async def _stored(self, session_id: str) -> Document | Tombstone | None:
        """What is stored, as far as is known; what is saved while Redis is away is merged when it answers."""
        try:
            return (await self._sessions.load(session_id))[0] if session_id else None
        except Unavailable:
            if self.shared:
                raise
            return None


def _is_deleted(stored: Document | Tombstone | None) -> bool:
    return isinstance(stored, Tombstone) and stored.because == "deleted"
