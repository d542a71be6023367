"""Notifies clients that sessions have changed, here or elsewhere, as long as a client is subscribed.

Clients of 2026-07-28 listen on streams that the SDK serves from its bus; older ones subscribe to URIs, and are notified
of changes of the list once they have asked for it.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared.subscriptions import ResourcesListChanged, ResourceUpdated, ServerEvent
from mcp_types import (
    CallToolResult,
    SubscribeRequestParams,
    SubscriptionsListenRequestParams,
    UnsubscribeRequestParams,
)

from agentic_flywheel.documents.model import iso
from agentic_flywheel.server.handshake_clients import HandshakeClients
from agentic_flywheel.server.prepared_answers import LISTEN
from agentic_flywheel.server.resources import LISTED, execution_uri, member_of, uri_of
from agentic_flywheel.server.sdk_internals import add_middleware, add_request_handler
from agentic_flywheel.sessions.results import ListResult
from agentic_flywheel.sessions.session_filter import SessionFilter
from agentic_flywheel.sessions.store import SessionStore

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.5
"""From one read of the list to the next, for what others change; what changed here is read at once."""

CHANGING_TOOLS = frozenset({"save_session", "restore_session", "fork_session", "delete_session", "cache_result"})
"""Tools that may change something."""


class ChangeNotifier:
    """Compares the newest of `sessions`, and those subscribed to, with the last poll, and notifies of what differs."""

    def __init__(self, sessions: SessionStore) -> None:
        self._sessions = sessions
        self.bus = _Bus(self._begin)
        self._streams = ListenHandler(self.bus)
        self._wake = asyncio.Event()
        self._has_subscribers = asyncio.Event()
        self._subscribed: Counter[str] = Counter()
        """The URIs of resources that clients subscribed to by name."""
        self.handshake_clients = HandshakeClients(self.bus, self._subscribed)
        self._last: dict[str, dict[str, str]] = {}
        """When each session was saved, by the scope of the list that showed it."""
        self._since = ""
        self.owes_list = False
        """Whether the client was given an empty list before there was a server."""
        self.listens_since: float | None = None
        """When the client was told that it listens, before there was a server: it is to hear of what changed since."""

    def register(self, server: MCPServer[SessionStore]) -> None:
        """Serve the subscriptions of clients of both eras."""
        add_request_handler(server, LISTEN, SubscriptionsListenRequestParams, self._streams)
        clients = self.handshake_clients
        add_middleware(server, clients.watch_requests)
        add_request_handler(server, "resources/subscribe", SubscribeRequestParams, clients.subscribe)
        add_request_handler(server, "resources/unsubscribe", UnsubscribeRequestParams, clients.unsubscribe)

    def end_streams(self) -> None:
        """Have each stream that a client listens on answered as one that has ended."""
        self._streams.close()

    async def watch(self) -> None:
        """Poll for as long as it runs, while there are subscribers."""
        while True:
            await self._has_subscribers.wait()
            if self.bus.has_listeners:
                try:
                    if self.owes_list:
                        self.owes_list = False
                        await self._notify(set())
                    await self._poll()
                except Exception as exc:  # noqa: BLE001  whatever it is, subscribers must be notified some day
                    logger.error("Looking for news failed with %s; it goes on.", type(exc).__name__)
            else:
                self._has_subscribers.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wake.wait()
            self._wake.clear()

    async def tool_called(self, tool: str, arguments: Mapping[str, Any], result: object) -> None:
        """Notify of what this call of a tool changed."""
        if tool not in CHANGING_TOOLS or not self.bus.has_listeners or not isinstance(result, CallToolResult):
            return
        answer: dict[str, Any] = result.structured_content or {}
        if answer.get("deleted"):  # one that was saved and deleted between two polls was in no list
            for saved_times in self._last.values():
                saved_times.pop(arguments["session_id"], None)
            await self._notify({arguments["session_id"]})
        elif answer.get("cached"):
            await self.bus.publish(ResourceUpdated(execution_uri(answer["execution_id"])))
        self._wake.set()

    def _begin(self) -> None:
        """Notify of what changes from now on: there is a first subscriber."""
        if not self._has_subscribers.is_set():
            since = datetime.now(UTC) if self.listens_since is None else datetime.fromtimestamp(self.listens_since, UTC)
            self._since, self._last, self.listens_since = iso(since) or "", {}, None
            self._has_subscribers.set()

    async def _poll(self) -> None:
        page = await self._sessions.list_sessions(SessionFilter(), LISTED)
        subscribed = {member for uri in +self._subscribed if (member := member_of(uri))}
        unlisted = await self._sessions.rows_of(subscribed - {row["id"] for row in page.sessions})
        now = {str(row["id"]): str(row.get("updated_at")) for row in (*page.sessions, *unlisted)}
        changed = self._changed(page, now, subscribed)
        # While Redis is away, what it held is still known, and compared when it is back.
        self._last = {**({} if page.scope == "shared" else self._last), page.scope: now}
        if changed:
            await self._notify(changed)

    def _changed(self, page: ListResult, now: dict[str, str], subscribed: set[str]) -> set[str]:
        if not self._last:
            return {member for member, saved_at in now.items() if saved_at > self._since}
        before = self._last.get(page.scope)
        if before is None:  # what is missing in one list may be in the other
            before = next(iter(self._last.values()))
            return {member for member in now.keys() & before if now[member] != before[member]}
        listed = [str(row.get("updated_at")) for row in page.sessions]
        oldest = min(listed, default="") if page.next_cursor or len(listed) == LISTED else ""
        gone = {member for member, saved_at in before.items() if saved_at > oldest or member in subscribed} - now.keys()
        return gone | {member for member, saved_at in now.items() if before.get(member) != saved_at}

    async def _notify(self, members: set[str]) -> None:
        uris = {uri for uri in +self._subscribed if member_of(uri) in members}  # as the client spelled them
        for member in members:
            uris |= {uri_of(member), f"{uri_of(member)}/transcript"}
        for uri in sorted(uris):
            await self.bus.publish(ResourceUpdated(uri))
        await self.bus.publish(ResourcesListChanged())


class _Bus(InMemorySubscriptionBus):
    """The SDK's bus, which knows whether it has listeners; `begin` is called before each new one."""

    def __init__(self, begin: Callable[[], None]) -> None:
        super().__init__()
        self._begin = begin
        self._listening: set[object] = set()

    @property
    def has_listeners(self) -> bool:
        """Whether there are listeners."""
        return bool(self._listening)

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        """Add a listener; the function that is returned removes it."""
        self._begin()
        token, end = object(), super().subscribe(listener)
        self._listening.add(token)

        def unsubscribe() -> None:
            self._listening.discard(token)
            end()

        return unsubscribe
