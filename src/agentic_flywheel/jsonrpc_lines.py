"""Carries messages over pipes, a line each: the two streams that the MCP SDK reads and writes, nothing in between.

The SDK's own stdio goes through worker threads and queues, which is most of what a small call costs. Both hops use
this instead: our server, the child's client, and the child, whose program loads this file by its path. It imports
nothing of this package, therefore, and the SDK only where a stream of the SDK's is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import stat
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING, Self

import anyio
from pydantic_core import from_json, to_json

if TYPE_CHECKING:
    from types import TracebackType

    import mcp_types as types
    from mcp.shared.message import SessionMessage

LINE_LIMIT = 256 * 2**20
"""Bytes of one message, far above any session that is accepted. Only a program that writes no newline meets it."""

PIPE_BYTES = 2**20
"""The most that Linux gives a pipe of anybody (/proc/sys/fs/pipe-max-size)."""

LARGE_LINE = 2**20
"""Bytes of a message from which on the memory that it took is given back."""

GIVEN_BACK_AFTER = 1.0
"""Seconds after the last large message: the next one would need it again."""

_giving_back: list[asyncio.TimerHandle] = []

UNTRACKED = 20_000
"""Objects made before the garbage collector runs: a message of 10 KB makes some hundreds, all soon gone."""

M_ARENA_MAX = -8
"""A parameter of mallopt (glibc `malloc.h`)."""

Write = Callable[[bytes], Awaitable[None]]


def message_of(line: bytes) -> types.JSONRPCMessage:
    """The message in a line.

    Raises:
        ValueError: there is none.

    """
    import mcp_types as types

    # Parsed once and then told apart: the adapter's own parser would read the line for each kind of message.
    return types.jsonrpc_message_adapter.validate_python(from_json(line), by_name=False)


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
        from mcp.shared.message import SessionMessage

        self._wrapped = SessionMessage
        self._next_line = next_line
        self._unreadable = unreadable
        self._parse = parse

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        while line := await self._next_line():
            try:
                passed(line)
                return self._wrapped(self._parse(line))
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


def settle_memory() -> None:
    """Prepare for messages of megabytes, once everything is imported and before there are threads.

    The garbage collector need not look at the modules again and again. The C library keeps one heap for all threads:
    each heap would hold on to megabytes.
    """
    gc.freeze()
    gc.set_threshold(UNTRACKED)
    gc.enable()
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # another C library than glibc
            ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def passed(line: bytes) -> None:
    """Give back the memory that a large message took, once no other one has come for a while."""
    if len(line) > LARGE_LINE:
        while _giving_back:
            _giving_back.pop().cancel()
        _giving_back.append(asyncio.get_running_loop().call_later(GIVEN_BACK_AFTER, _give_back_memory))


def _give_back_memory() -> None:
    """Return to the system what was freed."""
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def widen(descriptor: int) -> None:
    """Make a pipe hold a megabyte, where it can: a large message then wakes its reader a sixteenth as often."""
    with contextlib.suppress(ImportError, AttributeError, OSError):  # not Linux, no pipe, or too many of them
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def is_pipe(descriptor: int) -> bool:
    """Whether asyncio can wait for a descriptor: a pipe or a socket, not a file or a terminal."""
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


async def reader_of(descriptor: int, read: bytes = b"") -> asyncio.StreamReader:
    """A reader of a pipe, of which some was read before."""
    widen(descriptor)
    reader = asyncio.StreamReader(limit=LINE_LIMIT)
    reader.feed_data(read)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(descriptor), "rb"))
    return reader


@contextlib.asynccontextmanager
async def writer_of(descriptor: int, last_seconds: float) -> AsyncGenerator[asyncio.StreamWriter]:
    """A writer to a pipe; its reader has `last_seconds` to take what is left at the end."""
    widen(descriptor)
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), os.fdopen(os.dup(descriptor), "wb")
    )
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    try:
        yield writer
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(last_seconds) as late:
            writer.close()  # flushes what is buffered first
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        if late.cancelled_caught:
            transport.abort()
