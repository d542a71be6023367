"""Carries messages over pipes, a line each: the two streams that the MCP SDK reads and writes, nothing in between.

The SDK's own stdio goes through worker threads and queues, which is most of what a small call costs. Our server and the
child's supervisor use this instead.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from types import TracebackType
from typing import Self

import anyio
import mcp_types as types
from mcp.shared.message import SessionMessage
from pydantic_core import from_json, to_json

from agentic_flywheel.pipes import Write, open_writer, passed

_MARK = b"\xef\xbb\xbf"
"""The byte order mark with which some shells begin what they pipe; RFC 8259 lets a parser pass over it."""


def message_of(line: bytes) -> types.JSONRPCMessage:
    """The message in a line.

    Raises:
        ValueError: there is none.

    """
    # Parsed once and then told apart: the adapter's own parser would read the line for each kind of message.
    return types.jsonrpc_message_adapter.validate_python(from_json(line.removeprefix(_MARK)), by_name=False)


def line_of(message: types.JSONRPCMessage) -> bytes:
    """The message as a line.

    Raises:
        ValueError: it holds something that is no JSON.

    """
    return to_json({name: value for name, value in message if name in message.model_fields_set}) + b"\n"


class Stream:
    """What both streams have in common: they end with whoever made them."""

    async def aclose(self) -> None:
        """Nothing is held."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.aclose()


class Incoming(Stream):
    """The messages that come in: a `ReadStream` of the SDK.

    `next_line` gives a line, or nothing at the end; `unreadable` is told of one for which `parse` raises `ValueError`.
    """

    def __init__(
        self,
        next_line: Callable[[], Awaitable[bytes]],
        unreadable: Write,
        parse: Callable[[bytes], types.JSONRPCMessage] = message_of,
    ) -> None:
        self._next_line = next_line
        self._unreadable = unreadable
        self._parse = parse

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        while line := await self._next_line():
            try:
                passed(line)
                return SessionMessage(self._parse(line))
            except ValueError:
                await self._unreadable(line)
        raise StopAsyncIteration

    async def receive(self) -> SessionMessage | Exception:
        """The next message.

        Raises:
            anyio.EndOfStream: there is none.

        """
        try:
            return await anext(self)
        except StopAsyncIteration:
            raise anyio.EndOfStream from None


class Outgoing(Stream):
    """The messages that go out: a `WriteStream` of the SDK. `write` returns once there is room for more."""

    def __init__(self, write: Write, line_of: Callable[[types.JSONRPCMessage], bytes] = line_of) -> None:
        self._write = write
        self._line_of = line_of

    async def send(self, item: SessionMessage, /) -> None:
        """Write a message.

        Raises:
            anyio.BrokenResourceError: nobody reads any more.
            ValueError: it holds something that is no JSON.

        """
        line = self._line_of(item.message)
        passed(line)
        try:
            await self._write(line)
        except OSError as exc:
            raise anyio.BrokenResourceError from exc


async def _closed(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


@contextlib.asynccontextmanager
async def writer_of(descriptor: int, last_seconds: float) -> AsyncGenerator[asyncio.StreamWriter]:
    """A writer to a pipe; its reader has `last_seconds` to take what is left at the end."""
    writer = await open_writer(descriptor)
    try:
        yield writer
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(last_seconds) as late:
            writer.close()  # flushes what is buffered first
            # Others wait for the same: a wait that is given up must not end theirs.
            await asyncio.shield(_closed(writer))
        if late.cancelled_caught:
            writer.transport.abort()
