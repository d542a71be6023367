"""Answers the handshake, `ping`, `tools/list` and `tools/call` without the MCP SDK, whose import costs half a second.

That is all that our own server asks. At anything else, of any client, the SDK's server takes over the connection: it is
told of the handshake, and from then on of every line. What is answered here is what it would answer
(`tests/unit/test_child_front.py` holds both to the same).
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Protocol, Self, cast

VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""The versions of MCP that begin with a handshake."""

SERVER = {"name": "coaia", "version": ""}

MODERN = "io.modelcontextprotocol/protocolVersion"
"""What each request of the later versions names in its `_meta`."""


Result = dict[str, Any]


class Answers(Protocol):
    """What answers calls, and knows the tools."""

    def listed(self) -> dict[str, Any]:
        """The result of `tools/list`."""
        ...

    def answer(self, name: str, arguments: dict[str, Any]) -> Result | Awaitable[Result]:
        """The result of `tools/call`; what to wait for, where it is not there at once."""
        ...


class Front:
    """Takes the lines of one client, and gives its answers to `write`."""

    def __init__(self, calls: Answers, write: Callable[[bytes], Awaitable[None]]) -> None:
        self._calls = calls
        self._write = write
        self._handshake: bytes | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._sdk: Any = None  # once it has taken over

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End what runs."""
        for task in self._running:
            task.cancel()
        if self._sdk:
            await self._sdk.aclose()

    async def take(self, line: bytes) -> None:
        """Answer a line, now or as soon as can be; what is no message is left aside."""
        if self._sdk:
            await self._sdk.take(line)
            return
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            return
        if not await self._answered(message, line):
            await self._hand_over(line)

    async def _answered(self, message: object, line: bytes) -> bool:
        """Whether it is one of ours, and is being answered."""
        fields = _fields(message)
        if fields.get("jsonrpc") != "2.0":
            return False
        identity, method = fields.get("id"), fields.get("method")
        if self._handshake and "id" not in fields and method == "notifications/initialized":
            return True
        if isinstance(identity, bool) or not isinstance(identity, int | str):
            return False
        params = fields.get("params", {})
        if not isinstance(params, dict):
            return False
        params = _fields(cast("object", params))
        if method == "initialize" and self._handshake is None and _is_plain_handshake(params):
            self._handshake = line
            version = {"protocolVersion": params["protocolVersion"]}
            await self._say(identity, version | {"capabilities": CAPABILITIES, "serverInfo": SERVER})
            return True
        if self._handshake is None or MODERN in _fields(params.get("_meta")):
            return False
        return await self._answered_in_session(identity, method, params)

    async def _answered_in_session(self, identity: int | str, method: object, params: dict[str, Any]) -> bool:
        name, arguments = params.get("name"), params.get("arguments")
        if method == "tools/call" and isinstance(name, str) and isinstance(arguments, dict):
            result = self._calls.answer(name, _fields(cast("object", arguments)))
            if isinstance(result, dict):
                await self._say(identity, result)
            else:
                task = asyncio.create_task(self._say_later(identity, result))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
        elif method == "tools/list" and params.keys() <= {"_meta"}:
            await self._say(identity, self._calls.listed())
        elif method == "ping":
            await self._say(identity, {})
        else:
            return False
        return True

    async def _say_later(self, identity: int | str, result: Awaitable[Result]) -> None:
        await self._say(identity, await result)

    async def _say(self, identity: int | str, result: Result) -> None:
        message = {"jsonrpc": "2.0", "id": identity, "result": result}
        text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
        await self._write(text.encode("utf-8", "replace") + b"\n")

    async def _hand_over(self, line: bytes) -> None:
        """Have the SDK's server answer from this line on."""
        from sdk_server import SdkServer

        self._sdk = SdkServer(self._calls, self._write)
        if self._handshake:
            await self._sdk.take_handshake(self._handshake)
        await self._sdk.take(line)


CAPABILITIES: dict[str, Any] = {"tools": {"listChanged": False}}


def _fields(value: object) -> dict[str, Any]:
    """The fields of an object; none of anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _is_plain_handshake(params: dict[str, Any]) -> bool:
    """Whether nothing about a handshake is the SDK's to judge."""
    client = _fields(params.get("clientInfo"))
    return (
        params.get("protocolVersion") in VERSIONS
        and isinstance(params.get("capabilities"), dict)
        and isinstance(client.get("name"), str)
        and isinstance(client.get("version"), str)
    )
