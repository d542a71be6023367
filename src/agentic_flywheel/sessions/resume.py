"""Resumes sessions: loads one, or a revision of it, and answers with the newest turns that fit."""

import asyncio
import contextlib
import difflib
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from agentic_flywheel.documents.append import Memory
from agentic_flywheel.documents.codec import Document, Tombstone, decode
from agentic_flywheel.documents.command import expired
from agentic_flywheel.documents.commands import Deletion
from agentic_flywheel.documents.incremental import RECALL
from agentic_flywheel.documents.revisions import earlier, whole_for
from agentic_flywheel.documents.save import Renewal, life
from agentic_flywheel.documents.write_ids import told
from agentic_flywheel.errors import DocumentError, InvalidArgument, Unavailable
from agentic_flywheel.journal.records import in_thread
from agentic_flywheel.keys import Keys, check_id, other_spellings
from agentic_flywheel.replication.repository import Found, Places
from agentic_flywheel.sessions.budget import token_window
from agentic_flywheel.sessions.listing import SessionList
from agentic_flywheel.sessions.results import ResumeResult, reason_of
from agentic_flywheel.sessions.session_filter import SessionFilter

NEAR = 200
"""Sessions whose ids may be meant by one that is not found."""

RENEWED_WITHIN_SECONDS = 1
"""A session resumed again within this time is not renewed again."""

LARGE, RENEWED_AFTER = 64 * 1024, 0.1
"""A session of so many characters is renewed only after this part of its life: renewing writes it anew."""

BY_THE_CLOCK = timedelta(hours=1)
"""What expired no longer ago did so by a clock that is right, or wrong by so little."""

STEADY_SECONDS = 60
"""How far the clock may be from the time that has passed without having been set."""

SUGGESTIONS = 3
"""Ids offered when one is not found."""


class SessionReader(SessionList):
    """Reads sessions, and remembers what each caller was shown of them."""

    def __init__(self, places: Places, keys: Keys, *, user: str, clock: Callable[[], datetime]) -> None:
        super().__init__(places, keys, user=user, clock=clock)
        self._rests: set[asyncio.Task[None]] = set()
        self._began, self._began_monotonic = clock(), time.monotonic()

    async def resume(
        self,
        memory: Memory,
        session_id: str = "",
        user_id: str = "",
        max_tokens: int = 20_000,
        before_turn: int | None = None,
        revision: int | None = None,
    ) -> ResumeResult:
        """A session with the newest turns that fit; without an id, the one saved last."""
        if max_tokens < 1:
            raise InvalidArgument("max_tokens must be at least 1.")
        if before_turn is not None and before_turn < 0:
            raise InvalidArgument("before_turn must be 0 or more: it is the position before which turns are wanted.")
        if revision is not None and not session_id:
            raise InvalidArgument("revision needs session_id: whose revision is wanted?")
        bound = self.places.bound(reading=True)
        try:
            self.places.check_enabled()
            if not session_id:
                return await self._resume_latest(memory, user_id, max_tokens, before_turn, bound)
            document, found = await self.load(session_id, bound, RECALL.decode)
            if revision is not None and not (isinstance(document, Document) and document.revision == revision):
                return await self._resume_older(session_id, revision, document, found, max_tokens, before_turn)
        except DocumentError as exc:
            return ResumeResult(found=False, reason=exc.reason, message=str(exc))
        except Unavailable as exc:
            return ResumeResult(found=False, reason=reason_of(exc), message=str(exc))
        if not isinstance(document, Document):
            memory.forget(session_id)  # it is told that there is none
            return await self._not_found(session_id, user_id, document, bound)
        return self._resumed(memory, document, found, max_tokens, before_turn)

    async def _resume_older(
        self,
        session_id: str,
        revision: int,
        current: Document | Tombstone | None,
        there: Found,
        max_tokens: int,
        before_turn: int | None,
    ) -> ResumeResult:
        """A revision that is not the current one, if it is kept; of a deleted session, only what is here alone."""
        older, found = await self.older(session_id, revision, current, there)
        if older:
            return self._window(older, replace(found, text=None), max_tokens, before_turn)
        text = f"Revision {revision} of session {session_id!r} is not kept"
        text += f"; the current one is {current.revision}." if isinstance(current, Document) else "."
        number = current.revision if isinstance(current, Document) else None
        return ResumeResult(found=False, reason="not_found", message=text, revision=number)

    async def older(
        self, session_id: str, revision: int, current: Document | Tombstone | None, found: Found
    ) -> tuple[Document | None, Found]:
        """A revision as it was, if it is kept, and where it was read; `found` is where the current one was."""
        keys = self._keys.revisions(session_id)
        if not isinstance(current, Document):
            found = await self.places.read_here(f"{keys}{revision}")
            return _document_in(found, session_id), found
        if made := earlier(current, revision):
            return made, found
        found = await self.places.read(f"{keys}{whole_for(current, revision) or revision}")
        whole = _document_in(found, session_id)
        return (earlier(whole, revision) if whole else None), found

    async def load(
        self,
        session_id: str,
        bound: float | None = None,
        decode: Callable[[str, str], Document | Tombstone] = decode,
    ) -> tuple[Document | Tombstone | None, Found]:
        """What is stored of a session; an expired document on a child that cannot expire keys is overwritten.

        Raises:
            DocumentError, Unavailable: it cannot be read, or it is not known what is stored.

        """
        check_id(session_id, "session_id")
        key = self._keys.session(session_id)
        found = await self.places.read(key, session_id, self._keys.index, bound)
        document = decode(found.text, session_id) if found.text is not None else None
        stash = self.places.stash
        if isinstance(document, Document) and stash and stash.atomic and found.source == "redis":
            return document, found  # it expires documents by itself, whatever the clock of this machine says
        if isinstance(document, Document) and expired(document.kept_until, self._clock()):
            buried = Tombstone(session_id, document.revision, self._clock(), None, "expired")
            if stash and stash.mirror and found.source == "redis" and self._has_surely_expired(document):
                deletion = Deletion(key=key, member=session_id, because="expired")
                await self.places.write(deletion)
            return buried, found
        return document, found

    def _has_surely_expired(self, document: Document) -> bool:
        """Whether no wrong clock is to blame: it expired just now, or while this process ran by a steady clock.

        The copy of another is overwritten when it goes from the journal.
        """
        elapsed = (self._clock() - self._began).total_seconds()
        steady = abs(elapsed - (time.monotonic() - self._began_monotonic)) < STEADY_SECONDS
        until = document.kept_until
        return until is not None and ((steady and until >= self._began) or self._clock() - until < BY_THE_CLOCK)

    async def _resume_latest(
        self, memory: Memory, user_id: str, max_tokens: int, before_turn: int | None, bound: float
    ) -> ResumeResult:
        page = await self.list_sessions(SessionFilter(user_id=user_id), limit=SUGGESTIONS, bound=bound)
        for row in page.sessions:
            document, found = await self.load(row["id"], bound, RECALL.decode)
            if isinstance(document, Document):  # a listed session may be gone by now
                return self._resumed(memory, document, found, max_tokens, before_turn)
        stash = self.places.stash
        if stash and page.scope == "this machine" and not stash.mirror:
            return ResumeResult(found=False, reason="unavailable")
        whose = f" of {user_id or self._user!r}" if user_id or self._user else ""
        return ResumeResult(found=False, reason="not_found", message=f"There is no saved session{whose} yet.")

    async def _not_found(
        self, session_id: str, user_id: str, tombstone: Tombstone | None, bound: float
    ) -> ResumeResult:
        page = await self.list_sessions(SessionFilter(user_id=user_id), limit=NEAR, bound=bound)
        ids = [row["id"] for row in page.sessions]
        near = await self._spelt_otherwise(session_id, ids, bound)
        near += [i for i in difflib.get_close_matches(session_id, ids, SUGGESTIONS) if i not in near]
        near += [i for i in ids if i not in near and session_id.casefold() in i.casefold()]
        result = ResumeResult(found=False, reason=tombstone.because if tombstone else "not_found")
        result.suggestions = near[:SUGGESTIONS]
        if self.places.stash is None and (damaged := (await in_thread(self.places.journal.state)).damaged):
            result.message = f"there is none with this id; it may have been in a damaged journal ({damaged[-1]})."
        return result

    async def _spelt_otherwise(self, session_id: str, ids: Sequence[str], bound: float) -> list[str]:
        """The sessions whose ids look the same, among `ids` or not."""
        same = {session_id, *other_spellings(session_id)}
        found = [i for i in ids if not same.isdisjoint({i, *other_spellings(i)})]
        for other in other_spellings(session_id):
            with contextlib.suppress(DocumentError, Unavailable):
                if other not in found and isinstance((await self.load(other, bound))[0], Document):
                    found.append(other)
        return found

    def _renew(self, document: Document, size: int) -> None:
        """Start the clock of a session of that `size` again, behind the answer's back."""
        ttl, until = life(document), document.kept_until
        pause = (ttl or 0) * RENEWED_AFTER if size >= LARGE else RENEWED_WITHIN_SECONDS
        if ttl and until and until - self._clock() <= timedelta(seconds=ttl - pause):
            key = self._keys.session(document.session.id)
            session_id = document.session.id
            renewal = Renewal(
                key=key, session_id=session_id, index=self._keys.index, revisions=self._keys.revisions(session_id)
            )
            self._later(self.places.renew(renewal))

    def _later(self, rest: Coroutine[None, None, None]) -> None:
        """Do what nobody waits for behind the answer's back."""
        task = asyncio.create_task(rest)
        self._rests.add(task)
        task.add_done_callback(self._rests.discard)

    def _resumed(
        self, memory: Memory, document: Document, found: Found, max_tokens: int, before_turn: int | None
    ) -> ResumeResult:
        result = self._window(document, found, max_tokens, before_turn)
        history, cut = document.session.history, None
        if result.cut_turn is not None and result.session:  # as it was shown it may be sent again
            cut = (result.session["history"][0], history[result.cut_turn])
        seen = memory.of(document.session.id)
        seen.resumed(history, cut)
        seen.told, seen.newest = told(seen.told, document.operations), document.revision
        self._later(seen.look_closer())
        if found.source == "redis" or self.places.stash is None:
            seen.revision = document.revision
        self._renew(document, len(found.text or ""))
        return result

    def _window(self, document: Document, found: Found, max_tokens: int, before_turn: int | None) -> ResumeResult:
        part = token_window(document, None if found.text is None else len(found.text), max_tokens, before_turn)
        result = ResumeResult(
            found=True,
            session=part.session,
            revision=document.revision,
            total_turns=len(document.session.history),
            omitted_turns=len(document.session.history) - (part.end - part.start),
            source=found.source,
            stale=found.stale,
        )
        if part.start:
            result.next_before_turn = part.start
        if part.cut is not None:
            result.cut_turn = part.cut
        if part.left_out:
            result.left_out_fields = part.left_out
        return result


def _document_in(found: Found, session_id: str) -> Document | None:
    document = decode(found.text, session_id) if found.text is not None else None
    return document if isinstance(document, Document) else None
