"""Erases in the stash what goes with a deleted session: its flow histories, executions and older revisions."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from agentic_flywheel.documents.codec import encode_tombstone
from agentic_flywheel.documents.delete import MAX_TOMBSTONE, MIN_TOMBSTONE
from agentic_flywheel.documents.model import Tombstone, micros
from agentic_flywheel.errors import Unfinished
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.keys import Keys, glob_escape
from agentic_flywheel.session_keys import SessionKeys, check_beginning

if TYPE_CHECKING:
    from agentic_flywheel.coaia.stash import Stash

logger = logging.getLogger(__name__)

LEAST_SCAN_SECONDS = 0.05
"""What a scan is given at least: some 50,000 keys."""

LARGEST_REVISION = 10**9
"""What the tombstone of something unreadable says; what follows it still counts on from there."""


class RemoteParts:
    """The parts of sessions in a `stash`; a mirror, which cannot list, knows of none."""

    def __init__(self, stash: "Stash", keys: Keys, clock: Callable[[], datetime]) -> None:
        self._stash = stash
        self._keys = keys
        self._clock = clock

    async def find(self, keys: SessionKeys, deadline: float) -> tuple[set[str], list[str]]:
        """The keys of the flow histories and executions of a session, and of its older revisions.

        Raises:
            StashUnavailable: it is not known which there are.

        """
        await self._stash.ready(deadline)
        beginnings = [check_beginning(text, self._keys.prefix) for text in (keys.histories, keys.revisions)]
        if not self._stash.has("coaia_parts"):
            histories, revisions = [await self._found(text, deadline) for text in beginnings]
            return {*histories}, revisions
        arguments: JSONObject = {
            "members_of": keys.executions,
            "patterns": [glob_escape(text) + "*" for text in beginnings],
            "seconds": max(LEAST_SCAN_SECONDS, (deadline - asyncio.get_running_loop().time()) / 2),
        }
        reply = await self._stash.call("coaia_parts", arguments, deadline)
        if not reply.get("complete"):
            logger.warning("Redis did not let us look through all keys: something of a deleted session may be left.")
        histories, revisions = [[str(key) for key in found] for found in reply["found"]]
        return {*histories, *(str(key) for key in reply["members"])}, revisions

    async def _found(self, beginning: str, deadline: float) -> list[str]:
        try:
            return await self._stash.keys(beginning, deadline)
        except Unfinished as exc:
            logger.warning("Something of a deleted session may be left: %s", exc)
            return exc.found

    async def erase(
        self, parts: Sequence[str], others: Sequence[str], made_at: datetime | None, deadline: float
    ) -> None:
        """Delete all of these; `parts`, of which other machines have copies, leave tombstones.

        `made_at` says when the deletion was made, if that is not just now.

        Raises:
            StashUnavailable: whether they are gone is unknown.

        """
        await self._stash.ready(deadline)
        now, life = self._clock(), round(MIN_TOMBSTONE.total_seconds() * 1000)
        items: list[list[object]] = [[key, "", "", 0] for key in others]
        for key, version in (await self._stash.versions(parts, deadline)).items():
            revision = max((version and version.revision) or 0, (version and version.tombstone) or 0)
            tombstone = Tombstone("", min(revision, LARGEST_REVISION), made_at or now, now + MIN_TOMBSTONE)
            items.append([key, self._keys.tombstone(key), encode_tombstone(tombstone), life])
        if items:
            await self._stash.call("coaia_erase", {"items": items}, deadline)

    def oldest_announced(self) -> int:
        """Milliseconds since 1970: what was announced before then has no tombstone any more."""
        return micros(self._clock() - MAX_TOMBSTONE) // 1000
