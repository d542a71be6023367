"""What clients before 2026-07-28 subscribe to is bounded, and forgotten when they want to hear of it no more."""

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from mcp import MCPError
from mcp.server.subscriptions import InMemorySubscriptionBus
from mcp_types import SubscribeRequestParams, UnsubscribeRequestParams

from agentic_flywheel.server.handshake_clients import MOST_URIS, HandshakeClients

CONTEXT: Any = SimpleNamespace(session=None)


async def test_a_client_subscribes_to_so_many_at_once_and_nothing_is_left_of_those_it_gave_up():
    subscribed: Counter[str] = Counter()
    clients = HandshakeClients(InMemorySubscriptionBus(), subscribed)
    uris = [f"session://{number}" for number in range(MOST_URIS)]
    for uri in [*uris, uris[0]]:
        await clients.subscribe(CONTEXT, SubscribeRequestParams(uri=uri))
    with pytest.raises(MCPError, match="Unsubscribe from some first"):
        await clients.subscribe(CONTEXT, SubscribeRequestParams(uri="session://one-more"))
    for uri in uris:
        await clients.unsubscribe(CONTEXT, UnsubscribeRequestParams(uri=uri))
    assert dict(subscribed) == {}
