"""Saves, puts and deletes sessions, by the same rules wherever the documents are kept.

Storage that is down is an answer here, never an exception. Wrong arguments raise `InvalidArgument`.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any
from uuid import uuid4

from agentic_flywheel.documents.codec import encode
from agentic_flywheel.documents.delete import DeleteCommand, Deleted
from agentic_flywheel.documents.import_document import Arrived, ImportCommand
from agentic_flywheel.documents.model import Document, iso
from agentic_flywheel.documents.parse import decode
from agentic_flywheel.documents.rewrite import RewriteCommand, Rewritten, digest
from agentic_flywheel.documents.save import SaveCommand
from agentic_flywheel.documents.save_request import Save, retry_id
from agentic_flywheel.documents.saved import Saved
from agentic_flywheel.documents.write_ids import holds, told
from agentic_flywheel.errors import (
    DeletedMeanwhile,
    DocumentError,
    JournalUnavailable,
    NothingToSave,
    Reason,
    TooLarge,
    Unavailable,
)
from agentic_flywheel.journal.threads import in_thread
from agentic_flywheel.json_text import is_larger
from agentic_flywheel.keys import Keys, check_id, refuse_hidden
from agentic_flywheel.plain_text import first_hidden
from agentic_flywheel.replication.key_locks import KeyLocks
from agentic_flywheel.replication.repository import Repository
from agentic_flywheel.session_keys import SessionKeys
from agentic_flywheel.sessions.caller_view import CallerView, CallerViews
from agentic_flywheel.sessions.folded import asked, children_of
from agentic_flywheel.sessions.results import DeleteResult, SaveResult, not_saved, reason_of
from agentic_flywheel.sessions.resume import SessionReader

STILL_READ = "another program is reading the files: a trace may be in them until it has done so, mostly for seconds."
"""What a deletion adds where it could not empty the log."""

STILL_IN_REDIS = "there, and on other machines, it goes by itself once it does."
"""What a deletion adds that waits in the outbox, behind why it does."""


class SessionStore(SessionReader):
    """Saves and deletes the sessions that `repository` keeps under `keys`; below it they are read and listed."""

    def __init__(
        self,
        repository: Repository,
        keys: Keys,
        *,
        session_ttl_seconds: int,
        max_bytes: int,
        revisions: int,
        user: str,
        clock: Callable[[], datetime],
        user_only: bool = False,
    ) -> None:
        super().__init__(repository, keys, user=user, clock=clock, user_only=user_only)
        self.kept_revisions = revisions
        self._session_ttl_seconds = session_ttl_seconds
        self._max_bytes = max_bytes
        self._callers = KeyLocks()

    async def __aenter__(self) -> "SessionStore":
        self.repository.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.repository.aclose()

    async def save(self, save: Save, memory: CallerViews) -> SaveResult:
        """Merge a save into its session, or begin one."""
        session_id = check_id(save.session_id, "session_id") if save.session_id else f"session_{uuid4().hex}"
        save.check()
        if first_hidden(session_id) is not None:
            await self._refuse_new(session_id)
        if self._user_only:
            save = save.model_copy(
                update={"values": save.values | {"user_id": self._whose(save.values.get("user_id"))}}
            )
        deadline = self.repository.deadline()  # it has to wait for others of the same caller as well
        async with self._one_at_a_time(memory, session_id):
            with memory.used(session_id) as seen:
                return await self._save(session_id, save, seen, memory, deadline)

    async def _refuse_new(self, session_id: str) -> None:
        """Refuse an id that nobody can read, unless it is that of a stored session."""
        try:
            there, _ = await self.load(session_id)
        except DocumentError:
            return  # something is there, which the save meets itself
        except Unavailable:
            there = None
        if not isinstance(there, Document):
            refuse_hidden(session_id, "session_id")

    async def _save(
        self, session_id: str, save: Save, seen: CallerView, memory: CallerViews, deadline: float
    ) -> SaveResult:
        try:
            placed = await self.repository.write(self._change(session_id, save, seen), deadline)
        except DeletedMeanwhile as exc:
            memory.forget(session_id)  # it is told now, and what it saves next begins the session anew
            return _deleted_meanwhile(session_id, exc)
        except (DocumentError, Unavailable) as exc:
            return not_saved(save.session_id if isinstance(exc, NothingToSave) else session_id, exc)
        saved = placed.answer
        if not (save.as_sent or memory.once):  # never compared with: to remember turns takes as long as the save
            self._remember(seen, save, saved)
        provisional = placed.stored_in == "journal" and self.repository.stash is not None
        seen.revision = seen.revision if provisional else saved.revision
        answer = SaveResult(
            saved=True,
            session_id=session_id,
            revision=saved.revision,
            provisional=provisional,
            turns=saved.turns,
            added_turns=saved.added,
            resent_turns=max(0, len(save.history or ()) - saved.added) if save.mode == "append" else 0,
            stored_in=placed.stored_in,
            expires_at=iso(saved.kept_until),
        )
        if saved.taken:
            answer.replaced = saved.taken.shown
        if saved.append and saved.append.retyped:
            answer.retyped_turns = list(saved.append.retyped)
        if saved.append and saved.append.unsure:
            answer.message = _taken_for_a_resend(saved.append.unsure, saved.revision)
        if saved.append and saved.append.repeated:
            answer.message = "The turn says what is stored further up, and was added as said again."
        return answer

    def _remember(self, seen: CallerView, save: Save, saved: Saved) -> None:
        """Note what the caller has sent, and has seen of the session by that."""
        knew_all = holds(saved.operations, seen.told)
        afresh = save.mode == "replace" or (saved.turns == saved.added and knew_all)
        exactly = save.expected_revision is not None
        seen.saved(save.history or [], saved.history, afresh=afresh, exactly=exactly, append=saved.append)
        seen.told, seen.newest = told(() if afresh else seen.told, saved.operations), saved.revision
        seen.look_later()

    def _change(self, session_id: str, save: Save, seen: CallerView) -> SaveCommand:
        """The save, by a caller that has seen so much of the session."""
        repeatable = (session_id, save.mode, save.expected_revision, save.history, save.context, save.title,
                      save.summary, save.tags, save.values, save.ttl_seconds, *save.remove_context)  # fmt: skip
        default_ttl = self._session_ttl_seconds if save.default_ttl_seconds is None else save.default_ttl_seconds
        fields: dict[str, Any] = vars(save) | {"session_id": session_id, "default_ttl_seconds": default_ttl}
        fields |= {"direct": True, "exact": save.as_sent}
        return SaveCommand(
            **fields,
            key=self._keys.session(session_id),
            index=self._keys.index,
            retry="" if save.expected_revision is None or save.as_sent else retry_id(*repeatable),
            based_on=max(seen.revision, save.expected_revision or 0),
            revisions=self._keys.revisions(session_id),
            kept_revisions=self.kept_revisions,
            default_user=self._user,
            max_bytes=self._max_bytes,
            views=seen.views if save.mode == "append" or seen.is_taken else (),  # a replace compares with nothing
            seen_here=not seen.revision,
            cut=tuple(seen.cut.items()),
            told=seen.told,
            expects=seen.told[-1] if seen.told and save.expected_revision == seen.newest else "",
        )

    def _one_at_a_time(self, memory: CallerViews, session_id: str) -> AbstractAsyncContextManager[object]:
        """A caller's saves of a session are merged one after the other; each sees what the one before made of it."""
        return self._callers.of(f"{id(memory)} {session_id}")

    async def delete(self, session_id: str, memory: CallerViews) -> DeleteResult:
        """Take a session away, with all that goes with it: when this answers, none of it is left on this machine."""
        check_id(session_id, "session_id")
        keys = SessionKeys(self._keys.session(session_id))
        deletion = DeleteCommand(
            key=keys.session,
            member=session_id,
            index=self._keys.index,
            revisions=keys.revisions,
            histories=keys.histories,
        )
        deadline, journal = self.repository.deadline(), self.repository.journal
        async with self._one_at_a_time(memory, session_id):
            memory.forget(session_id)
            try:
                if await self.hides(session_id):
                    return DeleteResult(deleted=False, reason="not_found")
                children = await asked(children_of, [], journal, self._keys.index, session_id)
                placed = await self.repository.write(deletion, deadline)
                try:
                    erased = await self.repository.erase(keys, placed.answer)
                except JournalUnavailable as exc:
                    left = f"what goes with it could not be erased on this machine ({exc}); delete it again for that."
                    return DeleteResult(deleted=placed.answer.deleted, reason=_left_reason(placed.answer), message=left)
                parts = placed.answer.parts + erased.parts
                if parts and not placed.answer.deleted:  # so that they stay deleted where others have copies
                    placed = await self.repository.write(deletion.model_copy(update={"saw": 0}))
            except (DocumentError, Unavailable) as exc:
                return DeleteResult(deleted=False, reason=reason_of(exc), message=str(exc))
        deleted = placed.answer
        waits = placed.stored_in == "journal" and self.repository.stash is not None
        if deleted.deleted or parts:
            message = STILL_READ if not erased.wiped else self._still_there(keys.session) if waits else ""
            return DeleteResult(deleted=True, message=message, children=children or None)
        unasked = deleted.reason == "not_found" and waits
        return DeleteResult(deleted=False, reason="unavailable" if unasked else deleted.reason)

    def _still_there(self, key: str) -> str:
        stash = self.repository.stash
        refusal = stash.breaker.refused.get(key) if stash else None
        why = f"Redis does not take that ({refusal.why.rstrip('.')})" if refusal else "Redis does not answer"
        return f"{why}: {STILL_IN_REDIS}"

    async def put(self, document: Document) -> Arrived:
        """Put a whole document where there is nothing; else what is there stays, and is named.

        Raises:
            DocumentError, Unavailable: it cannot be kept.

        """
        session_id = check_id(document.session.id, "session_id")
        text = encode(document)
        if is_larger(text, self._max_bytes):
            raise TooLarge(f"Session {session_id!r} has more bytes than FLYWHEEL_MAX_SESSION_BYTES allows.")
        key, index = self._keys.session(session_id), self._keys.index
        return (await self.repository.write(ImportCommand(key=key, member=session_id, index=index, text=text))).answer

    async def ids_of_this_machine(self) -> list[str]:
        """The sessions that belong to this machine while a Redis is in use, the oldest first.

        Raises:
            JournalUnavailable: they are not known.

        """
        return await in_thread(self.repository.journal.sessions_of_this_machine, self._keys.index)

    async def send(self, session_id: str) -> bool:
        """Send a session that belongs to this machine to the Redis in use; whether it is one, and is shown.

        Raises:
            DocumentError: it cannot be merged with what is there.
            Unavailable: not all of it could be sent; the rest stays here.

        """
        keys = SessionKeys(self._keys.session(check_id(session_id, "session_id")))
        copy = await in_thread(self.repository.journal.copy_of_this_machine, keys.session)
        document = decode(copy.text, session_id) if copy else None
        if not isinstance(document, Document) or not self.is_shown(document.session.user_id):
            return False
        await self.repository.send(keys, self._keys.index)
        return True

    async def rewrite(self, text: str, document: Document, seen: str, *, older: bool) -> Rewritten:
        """Put the text of a document, the current or an `older` revision, in the place of the one that was `seen`.

        Raises:
            DocumentError, Unavailable: it cannot be kept.

        """
        session_id = document.session.id
        revisions = self._keys.revisions(session_id)
        key = f"{revisions}{document.revision}" if older else self._keys.session(session_id)
        index = "" if older else self._keys.index
        change = RewriteCommand(
            key=key, member=session_id, index=index, revisions=revisions, text=text, seen=digest(seen)
        )
        return (await self.repository.write(change)).answer


def _left_reason(deleted: Deleted) -> Reason | None:
    return None if deleted.deleted else "unavailable"


def _deleted_meanwhile(session_id: str, exc: DeletedMeanwhile) -> SaveResult:
    answer = not_saved(session_id, exc)
    answer.deleted_revision = exc.deleted_revision
    if exc.kept:
        answer.message += (
            " What it would have come to is kept on this machine: resume_session(session_id="
            f"{session_id!r}, revision={exc.deleted_revision}) shows it. Save again to begin the session anew."
        )
    return answer


def _taken_for_a_resend(count: int, revision: int) -> str:
    """What is said of turns that may as well have been said again."""
    if count == 1:
        told = "One of the turns sent says what is stored already and was taken for the same turn sent again; if it was"
    else:
        told = (
            f"{count} of the turns sent say what is stored already and were taken for the same sent again; if they were"
        )
    return f"{told} said once more, send only that with expected_revision={revision}."
