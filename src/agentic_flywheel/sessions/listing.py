"""Lists sessions, newest first, a page at a time; with a query the best first."""

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime

from agentic_flywheel.backends.base import FlowStatus
from agentic_flywheel.errors import Disabled, InvalidArgument, Unavailable
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.keys import Keys
from agentic_flywheel.replication.repository import Places
from agentic_flywheel.replication.session_list import place_of
from agentic_flywheel.sessions.cursors import UNFINISHED, read_cursor, write_cursor
from agentic_flywheel.sessions.requests import check_one_of
from agentic_flywheel.sessions.results import ListResult
from agentic_flywheel.sessions.search import find
from agentic_flywheel.sessions.session_filter import Row, SessionFilter, unexpired_rows

MAX_PAGE = 1000
"""The most sessions that one list shows."""

EXPIRED_AMONG = 5
"""Entries read beyond a page, since some may have expired."""


class SessionList:
    """The list of the sessions that `places` keeps."""

    def __init__(self, places: Places, keys: Keys, *, user: str, clock: Callable[[], datetime]) -> None:
        self.places = places
        self._keys = keys
        self._user = user
        self._clock = clock

    async def list_sessions(
        self, wanted: SessionFilter, limit: int = 20, cursor: str = "", bound: float | None = None
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
            rows += await unexpired_rows(self.places, wanted, page.entries, self._clock(), bound)
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
        return [row.shown for row in await unexpired_rows(self.places, SessionFilter(), entries, self._clock(), bound)]
