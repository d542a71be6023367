"""Over Streamable HTTP: both eras of the protocol, tokens and their namespaces, probes, limits, endings."""

import asyncio
import json
import os
import socket
import ssl
import statistics
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp_types import ElicitResult

from ..support.http import (
    JSON,
    HTTPProcess,
    bearer,
    called,
    command,
    headers_of,
    http_client,
    http_server,
    post,
    request,
    token_of,
    tool,
)
from ..support.redis_server import RedisServer
from ..support.waiting import eventually

ANYWHERE = "0.0.0.0"  # noqa: S104  it is what is tested
TURN = {"role": "user", "content": "when is the harvest?"}


@pytest.fixture
def alone(disabled_env: dict[str, str]) -> dict[str, str]:
    """The environment of a server that keeps everything on this machine."""
    return disabled_env


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_what_is_saved_over_http_is_resumed_over_http(alone: dict[str, str], mode: str):
    with http_server(alone, "--port", "0") as server:
        async with http_client(server.url, mode=mode) as client:
            saved = await called(client, "save_session", session_id="garden", history=[TURN])
            assert saved["stored_in"] == "journal"
        async with http_client(server.url, mode=mode) as client:
            found = await called(client, "resume_session")
            assert found["session"]["history"] == [TURN]
            assert [str(each.uri) for each in (await client.list_resources()).resources] == ["session://garden"]


async def test_a_request_without_handshake_or_session_is_answered(alone: dict[str, str]):
    with http_server(alone) as server:
        async with httpx2.AsyncClient(timeout=30) as http:
            body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_sessions"}}
            answer = await http.post(server.url, json=body, headers=JSON)
            assert answer.json()["result"]["structuredContent"]["sessions"] == []


async def test_a_session_of_the_protocol_goes_on_after_the_server_was_started_again(alone: dict[str, str]):
    with http_server(alone) as server:
        async with http_client(server.url, mode="legacy") as client:
            await called(client, "save_session", session_id="garden", history=[TURN])
            server.kill()
            server.start()
            assert (await called(client, "resume_session"))["session"]["history"] == [TURN]


async def test_an_unknown_session_of_the_protocol_is_not_found(alone: dict[str, str]):
    with http_server(alone) as server:
        async with httpx2.AsyncClient(timeout=30) as http:
            begun = await http.post(server.url, json=INITIALIZE, headers=JSON)
            good = begun.headers["mcp-session-id"]
            for session, status in (("nobody", 404), (good[:-1] + ("0" if good[-1] != "0" else "1"), 404), (good, 200)):
                asked = {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}}
                answer = await http.post(server.url, json=asked, headers=JSON | {"mcp-session-id": session})
                assert answer.status_code == status, session


INITIALIZE: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}},
}


@pytest.mark.parametrize("mode", ["legacy", "auto"])
@pytest.mark.parametrize("says", ["accept", "decline"])
async def test_the_person_is_asked_before_a_deletion(alone: dict[str, str], mode: str, says: str):
    async def answer(*_: object) -> ElicitResult:
        return ElicitResult(action=says, content={"delete": True} if says == "accept" else None)  # type: ignore[arg-type]

    with http_server(alone) as server:
        async with http_client(server.url, mode=mode, elicitation_callback=answer) as client:
            await called(client, "save_session", session_id="garden", history=[TURN])
            deleted = await called(client, "delete_session", session_id="garden")
            assert deleted["deleted"] is (says == "accept")


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_each_client_is_told_of_what_another_saved(alone: dict[str, str], mode: str):
    heard: list[str] = []

    async def note(message: object) -> None:
        heard.append(type(message).__name__)

    with http_server(alone) as server:
        if mode == "legacy":
            async with http_client(server.url, mode=mode, message_handler=note) as listener:
                await listener.list_resources()
                await _saves_until(server, lambda: "ResourceListChangedNotification" in heard)
        else:
            async with http_client(server.url) as listener, listener.listen(resources_list_changed=True) as stream:
                waiting = asyncio.ensure_future(anext(aiter(stream)))
                await _saves_until(server, waiting.done)


async def _saves_until(server: HTTPProcess, heard: Any) -> None:
    async with http_client(server.url) as other:
        await called(other, "save_session", session_id="garden", history=[TURN])
    await eventually(heard, what="the news")


async def test_each_token_has_a_world_of_its_own(alone: dict[str, str]):
    ann, bob, team, too = (
        token_of(alone, *each)
        for each in (("ann",), ("bob",), ("one", "--namespace", "Team"), ("two", "--namespace", "Team"))
    )
    with http_server(alone) as server:
        async with httpx2.AsyncClient(timeout=30) as http:
            for token, words in ((ann, "apples"), (bob, "beans"), (team, "thyme")):
                await tool(
                    http,
                    server.url,
                    "save_session",
                    token,
                    session_id="garden",
                    history=[{"role": "user", "content": words}],
                )
            for token, words in ((ann, "apples"), (bob, "beans"), (team, "thyme"), (too, "thyme")):
                found = await tool(http, server.url, "resume_session", token)
                assert found["session"]["history"][0]["content"] == words
                assert (
                    len((await tool(http, server.url, "list_sessions", token, query="apples beans thyme"))["sessions"])
                    == 1
                )
    folders = Path(alone["FLYWHEEL_DATA_DIR"]) / "namespaces"
    assert sorted(each.name for each in folders.iterdir()) == ["ns.+team", "ns.ann", "ns.bob"]


async def test_nobody_comes_in_without_a_valid_token_and_all_hear_the_same(alone: dict[str, str]):
    good, gone = token_of(alone, "ann"), token_of(alone, "bob")
    assert command(alone, "tokens", "revoke", "bob").returncode == 0
    with http_server(alone) as server:
        async with httpx2.AsyncClient(timeout=30) as http:
            body = request("tools/call", {"name": "list_sessions"})
            headers = headers_of("tools/call", "list_sessions")
            wrong = [
                {},
                bearer("afs_wrong"),
                bearer(gone),
                {"authorization": f"Basic {good}"},
                {"authorization": good},
                {"authorization": "Bearer"},
            ]
            answers = [await http.post(server.url, json=body, headers=headers | each) for each in wrong]
            answers.append(
                await http.post(f"{server.url}?access_token={good}&token={good}", json=body, headers=headers)
            )
            answers.append(
                await http.post(
                    server.url, json=body, headers=[*headers.items(), *bearer(good).items(), *bearer(gone).items()]
                )
            )
            assert {each.status_code for each in answers} == {401}
            assert len({(each.text, each.headers["www-authenticate"]) for each in answers}) == 1
            assert (await http.post(server.url, json=body, headers=headers | bearer(good))).status_code == 200
            took: dict[str, list[float]] = {good: [], "afs_wrong": []}
            for token in [*took] * 50:
                begun = time.perf_counter()
                await http.post(server.url, json=body, headers=headers | bearer(token))
                took[token].append(time.perf_counter() - begun)
            assert statistics.median(took["afs_wrong"]) < statistics.median(took[good])


async def test_tokens_are_read_again_when_their_file_changes(alone: dict[str, str]):
    with http_server(alone) as server:
        async with httpx2.AsyncClient(timeout=30) as http:
            asked = {"json": request("tools/list"), "headers": headers_of("tools/list")}
            assert (await http.post(server.url, **asked)).status_code == 200, "nobody needs a token yet"
            token = token_of(alone, "ann")
            assert (await http.post(server.url, **asked)).status_code == 401
            asked["headers"] |= bearer(token)
            assert (await http.post(server.url, **asked)).status_code == 200
            command(alone, "tokens", "revoke", "ann")
            assert (await http.post(server.url, **asked)).status_code == 401
            _tokens(alone).unlink()
            assert (await http.post(server.url, **asked)).status_code == 401, "who once needed tokens goes on to"


def _tokens(env: dict[str, str]) -> Path:
    return Path(env["HOME"]) / ".config" / "agentic-flywheel-state" / "tokens.json"


async def test_a_file_of_tokens_that_others_can_write_lets_nobody_in(alone: dict[str, str]):
    token = token_of(alone, "ann")
    assert _tokens(alone).stat().st_mode & 0o777 == 0o600
    assert token not in _tokens(alone).read_text()
    with http_server(alone) as server:
        _tokens(alone).chmod(0o622)
        os.utime(_tokens(alone), (1, 1))
        async with httpx2.AsyncClient(timeout=30) as http:
            answer = await http.post(
                server.url, json=request("tools/list"), headers=headers_of("tools/list", token=token)
            )
            assert answer.status_code == 401
        assert "chmod 600" in server.stderr


def test_without_tokens_it_listens_on_loopback_alone(alone: dict[str, str]):
    done = command(alone, "serve", "--http", "--host", ANYWHERE, "--port", "0")
    assert done.returncode == 2
    assert "tokens add" in done.stderr
    token_of(alone, "ann")
    command(alone, "tokens", "revoke", "ann")
    assert command(alone, "serve", "--http", "--host", ANYWHERE, "--port", "0").returncode == 2


@pytest.mark.parametrize("host", ["127.0.0.1", ANYWHERE])
async def test_foreign_hosts_and_origins_are_refused_on_every_address(alone: dict[str, str], host: str):
    token = token_of(alone, "ann")
    options = ["--host", host, "--allowed-host", "memory.example.org", "--allowed-origin", "https://chat.example.org"]
    with http_server(alone, *options) as server:
        async with httpx2.AsyncClient(timeout=30) as http:
            for more, status in (
                ({}, 200),
                ({"host": "evil.example.com"}, 421),
                ({"host": f"evil.example.com:{server.port}"}, 421),
                ({"host": f"localhost.evil.example.com:{server.port}"}, 421),
                ({"host": f"memory.example.org:{server.port}"}, 200),
                ({"host": "localhost"}, 200),
                ({"origin": "https://evil.example.com"}, 403),
                ({"origin": "null"}, 403),
                ({"origin": "http://localhost.evil.example.com"}, 403),
                ({"origin": "https://chat.example.org"}, 200),
            ):
                headers = headers_of("tools/list", token=token) | more
                answer = await http.post(server.url, json=request("tools/list"), headers=headers)
                assert answer.status_code == status, (more, answer.text)


async def test_probes_differ_while_redis_is_away(own_redis: RedisServer, server_env: dict[str, str]):
    own_redis.start()
    with http_server(server_env | {"REDIS_URL": own_redis.url}) as server:
        async with httpx2.AsyncClient(timeout=30) as http:

            async def ready(status: int) -> bool:
                assert (await http.get(f"{server.root}/livez")).status_code == 200
                return (await http.get(f"{server.root}/readyz")).status_code == status

            await eventually(lambda: ready(200))
            own_redis.kill()
            await eventually(lambda: ready(503))
            saved = await tool(http, server.url, "save_session", session_id="garden", history=[TURN])
            assert saved["stored_in"] == "journal"
            own_redis.start()
            await eventually(lambda: ready(200))


async def test_the_largest_session_is_taken_and_more_is_refused_in_words(alone: dict[str, str]):
    with http_server(alone | {"FLYWHEEL_MAX_SESSION_BYTES": "6000000"}) as server:
        async with httpx2.AsyncClient(timeout=60) as http:
            talk = [{"role": "user", "content": "x" * 5_900_000}]
            assert (await tool(http, server.url, "save_session", session_id="large", history=talk))["saved"]
            talk = [{"role": "user", "content": "x" * 6_100_000}]
            refused = await tool(http, server.url, "save_session", session_id="larger", history=talk)
            assert refused["reason"] == "too_large"
            body = json.dumps(request("tools/call", {"name": "save_session", "arguments": {"title": "x" * 30_000_000}}))
            answer = await http.post(server.url, content=body, headers=headers_of("tools/call", "save_session"))
            assert answer.status_code == 413
            assert "larger than" in answer.json()["error"]["message"]


async def test_half_a_surrogate_pair_is_mended_as_over_pipes(alone: dict[str, str]):
    with http_server(alone) as server:
        async with httpx2.AsyncClient(timeout=30) as http:
            asked = request("tools/call", {"name": "save_session", "arguments": {"session_id": "a", "title": "HALF"}})
            body = json.dumps(asked).replace("HALF", r"cut \ud83c")
            answer = await http.post(server.url, content=body, headers=headers_of("tools/call", "save_session"))
            assert "U+FFFD" in answer.json()["result"]["structuredContent"]["message"]


@pytest.mark.slow
async def test_room_for_bodies_is_given_back_whole_where_one_was_mended(alone: dict[str, str]):
    body = json.dumps(request("tools/call", {"name": "list_sessions", "arguments": {"query": "\ud83c"}})).encode()
    large = b" " * (60 * 2**20) + body  # mended it is short; five of them are more than there is room for
    with http_server(alone) as server:
        async with httpx2.AsyncClient(timeout=60) as http:
            headers = headers_of("tools/call", "list_sessions")
            statuses = [(await http.post(server.url, content=large, headers=headers)).status_code for _ in range(6)]
    assert statuses == [200] * 6


async def test_each_token_has_so_many_requests_a_second(alone: dict[str, str]):
    ann, bob = token_of(alone, "ann"), token_of(alone, "bob")
    with http_server(alone, "--rate", "5") as server:
        async with httpx2.AsyncClient(timeout=30) as http:

            async def ask(token: str) -> httpx2.Response:
                return await http.post(
                    server.url, json=request("tools/list"), headers=headers_of("tools/list", token=token)
                )

            answers = await asyncio.gather(*(ask(ann) for _ in range(100)))  # more than a slow machine may answer
            refused = [each for each in answers if each.status_code == 429]
            assert refused
            assert int(refused[0].headers["retry-after"]) >= 1
            assert (await ask(bob)).status_code == 200


@pytest.mark.slow
async def test_a_thousand_idle_and_slow_connections_hold_nobody_up_and_are_closed(alone: dict[str, str]):
    with http_server(alone) as server:
        address = ("127.0.0.1", server.port)
        head = (
            b"POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"
        )
        sockets = [socket.create_connection(address) for _ in range(800)]
        slow = [socket.create_connection(address) for _ in range(100)]
        for each in slow:
            each.sendall(b"POST /mcp HT")
        stuck = [socket.create_connection(address) for _ in range(100)]
        for each in stuck:
            each.sendall(head)
        try:
            async with httpx2.AsyncClient(timeout=30) as http:
                everybody = [*sockets, *slow, *stuck]
                for each in everybody:
                    each.settimeout(0)
                assert (await post(http, server.url, "tools/list", {}))["result"]["tools"]
                assert not _is_closed(everybody[-1]), "nobody had to leave for it"
                await eventually(lambda: all(_is_closed(each) for each in everybody), within=40, what="their end")
        finally:
            for each in [*sockets, *slow, *stuck]:
                each.close()


def _is_closed(connection: socket.socket) -> bool:
    try:
        while connection.recv(4096):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


async def test_what_was_accepted_is_answered_before_it_ends(alone: dict[str, str]):
    with http_server(alone) as server:
        async with httpx2.AsyncClient(timeout=30) as http, http_client(server.url, mode="legacy") as listener:
            await listener.list_resources()
            large = [{"role": "user", "content": "x" * 3_000_000}]
            assert not _has_taken(server, 0)
            saving = asyncio.ensure_future(tool(http, server.url, "save_session", session_id="last", history=large))
            await eventually(lambda: saving.done() or _has_taken(server, 100_000))
            assert await asyncio.to_thread(server.end) == 128 + 15
            assert (await saving)["saved"]
            with pytest.raises(httpx2.TransportError):
                await http.get(f"{server.root}/livez")
        server.start()
        async with httpx2.AsyncClient(timeout=30) as http:
            assert (await tool(http, server.url, "list_sessions"))["sessions"][0]["id"] == "last"


def _has_taken(server: HTTPProcess, size: int) -> bool:
    """Whether it has read so many bytes since it started to listen (Linux); elsewhere at once."""
    assert server.process
    counters = Path(f"/proc/{server.process.pid}/io")
    if not counters.exists():
        return size > 0
    read = int(counters.read_text().split()[1])
    server.taken = server.taken or read
    return read - server.taken > size


async def test_a_server_over_pipes_sees_what_the_open_server_over_http_saved(alone: dict[str, str]):
    from ..support.client import open_server

    with http_server(alone) as server:
        async with httpx2.AsyncClient(timeout=30) as http, open_server(alone) as session:
            await tool(http, server.url, "save_session", session_id="garden", history=[TURN])
            assert (await session.call("resume_session"))["session"]["history"] == [TURN]


async def test_it_serves_over_tls(alone: dict[str, str], tmp_path: Path):
    cert, key = _certificate(tmp_path)
    with http_server(alone, "--tls-cert", str(cert), "--tls-key", str(key)) as server:
        assert server.url.startswith("https://")
        context = ssl.create_default_context(cafile=str(cert))
        async with httpx2.AsyncClient(verify=context) as http:
            assert (await post(http, server.url, "tools/list", {}))["result"]["tools"]
        async with httpx2.AsyncClient(timeout=30) as http:
            with pytest.raises(httpx2.ConnectError):
                await http.get(f"{server.root}/livez")
    done = command(alone, "serve", "--http", "--tls-cert", str(key), "--tls-key", str(key))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that signs itself, and its key."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_path, key_path = folder / "cert.pem", folder / "key.pem"
    cert_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    key_path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return cert_path, key_path


def test_tokens_are_shown_once_and_listed_without_themselves(alone: dict[str, str]):
    token = token_of(alone, "ann", "--namespace", "team", "--days", "3")
    assert command(alone, "tokens", "add", "ann").returncode == 1
    assert command(alone, "tokens", "add", "../ann").returncode == 2
    listed = command(alone, "tokens", "list", "--json").stdout
    assert [(each["name"], each["namespace"]) for each in json.loads(listed)] == [("ann", "team")]
    assert token not in listed + command(alone, "tokens").stdout
    assert command(alone, "tokens", "revoke", "nobody").returncode == 1
