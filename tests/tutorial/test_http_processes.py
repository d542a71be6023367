"""Several processes behind one address on one Redis are as one, though each request may reach another of them."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitRequestParams, ElicitResult

from ..support.http import JSON, HTTPProcess, bearer, called, http_server, token_of
from ..support.http_load import load, lost_or_doubled
from ..support.waiting import eventually

TURN = {"role": "user", "content": "when is the harvest?"}


class RoundRobin(httpx2.AsyncHTTPTransport):
    """Sends each request to another process, as a balancer does that knows no sessions."""

    def __init__(self, ports: list[int]) -> None:
        super().__init__()
        self._ports = itertools.cycle(ports)
        self.sent: list[int] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        port = next(self._ports)
        self.sent.append(port)
        request.url = request.url.copy_with(port=port)
        return await super().handle_async_request(request)


@pytest.fixture
def two(server_env: dict[str, str], tmp_path: Path) -> Iterator[tuple[list[HTTPProcess], str]]:
    """Two processes, each with a data folder of its own, as on two machines; and a token."""
    token = token_of(server_env, "ann")
    with (
        http_server(server_env, "--rate", "0") as one,
        http_server(server_env | {"FLYWHEEL_DATA_DIR": str(tmp_path / "other")}, "--rate", "0") as other,
    ):
        yield [one, other], token


@asynccontextmanager
async def balanced(
    servers: list[HTTPProcess], token: str, mode: str, **can: Any
) -> AsyncIterator[tuple[Client, RoundRobin]]:
    transport = RoundRobin([each.port for each in servers])
    async with (
        httpx2.AsyncClient(transport=transport, headers=bearer(token), timeout=30) as http,
        Client(streamable_http_client(servers[0].url, http_client=http), mode=mode, **can) as client,
    ):
        yield client, transport


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_talk_goes_on_over_whichever_process_is_asked(two: tuple[list[HTTPProcess], str], mode: str):
    servers, token = two
    async with balanced(servers, token, mode) as (client, transport):

        async def shared() -> bool:
            return (await called(client, "resume_session", session_id="nobody"))["reason"] == "not_found"

        for _ in servers * 2:
            await eventually(shared)
        for turn in range(8):
            saved = await called(client, "save_session", session_id="garden", history=[{**TURN, "n": turn}])
            assert saved["stored_in"] == "redis"
            assert saved["turns"] == turn + 1
            found = await called(client, "resume_session")
            assert len(found["session"]["history"]) == turn + 1
        assert len(set(transport.sent)) == 2


async def test_a_session_that_its_client_ended_is_not_found_at_any_process(two: tuple[list[HTTPProcess], str]):
    servers, token = two
    headers = {**JSON, **bearer(token)}
    async with httpx2.AsyncClient(headers=headers, timeout=30) as http:

        async def status(server: HTTPProcess, session: str) -> int:
            asked = {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}}
            return (await http.post(server.url, json=asked, headers={"mcp-session-id": session})).status_code

        async def ended(server: HTTPProcess) -> str:
            params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
            asked = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
            session = (await http.post(server.url, json=asked)).headers["mcp-session-id"]
            if server is servers[0]:
                assert await status(servers[1], session) == 200, "both have it open"
            assert (await http.delete(server.url, headers={"mcp-session-id": session})).status_code == 200
            return session

        async def ready() -> bool:
            return all([(await http.get(f"{each.root}/readyz")).status_code == 200 for each in servers])

        await eventually(ready, what="both to reach Redis")
        assert await status(servers[0], await ended(servers[1])) == 404, "one that never had it"
        session = await ended(servers[0])

        async def gone() -> bool:
            return await status(servers[1], session) == 404

        await eventually(gone, what="the other that has it open to look")
        servers[0].kill()
        servers[0].start()
        await eventually(ready, what="both to reach Redis")
        assert await status(servers[0], session) == 404, "one that was started again"


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_question_and_its_answer_may_reach_two_processes(two: tuple[list[HTTPProcess], str], mode: str):
    servers, token = two

    async def yes(*_: object) -> ElicitResult:
        return ElicitResult(action="accept", content={"delete": True})

    async with balanced(servers, token, mode, elicitation_callback=yes) as (client, transport):
        for number in range(6):
            await called(client, "save_session", session_id=f"garden {number}", history=[TURN])
            deleting = called(client, "delete_session", session_id=f"garden {number}")
            assert (await asyncio.wait_for(deleting, 20))["deleted"]
            if number % 3 == 2:  # what was even becomes odd
                await called(client, "resume_session", session_id="nobody")
        assert len(set(transport.sent)) == 2


async def test_an_answer_is_never_taken_for_one_to_a_question_of_another_process(two: tuple[list[HTTPProcess], str]):
    servers, token = two
    asked, sent_when_asked = list[str](), list[int]()

    async def of_roses_alone(_: object, params: ElicitRequestParams) -> ElicitResult:
        asked.append(params.message)
        await eventually(both_are_asked)
        sent_when_asked.append(len(transport.sent))
        if "ferns" in params.message:
            return ElicitResult(action="decline")
        await eventually(ferns_are_answered)  # so that each answer comes to the process that asked the other question
        return ElicitResult(action="accept", content={"delete": True})

    async def both_are_asked() -> bool:
        return len(asked) == 2

    async def ferns_are_answered() -> bool:
        return len(transport.sent) > sent_when_asked[0]

    async with balanced(servers, token, "legacy", elicitation_callback=of_roses_alone) as (client, transport):
        for name in ("roses", "ferns"):
            await called(client, "save_session", session_id=name, history=[TURN])
        deleting = [client.call_tool("delete_session", {"session_id": name}) for name in ("roses", "ferns")]
        answers = await asyncio.wait_for(asyncio.gather(*deleting), 20)
        told = [(each.structured_content or {}).get("deleted", False) for each in answers]
        assert told == [True, False]
        left = [row["id"] for row in (await called(client, "list_sessions"))["sessions"]]
        assert left == ["ferns"]


async def test_who_listens_to_one_process_hears_what_another_saved(two: tuple[list[HTTPProcess], str]):
    servers, token = two
    heard: list[str] = []
    async with (
        httpx2.AsyncClient(headers=bearer(token), timeout=30) as http,
        Client(streamable_http_client(servers[0].url, http_client=http)) as listener,
        listener.listen(resource_subscriptions=["session://garden"]) as stream,
        balanced(servers[1:], token, "auto") as (client, _),
    ):
        await called(client, "save_session", session_id="garden", history=[TURN])
        async for event in stream:
            heard.append(str(getattr(event, "uri", "")))
            break
    assert heard == ["session://garden"]


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_nothing_acknowledged_is_lost_when_one_of_two_processes_is_killed_under_load(
    two: tuple[list[HTTPProcess], str], server_env: dict[str, str]
):
    servers, token = two
    tokens = [token, token_of(server_env, "bob")]
    result = await load(servers, tokens, clients=30, seconds=6, kills=servers[1])
    assert result.saves > 50
    assert result.broken <= {servers[1].port}, result.errors

    async def complete() -> bool:
        return not await lost_or_doubled(servers[0], tokens, result)

    await eventually(complete, within=60, what=str(await lost_or_doubled(servers[0], tokens, result))[:500])
