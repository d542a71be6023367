"""Bounds what one client can take: requests a second, the size of a body, the time it may need to send it."""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

BURST_SECONDS = 2.0
"""Requests of so many seconds may come at once."""

MOST_AT_ONCE = 1_000
"""Requests of one client that are under way: it does not take all connections."""

REMEMBERED = 10_000
"""Clients whose rate is remembered; the longest unseen goes first, and would be full again by then."""

SILENT_SECONDS = 10.0
"""From one part of a body to the next."""

BODY_SECONDS = 60.0
"""For the whole body, and a second more for each `BYTES_PER_SECOND` of it."""

BYTES_PER_SECOND = 2**18

BODIES_BYTES = 2**28
"""Of all bodies that are being read or answered; who comes when it is full is told to come again."""

SMALL_BYTES = 2**16
"""A body up to this finds room always: who sends a few large ones slowly holds up no other client's usual requests.
As many as there are connections have no more than `BODIES_BYTES` again."""


class RateLimit:
    """A bucket of requests for each client, filled at `rate` a second; 0 is no limit."""

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def seconds_to_wait(self, client: str) -> float:
        """Take one request out of the client's bucket; how long until there is one, if there is none."""
        if not self._rate:
            return 0.0
        now, most = self._clock(), self._rate * BURST_SECONDS
        left, then = self._buckets.pop(client, (most, now))
        left = min(most, left + (now - then) * self._rate)
        allowed = left >= 1
        self._buckets[client] = (left - 1 if allowed else left, now)
        if len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self._rate


class AtOnce:
    """How many requests of each client are under way, the streams that it listens to among them."""

    def __init__(self, most: int = MOST_AT_ONCE) -> None:
        self._most = most
        self._now: Counter[str] = Counter()

    def enter(self, client: str) -> bool:
        """Whether one more may begin; then `leave` is called when it ends."""
        if self._now[client] >= self._most:
            return False
        self._now[client] += 1
        return True

    def leave(self, client: str) -> None:
        """One has ended."""
        self._now[client] -= 1
        if not self._now[client]:
            del self._now[client]


class TooLarge(Exception):  # noqa: N818  named for what is the matter
    """The body is larger than the limit."""


class TooSlow(Exception):  # noqa: N818
    """The body did not come in time."""


class TooMuch(Exception):  # noqa: N818
    """So many bodies are being read that this one has no room now."""


class Gone(Exception):  # noqa: N818
    """The client left before its body was there."""


class Bodies:
    """Reads the bodies of requests, and knows how much all of them hold."""

    def __init__(self, largest: int, room: int = BODIES_BYTES, small: int = SMALL_BYTES) -> None:
        self.largest = largest
        self._small = small
        self._room = max(room, largest)
        self._held = 0

    async def read(self, receive: Receive, declared: int | None) -> bytes:
        """The body; the caller gives its room back with `release(len(body))`.

        Raises:
            TooLarge, TooSlow, TooMuch, Gone: it is not taken; what was read of it is thrown away.

        """
        if declared is not None and declared > self.largest:
            raise TooLarge
        parts, size = list[bytes](), 0
        begun = asyncio.get_running_loop().time()
        try:
            while True:
                part, more = await self._part(receive, begun, size)
                size += len(part)
                self._held += len(part)
                if size > self.largest:
                    raise TooLarge
                if self._held > self._room and size > self._small:
                    raise TooMuch
                parts.append(part)
                if not more:
                    return parts[0] if len(parts) == 1 else b"".join(parts)
        except BaseException:
            self._held -= size
            raise

    def release(self, size: int) -> None:
        """A body of this size is not held any more."""
        self._held -= size

    async def discard(self, receive: Receive) -> None:
        """Read on without keeping it, so that a client in the middle of sending sees the answer; not for ever."""
        size = 0
        try:
            async with asyncio.timeout(SILENT_SECONDS):
                while size <= self.largest:
                    message = await receive()
                    size += len(message.get("body", b""))
                    if message["type"] != "http.request" or not message.get("more_body", False):
                        return
        except TimeoutError:
            return

    async def _part(self, receive: Receive, begun: float, size: int) -> tuple[bytes, bool]:
        end = begun + BODY_SECONDS + size / BYTES_PER_SECOND
        wait = min(SILENT_SECONDS, end - asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout(wait):
                message = await receive()
        except TimeoutError:
            raise TooSlow from None
        if message["type"] != "http.request":
            raise Gone
        return message.get("body", b""), bool(message.get("more_body", False))
