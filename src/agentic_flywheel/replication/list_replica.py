"""Replicates the rows of the shared list into the local index, so that nothing is searched inside of Redis."""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from agentic_flywheel.coaia.envelope import key_of_note
from agentic_flywheel.errors import JournalUnavailable, Unavailable
from agentic_flywheel.journal import Journal
from agentic_flywheel.journal.threads import in_thread
from agentic_flywheel.keys import Keys
from agentic_flywheel.replication.session_list import Page, SessionList

logger = logging.getLogger(__name__)

NEWEST = 50
"""Rows that a search looks at to see what is new: one page is some 2 ms."""

READ_AT_ONCE = 1_000
"""Rows of a page where more is new."""

REFRESH_SECONDS = 1.0
"""How long a search waits for rows that are new to this machine; the rest is read in the background."""

PASS_SECONDS = 3600
"""After this all rows are read again: a machine whose clock is behind puts new ones below those that are known.

An import does so as well; that is seen at once, by how many there are.
"""

INDEX_SECONDS, PAUSE_SECONDS = 0.2, 0.05
"""How long the background indexes, and lets others go on, in turns."""


class ListReplica:
    """The rows of the list in `sessions`, in the index of `journal`; `listed` tells how many it has, if known."""

    def __init__(
        self, journal: Journal, sessions: SessionList, keys: Keys, listed: Callable[[], int | None] = lambda: None
    ) -> None:
        self._journal = journal
        self._sessions = sessions
        self._keys = keys
        self._listed = listed
        self._compared: int | None = None
        self._background: asyncio.Task[None] | None = None

    async def refresh(self, index: str, deadline: float) -> Page:
        """Index what the list shows newly; a page without entries that says whether Redis answered.

        Where it has older rows that are still to be read, `older` is where to go on: that is done in the background.
        """
        listed = self._listed()
        try:
            page = await self._sessions.page(index, None, NEWEST, deadline)
        except Unavailable as exc:
            return Page([], None, shared=False, why=str(exc))
        if not page.shared:
            return Page([], None, shared=False, why=page.why)
        loop = asyncio.get_running_loop()
        with contextlib.suppress(JournalUnavailable):  # the search meets it again
            age = await in_thread(self._journal.whole_list_age, index)
            whole = age is not None
            second = page.older
            older = await self._put(index, page, whole=whole)
            until = min(deadline, loop.time() + REFRESH_SECONDS)
            while older and loop.time() < until:
                with contextlib.suppress(Unavailable):
                    page = await self._sessions.page(index, older, READ_AT_ONCE, deadline)
                    older = await self._put(index, page, whole=whole)
                    continue
                break
            if not older and await self._lacks(index, listed):
                older = second
            if older or (age or 0.0) > PASS_SECONDS:
                self.go_on(index, older or second)
            return Page([], older, shared=True, why=page.why)
        return Page([], None, shared=True, why=page.why)

    async def _put(self, index: str, page: Page, *, whole: bool) -> tuple[int, str] | None:
        """Index a page; where to go on, unless all that follows is known."""
        # A row whose key is not here is left out: it would stay as it is, once the key is given.
        rows = [entry for entry in page.entries if not entry.here_alone and key_of_note(entry.note) is None]
        new = await in_thread(self._journal.put_list_rows, rows, self._keys.sessions)
        if page.shared and page.older is None and not whole:
            await in_thread(self._journal.note_whole_list, index)
        return None if whole and not new else page.older

    async def _lacks(self, index: str, listed: int | None) -> bool:
        """Whether the list has more rows than are known here; asked once for each number of them."""
        under_way = self._background is not None and not self._background.done()
        if listed is None or listed == self._compared or under_way:
            return False
        self._compared = listed
        return listed > await in_thread(self._journal.count_list_rows, index)

    def go_on(self, index: str, older: tuple[int, str] | None = None) -> None:
        """Read the rest of the list, and index what is still to be read here, while nobody waits for it."""
        if self._background is None or self._background.done():
            self._background = asyncio.create_task(self._rest(index, older), name="index")

    async def _rest(self, index: str, older: tuple[int, str] | None) -> None:
        try:
            while older:
                deadline = asyncio.get_running_loop().time() + REFRESH_SECONDS
                page = await self._sessions.page(index, older, READ_AT_ONCE, deadline)
                if not page.shared:
                    return
                older = await self._put(index, page, whole=False)
                await asyncio.sleep(PAUSE_SECONDS)
            while await in_thread(self._journal.index_new, INDEX_SECONDS):  # noqa: ASYNC110  a step each time
                await asyncio.sleep(PAUSE_SECONDS)
        except Unavailable as exc:  # the next search goes on
            logger.info("The index is not complete: %s", exc)

    async def aclose(self) -> None:
        """Stop what goes on in the background; the next search resumes it."""
        if self._background:
            self._background.cancel()
            await asyncio.gather(self._background, return_exceptions=True)
