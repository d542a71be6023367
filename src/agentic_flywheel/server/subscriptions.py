"""Telling clients that sessions have changed, whoever changed them, as long as any client wants to know.

Clients of 2026-07-28 listen on streams that the SDK serves from its bus; those before subscribe to URIs, and are told
that the list is another once they have asked for it.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp.server.session import ServerSession
from mcp.server.subscriptions import InMemorySubscriptionBus
from mcp.shared.subscriptions import ResourcesListChanged, ResourceUpdated, ServerEvent
from mcp_types import (
    CallToolResult,
    EmptyResult,
    SubscribeRequestParams,
    SubscriptionsListenRequestParams,
    UnsubscribeRequestParams,
)
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from pydantic import ValidationError

from agentic_flywheel.documents.model import iso
from agentic_flywheel.server.resources import LISTED, execution_uri, member_of, uri_of
from agentic_flywheel.sessions.listing import Wanted
from agentic_flywheel.sessions.results import ListResult
from agentic_flywheel.sessions.store import SessionStore

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.5
"""From one look at the list to the next, for what others change; what changed here is looked for at once."""

CHANGING = frozenset({"save_session", "restore_session", "fork_session", "delete_session", "cache_result"})
"""Tools after which something may be another than before."""


class News:
    """What subscribers are told: the newest of `sessions`, and those they named, are compared with the last look."""

    def __init__(self, sessions: SessionStore) -> None:
        self._sessions = sessions
        self.bus = _Bus(self._begin)
        self._wake = asyncio.Event()
        self._somebody = asyncio.Event()
        self._subscribed: Counter[str] = Counter()
        """The URIs that somebody wants to know of, whatever else is in the list."""
        self._last: dict[str, dict[str, str]] = {}
        """When each of them was saved, by the scope of the list that showed it."""
        self._since = ""

    def register(self, server: MCPServer[SessionStore]) -> None:
        """Serve the subscriptions of clients before 2026-07-28; those of others the server serves by itself."""
        early = _EarlyClients(self.bus, self._subscribed)
        server.middleware.append(early.notice)
        lowlevel = server._lowlevel_server  # pyright: ignore[reportPrivateUsage]  # noqa: SLF001  no public way
        lowlevel.add_request_handler("resources/subscribe", SubscribeRequestParams, early.subscribe)
        lowlevel.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, early.unsubscribe)

    async def watch(self) -> None:
        """Look again and again, while anybody wants to know."""
        while True:
            await self._somebody.wait()
            if self.bus.has_listeners:
                try:
                    await self._look()
                except Exception as exc:  # noqa: BLE001  whatever it is, subscribers must be told some day
                    logger.error("Looking for news failed with %s; it goes on.", type(exc).__name__)
            else:
                self._somebody.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._wake.wait()
            self._wake.clear()

    async def after(self, tool: str, arguments: Mapping[str, Any], result: object) -> None:
        """A tool was called: look whether that changed something."""
        if tool not in CHANGING or not self.bus.has_listeners or not isinstance(result, CallToolResult):
            return
        answer: dict[str, Any] = result.structured_content or {}
        if answer.get("deleted"):  # one that was saved and deleted between two looks was in no list
            for known in self._last.values():
                known.pop(arguments["session_id"], None)
            await self._tell({arguments["session_id"]})
        elif answer.get("cached"):
            await self.bus.publish(ResourceUpdated(execution_uri(answer["execution_id"])))
        self._wake.set()

    def _begin(self) -> None:
        """Somebody wants to know of what changes from now on."""
        if not self._somebody.is_set():
            self._since, self._last = iso(datetime.now(UTC)) or "", {}
            self._somebody.set()

    async def _look(self) -> None:
        page = await self._sessions.list_sessions(Wanted(), LISTED)
        wanted = {member for uri in +self._subscribed if (member := member_of(uri))}
        more = await self._sessions.rows_of(wanted - {row["id"] for row in page.sessions})
        now = {str(row["id"]): str(row.get("updated_at")) for row in (*page.sessions, *more)}
        changed = self._changed(page, now, wanted)
        # While Redis is away, what it held is still known, and compared when it is back.
        self._last = {**({} if page.scope == "shared" else self._last), page.scope: now}
        if changed:
            await self._tell(changed)

    def _changed(self, page: ListResult, now: dict[str, str], wanted: set[str]) -> set[str]:
        if not self._last:
            return {member for member, saved_at in now.items() if saved_at > self._since}
        before = self._last.get(page.scope)
        if before is None:  # what is not in both places may be in the other one
            before = next(iter(self._last.values()))
            return {member for member in now.keys() & before if now[member] != before[member]}
        listed = [str(row.get("updated_at")) for row in page.sessions]
        oldest = min(listed, default="") if page.next_cursor or len(listed) == LISTED else ""
        gone = {each for each, saved_at in before.items() if saved_at > oldest or each in wanted} - now.keys()
        return gone | {member for member, saved_at in now.items() if before.get(member) != saved_at}

    async def _tell(self, members: set[str]) -> None:
        spelled = {uri for uri in +self._subscribed if member_of(uri) in members}  # in whatever way a URI may be
        for member in members:
            spelled |= {uri_of(member), f"{uri_of(member)}/transcript"}
        for uri in sorted(spelled):
            await self.bus.publish(ResourceUpdated(uri))
        await self.bus.publish(ResourcesListChanged())


class _Bus(InMemorySubscriptionBus):
    """The SDK's bus, which knows whether anybody listens; `begin` is called before somebody does."""

    def __init__(self, begin: Callable[[], None]) -> None:
        super().__init__()
        self._begin = begin
        self._listening: set[object] = set()

    @property
    def has_listeners(self) -> bool:
        """Whether anybody does."""
        return bool(self._listening)

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        """Listen; the function that is given ends it."""
        self._begin()
        token, end = object(), super().subscribe(listener)
        self._listening.add(token)

        def unsubscribe() -> None:
            self._listening.discard(token)
            end()

        return unsubscribe


class _EarlyClients:
    """Clients before 2026-07-28: of each process that serves pipes there is one."""

    def __init__(self, bus: _Bus, subscribed: Counter[str]) -> None:
        self._bus = bus
        self._subscribed = subscribed
        self._uris: set[str] = set()
        self._client: ServerSession | None = None
        self._end: Callable[[], None] | None = None
        self._knows_the_list = False
        self._due: dict[str | None, None] = {}
        self._telling: asyncio.Task[None] | None = None

    async def notice(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """A client that has asked for the list is told when it is another; a newer one says what it listens for."""
        if ctx.method == "resources/list" and ctx.protocol_version in HANDSHAKE_PROTOCOL_VERSIONS:
            self._listen(ctx.session)
            self._knows_the_list = True
        if ctx.method != "subscriptions/listen":
            return await call_next(ctx)
        try:
            uris = SubscriptionsListenRequestParams.model_validate(ctx.params).notifications.resource_subscriptions
        except ValidationError:  # said by the SDK
            uris = None
        self._subscribed.update(uris or ())
        try:
            return await call_next(ctx)  # until the stream ends
        finally:
            self._subscribed.subtract(uris or ())

    async def subscribe(self, ctx: ServerRequestContext[Any, Any], params: SubscribeRequestParams) -> EmptyResult:
        """Tell of this resource."""
        self._listen(ctx.session)
        if str(params.uri) not in self._uris:
            self._uris.add(str(params.uri))
            self._subscribed[str(params.uri)] += 1
        return EmptyResult()

    async def unsubscribe(self, ctx: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams) -> EmptyResult:  # noqa: ARG002
        """Tell no more of it."""
        if str(params.uri) in self._uris:
            self._uris.remove(str(params.uri))
            self._subscribed[str(params.uri)] -= 1
        if self._end and not self._uris and not self._knows_the_list:
            self._end()
            self._end = self._client = None
        return EmptyResult()

    def _listen(self, client: ServerSession) -> None:
        if self._end is None:
            self._end = self._bus.subscribe(self._heard)
        self._client = client

    def _heard(self, event: ServerEvent) -> None:
        if isinstance(event, ResourceUpdated) and event.uri in self._uris:
            self._due[event.uri] = None
        elif isinstance(event, ResourcesListChanged) and self._knows_the_list:
            self._due[None] = None
        if self._due and (self._telling is None or self._telling.done()):  # a client that reads nothing is told once
            self._telling = asyncio.create_task(self._tell())

    async def _tell(self) -> None:
        while self._due and self._client:
            uri = next(iter(self._due))
            del self._due[uri]
            await (self._client.send_resource_updated(uri) if uri else self._client.send_resource_list_changed())
