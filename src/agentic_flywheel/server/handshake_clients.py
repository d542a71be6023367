"""Tells clients before 2026-07-28 of what they subscribed to: the one behind a pipe, or each of those over HTTP."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any

from mcp import MCPError
from mcp.server.session import ServerSession
from mcp.server.subscriptions import InMemorySubscriptionBus
from mcp.shared.subscriptions import ResourcesListChanged, ResourceUpdated, ServerEvent
from mcp_types import (
    INVALID_PARAMS,
    EmptyResult,
    SubscribeRequestParams,
    SubscriptionsListenRequestParams,
    UnsubscribeRequestParams,
)
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from pydantic import ValidationError

from agentic_flywheel.server.callers import Caller, caller_now
from agentic_flywheel.server.prepared_answers import LISTEN
from agentic_flywheel.server.sdk_internals import CallNext, HandlerResult, ServerRequestContext

LIST = ""
"""Stands for the list of resources among the URIs that a client hears of."""

MOST_URIS = 1_000
"""Resources that one client, or one stream, hears of: each poll asks for all of them."""

LONGEST_URI = 8_192
"""Characters: an id of 512 of them, each of four bytes and percent-encoded, has room."""


class HandshakeClients:
    """What each client subscribed to, by its caller; over pipes there is one."""

    def __init__(self, bus: InMemorySubscriptionBus, subscribed: Counter[str]) -> None:
        self._bus = bus
        self._subscribed = subscribed
        self._clients: dict[Caller | None, _Client] = {}

    async def watch_requests(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Middleware: notes that a client asked for the list, and which URIs a newer client listens for."""
        if ctx.method == "resources/list" and ctx.protocol_version in HANDSHAKE_PROTOCOL_VERSIONS:
            self._of_caller().listen_for_list(ctx.session)
            await _note(LIST)
        if ctx.method != LISTEN:
            return await call_next(ctx)
        try:
            uris = SubscriptionsListenRequestParams.model_validate(ctx.params).notifications.resource_subscriptions
        except ValidationError:  # said by the SDK
            uris = None
        _check(uris or ())
        self._subscribed.update(uris or ())
        try:
            return await call_next(ctx)  # until the stream ends
        finally:
            _subtract(self._subscribed, uris or ())

    async def subscribe(self, ctx: ServerRequestContext[Any, Any], params: SubscribeRequestParams) -> EmptyResult:
        """Notify of this resource.

        Raises:
            MCPError: its URI is no length for one, or the client has as many as it may.

        """
        uri, client = str(params.uri), self._of_caller()
        _check({*client.uris, uri})
        client.subscribe(ctx.session, uri)
        await _note(uri)
        return EmptyResult()

    async def unsubscribe(self, ctx: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams) -> EmptyResult:  # noqa: ARG002
        """Stop notifying of this resource."""
        self._of_caller().unsubscribe(str(params.uri))
        if (caller := caller_now()) and caller.subscriptions:
            await caller.subscriptions.remove(str(params.uri))
        return EmptyResult()

    def owe(self, caller: Caller, uris: Collection[str]) -> None:
        """Notify a client of those of these that it hears of, whether they changed or not."""
        if client := self._clients.get(caller):
            client.owe(uris)

    def forget(self, caller: Caller) -> None:
        """Forget a client that has gone, or that nobody can tell of anything."""
        if client := self._clients.pop(caller, None):
            client.end()

    def _of_caller(self) -> "_Client":
        caller = caller_now()
        return self._clients.setdefault(caller, _Client(self._bus, self._subscribed))


def _check(uris: Collection[str]) -> None:
    """Refuse what would fill the memory."""
    if any(not 0 < len(uri) <= LONGEST_URI for uri in uris):
        raise MCPError(INVALID_PARAMS, f"The URI of a resource has 1 to {LONGEST_URI:,} characters.")
    if len(uris) > MOST_URIS:
        text = f"At most {MOST_URIS:,} resources can be subscribed to at once. Unsubscribe from some first."
        raise MCPError(INVALID_PARAMS, text)


def _subtract(counted: Counter[str], uris: Collection[str]) -> None:
    counted.subtract(uris)
    for uri in uris:
        if counted[uri] <= 0:  # a counter keeps what it has counted down to nothing
            del counted[uri]


async def _note(uri: str) -> None:
    if (caller := caller_now()) and caller.subscriptions:
        await caller.subscriptions.add(uri)


class _Client:
    """One client, and what it is due."""

    def __init__(self, bus: InMemorySubscriptionBus, subscribed: Counter[str]) -> None:
        self._bus = bus
        self._subscribed = subscribed
        self._uris: set[str] = set()
        self._client: ServerSession | None = None
        self._end: Callable[[], None] | None = None
        self._has_list = False
        self._due: dict[str | None, None] = {}
        self._sending: asyncio.Task[None] | None = None

    @property
    def uris(self) -> Collection[str]:
        """What it subscribed to."""
        return self._uris

    def listen_for_list(self, client: ServerSession) -> None:
        """Notify of changes of the list from now on."""
        self._listen(client)
        self._has_list = True

    def subscribe(self, client: ServerSession, uri: str) -> None:
        """Notify of this resource."""
        self._listen(client)
        if uri not in self._uris:
            self._uris.add(uri)
            self._subscribed[uri] += 1

    def unsubscribe(self, uri: str) -> None:
        """Stop notifying of this resource."""
        if uri in self._uris:
            self._uris.remove(uri)
            _subtract(self._subscribed, (uri,))
        if self._end and not self._uris and not self._has_list:
            self._end()
            self._end = self._client = None

    def end(self) -> None:
        """Notify of nothing any more."""
        self._has_list = False
        for uri in [*self._uris]:
            self.unsubscribe(uri)
        if self._end:
            self._end()
            self._end = self._client = None
        if self._sending:
            self._sending.cancel()

    def _listen(self, client: ServerSession) -> None:
        if self._end is None:
            self._end = self._bus.subscribe(self._on_event)
        self._client = client

    def owe(self, uris: Collection[str]) -> None:
        """Notify of those of these that it hears of."""
        for uri in uris:
            if uri in self._uris or (uri == LIST and self._has_list):
                self._due[uri or None] = None
        self._begin_sending()

    def _on_event(self, event: ServerEvent) -> None:
        if isinstance(event, ResourceUpdated) and event.uri in self._uris:
            self._due[event.uri] = None
        elif isinstance(event, ResourcesListChanged) and self._has_list:
            self._due[None] = None
        self._begin_sending()

    def _begin_sending(self) -> None:
        if self._due and (
            self._sending is None or self._sending.done()
        ):  # a client that reads nothing is notified once
            self._sending = asyncio.create_task(self._send())

    async def _send(self) -> None:
        while self._due and self._client:
            uri = next(iter(self._due))
            del self._due[uri]
            await (self._client.send_resource_updated(uri) if uri else self._client.send_resource_list_changed())
