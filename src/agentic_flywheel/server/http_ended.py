"""Knows which of the protocol's sessions their clients ended, at whichever of several processes that was.

It is noted in Redis, under `<prefix>:ended:<digest of the session's id>`.
"""

from collections import OrderedDict
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from agentic_flywheel.coaia.stash import Stash
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.errors import FlywheelError
from agentic_flywheel.keys import Keys

KEPT = timedelta(days=7)
"""How long it is known; by then nobody asks for a session that its own client ended."""

REMEMBERED = 2_000
"""Ids that this process remembers itself, for when Redis does not answer or there is none."""

AGAIN_SECONDS = 5.0
"""From one look to the next whether a session that is open here was ended elsewhere."""

ENDED = '{"schema_version":1,"ended":true}'


class EndedSessions:
    """The ids of ended sessions of one namespace, here and in Redis, if there is one."""

    def __init__(self, stash: Stash | None, keys: Keys) -> None:
        self._stash, self._keys = stash, keys
        self._here: OrderedDict[str, None] = OrderedDict()

    async def note(self, session_id: str) -> None:
        """Note that a client ended it; while Redis is away, only here."""
        self._here[session_id] = None
        if len(self._here) > REMEMBERED:
            self._here.popitem(last=False)
        if self._stash:
            # As a tombstone it says nothing of a conversation, and is not sealed.
            write = Write(self._keys.ended(session_id), ENDED, None, datetime.now(UTC) + KEPT, tombstone=True)
            with suppress(FlywheelError):
                await self._stash.keep(write, self._stash.deadline())

    async def has(self, session_id: str) -> bool:
        """Whether its client ended it; while Redis is away, what this process knows."""
        if session_id in self._here or self._stash is None:
            return session_id in self._here
        try:
            return await self._stash.read(self._keys.ended(session_id)) is not None
        except FlywheelError:
            return False
