"""Has sessions whose stream is served here told of what their clients subscribed to at another process, or before.

What is found to be new is subscribed to as if the client asked now, and the client is told of it at once: it may have
changed since. That costs a client one look; silence would cost it the change.
"""

import asyncio
import json
import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Generator, MutableMapping
from contextlib import contextmanager
from typing import Any

from starlette.types import Send

from agentic_flywheel.server.callers import Caller, note_caller
from agentic_flywheel.server.handshake_clients import LIST, HandshakeClients
from agentic_flywheel.server.http_subscribed import SubscriptionRecords

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""From one look for what was subscribed to elsewhere to the next."""

ANSWER_SECONDS = 0.5
"""How long an answer to a client waits for what it subscribed to to be kept."""


class Follower:
    """What one session subscribed to; `post` gives the session a message of ours."""

    def __init__(
        self, session_id: str, caller: Caller, records: SubscriptionRecords, post: Callable[[bytes], Awaitable[None]]
    ) -> None:
        self._session_id, self._caller, self._records, self._post = session_id, caller, records, post
        self._uris: frozenset[str] = frozenset()
        self._here_alone: frozenset[str] = frozenset()
        """Those that could not be kept."""
        self._asking: set[str] = set()
        """What is asked here in the client's name, and kept already."""
        self._noting: set[asyncio.Task[None]] = set()
        self._changing = asyncio.Lock()

    async def add(self, uri: str) -> None:
        """Note that the client subscribed to it."""
        if uri not in self._asking and not (uri == LIST and uri in self._uris):
            await self._in_time(self._add(uri))

    async def remove(self, uri: str) -> None:
        """Note that the client wants to hear of it no more."""
        if uri not in self._asking:
            await self._in_time(self._remove(uri))

    async def _in_time(self, noting: Coroutine[Any, Any, None]) -> None:
        """Note it, before the client is answered unless Redis takes long."""
        task = asyncio.create_task(noting, name="subscription")
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)
        await asyncio.wait({task}, timeout=ANSWER_SECONDS)

    async def _add(self, uri: str) -> None:
        async with self._changing:
            self._uris |= {uri}
            if not await self._records.change(self._session_id, add={uri}):
                self._here_alone |= {uri}

    async def _remove(self, uri: str) -> None:
        async with self._changing:
            self._uris, self._here_alone = self._uris - {uri}, self._here_alone - {uri}
            await self._records.change(self._session_id, remove={uri})

    async def follow(self, clients: HandshakeClients) -> None:
        """Subscribe to what is kept and not known here, and the other way round."""
        note_caller(self._caller)
        async with self._changing:
            if (kept := await self._records.of(self._session_id)) is None:
                return
            new, gone = kept - self._uris, self._uris - kept - self._here_alone
            self._uris = kept | self._here_alone
            for uri in gone - {LIST}:
                await self._ask("resources/unsubscribe", uri)
            for uri in new:
                await self._ask("resources/subscribe" if uri != LIST else "resources/list", uri)
            clients.owe(self._caller, new)

    async def _ask(self, method: str, uri: str) -> None:
        params = {"uri": uri} if uri != LIST else {}
        identity = f"subscribed-{secrets.token_hex(8)}"  # no client's request has it
        self._asking.add(uri)
        try:
            await self._post(
                json.dumps({"jsonrpc": "2.0", "id": identity, "method": method, "params": params}).encode()
            )
        finally:
            self._asking.discard(uri)


class Following:
    """The sessions of one namespace whose stream is served here. Closed by whoever made it."""

    def __init__(self, records: SubscriptionRecords, clients: HandshakeClients) -> None:
        self._records, self._clients = records, clients
        self._streams = Counter[Follower]()
        self._tasks: set[asyncio.Task[None]] = set()
        self._looking: asyncio.Task[None] | None = None

    @contextmanager
    def stream_of(self, follower: Follower, send: Send) -> Generator[Send]:
        """A `send` for a stream of a session, which is followed from when that has begun until it has ended."""
        begun = False

        async def following(message: MutableMapping[str, Any]) -> None:
            nonlocal begun
            await send(message)
            if message["type"] == "http.response.start" and message["status"] < 300:
                begun = True
                self._streams[follower] += 1
                self._begin(self._follow(follower))
                if self._looking is None or self._looking.done():
                    self._looking = self._begin(self._look())

        try:
            yield following
        finally:
            self._streams -= Counter({follower: int(begun)})  # a request that was refused began none

    async def aclose(self) -> None:
        """Follow nothing any more."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _begin(self, work: Any) -> asyncio.Task[None]:  # noqa: ANN401  a coroutine
        task: asyncio.Task[None] = asyncio.create_task(work, name="subscriptions")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _look(self) -> None:
        while self._streams:
            if await self._records.has_news():
                for follower in [*self._streams]:
                    await self._follow(follower)
            await asyncio.sleep(LOOK_SECONDS)

    async def _follow(self, follower: Follower) -> None:
        try:
            await follower.follow(self._clients)
        except Exception as exc:  # noqa: BLE001  whatever it is, other sessions must be followed
            logger.error("Following a session's subscriptions failed with %s; it goes on.", type(exc).__name__)
