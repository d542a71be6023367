"""The private and provisional parts of the MCP SDK that the server uses: a release that moves one fails here."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from mcp import ClientSession
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.tools import Tool
from mcp.shared.memory import create_client_server_memory_streams
from mcp_types import EmptyResult, InitializeResult, SubscribeRequestParams

from agentic_flywheel.server.sdk_internals import (
    CallNext,
    HandlerResult,
    ServerRequestContext,
    add_middleware,
    add_request_handler,
    lowlevel_of,
    options_of,
    run_over,
    schemas_of,
    set_schemas,
)


@asynccontextmanager
async def connected(server: MCPServer[Any]) -> AsyncGenerator[tuple[ClientSession, InitializeResult]]:
    """A client of that server, in this process."""
    async with create_client_server_memory_streams() as (ours, theirs), anyio.create_task_group() as group:
        group.start_soon(run_over, server, *theirs)
        async with ClientSession(*ours) as client:
            yield client, await client.initialize()
        group.cancel_scope.cancel()


def count(words: str) -> dict[str, int]:
    """Count words."""
    return {"words": len(words.split())}


async def test_the_server_runs_over_given_streams_and_says_that_its_resources_may_change():
    async with connected(MCPServer("test")) as (client, initialized):
        capabilities = initialized.capabilities
        assert capabilities.resources
        assert capabilities.resources.list_changed is True
        assert (await client.list_tools()).tools == []


@pytest.mark.filterwarnings("ignore:resources/subscribe is removed")  # not for the clients that still ask for it
async def test_a_request_without_a_decorator_is_handled():
    asked: list[str] = []

    async def subscribe(_: ServerRequestContext[Any, Any], params: SubscribeRequestParams) -> EmptyResult:
        asked.append(str(params.uri))
        return EmptyResult()

    server = MCPServer("test")
    add_request_handler(server, "resources/subscribe", SubscribeRequestParams, subscribe)
    async with connected(server) as (client, _):
        await client.subscribe_resource("session://a")
    assert asked == ["session://a"]


async def test_a_middleware_sees_the_method_and_may_put_structured_content_into_the_finished_answer():
    methods: list[str] = []

    async def watch(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        methods.append(ctx.method)
        answer = await call_next(ctx)
        if ctx.method != "tools/call":
            return answer
        assert isinstance(answer, dict), "the answer of a call is no longer a finished dict"
        assert answer["structuredContent"] == {"words": 2}
        return {**answer, "structuredContent": {"words": 3}}

    server = MCPServer("test", tools=[Tool.from_function(count)])
    add_middleware(server, watch)
    async with connected(server) as (client, _):
        result = await client.call_tool("count", {"words": "two words"})
    assert result.structured_content == {"words": 3}
    assert "tools/call" in methods


async def test_the_schemas_that_are_set_are_the_schemas_that_are_published():
    tool = Tool.from_function(count)
    parameters, output = schemas_of(tool)
    assert "words" in parameters["properties"]
    assert output
    assert output["type"] == "object"
    set_schemas(tool, parameters | {"additionalProperties": False}, output | {"minProperties": 1})
    async with connected(MCPServer("test", tools=[tool])) as (client, _):
        (published,) = (await client.list_tools()).tools
    assert published.input_schema["additionalProperties"] is False
    assert published.output_schema
    assert published.output_schema["minProperties"] == 1


def test_what_is_served_over_http_says_that_its_lists_may_change():
    capabilities = options_of(lowlevel_of(MCPServer("test"))).capabilities
    assert capabilities.resources
    assert capabilities.resources.list_changed
