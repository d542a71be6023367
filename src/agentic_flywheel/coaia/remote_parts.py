"""Finds and erases in the stash what goes with a session: its flow histories, executions and older revisions."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from agentic_flywheel.coaia.child_calls import ChildCalls
from agentic_flywheel.coaia.replies import StoredVersion
from agentic_flywheel.documents.codec import encode_tombstone
from agentic_flywheel.documents.delete import MAX_TOMBSTONE, MIN_TOMBSTONE
from agentic_flywheel.documents.lineage import newest_write
from agentic_flywheel.documents.model import Tombstone, micros
from agentic_flywheel.errors import Unfinished
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.keys import Keys, glob_escape
from agentic_flywheel.session_keys import SessionKeys, check_beginning

logger = logging.getLogger(__name__)

KEYS_LISTED = 1_000_000
"""Keys asked for at the most: those of one session, or all of a prefix when Redis was started again."""

LEAST_SCAN_SECONDS = 0.05
"""What a scan is given at least: some 50,000 keys."""

Versions = Callable[[Sequence[str], float], Awaitable[dict[str, StoredVersion | None]]]
"""What tells which versions of documents are stored."""

LARGEST_REVISION = 10**9
"""What the tombstone of something unreadable says; what follows it still counts on from there."""


class RemoteParts:
    """The parts of sessions behind a child's `calls`; a mirror, which cannot list, knows of none."""

    def __init__(self, calls: ChildCalls, versions: Versions, keys: Keys, clock: Callable[[], datetime]) -> None:
        self._calls = calls
        self._versions = versions
        self._keys = keys
        self._clock = clock

    async def find(
        self, keys: SessionKeys, deadline: float, *, members_only: bool = False
    ) -> tuple[set[str], list[str]]:
        """The keys of the flow histories and executions of a session, and of its older revisions.

        `members_only`: only the executions, which need not be looked for.

        Raises:
            StashUnavailable: it is not known which there are.

        """
        await self._calls.ready(deadline)
        beginnings = [check_beginning(text, self._keys.prefix) for text in (keys.histories, keys.revisions)]
        if members_only:
            beginnings = []
        if not self._calls.has("coaia_parts"):
            if members_only:
                return set(), []
            histories, revisions = [await self._found(text, deadline) for text in beginnings]
            return {*histories}, revisions
        arguments: JSONObject = {
            "members_of": keys.executions,
            "patterns": [glob_escape(text) + "*" for text in beginnings],
            "seconds": _half_of(deadline),
        }
        reply = await self._calls.call("coaia_parts", arguments, deadline)
        if not reply.get("complete"):
            logger.warning("Redis did not let us look through all keys: something of a deleted session may be left.")
        histories, revisions = [[str(key) for key in found] for found in reply["found"]] or ([], [])
        return {*histories, *(str(key) for key in reply["members"])}, revisions

    async def _found(self, beginning: str, deadline: float) -> list[str]:
        try:
            return await self.beginning(beginning, deadline)
        except Unfinished as exc:
            logger.warning("Something of a deleted session may be left: %s", exc)
            return exc.found

    async def beginning(self, prefix: str, deadline: float) -> list[str]:
        """The keys that begin with `prefix`; none on a mirror, which cannot list.

        A Redis of millions of keys, other programs' among them, is looked through as far as half of the time allows.

        Raises:
            ValueError: the prefix names more than the keys of one session, such as every key of every program.
            Unfinished: there may be more than those that it carries.
            StashUnavailable: it is not known which there are.

        """
        check_beginning(prefix, self._keys.prefix)
        await self._calls.ready(deadline)
        if not self._calls.atomic:
            return []
        arguments: JSONObject = {
            "pattern": glob_escape(prefix) + "*", "limit": KEYS_LISTED, "seconds": _half_of(deadline),
        }  # fmt: skip
        reply = await self._calls.call("coaia_list", arguments, deadline)
        keys = [str(key) for key in reply.get("keys", [])]
        if not reply.get("complete"):
            raise Unfinished("Redis holds too many keys to look through all of them in time.", keys)
        return keys

    async def erase(
        self, parts: Sequence[str], others: Sequence[str], made_at: datetime | None, deadline: float
    ) -> None:
        """Delete all of these; `parts`, of which other machines have copies, leave tombstones.

        `made_at` says when the deletion was made, if that is not just now.

        Raises:
            StashUnavailable: whether they are gone is unknown.

        """
        await self._calls.ready(deadline)
        now, life = self._clock(), round(MIN_TOMBSTONE.total_seconds() * 1000)
        items: list[list[object]] = [[key, "", "", 0] for key in others]
        for key, version in (await self._versions(parts, deadline)).items():
            revision = max((version and version.revision) or 0, (version and version.tombstone) or 0)
            writes = newest_write(version.ending) if version else ()  # what is kept since is none of these
            top, until = min(revision, LARGEST_REVISION), now + MIN_TOMBSTONE
            tombstone = Tombstone("", top, made_at or now, until, operations=writes)
            items.append([key, self._keys.tombstone(key), encode_tombstone(tombstone), life])
        if items:
            await self._calls.call("coaia_erase", {"items": items}, deadline)

    async def announce(self, key: str, tombstone: str, deadline: float) -> None:
        """Tell other machines once more that a session was deleted, though it has been begun anew since.

        Raises:
            StashUnavailable: whether they will hear is unknown.

        """
        await self._calls.ready(deadline)
        if self._calls.has("coaia_erase"):
            arguments: JSONObject = {"items": [], "deletions": self._keys.deletions, "announced": [[key, tombstone]]}
            await self._calls.call("coaia_erase", arguments, deadline)

    def oldest_announced(self) -> int:
        """Milliseconds since 1970: what was announced before then has no tombstone any more."""
        return micros(self._clock() - MAX_TOMBSTONE) // 1000


def _half_of(deadline: float) -> float:
    """The seconds that a scan is given: half of those that are left."""
    return max(LEAST_SCAN_SECONDS, (deadline - asyncio.get_running_loop().time()) / 2)
