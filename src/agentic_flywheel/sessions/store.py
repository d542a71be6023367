"""The rules of saving, resuming, listing, deleting and expiring sessions, whichever place keeps the documents.

Storage that is down is an answer here, never an exception. Wrong arguments raise `InvalidArgument`.
"""

import asyncio
import contextlib
import difflib
import logging
import os
import time
from collections.abc import Callable, Collection, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from agentic_flywheel.backends.base import FlowStatus
from agentic_flywheel.coaia.launch import ChildFolder, child_command, child_environment
from agentic_flywheel.coaia.stash import Stash
from agentic_flywheel.coaia.supervisor import CoaiaClient
from agentic_flywheel.documents.codec import encode
from agentic_flywheel.documents.command import expired
from agentic_flywheel.documents.delete import DeleteCommand
from agentic_flywheel.documents.import_document import Arrived, ImportCommand
from agentic_flywheel.documents.incremental import DOCUMENT_CACHE
from agentic_flywheel.documents.model import Document, Tombstone, iso
from agentic_flywheel.documents.parse import decode
from agentic_flywheel.documents.renewal import RenewCommand, ttl_of
from agentic_flywheel.documents.revisions import earlier, whole_for
from agentic_flywheel.documents.save import SaveCommand
from agentic_flywheel.documents.save_request import Save, check_one_of, retry_id
from agentic_flywheel.documents.write_ids import holds, told
from agentic_flywheel.errors import (
    DeletedMeanwhile,
    Disabled,
    DocumentError,
    FlywheelError,
    InvalidArgument,
    TooLarge,
    Unavailable,
)
from agentic_flywheel.journal import NoJournal
from agentic_flywheel.journal.records import in_thread
from agentic_flywheel.json_text import JSONObject, is_larger
from agentic_flywheel.keys import Keys, check_id, other_spellings
from agentic_flywheel.replication.key_locks import KeyLocks
from agentic_flywheel.replication.repository import Found, Places
from agentic_flywheel.replication.session_list import place_of
from agentic_flywheel.sessions.budget import window
from agentic_flywheel.sessions.caller_view import CallerView, CallerViews
from agentic_flywheel.sessions.executions import ExecutionStore
from agentic_flywheel.sessions.listing import UNFINISHED, Row, Wanted, living_rows, read_cursor, write_cursor
from agentic_flywheel.sessions.opening import open_journal
from agentic_flywheel.sessions.results import DeleteResult, ListResult, ResumeResult, SaveResult, reason_of
from agentic_flywheel.sessions.search import find
from agentic_flywheel.settings import Settings

logger = logging.getLogger(__name__)

MAX_PAGE = 1000
"""The most sessions that one list shows."""

NEAR = 200
"""Sessions whose ids may be meant by one that is not found."""

EXPIRED_AMONG = 5
"""Entries read beyond a page, since some may have expired."""

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


class SessionStore:
    """Sessions, executions and flow histories, kept in `places` under `keys`."""

    def __init__(
        self,
        places: Places,
        keys: Keys,
        *,
        session_ttl_seconds: int,
        max_bytes: int,
        revisions: int,
        user: str,
        clock: Callable[[], datetime],
    ) -> None:
        self.places = places
        self._kept_revisions = revisions
        self._keys = keys
        self._session_ttl_seconds = session_ttl_seconds
        self._max_bytes = max_bytes
        self._user = user
        self._clock = clock
        self._rests: set[asyncio.Task[None]] = set()
        self._callers = KeyLocks()
        self._began, self._began_monotonic = clock(), time.monotonic()

    async def __aenter__(self) -> "SessionStore":
        self.places.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.places.aclose()

    async def save(self, save: Save, memory: CallerViews) -> SaveResult:
        """Merge a save into its session, or begin one."""
        session_id = check_id(save.session_id, "session_id") if save.session_id else f"session_{uuid4().hex}"
        save.check()
        bound = self.places.bound()  # it has to wait for others of the same caller as well
        async with self._one_at_a_time(memory, session_id):
            with memory.used(session_id) as seen:
                return await self._save(session_id, save, seen, memory, bound)

    async def _save(
        self, session_id: str, save: Save, seen: CallerView, memory: CallerViews, bound: float
    ) -> SaveResult:
        try:
            placed = await self.places.write(self._change(session_id, save, seen), bound)
        except DeletedMeanwhile as exc:
            memory.forget(session_id)  # it is told now, and what it saves next begins the session anew
            answer = _not_saved(session_id, exc)
            answer.deleted_revision = exc.deleted_revision
            if exc.kept:
                answer.message += (
                    " What it would have come to is kept on this machine: resume_session(session_id="
                    f"{session_id!r}, revision={exc.deleted_revision}) shows it. Save again to begin the session anew."
                )
            return answer
        except (DocumentError, Unavailable) as exc:
            return _not_saved(session_id, exc)
        saved = placed.answer
        there = holds(saved.operations, seen.told)
        afresh = save.mode == "replace" or (saved.turns == saved.added and there)
        exactly = save.expected_revision is not None
        seen.saved(save.history or [], saved.history, afresh=afresh, exactly=exactly)
        seen.told, seen.newest = told(() if afresh else seen.told, saved.operations), saved.revision
        self._later(seen.look_closer())
        provisional = placed.stored_in == "journal" and self.places.stash is not None
        if not provisional:
            seen.revision = saved.revision
        return SaveResult(
            saved=True,
            session_id=session_id,
            revision=saved.revision,
            provisional=provisional,
            turns=saved.turns,
            added_turns=saved.added,
            stored_in=placed.stored_in,
            expires_at=iso(saved.kept_until),
        )

    def _change(self, session_id: str, save: Save, seen: CallerView) -> SaveCommand:
        """The save, by a caller that has seen so much of the session."""
        repeatable = (session_id, save.mode, save.expected_revision, save.history, save.context, save.title,
                      save.summary, save.tags, save.values, save.ttl_seconds)  # fmt: skip
        default_ttl = self._session_ttl_seconds if save.default_ttl_seconds is None else save.default_ttl_seconds
        fields: dict[str, Any] = dict(save) | {"session_id": session_id, "default_ttl_seconds": default_ttl}
        return SaveCommand(
            **fields,
            key=self._keys.session(session_id),
            index=self._keys.index,
            retry="" if save.expected_revision is None else retry_id(*repeatable),
            based_on=max(seen.revision, save.expected_revision or 0),
            revisions=self._keys.revisions(session_id),
            kept_revisions=self._kept_revisions,
            default_user=self._user,
            max_bytes=self._max_bytes,
            views=seen.views,
            seen_here=not seen.revision,
            cut=tuple(seen.cut.items()),
            told=seen.told,
            expects=seen.told[-1] if seen.told and save.expected_revision == seen.newest else "",
        )

    def _one_at_a_time(self, memory: CallerViews, session_id: str) -> AbstractAsyncContextManager[object]:
        """A caller's saves of a session are merged one after the other; each sees what the one before made of it."""
        return self._callers.of(f"{id(memory)} {session_id}")

    async def resume(
        self,
        memory: CallerViews,
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
            document, found = await self.load(session_id, bound, DOCUMENT_CACHE.decode)
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

    async def list_sessions(
        self, wanted: Wanted, limit: int = 20, cursor: str = "", bound: float | None = None
    ) -> ListResult:
        """Listing rows, newest first, or the best first where words are looked for.

        `bound` is that of the answer that they are a part of.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidArgument(f"limit must be from 1 to {MAX_PAGE}.")
        if wanted.status:
            check_one_of(FlowStatus, wanted.status, "status")
        wanted = replace(wanted, user_id=wanted.user_id or self._user)
        if wanted.words:
            try:
                self.places.check_enabled()
            except Disabled as exc:
                return ListResult(sessions=[], scope="this machine", message=str(exc))
            return await find(self.places, self._keys, wanted, self._clock(), limit, cursor, bound)
        before = read_cursor(cursor) if cursor else None
        bound = await self.places.bound_once_ready(bound)
        rows: list[Row] = []
        while True:
            try:
                page = await self.places.recent(self._keys.index, before, limit + EXPIRED_AMONG, bound, wanted.filter)
            except Unavailable as exc:
                return ListResult(sessions=[row.shown for row in rows], scope="this machine", message=str(exc))
            rows += await living_rows(self.places, wanted, page.entries, self._clock(), bound)
            before = page.older
            if len(rows) > limit or before is None or not self.places.has_time(bound):
                break
        scope = "shared" if page.shared else "this machine"
        result = ListResult(sessions=[row.shown for row in rows[:limit]], scope=scope, message=page.why)
        if len(rows) > limit:
            result.next_cursor = write_cursor(place_of(rows[limit - 1].entry))
        elif before:
            result.next_cursor = write_cursor(before)
            result.message = f"{UNFINISHED} {page.why}".rstrip()
        return result

    async def rows_of(self, session_ids: Collection[str]) -> list[JSONObject]:
        """The listing rows of these sessions, whoever they are of; none while they cannot be known."""
        bound = self.places.bound()
        try:
            entries = await self.places.entries(self._keys.index, [*session_ids], bound)
        except Unavailable:
            return []
        return [row.shown for row in await living_rows(self.places, Wanted(), entries, self._clock(), bound)]

    async def delete(self, session_id: str, memory: CallerViews) -> DeleteResult:
        """Take a session away, with its flow histories."""
        check_id(session_id, "session_id")
        revisions = self._keys.revisions(session_id)
        deletion = DeleteCommand(
            key=self._keys.session(session_id),
            member=session_id,
            index=self._keys.index,
            revisions=revisions,
            histories=self._keys.histories(session_id),
        )
        bound = self.places.bound()
        async with self._one_at_a_time(memory, session_id):
            memory.forget(session_id)
            try:
                placed = await self.places.write(deletion, bound)
            except (DocumentError, Unavailable) as exc:
                return DeleteResult(deleted=False, reason=reason_of(exc), message=str(exc))
            histories, left = await self._delete_histories(session_id, bound)
            await self.places.forget(revisions)
        deleted = placed.answer
        if deleted.deleted or histories:
            return DeleteResult(deleted=True, message=left)
        if left:
            return DeleteResult(deleted=False, reason="unavailable", message=left)
        unasked = deleted.reason == "not_found" and placed.stored_in == "journal" and self.places.stash is not None
        return DeleteResult(deleted=False, reason="unavailable" if unasked else deleted.reason)

    async def _delete_histories(self, session_id: str, bound: float) -> tuple[int, str]:
        """How many flow histories went, and what to say of those that did not."""
        gone, left = 0, 0
        for key in await self.places.keys(self._keys.histories(session_id), bound):
            try:
                gone += (await self.places.write(DeleteCommand(key=key, member=""), bound)).answer.deleted
            except (DocumentError, Unavailable) as exc:
                logger.warning("A flow history was not deleted: %s", exc)
                left += 1
        if not left:
            return gone, ""
        count = "a flow history" if left == 1 else f"{left} flow histories"
        return gone, f"{count} of it could not be deleted now; delete it again for the rest."

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
        return (await self.places.write(ImportCommand(key=key, member=session_id, index=index, text=text))).answer

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
                deletion = DeleteCommand(key=key, member=session_id, because="expired")
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
        self, memory: CallerViews, user_id: str, max_tokens: int, before_turn: int | None, bound: float
    ) -> ResumeResult:
        page = await self.list_sessions(Wanted(user_id=user_id), limit=SUGGESTIONS, bound=bound)
        for row in page.sessions:
            document, found = await self.load(row["id"], bound, DOCUMENT_CACHE.decode)
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
        page = await self.list_sessions(Wanted(user_id=user_id), limit=NEAR, bound=bound)
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
        ttl, until = ttl_of(document), document.kept_until
        pause = (ttl or 0) * RENEWED_AFTER if size >= LARGE else RENEWED_WITHIN_SECONDS
        if ttl and until and until - self._clock() <= timedelta(seconds=ttl - pause):
            key = self._keys.session(document.session.id)
            session_id = document.session.id
            renewal = RenewCommand(
                key=key, session_id=session_id, index=self._keys.index, revisions=self._keys.revisions(session_id)
            )
            self._later(self.places.renew(renewal))

    def _later(self, rest: Coroutine[None, None, None]) -> None:
        """Do what nobody waits for behind the answer's back."""
        task = asyncio.create_task(rest)
        self._rests.add(task)
        task.add_done_callback(self._rests.discard)

    def _resumed(
        self, memory: CallerViews, document: Document, found: Found, max_tokens: int, before_turn: int | None
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
        part = window(document, None if found.text is None else len(found.text), max_tokens, before_turn)
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


def open_store(
    settings: Settings, clock: Callable[[], datetime] | None = None, client: CoaiaClient | None = None
) -> tuple[SessionStore, ExecutionStore]:
    """The store that the settings describe, and its twin for executions; nothing is started until it is entered.

    A `client` that was given is used, and not closed.
    """
    clock = clock or _utc_now
    keys = Keys(settings.key_prefix)
    journal = open_journal(settings, clock) if settings.journal else NoJournal()
    stash = None
    if settings.redis_enabled:
        stash = Stash(client or open_client(settings), keys, settings.timeout_seconds, clock)
    places = Places(journal, stash, keys, clock, closes_client=client is None)
    sessions = SessionStore(
        places,
        keys,
        session_ttl_seconds=settings.session_ttl_seconds,
        max_bytes=settings.max_session_bytes,
        revisions=settings.revisions,
        user=settings.user,
        clock=clock,
    )
    executions = ExecutionStore(
        places, keys, ttl_seconds=settings.execution_ttl_seconds, max_bytes=settings.max_session_bytes, clock=clock
    )
    return sessions, executions


def open_client(settings: Settings) -> CoaiaClient:
    """The keeper of the child that the settings describe; it starts it when it is first needed."""
    folder = ChildFolder(settings.data_dir if settings.journal else None)
    env = child_environment(
        os.environ,
        folder.path,
        redis_url=settings.redis_url,
        cluster=settings.redis_cluster,
        # Shorter than our own wait, so that a frozen Redis is the child's answer and not the child's end.
        socket_timeout=settings.timeout_seconds * 0.75,
    )
    command = child_command(settings.coaia_command, settings.coaia_python)
    return CoaiaClient(command, env, folder, fair_seconds=settings.timeout_seconds / 2)


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _not_saved(session_id: str, exc: FlywheelError) -> SaveResult:
    known = exc if isinstance(exc, DocumentError) else None
    return SaveResult(
        saved=False,
        session_id=session_id,
        revision=known.revision if known else 0,
        provisional=False,
        turns=known.turns if known else 0,
        added_turns=0,
        stored_in="none",
        expires_at=iso(known.kept_until) if known else None,
        reason=reason_of(exc),
        message=str(exc),
    )
