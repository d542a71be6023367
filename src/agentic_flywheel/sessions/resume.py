"""Resumes sessions: loads one, or a revision of it, and answers with the newest turns that fit."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from agentic_flywheel.documents.delete import DeleteCommand
from agentic_flywheel.documents.incremental import DOCUMENT_CACHE
from agentic_flywheel.documents.model import Document, Tombstone, expired
from agentic_flywheel.documents.parse import decode
from agentic_flywheel.documents.renewal import RenewCommand, ttl_of
from agentic_flywheel.documents.revisions import earlier, whole_for
from agentic_flywheel.documents.write_ids import told
from agentic_flywheel.errors import DocumentError, Unavailable
from agentic_flywheel.journal.threads import in_thread
from agentic_flywheel.json_text import dumps, size_of
from agentic_flywheel.keys import Keys, check_id, other_spellings
from agentic_flywheel.plain_text import quoted
from agentic_flywheel.replication.answers import Found
from agentic_flywheel.replication.repository import Repository
from agentic_flywheel.sessions.budget import BYTES_PER_TOKEN, DEFAULT_TOKENS
from agentic_flywheel.sessions.caller_view import CallerViews
from agentic_flywheel.sessions.folded import asked, children_of
from agentic_flywheel.sessions.listing import SessionList
from agentic_flywheel.sessions.near_ids import SUGGESTIONS, near_ids, titled
from agentic_flywheel.sessions.page import Page, check, window_of
from agentic_flywheel.sessions.results import ResumeResult, reason_of
from agentic_flywheel.sessions.session_filter import SessionFilter

SIMILAR_AMONG = 200
"""The newest sessions, among whose ids a similar one is looked for."""

RENEWED_WITHIN_SECONDS = 1
"""A session resumed again within this time is not renewed again."""

LARGE, RENEWED_AFTER = 64 * 1024, 0.1
"""A session of this many characters is renewed only after this part of its ttl_of: renewing writes it anew."""

BY_THE_CLOCK = timedelta(hours=1)
"""What expired within this did so by a clock that is right, or wrong by no more."""

STEADY_SECONDS = 60
"""How far a clock that nobody set may be from the time that has passed."""


class SessionReader(SessionList):
    """The sessions that `repository` keeps, to be read; a caller's memory notes what it was shown."""

    def __init__(
        self, repository: Repository, keys: Keys, *, user: str, clock: Callable[[], datetime], user_only: bool = False
    ) -> None:
        super().__init__(repository, keys, user=user, clock=clock, user_only=user_only)
        self._background: set[asyncio.Task[None]] = set()
        self._began, self._began_monotonic = clock(), time.monotonic()

    async def resume(
        self,
        memory: CallerViews,
        session_id: str = "",
        user_id: str = "",
        max_tokens: int = DEFAULT_TOKENS,
        before_turn: int | None = None,
        revision: int | None = None,
        query: str = "",
        *,
        strict: bool = False,
    ) -> ResumeResult:
        """A session with the newest turns that fit.

        Long: each argument is told of.

        Args:
            memory: what the caller has seen of its sessions.
            session_id: absent, the session saved last.
            user_id: whose session is the last one.
            max_tokens: the budget of the answer.
            before_turn: show only turns before this position.
            revision: an older revision that is kept.
            query: without an id, what the session is to be found by.
            strict: the budget holds for all of the answer, although the session alone would fit.

        """
        check(session_id, max_tokens, before_turn, revision)
        user_id = self._whose(user_id) if self._user_only else user_id
        page = Page(max_tokens, before_turn, strict)
        deadline = self.repository.deadline(reading=True)
        try:
            self.repository.check_enabled()
            if not session_id:
                best = self._resume_best(memory, query, user_id, page, deadline) if query.strip() else None
                return await (best or self._resume_latest(memory, user_id, page, deadline))
            document, found = await self.load(session_id, deadline, DOCUMENT_CACHE.decode)
            if document is None and found.text is not None:  # another user's
                return ResumeResult(found=False, reason="not_found", suggestions=[])
            if revision is not None and not (isinstance(document, Document) and document.revision == revision):
                older = await self._resume_older(session_id, revision, document, found, page)
                if older.found or isinstance(document, Document):
                    return older
        except (DocumentError, Unavailable) as exc:
            return ResumeResult(found=False, reason=reason_of(exc), message=str(exc))
        if not isinstance(document, Document):
            memory.forget(session_id)  # it is told that there is none
            return await self._not_found(session_id, user_id, document, deadline)
        return await self._resumed(memory, document, found, page)

    async def _resume_older(
        self, session_id: str, revision: int, current: Document | Tombstone | None, found: Found, page: "Page"
    ) -> ResumeResult:
        """A revision that is not the current one, if it is kept; of a deleted session, only what this machine has."""
        older, found = await self.older(session_id, revision, current, found)
        if older:
            return window_of(older, replace(found, text=None), page)
        number = current.revision if isinstance(current, Document) else None
        text = f"Revision {revision} of session {session_id!r} is not kept; the current one is {number}."
        return ResumeResult(found=False, reason="not_found", message=text, revision=number)

    async def older(
        self, session_id: str, revision: int, current: Document | Tombstone | None, found: Found
    ) -> tuple[Document | None, Found]:
        """A revision as it was, if it is kept, and where it was read; `found` is where the current one was."""
        keys = self._keys.revisions(session_id)
        if not isinstance(current, Document):
            found = await self.repository.read_local(f"{keys}{revision}")
            kept = _document_in(found, session_id)
            return (kept if kept and self.is_shown(kept.session.user_id) else None), found
        if made := earlier(current, revision):
            return made, found
        found = await self.repository.read(f"{keys}{whole_for(current, revision) or revision}")
        whole = _document_in(found, session_id)
        return (earlier(whole, revision) if whole else None), found

    async def copy_here(self, session_id: str, revision: int) -> tuple[Document, Found] | None:
        """A session as this machine has it, if it has that revision."""
        found = await self.repository.read_local(self._keys.session(session_id))
        document = _document_in(found, session_id)
        return (document, found) if document and document.revision == revision else None

    async def kept_whole(self, session_id: str, revision: int) -> tuple[Document | None, Found]:
        """An older revision that is kept whole, under a key of its own."""
        found = await self.repository.read(f"{self._keys.revisions(session_id)}{revision}")
        return _document_in(found, session_id), found

    async def load(
        self,
        session_id: str,
        deadline: float | None = None,
        decode: Callable[[str, str], Document | Tombstone] = decode,
    ) -> tuple[Document | Tombstone | None, Found]:
        """What is stored of a session; an expired document on a child that cannot expire keys is overwritten.

        Nothing, where it is another user's and those are hidden.

        Raises:
            DocumentError, Unavailable: it cannot be read, or it is not known what is stored.

        """
        check_id(session_id, "session_id")
        key = self._keys.session(session_id)
        found = await self.repository.read(key, session_id, self._keys.index, deadline)
        document = decode(found.text, session_id) if found.text is not None else None
        if isinstance(document, Document) and not self.is_shown(document.session.user_id):
            return None, found
        stash = self.repository.stash
        if isinstance(document, Document) and stash and stash.atomic and found.source == "redis":
            return document, found  # it expires documents by itself, whatever the clock of this machine says
        if isinstance(document, Document) and expired(document.kept_until, self._clock()):
            tombstone = Tombstone(session_id, document.revision, self._clock(), None, "expired")
            if stash and stash.mirror and found.source == "redis" and self._has_surely_expired(document):
                deletion = DeleteCommand(key=key, member=session_id, because="expired")
                await self.repository.write(deletion)
            return tombstone, found
        return document, found

    async def hides(self, session_id: str) -> bool:
        """Whether there is a session of that id that is another user's, and those are hidden.

        Raises:
            DocumentError, Unavailable: it is not known.

        """
        if not self._user_only:
            return False
        document, found = await self.load(session_id)
        return document is None and found.text is not None

    def _has_surely_expired(self, document: Document) -> bool:
        """Whether no wrong clock is to blame: it expired just now, or while this process ran by a steady clock.

        The copy of another is overwritten when it goes from the journal.
        """
        elapsed = (self._clock() - self._began).total_seconds()
        steady = abs(elapsed - (time.monotonic() - self._began_monotonic)) < STEADY_SECONDS
        until = document.kept_until
        return until is not None and ((steady and until >= self._began) or self._clock() - until < BY_THE_CLOCK)

    async def _resume_latest(self, memory: CallerViews, user_id: str, page: "Page", deadline: float) -> ResumeResult:
        latest = await self.list_sessions(SessionFilter(user_id=user_id), limit=SUGGESTIONS, deadline=deadline)
        for row in latest.sessions:
            document, found = await self.load(row["id"], deadline, DOCUMENT_CACHE.decode)
            if isinstance(document, Document):  # a listed session may be gone by now
                return await self._resumed(memory, document, found, page)
        stash = self.repository.stash
        if stash and latest.scope == "this machine" and not stash.mirror:
            return ResumeResult(found=False, reason="unavailable")
        whose = f" of {user_id or self._user!r}" if user_id or self._user else ""
        return ResumeResult(found=False, reason="not_found", message=f"There is no saved session{whose} yet.")

    async def _resume_best(
        self, memory: CallerViews, query: str, user_id: str, page: "Page", deadline: float
    ) -> ResumeResult:
        """The session that answers the query best; the next ones are suggested."""
        asked = SessionFilter(query=query, user_id=user_id)
        found = await self.list_sessions(asked, SUGGESTIONS + 1, deadline=deadline)
        for row in found.sessions:
            document, where = await self.load(row["id"], None, DOCUMENT_CACHE.decode)
            if isinstance(document, Document):
                others = [other["id"] for other in found.sessions if other is not row]
                resumed = await self._resumed(memory, document, where, page)
                return resumed.model_copy(update={"matched": row["matched"], "suggestions": others})
        near = [each["id"] for each in found.suggestions or ()]
        return ResumeResult(found=False, reason="not_found", message=found.message, suggestions=near)

    async def _not_found(
        self, session_id: str, user_id: str, tombstone: Tombstone | None, deadline: float
    ) -> ResumeResult:
        listed = await self.list_sessions(SessionFilter(user_id=user_id), limit=SIMILAR_AMONG, deadline=deadline)
        near = await self._spelt_otherwise(session_id, [row["id"] for row in listed.sessions], deadline)
        near += near_ids(session_id, listed.sessions)
        if not near:
            said = await self.list_sessions(SessionFilter(query=session_id, user_id=user_id), SUGGESTIONS, "", deadline)
            near = [row["id"] for row in said.sessions if row["matched"] == "all words"]
        result = ResumeResult(found=False, reason=tombstone.because if tombstone else "not_found")
        if same := titled(session_id, listed.sessions):
            result.message = f"there is none with this id; {quoted(same[0])} has this title."
        result.suggestions = list(dict.fromkeys(near))[:SUGGESTIONS]
        if self.repository.stash is None and (damaged := (await in_thread(self.repository.journal.state)).damaged):
            result.message = f"there is none with this id; it may have been in a damaged journal ({damaged[-1]})."
        return result

    async def _spelt_otherwise(self, session_id: str, ids: Sequence[str], deadline: float) -> list[str]:
        """The sessions whose ids look the same, among `ids` or not."""
        same = {session_id, *other_spellings(session_id)}
        found = [i for i in ids if not same.isdisjoint({i, *other_spellings(i)})]
        for other in other_spellings(session_id):
            with contextlib.suppress(DocumentError, Unavailable):
                if other not in found and isinstance((await self.load(other, deadline))[0], Document):
                    found.append(other)
        return found

    async def _resumed(self, memory: CallerViews, document: Document, found: Found, page: "Page") -> ResumeResult:
        journal, index = self.repository.journal, self._keys.index
        children = await asked(children_of, [], journal, index, document.session.id)
        if children:  # they are a part of the answer
            left = page.max_tokens - size_of(dumps(children)) // BYTES_PER_TOKEN
            page = replace(page, max_tokens=max(left, page.max_tokens // 2))
        result = window_of(document, found, page)
        if children:
            result.children = children
        history, first = document.session.history, result.next_before_turn or 0
        seen = memory.of(document.session.id)
        shown = (result.session or {})["history"]
        cut = [(shown[number - first], history[number]) for number in result.cut_turns or ()]
        seen.resumed(history, cut)  # as they were shown they may be sent again
        seen.told, seen.newest = told(seen.told, document.operations), document.revision
        seen.look_later()
        if found.source == "redis" or self.repository.stash is None:
            seen.revision = document.revision
        self._renew(document, len(found.text or ""))
        return result

    def _renew(self, document: Document, size: int) -> None:
        """Start the clock of a session of that `size` again, in the background."""
        ttl, until = ttl_of(document), document.kept_until
        pause = (ttl or 0) * RENEWED_AFTER if size >= LARGE else RENEWED_WITHIN_SECONDS
        if ttl and until and until - self._clock() <= timedelta(seconds=ttl - pause):
            session_id, keys = document.session.id, self._keys
            renewal = RenewCommand(
                key=keys.session(session_id),
                session_id=session_id,
                index=keys.index,
                revisions=keys.revisions(session_id),
            )
            self._in_background(self.repository.renew(renewal))

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        """Do what no answer waits for."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _document_in(found: Found, session_id: str) -> Document | None:
    document = decode(found.text, session_id) if found.text is not None else None
    return document if isinstance(document, Document) else None
