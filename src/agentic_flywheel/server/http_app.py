"""The application over HTTP: who may ask, how much and how often, and which namespace's server answers."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from agentic_flywheel.errors import SettingError
from agentic_flywheel.server import halves
from agentic_flywheel.server.callers import Caller, note_caller
from agentic_flywheel.server.http_access import Access, Gate
from agentic_flywheel.server.http_health import Health
from agentic_flywheel.server.http_hosts import HostCheck
from agentic_flywheel.server.http_limits import AtOnce, Bodies, Gone, RateLimit, TooLarge, TooMuch, TooSlow
from agentic_flywheel.server.http_media import BYTE_ORDER_MARK, media_problem, with_accept
from agentic_flywheel.server.http_metadata import WELL_KNOWN, ResourceMetadata
from agentic_flywheel.server.http_namespaces import Busy, Namespaces
from agentic_flywheel.server.http_options import PATH
from agentic_flywheel.server.http_unreadable import explaining

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

logger = logging.getLogger(__name__)

AGAIN_SECONDS = "2"
"""When to come again, said to a client for which there is no room now."""

RECHECK_SECONDS = 10.0
"""From one look to the next whether the token of a client that listens is still one: it was revoked, or has expired."""

VERSION_META = "io.modelcontextprotocol/protocolVersion"
"""Where a request of 2026-07-28 names its version, beside the header."""

METHODS = ("GET", "POST", "DELETE")
"""What the endpoint answers; the SDK would ask some others for a session first."""

BROWSER_HEADERS = (
    "authorization, content-type, accept, last-event-id, mcp-protocol-version, mcp-session-id, mcp-method, mcp-name"
)
"""What pages of an allowed origin may send."""


class HTTPApp:
    """The ASGI application. Each check comes before anything that it protects is read."""

    def __init__(
        self,
        hosts: HostCheck,
        gate: Gate,
        rate: RateLimit,
        bodies: Bodies,
        namespaces: Namespaces,
        health: Health,
        metadata: ResourceMetadata,
    ) -> None:
        self._hosts, self._gate, self._rate, self._bodies = hosts, gate, rate, bodies
        self._namespaces, self._health, self._metadata = namespaces, health, metadata
        self._at_once = AtOnce()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; what went wrong inside is said to nobody but the log."""
        if scope["type"] != "http":
            return
        begun = ended = False

        async def noted(message: MutableMapping[str, Any]) -> None:
            nonlocal begun, ended
            begun = True
            ended = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        try:
            await self._answer(scope, receive, noted)
            if begun and not ended:  # a stream whose client may not listen any more
                await noted({"type": "http.response.body", "body": b""})
        except Exception as exc:  # noqa: BLE001  its text may quote a conversation, unless it is about settings
            logger.error("A request failed: %s", exc if isinstance(exc, SettingError) else type(exc).__name__)
            if not begun:
                await refuse(send, 500, "The server failed; its log says with what.", code=-32603)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].rstrip("/") or "/"
        if path in ("/livez", "/readyz"):
            return await self._health.answer(path, scope["method"], send)
        hosts = _all(scope, b"host")
        if problem := self._hosts.host_problem(hosts):
            return await refuse(send, 421, problem)
        if problem := self._hosts.origin_problem(_all(scope, b"origin")):
            return await refuse(send, 403, problem)
        if origin := self._hosts.allows(_all(scope, b"origin")):
            send = _shown_to(origin, send)
            if scope["method"] == "OPTIONS":
                return await _preflight(send)
        if path.startswith(WELL_KNOWN):
            return await self._about(path, hosts[0], send)
        access = await self._access(scope)
        if access is None:
            # The same for every reason: no token, a wrong one, an expired one.
            challenge = {"www-authenticate": self._metadata.challenge(hosts[0])}
            return await refuse(send, 401, "A valid bearer token is needed.", challenge)
        if path != PATH:
            return await refuse(send, 404, f"There is nothing here; the endpoint is {PATH}.")
        client = access.who or str((scope.get("client") or ("",))[0])
        wait = self._rate.seconds_to_wait(client)
        if wait or not self._at_once.enter(client):
            return await refuse(send, 429, "Too many requests.", {"retry-after": str(int(wait) + 1)}, code=-32603)
        try:
            return await self._serve(access, scope, receive, send)
        finally:
            self._at_once.leave(client)

    async def _access(self, scope: Scope) -> Access | None:
        return await self._gate.access([each.encode("latin-1") for each in _all(scope, b"authorization")])

    async def _about(self, path: str, host: str, send: Send) -> None:
        """Answer a client that asks, without a token yet, where to get one."""
        if (document := self._metadata.document(path, host)) is None:
            return await refuse(send, 404, "There is nothing here.")
        return await answer(send, 200, document, {"content-type": "application/json"})

    async def _serve(self, access: Access, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in METHODS:
            await refuse(send, 405, "The endpoint takes POST.", {"allow": ", ".join(METHODS)})
            return
        if scope["method"] != "POST" and _is_modern(scope, b""):
            text = "A request of 2026-07-28 is a POST: that revision has no sessions and no other streams."
            await refuse(send, 405, text, {"allow": "POST"})
            return
        if scope["method"] == "POST":
            if problem := media_problem(scope["headers"]):
                await refuse(send, *problem)
                await self._bodies.discard(receive)
                return
            scope["headers"] = with_accept(scope["headers"])
        body = await self._body(scope, receive, send)
        if body is None:
            return
        held = len(body)  # mended it may be shorter
        try:
            async with self._namespaces.using(access.namespace) as namespace:
                body = halves.mended_body(body.removeprefix(BYTE_ORDER_MARK))
                replayed = self._replayed(body, receive, access, scope)
                scope["headers"] = [_plain(*each) for each in scope["headers"]]
                if scope["method"] == "POST":
                    send = explaining(body, send)
                if _is_modern(scope, body):
                    note_caller(Caller())
                    await namespace.manager.handle_request(scope, replayed, send)
                else:
                    await namespace.handshake_sessions.handle(scope, replayed, send, body)
        except Busy:
            await refuse(send, 503, "Too many namespaces are in use.", {"retry-after": AGAIN_SECONDS}, code=-32603)
        finally:
            self._bodies.release(held)

    def _replayed(self, body: bytes, receive: Receive, access: Access, scope: Scope) -> Receive:
        """A `receive` that gives the body that was read, then the end: of the connection, or of the right to listen."""
        given = False

        async def replay() -> MutableMapping[str, Any]:
            nonlocal given
            if not given:
                given = True
                return {"type": "http.request", "body": body, "more_body": False}
            end = asyncio.ensure_future(receive())
            try:
                while not end.done():
                    await asyncio.wait({end}, timeout=RECHECK_SECONDS)
                    if not end.done() and await self._access(scope) != access:
                        return {"type": "http.disconnect"}
                return end.result()
            finally:
                end.cancel()

        return replay

    async def _body(self, scope: Scope, receive: Receive, send: Send) -> bytes | None:
        """The body; `None` if it was refused."""
        declared = _all(scope, b"content-length")
        try:
            size = int(declared[0]) if declared and declared[0].isdigit() else None
            return await self._bodies.read(receive, size)
        except TooLarge:
            most = f"{self._bodies.largest:,} bytes"
            text = f"This request is larger than {most}. Send only the new turns, or save less at once."
            await refuse(send, 413, text)
            await self._bodies.discard(receive)
        except TooSlow:
            await refuse(send, 408, "The body of this request did not come in time.", {"connection": "close"})
        except TooMuch:
            await refuse(send, 503, "Too much is being sent now.", {"retry-after": AGAIN_SECONDS}, code=-32603)
        except Gone:
            pass
        return None


async def refuse(
    send: Send, status: int, message: str, headers: dict[str, str] | None = None, code: int = -32600
) -> None:
    """Answer with an error of HTTP whose body is one of JSON-RPC, which MCP clients show."""
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}
    await answer(send, status, json.dumps(error).encode(), {"content-type": "application/json", **(headers or {})})


async def answer(send: Send, status: int, body: bytes, headers: dict[str, str]) -> None:
    """Answer with this body."""
    rows = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    rows.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": rows})
    await send({"type": "http.response.body", "body": body})


async def _preflight(send: Send) -> None:
    methods = {"access-control-allow-methods": ", ".join(METHODS), "access-control-max-age": "600"}
    await answer(send, 204, b"", {**methods, "access-control-allow-headers": BROWSER_HEADERS})


def _shown_to(origin: str, send: Send) -> Send:
    """A `send` whose answers a page of that origin may read."""

    async def with_origin(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            more = {
                "access-control-allow-origin": origin,
                "access-control-expose-headers": "mcp-session-id, www-authenticate, retry-after",
                "vary": "origin",
            }
            rows = [(name.encode(), value.encode("latin-1")) for name, value in more.items()]
            message = {**message, "headers": [*message.get("headers", ()), *rows]}
        await send(message)

    return with_origin


def _plain(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """A header; a media type without regard to its case, to which the SDK has some."""
    return name, value.lower() if name == b"content-type" else value


def _is_modern(scope: Scope, body: bytes) -> bool:
    """Whether a request is of 2026-07-28 or later, by its header, or by its body, which is then told what lacks."""
    if versions := _all(scope, b"mcp-protocol-version"):
        return versions[0] not in HANDSHAKE_PROTOCOL_VERSIONS
    return VERSION_META.encode() in body[:65_536] and not _all(scope, b"mcp-session-id") and _names_version(body)


def _names_version(body: bytes) -> bool:
    try:
        return VERSION_META in json.loads(body)["params"]["_meta"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return False


def _all(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]
