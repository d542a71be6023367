"""Lets the newest stream on which a client of a session listens take the place of the one before.

The SDK has one such stream a session, and refuses a second. A client whose network changed, or that slept, comes back
while the connection that it lost is still open here, for minutes: it would hear of nothing any more.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress

BEFORE_SECONDS = 5.0
"""How long the stream before may take to end; then the SDK refuses the new one."""


class Listening:
    """The stream of one session; `end` ends the one that is open."""

    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end
        self._now: asyncio.Event | None = None
        """Set when the stream that is open has ended."""

    @asynccontextmanager
    async def entered(self) -> AsyncGenerator[None]:
        """Be the stream, once the one before has ended: as it ends, the SDK clears what the next one uses."""
        with suppress(TimeoutError):
            async with asyncio.timeout(BEFORE_SECONDS):
                while before := self._now:
                    self._end()
                    await before.wait()
        mine, before = asyncio.Event(), self._now
        self._now = before or mine
        try:
            yield
        finally:
            mine.set()
            if self._now is mine:
                self._now = None
