"""Pages, looks up and mends the list of sessions that the stash keeps; a mirror, which cannot list, has none."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from agentic_flywheel.coaia.child_calls import ChildCalls
from agentic_flywheel.coaia.envelope import Envelopes
from agentic_flywheel.coaia.replies import IndexPage, entries, index_page
from agentic_flywheel.documents.writes import EVERY_ROW, Filter, ListRow
from agentic_flywheel.errors import Damaged, StashUnavailable
from agentic_flywheel.json_text import JSONObject, dumps
from agentic_flywheel.keys import lua_patterns

LOOKED_FOR = 0.6
"""The part of the time left in which the child looks for a page: its answer still has to come here."""


class RemoteIndex:
    """The lists in the stash that `calls` reach. What the keys of listed documents begin with is `documents`."""

    def __init__(self, calls: ChildCalls, documents: str, envelopes: Envelopes | None) -> None:
        self._calls = calls
        self._envelopes = envelopes
        self._documents = documents

    async def page(
        self,
        index: str,
        before: tuple[int, str] | None,
        limit: int,
        wanted: Filter = EVERY_ROW,
        deadline: float | None = None,
    ) -> IndexPage:
        """A page of the list, of what may be `wanted`: as far as it is found in good time before the deadline."""
        deadline = deadline or self._calls.deadline()
        await self._calls.ready(deadline)
        if not self._calls.atomic:
            return IndexPage([], None, [])
        arguments: JSONObject = {
            "index": index,
            "documents": self._documents,
            "limit": limit,
            "before": before and [*before],
            "texts": [] if self._envelopes else [dumps(text) for text in wanted.texts],
            "ids": lua_patterns(wanted.pattern),
            "seconds": (deadline - asyncio.get_running_loop().time()) * LOOKED_FOR,
        }
        try:
            page = index_page(index, await self._calls.call("coaia_recent", arguments, deadline))
        except Damaged as exc:
            why = f"What Redis holds under {index}, or under {index}:notes, is no list of ours: delete it there."
            raise StashUnavailable(why) from exc
        return replace(page, entries=self._opened(page.entries))

    async def entries(self, index: str, members: Sequence[str], deadline: float) -> list[ListRow]:
        """The entries of these members of the list."""
        await self._calls.ready(deadline)
        if not self._calls.atomic or not members:
            return []
        arguments: JSONObject = {"index": index, "documents": self._documents, "members": [*members]}
        return self._opened(entries(index, await self._calls.call("coaia_recent", arguments, deadline)))

    def _opened(self, rows: list[ListRow]) -> list[ListRow]:
        if (envelopes := self._envelopes) is None:
            return rows
        return [replace(row, note=envelopes.open_note(row.member, row.note)) for row in rows]

    async def reconcile(self, index: str, place: str, deadline: float) -> tuple[str, list[str]]:
        """Compare a part of the list with what is stored; where to go on, and members that are not in the list."""
        await self._calls.ready(deadline)
        if not self._calls.has("coaia_heal"):
            return "", []
        arguments: JSONObject = {"index": index, "documents": self._documents, "place": place}
        reply = await self._calls.call("coaia_heal", arguments, deadline)
        unlisted: list[object] = reply.get("unlisted") or []
        return str(reply.get("place") or ""), [str(member) for member in unlisted]

    async def index_session(self, entry: ListRow, kept_until: datetime | None, deadline: float) -> None:
        """List a session that was stored by somebody who keeps no list."""
        note = self._envelopes.close_note(entry.member, entry.note) if self._envelopes and entry.note else entry.note
        arguments: JSONObject = {
            "index": entry.index, "member": entry.member, "score": entry.saved_at, "note": note,
        }  # fmt: skip
        if self._calls.has("coaia_erase"):  # a child of this version
            arguments["ttl_seconds"] = self._calls.ttl(kept_until)
        await self._calls.call("coaia_index", arguments, deadline)
