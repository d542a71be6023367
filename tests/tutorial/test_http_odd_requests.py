"""Over HTTP: requests as proxies, scripts and clients in trouble send them are answered, and hold nothing up."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from mcp_types import ElicitRequestParams, ElicitResult

from ..conftest import clean_env
from ..support.http import (
    JSON,
    MODERN,
    HTTPProcess,
    bearer,
    called,
    command,
    headers_of,
    http_client,
    http_server,
    request,
    token_of,
    tool,
)
from ..support.redis_server import NOBODY_LISTENS
from ..support.waiting import eventually

TURN = {"role": "user", "content": "when is the harvest?"}
INITIALIZE: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}},
}
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_sessions", "arguments": {}}}


def _save(words: str, identity: object) -> dict[str, Any]:
    arguments = {"session_id": "garden", "history": [{"role": "user", "content": words}]}
    return LIST | {"id": identity, "params": {"name": "save_session", "arguments": arguments}}


@pytest.fixture(scope="module")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HTTPProcess]:
    """A server for the tests that leave nothing behind."""
    env = clean_env(tmp_path_factory.mktemp("server"), NOBODY_LISTENS, "agentic_flywheel")
    with http_server(env | {"REDIS_ENABLED": "false"}) as server:
        yield server
    assert "Traceback" not in server.stderr


async def _begun(http: httpx2.AsyncClient, url: str, token: str = "") -> dict[str, str]:
    """The headers of a session of the protocol."""
    begun = await http.post(url, json=INITIALIZE, headers=JSON | (bearer(token) if token else {}))
    return JSON | {"mcp-session-id": begun.headers["mcp-session-id"]}


async def test_requests_with_one_id_are_all_answered_and_hold_no_ending_up(disabled_env: dict[str, str]):
    with http_server(disabled_env) as server:
        async with httpx2.AsyncClient(timeout=30, limits=httpx2.Limits(max_connections=40)) as http:
            headers = await _begun(http, server.url)
            asked = [_save("x" * 20_000 + str(at), 7 if at % 2 else "7") for at in range(30)]
            answers = await asyncio.gather(*(http.post(server.url, json=each, headers=headers) for each in asked))
            assert Counter(each.status_code for each in answers) == {200: 30}
            assert [each.json()["id"] for each in answers] == [each["id"] for each in asked]
            assert {each.json()["result"]["structuredContent"]["saved"] for each in answers} == {True}
        begun = time.monotonic()
        server.end()
        assert time.monotonic() - begun < 18, "an answer has 20"


async def test_who_sends_again_what_is_being_answered_and_leaves_leaves_nothing_behind(disabled_env: dict[str, str]):
    with http_server(disabled_env) as server:
        async with httpx2.AsyncClient(timeout=30) as http:
            headers = await _begun(http, server.url)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        for at in range(20):
            body = json.dumps(_save("x" * 20_000 + str(at), 7))
            head = f"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\n{lines}content-length: {len(body)}\r\n\r\n"
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write((head + body).encode())
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        async def all_kept() -> bool:
            async with httpx2.AsyncClient(timeout=30) as http:
                listed = (await http.post(server.url, json=LIST, headers=headers)).json()["result"]
            rows = listed["structuredContent"]["sessions"]
            return bool(rows) and rows[0]["turns"] == 20

        await eventually(all_kept, what="what was sent to be kept")
        begun = time.monotonic()
        server.end()
        assert time.monotonic() - begun < 18, "an answer has 20"
        assert "Traceback" not in server.stderr


async def test_a_server_that_ends_does_not_wait_for_a_person_who_is_asked(disabled_env: dict[str, str]):
    asked = asyncio.Event()

    async def never(_: object, __: ElicitRequestParams) -> ElicitResult:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    with http_server(disabled_env) as server:
        async with http_client(server.url, mode="legacy", elicitation_callback=never) as client:
            await called(client, "save_session", session_id="garden", history=[TURN])
            deleting = asyncio.ensure_future(client.call_tool("delete_session", {"session_id": "garden"}))
            await asyncio.wait_for(asked.wait(), 60)
            begun = time.monotonic()
            assert server.process
            server.process.terminate()
            answer = await asyncio.wait_for(deleting, 60)
            assert answer.is_error
            await asyncio.to_thread(server.process.wait, 30)
            assert time.monotonic() - begun < 18, "an answer has 20"
        assert "Traceback" not in server.stderr
        server.start()
        async with http_client(server.url) as client:
            assert (await called(client, "resume_session", session_id="garden"))["found"]


async def test_a_client_that_asks_for_events_it_missed_gets_a_stream(one_server: HTTPProcess):
    async with httpx2.AsyncClient(timeout=30) as http:
        headers = await _begun(http, one_server.url)
        headers |= {"accept": "text/event-stream", "last-event-id": "5"}
        async with http.stream("GET", one_server.url, headers=headers) as answer:
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize("accept", ["text/event-stream", "text/*", "*/*;q=0.1"])
async def test_a_client_that_lost_its_stream_gets_another_while_the_lost_one_is_open(
    disabled_env: dict[str, str], accept: str
):
    with http_server(disabled_env) as server:
        async with httpx2.AsyncClient(timeout=30) as http:
            headers = await _begun(http, server.url)
            await http.post(server.url, json=LIST | {"method": "resources/list", "params": {}}, headers=headers)
            listening = headers | {"accept": accept}
            lines = "".join(f"{name}: {value}\r\n" for name, value in listening.items())
            lost = []
            for _ in range(3):
                lost.append(await asyncio.open_connection("127.0.0.1", server.port))
                lost[-1][1].write(f"GET /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\n{lines}\r\n".encode())
                assert b" 200 " in await asyncio.wait_for(lost[-1][0].readuntil(b"\r\n"), 20)
            async with http.stream("GET", server.url, headers=listening) as answer:
                assert answer.status_code == 200
                news = asyncio.ensure_future(anext(answer.aiter_raw()))
                await http.post(server.url, json=_save("news", 2), headers=headers)
                assert b"list_changed" in await asyncio.wait_for(news, 20)
            for _, writer in lost:
                writer.close()
        assert "Traceback" not in server.stderr


@pytest.mark.slow
@pytest.mark.parametrize("era", ["2025", "2026"])
async def test_a_client_whose_token_was_revoked_does_not_listen_on(disabled_env: dict[str, str], era: str):
    token, other = token_of(disabled_env, "ann"), token_of(disabled_env, "two", "--namespace", "ann")
    with http_server(disabled_env) as server:
        async with httpx2.AsyncClient(timeout=30) as http:

            def listening(token: str, headers: dict[str, str]) -> Any:
                if era == "2025":
                    return http.stream("GET", server.url, headers=headers | bearer(token))
                params = {"notifications": {"resourcesListChanged": True}}
                asked = request("subscriptions/listen", params)
                return http.stream(
                    "POST", server.url, json=asked, headers=headers_of("subscriptions/listen", "", token)
                )

            mine, others = await _begun(http, server.url, token), await _begun(http, server.url, other)
            async with listening(token, mine) as stream, listening(other, others) as still:
                assert (stream.status_code, still.status_code) == (200, 200)
                read = asyncio.ensure_future(anext(still.aiter_raw()))
                command(disabled_env, "tokens", "revoke", "ann")
                async with asyncio.timeout(60):
                    async for _ in stream.aiter_raw():
                        pass
                await tool(http, server.url, "save_session", other, session_id="garden", history=[TURN])
                assert await asyncio.wait_for(read, 60)
        assert "ERROR" not in server.stderr


@pytest.mark.parametrize("more", [{}, MODERN | {"mcp-method": "tools/call"}], ids=["2025", "2026"])
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (LIST | {"id": None}, "The id of a request must be"),
        (LIST | {"id": 1.5}, "The id of a request must be"),
        (LIST | {"id": True}, "The id of a request must be"),
        ([LIST, LIST | {"id": 2}], "Batches are not taken"),
        ([], "Batches are not taken"),
        (LIST | {"params": ["list_sessions", "a private word"]}, "no JSON-RPC message"),
        ("a private word", "no JSON-RPC message"),
        (None, "no JSON-RPC message"),
    ],
    ids=lambda value: json.dumps(value)[:40],
)
async def test_what_is_no_request_is_refused_in_words(
    one_server: HTTPProcess, body: Any, said: str, more: dict[str, str]
):
    async with httpx2.AsyncClient(timeout=30) as http:
        answer = await http.post(one_server.url, content=json.dumps(body), headers=JSON | more)
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]
    assert "private" not in answer.text


@pytest.mark.parametrize("more", [{}, MODERN | {"mcp-method": "tools/call"}], ids=["2025", "2026"])
async def test_who_says_nothing_of_what_is_accepted_accepts_anything(one_server: HTTPProcess, more: dict[str, str]):
    body = request("tools/call", LIST["params"]) if more else LIST
    named = {"mcp-name": "list_sessions"} if more else {}
    async with httpx2.AsyncClient(timeout=30) as http:
        sent = http.build_request("POST", one_server.url, json=body, headers=more | named)
        del sent.headers["accept"]
        answer = await http.send(sent)
    assert answer.status_code == 200
    assert "scope" in answer.json()["result"]["structuredContent"]


@pytest.mark.parametrize("more", [{}, MODERN | {"mcp-method": "tools/call"}], ids=["2025", "2026"])
@pytest.mark.parametrize(
    ("headers", "status", "said"),
    [
        ({"accept": "text/html"}, 406, "application/json and text/event-stream"),
        ({"accept": "text/event-stream"}, 406, "application/json and text/event-stream"),
        ({"content-type": "text/plain"}, 415, "Content-Type: application/json"),
        ({"content-type": "application/jsonp"}, 415, "Content-Type: application/json"),
        ({"content-encoding": "gzip"}, 415, "without Content-Encoding"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_media_types_and_codings_that_are_not_taken_are_said_in_words(
    one_server: HTTPProcess, headers: dict[str, str], status: int, said: str, more: dict[str, str]
):
    async with httpx2.AsyncClient(timeout=30) as http:
        answer = await http.post(one_server.url, content=json.dumps(LIST), headers=JSON | more | headers)
    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]


@pytest.mark.parametrize("more", [{}, MODERN | {"mcp-method": "tools/call"}], ids=["2025", "2026"])
async def test_a_byte_order_mark_before_a_body_is_passed_over(one_server: HTTPProcess, more: dict[str, str]):
    body = request("tools/call", LIST["params"]) if more else LIST
    named = {"mcp-name": "list_sessions"} if more else {}
    async with httpx2.AsyncClient(timeout=30) as http:
        content = b"\xef\xbb\xbf" + json.dumps(body).encode()
        answer = await http.post(one_server.url, content=content, headers=JSON | more | named)
    assert answer.status_code == 200


async def test_who_listens_and_takes_no_stream_is_told_so(one_server: HTTPProcess):
    body = request("subscriptions/listen", {"notifications": {"resourcesListChanged": True}})
    headers = headers_of("subscriptions/listen") | {"accept": "application/json"}
    async with httpx2.AsyncClient(timeout=30) as http:
        answer = await http.post(one_server.url, json=body, headers=headers)
    assert answer.status_code == 406
    assert "text/event-stream" in answer.json()["error"]["message"]


async def test_who_subscribes_to_too_much_is_refused_in_words(one_server: HTTPProcess):
    async with httpx2.AsyncClient(timeout=30) as http:
        headers = await _begun(http, one_server.url)
        for uri in ("session://" + "x" * 8192, ""):
            asked = LIST | {"method": "resources/subscribe", "params": {"uri": uri}}
            answer = await http.post(one_server.url, json=asked, headers=headers)
            assert "1 to 8,192 characters" in answer.json()["error"]["message"]
        for uris in ([f"session://{number}" for number in range(1001)], ["session://" + "x" * 8192]):
            body = request("subscriptions/listen", {"notifications": {"resourceSubscriptions": uris}})
            answer = await http.post(one_server.url, json=body, headers=headers_of("subscriptions/listen"))
            assert answer.json()["error"]["code"] == -32602


async def test_an_endpoint_says_which_methods_it_takes_and_a_media_type_has_no_case(one_server: HTTPProcess):
    async with httpx2.AsyncClient(timeout=30) as http:
        for method in ("PUT", "PATCH", "HEAD", "OPTIONS"):
            answer = await http.request(method, one_server.url, headers=JSON)
            assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST, DELETE"), method
        headers = JSON | {"content-type": "Application/JSON; Charset=UTF-8"}
        assert (await http.post(one_server.url, json=LIST, headers=headers)).status_code == 200


async def test_what_2026_has_no_use_for_is_refused_in_words(one_server: HTTPProcess):
    async with httpx2.AsyncClient(timeout=30) as http:
        for method in ("GET", "DELETE"):
            answer = await http.request(method, one_server.url, headers=JSON | MODERN)
            assert (answer.status_code, answer.headers["allow"]) == (405, "POST"), method
            assert "is a POST" in answer.json()["error"]["message"]


@pytest.mark.parametrize("more", [{}, MODERN | {"mcp-method": "tools/call"}], ids=["2025", "2026"])
@pytest.mark.parametrize("accept", ["", ",", "text/event-stream;q=0.5,,application/json;q=0.1"])
async def test_an_empty_list_of_what_is_accepted_says_nothing(
    one_server: HTTPProcess, accept: str, more: dict[str, str]
):
    body = request("tools/call", LIST["params"]) if more else LIST
    named = {"mcp-name": "list_sessions", "accept": accept} if more else {"accept": accept}
    async with httpx2.AsyncClient(timeout=30) as http:
        answer = await http.post(one_server.url, json=body, headers=JSON | more | named)
    assert answer.status_code == 200, answer.text
