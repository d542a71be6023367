"""Who subscribes is told when a session changes: by its own client, by another one, by another machine."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest
from mcp.client.subscriptions import ResourcesListChanged, ResourceUpdated
from mcp_types import ResourceListChangedNotification, ResourceUpdatedNotification

from ..conftest import clean_env
from ..support.client import Session, open_server
from ..support.conversations import TALK
from ..support.redis_server import RedisServer
from ..support.waiting import eventually, wait_until
from ..support.wire import WireServer

# The client of the older era has no other verbs.
pytestmark = pytest.mark.filterwarnings("ignore:resources/(un)?subscribe is removed")

Mode = Literal["auto", "legacy"]
ERAS = pytest.mark.parametrize("mode", ["auto", "legacy"])
GARDEN = ("session://garden", "session://garden/transcript", "execution://e1")
THE_LIST = "the list"


@asynccontextmanager
async def subscriber(mode: Mode, env: dict[str, str]) -> AsyncIterator[tuple[Session, list[str]]]:
    """A client that wants to know of the list, and of `GARDEN`; what it was told so far."""
    told: list[str] = []

    async def hear(message: Any) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            told.append(str(message.params.uri))
        elif isinstance(message, ResourceListChangedNotification):
            told.append(THE_LIST)

    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(open_server(env, mode=mode, message_handler=hear))
        if mode == "legacy":
            await server.client.list_resources()
            for uri in GARDEN:
                await server.client.subscribe_resource(uri)
        else:
            stack.callback(await stack.enter_async_context(_reading(server, told)))
        yield server, told


@asynccontextmanager
async def _reading(server: Session, told: list[str]) -> AsyncIterator[Callable[[], None]]:
    """Read the stream in the background, until what is given is called."""
    async with (
        server.client.listen(resources_list_changed=True, resource_subscriptions=GARDEN) as stream,
        anyio.create_task_group() as group,
    ):

        async def read() -> None:
            async for event in stream:
                if isinstance(event, ResourceUpdated):
                    told.append(event.uri)
                elif isinstance(event, ResourcesListChanged):
                    told.append(THE_LIST)

        group.start_soon(read)
        yield group.cancel_scope.cancel


async def is_told(told: list[str], *what: str) -> set[str]:
    """All that is told by then."""
    await eventually(lambda: set(what) <= set(told), what=f"{what}, beside {told}")
    said = {*told}
    told.clear()
    return said


@ERAS
async def test_a_client_is_told_of_what_it_changes_itself(mode: Mode, disabled_env: dict[str, str]):
    async with subscriber(mode, disabled_env) as (server, told):
        document, transcript, execution = GARDEN
        await server.call("save_session", session_id="garden", history=TALK)
        await is_told(told, document, transcript, THE_LIST)
        await server.call("save_session", session_id="another", history=TALK)
        await is_told(told, THE_LIST)
        await server.call("save_session", session_id="garden", title="The garden")
        await is_told(told, document, transcript, THE_LIST)
        await server.call("restore_session", session_id="garden", revision=1)
        await is_told(told, document, transcript, THE_LIST)
        await server.call("cache_result", execution_id="e1", result={"a": 1})
        await is_told(told, execution)
        await server.call("delete_session", session_id="garden")
        await is_told(told, document, transcript, THE_LIST)


@ERAS
async def test_a_client_is_told_of_what_another_machine_changes(
    mode: Mode, server_env: dict[str, str], redis: RedisServer, tmp_path: Path
):
    document, transcript, _ = GARDEN
    async with subscriber(mode, server_env) as (server, told):
        await server.warm()
        with WireServer(clean_env(tmp_path / "elsewhere", redis.url, redis.prefix)) as elsewhere:
            elsewhere.warm()
            elsewhere.call("save_session", session_id="garden", history=TALK)
            await is_told(told, document, transcript, THE_LIST)
            elsewhere.call("save_session", session_id="garden", summary="What grows")
            await is_told(told, document, transcript, THE_LIST)
            elsewhere.call("delete_session", session_id="garden")
            await is_told(told, document, transcript, THE_LIST)


@ERAS
async def test_nobody_is_told_of_what_did_not_change(mode: Mode, disabled_env: dict[str, str]):
    async with subscriber(mode, disabled_env) as (server, told):
        await server.call("save_session", session_id="garden", history=TALK)
        await is_told(told, *GARDEN[:2], THE_LIST)
        await server.call("resume_session", session_id="garden")
        await server.call("save_session", session_id="garden", expected_revision=7)
        await server.call("delete_session", session_id="nobody")
        await server.call("save_session", session_id="another", history=TALK)
        assert await is_told(told, THE_LIST) == {THE_LIST}


async def test_who_unsubscribes_is_told_no_more(disabled_env: dict[str, str]):
    async with subscriber("legacy", disabled_env) as (server, told):
        await server.client.unsubscribe_resource(GARDEN[0])
        await server.call("save_session", session_id="garden", history=TALK)
        await eventually(lambda: GARDEN[1] in told, what="what is still subscribed")
        assert GARDEN[0] not in told


def test_a_client_that_asked_for_nothing_is_told_nothing(disabled_env: dict[str, str]):
    with WireServer(disabled_env) as server:
        server.call("save_session", session_id="garden", history=TALK)
        server.request("resources/list")
        server.call("save_session", session_id="garden", title="The garden")
        wait_until(lambda: server.heard("notifications/resources/list_changed"), what="the one that was asked for")
        assert server.heard("notifications/resources/updated") == []


def test_a_stream_of_news_does_not_hold_up_the_end(disabled_env: dict[str, str]):
    server = WireServer(disabled_env).spawn()
    try:
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "wire", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        asked = server.send("subscriptions/listen", {"notifications": {"resourcesListChanged": True}, "_meta": meta})
        wait_until(lambda: server.heard("notifications/subscriptions/acknowledged"), what="the stream")
        server.request("tools/call", {"name": "list_sessions", "arguments": {}, "_meta": meta})
        server.close_stdin()
        ended = server.reply(asked)
        assert ended["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == asked
        assert ended["result"]["resultType"] == "complete"
        assert server.wait(within=30) == 0
    finally:
        server.close()
