"""Lists sessions, newest first, a page at a time; with a query the best first."""

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime

from agentic_flywheel.backends.base import FlowStatus
from agentic_flywheel.documents.save_request import check_one_of
from agentic_flywheel.errors import Disabled, Unavailable
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.keys import Keys
from agentic_flywheel.replication.repository import Repository
from agentic_flywheel.replication.session_list import position_of
from agentic_flywheel.sessions.cursors import UNFINISHED, read_cursor, write_cursor
from agentic_flywheel.sessions.folded import asked, is_folded, note_children, without_children
from agentic_flywheel.sessions.results import ListResult
from agentic_flywheel.sessions.search import search
from agentic_flywheel.sessions.session_filter import Row, SessionFilter, check_limit, check_pattern, whose
from agentic_flywheel.sessions.unexpired import unexpired_rows

EXPIRED_AMONG = 5
"""Entries read beyond a page, since some may have expired."""


class SessionList:
    """The list of the sessions that `repository` keeps."""

    def __init__(
        self, repository: Repository, keys: Keys, *, user: str, clock: Callable[[], datetime], user_only: bool = False
    ) -> None:
        self.repository = repository
        self._user_only = user_only
        self._keys = keys
        self._user = user
        self._clock = clock

    async def list_sessions(
        self, session_filter: SessionFilter, limit: int = 20, cursor: str = "", deadline: float | None = None
    ) -> ListResult:
        """Listing rows, newest first, or the best first where the filter has a query.

        Args:
            session_filter: which sessions; without a user, those of the server's own.
            limit: rows of a page, 1 to `MAX_PAGE`.
            cursor: the `next_cursor` of the page before.
            deadline: that of the answer that the list is a part of.

        """
        check_limit(limit)
        check_pattern(session_filter.pattern)
        if session_filter.status:
            check_one_of(FlowStatus, session_filter.status, "status")
        session_filter = replace(session_filter, user_id=self._whose(session_filter.user_id))
        if not session_filter.query.strip():
            return await self._newest(session_filter, limit, cursor, deadline)
        try:
            self.repository.check_enabled()
        except Disabled as exc:
            return ListResult(sessions=[], scope="this machine", message=str(exc))
        return await search(self.repository, self._keys, session_filter, self._clock(), limit, cursor, deadline)

    def _whose(self, user_id: str | None) -> str:
        return whose(user_id, self._user, own_only=self._user_only)

    def is_shown(self, owner: object) -> bool:
        """Whether sessions of that owner are shown; those of nobody are."""
        return not self._user_only or owner in (None, "", self._user)

    async def _newest(
        self, session_filter: SessionFilter, limit: int, cursor: str, deadline: float | None
    ) -> ListResult:
        before = read_cursor(cursor) if cursor else None
        deadline = await self.repository.deadline_once_ready(deadline)
        row_filter, folds, journal = session_filter.row_filter, is_folded(session_filter), self.repository.journal
        rows: list[Row] = []
        while True:
            try:
                page = await self.repository.recent(
                    self._keys.index, before, limit + EXPIRED_AMONG, deadline, row_filter
                )
            except Unavailable as exc:
                return ListResult(sessions=[row.shown for row in rows], scope="this machine", message=str(exc))
            found = await unexpired_rows(self.repository, session_filter, page.entries, self._clock(), deadline)
            rows += await asked(without_children, found, journal, self._keys.index, found) if folds else found
            before = page.older
            if len(rows) > limit or before is None or not self.repository.has_time(deadline):
                break
        scope = "shared" if page.shared else "this machine"
        shown = [row.shown for row in rows[:limit]]
        await asked(note_children, None, journal, self._keys.index, shown)
        result = ListResult(sessions=shown, scope=scope, message=page.why)
        if len(rows) > limit:
            result.next_cursor = write_cursor(position_of(rows[limit - 1].entry))
        elif before:
            result.next_cursor = write_cursor(before)
            result.message = f"{UNFINISHED} {page.why}".rstrip()
        return result

    async def rows_of(self, session_ids: Collection[str]) -> list[JSONObject]:
        """The listing rows of these sessions, of any user; none while the list cannot be read."""
        deadline = self.repository.deadline()
        try:
            entries = await self.repository.entries(self._keys.index, [*session_ids], deadline)
        except Unavailable:
            return []
        rows = await unexpired_rows(self.repository, SessionFilter(), entries, self._clock(), deadline)
        return [row.shown for row in rows if self.is_shown(row.shown.get("user_id"))]
