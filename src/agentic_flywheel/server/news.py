"""Telling clients that sessions have changed, whoever changed them, as long as any client wants to know.

Clients of 2026-07-28 listen on streams that the SDK serves from its bus; those before subscribe to URIs, and are told
that the list is another once they have asked for it.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp.server.session import ServerSession
from mcp.server.subscriptions import InMemorySubscriptionBus
from mcp.shared.subscriptions import ResourcesListChanged, ResourceUpdated, ServerEvent
from mcp_types import CallToolResult, EmptyResult, SubscribeRequestParams, UnsubscribeRequestParams
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from agentic_flywheel.codec import iso
from agentic_flywheel.listing import Wanted
from agentic_flywheel.results import ListResult
from agentic_flywheel.server.resources import LISTED, execution_uri, uri_of
from agentic_flywheel.store import SessionStore

LOOK_SECONDS = 1.5
"""From one look at the list to the next, for what others change; what changed here is looked for at once."""

CHANGING = frozenset({"save_session", "restore_session", "fork_session", "delete_session", "cache_result"})
"""Tools after which something may be another than before."""


class News:
    """What subscribers are told: the newest of `sessions` are compared with what they were at the last look."""

    def __init__(self, sessions: SessionStore) -> None:
        self._sessions = sessions
        self.bus = _Bus(self._begin)
        self._wake = asyncio.Event()
        self._somebody = asyncio.Event()
        self._known: dict[str, str] = {}
        self._scope = ""
        self._since = ""

    def register(self, server: MCPServer[None]) -> None:
        """Serve the subscriptions of clients before 2026-07-28; those of others the server serves by itself."""
        early = _EarlyClients(self.bus)
        server.middleware.append(early.notice)
        lowlevel = server._lowlevel_server  # pyright: ignore[reportPrivateUsage]  # noqa: SLF001  no public way
        lowlevel.add_request_handler("resources/subscribe", SubscribeRequestParams, early.subscribe)
        lowlevel.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, early.unsubscribe)

    async def watch(self) -> None:
        """Look again and again, while anybody wants to know."""
        while True:
            await self._somebody.wait()
            if self.bus.has_listeners:
                await self._look()
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
            self._known.pop(arguments["session_id"], None)
            await self._tell({arguments["session_id"]})
        elif answer.get("cached"):
            await self.bus.publish(ResourceUpdated(execution_uri(answer["execution_id"])))
        self._wake.set()

    def _begin(self) -> None:
        """Somebody wants to know of what changes from now on."""
        if not self._somebody.is_set():
            self._since, self._scope = iso(datetime.now(UTC)) or "", ""
            self._somebody.set()

    async def _look(self) -> None:
        page = await self._sessions.list_sessions(Wanted(), LISTED)
        now = {str(row["id"]): str(row.get("updated_at")) for row in page.sessions}
        changed = self._changed(page, now)
        self._known, self._scope = now, page.scope
        if changed:
            await self._tell(changed)

    def _changed(self, page: ListResult, now: dict[str, str]) -> set[str]:
        if not self._scope:
            return {member for member, saved_at in now.items() if saved_at > self._since}
        if page.scope != self._scope:  # Redis went or came: what is not in both lists may be in the other place
            return {member for member in now.keys() & self._known if now[member] != self._known[member]}
        oldest = min(now.values(), default="") if len(now) == LISTED else ""
        gone = {member for member, saved_at in self._known.items() if member not in now and saved_at > oldest}
        return gone | {member for member, saved_at in now.items() if self._known.get(member) != saved_at}

    async def _tell(self, members: set[str]) -> None:
        for member in sorted(members):
            await self.bus.publish(ResourceUpdated(uri_of(member)))
            await self.bus.publish(ResourceUpdated(f"{uri_of(member)}/transcript"))
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

    def __init__(self, bus: _Bus) -> None:
        self._bus = bus
        self._uris: set[str] = set()
        self._client: ServerSession | None = None
        self._knows_the_list = False
        self._due: dict[str | None, None] = {}
        self._telling: asyncio.Task[None] | None = None

    async def notice(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """A client that has asked for the list is told when it is another."""
        if ctx.method == "resources/list" and ctx.protocol_version in HANDSHAKE_PROTOCOL_VERSIONS:
            self._listen(ctx.session)
            self._knows_the_list = True
        return await call_next(ctx)

    async def subscribe(self, ctx: ServerRequestContext[Any, Any], params: SubscribeRequestParams) -> EmptyResult:
        """Tell of this resource."""
        self._listen(ctx.session)
        self._uris.add(str(params.uri))
        return EmptyResult()

    async def unsubscribe(self, ctx: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams) -> EmptyResult:  # noqa: ARG002
        """Tell no more of it."""
        self._uris.discard(str(params.uri))
        return EmptyResult()

    def _listen(self, client: ServerSession) -> None:
        if self._client is None:
            self._bus.subscribe(self._heard)
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
