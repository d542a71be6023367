"""Over HTTP, before 2026-07-28: a subscription holds at whichever process serves the stream, and after a restart."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ..support.http import JSON, HTTPProcess, http_server, tool

URI = "session://garden"
TURN = {"role": "user", "content": "when is the harvest?"}
_NUMBERS = itertools.count()
INITIALIZE: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}},
}


class Subscriber:
    """One session of the protocol, each of whose requests may go to another process."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http
        self.headers: dict[str, str] = {}

    async def begin(self, server: HTTPProcess) -> None:
        begun = await self._http.post(server.url, json=INITIALIZE, headers=JSON)
        self.headers = JSON | {"mcp-session-id": begun.headers["mcp-session-id"]}

    async def ask(self, server: HTTPProcess, method: str, **params: Any) -> None:
        asked = {"jsonrpc": "2.0", "id": 2, "method": method, "params": params}
        assert "result" in (await self._http.post(server.url, json=asked, headers=self.headers)).json()

    @asynccontextmanager
    async def listening(self, server: HTTPProcess) -> AsyncIterator["Stream"]:
        headers = self.headers | {"accept": "text/event-stream"}
        async with self._http.stream("GET", server.url, headers=headers) as answer:
            assert answer.status_code == 200
            yield Stream(answer)


class Stream:
    """What a client is told."""

    def __init__(self, answer: httpx2.Response) -> None:
        self._lines = answer.aiter_lines()
        self.heard: list[str] = []

    async def hears(self, *words: str) -> None:
        """Read until each of these was said."""
        left = set(words)
        async with asyncio.timeout(20):
            while left:
                line = await anext(self._lines)
                self.heard.append(line)
                left = {each for each in left if each not in line}


async def _saves(http: httpx2.AsyncClient, server: HTTPProcess, session_id: str = "garden") -> None:
    turn = TURN | {"n": next(_NUMBERS)}
    assert (await tool(http, server.url, "save_session", session_id=session_id, history=[turn]))["saved"]


@pytest.mark.parametrize("place", ["redis", "journal"])
async def test_who_subscribed_is_told_after_the_server_was_started_again(
    place: str, server_env: dict[str, str], disabled_env: dict[str, str]
):
    with http_server(server_env if place == "redis" else disabled_env) as server:
        async with httpx2.AsyncClient(timeout=30) as http:
            client = Subscriber(http)
            await client.begin(server)
            await client.ask(server, "resources/subscribe", uri=URI)
            await client.ask(server, "resources/list")
            await asyncio.to_thread(server.end)
            await asyncio.to_thread(server.start)
            async with client.listening(server) as stream:
                await stream.hears(URI, "list_changed")  # it may have changed meanwhile
                await _saves(http, server)
                await stream.hears(URI, "list_changed")
            await http.delete(server.url, headers=client.headers)
            if place == "journal":
                kept = await asyncio.to_thread(os.listdir, Path(server.env["FLYWHEEL_DATA_DIR"]) / "subscribed")
                assert kept == []
        assert "Traceback" not in server.stderr


async def test_who_subscribes_at_one_process_and_listens_at_another_is_told(server_env: dict[str, str], tmp_path: Path):
    other_env = server_env | {"FLYWHEEL_DATA_DIR": str(tmp_path / "other")}
    with http_server(server_env) as one, http_server(other_env) as other:
        async with httpx2.AsyncClient(timeout=30) as http:
            client = Subscriber(http)
            await client.begin(one)
            async with client.listening(one) as stream:
                uris = [f"session://bed-{number}" for number in range(8)]
                asked = enumerate(uris)
                await asyncio.gather(
                    *(client.ask((one, other)[at % 2], "resources/subscribe", uri=uri) for at, uri in asked)
                )
                await asyncio.gather(*(_saves(http, other, uri.removeprefix("session://")) for uri in uris))
                await stream.hears(*uris)
                await client.ask(other, "resources/unsubscribe", uri=uris[0])
                await client.ask(other, "resources/list")
                await stream.hears("list_changed")
                await _saves(http, other, "bed-0")
                told = len(stream.heard)
                await _saves(http, other, "bed-1")
                await stream.hears(uris[1])
                assert not [line for line in stream.heard[told:] if uris[0] in line]
                await client.ask(one, "resources/subscribe", uri=uris[0])
                await client.ask(other, "resources/unsubscribe", uri=uris[0])
                await client.ask(one, "resources/subscribe", uri=uris[0])
                await _saves(http, one, "bed-0")
                await stream.hears(uris[0])
        assert "Traceback" not in one.stderr + other.stderr


async def test_a_request_for_a_stream_that_is_refused_ends_no_other_one(server_env: dict[str, str], tmp_path: Path):
    other_env = server_env | {"FLYWHEEL_DATA_DIR": str(tmp_path / "other")}
    with http_server(server_env) as one, http_server(other_env) as other:
        async with httpx2.AsyncClient(timeout=30) as http:
            client = Subscriber(http)
            await client.begin(one)
            async with client.listening(one) as stream:
                refused = await http.get(one.url, headers=client.headers | {"accept": "text/html"})
                assert refused.status_code == 406
                await client.ask(other, "resources/subscribe", uri=URI)
                await stream.hears(URI)
