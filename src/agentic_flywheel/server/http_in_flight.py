"""Lets a request wait while another with its id is being answered in the same session of the protocol.

The SDK keeps one stream of answers for each id of a session. A request sent again before the first was answered, as
proxies and clients do whose connection broke, takes that stream over: the first would be waited for until the end.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cached_property

import mcp_types as types

from agentic_flywheel.server.refusal import request_of

SAME_ID_SECONDS = 30.0
"""How long a request waits for the one before it; only a person who is asked takes longer."""


class InUse(Exception):  # noqa: N818  named for what is the matter
    """A request with this id is still being answered."""


class _Request:
    """One request that is being answered."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.answered = asyncio.Event()

    @cached_property
    def id(self) -> str | None:
        """Its id as the SDK tells streams apart; `None`: it is answered on none. Read only where there are several."""
        try:
            message = request_of(self._body)
        except ValueError:
            return None
        return str(message.id) if isinstance(message, types.JSONRPCRequest) else None


class InFlight:
    """The requests of one session that are being answered."""

    def __init__(self) -> None:
        self._now: list[_Request] = []

    @asynccontextmanager
    async def entered(self, body: bytes) -> AsyncGenerator[None]:
        """Hold the id of the request in `body`, once nobody else does.

        Raises:
            InUse: somebody does for longer than `SAME_ID_SECONDS`.

        """
        mine = _Request(body)
        try:
            async with asyncio.timeout(SAME_ID_SECONDS):
                while other := next((each for each in self._now if each.id is not None and each.id == mine.id), None):
                    await other.answered.wait()
        except TimeoutError:
            raise InUse from None
        self._now.append(mine)
        try:
            yield
        finally:
            self._now.remove(mine)
            mine.answered.set()
