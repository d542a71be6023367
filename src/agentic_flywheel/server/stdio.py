"""Standard input and output as an MCP transport that ends well: what was asked before the end is still answered.

The SDK's own drops the answers in flight when input ends, gives no answer at all to a line that it cannot parse,
and its reading thread hangs a process that was asked to stop. This one yields the same streams, over asyncio's
pipes where standard input and output are pipes or sockets.
"""

import asyncio
import contextlib
import json
import logging
import os
import re
import stat
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from typing import cast

import anyio
import mcp_types as types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage

logger = logging.getLogger(__name__)

LINE_LIMIT = 256 * 2**20
"""Bytes of one message, far above any session that is accepted; a longer line is answered as unreadable."""

ANSWER_SECONDS = 0.5
"""How long the requests in flight may take once input has ended; then storage is told to hurry."""

HURRIED_SECONDS = 0.8
"""How long they may take after that: the journal alone is left."""

LAST_WRITE_SECONDS = 1.0
"""How long the client may take to read the last answers."""

SCANNED = 2**20
"""Bytes of an unreadable line that are searched for the id of its request."""

# A string that is not closed takes the rest of the line, so that no byte is looked at twice.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[{}\[\]:,]|[^\s"{}\[\]:,]+', re.DOTALL)
_ID = re.compile(rb'".*"|-?\d{1,18}', re.DOTALL)

Streams = tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]


@asynccontextmanager
async def stdio(stop: asyncio.Event, hurry: Callable[[], Awaitable[None]]) -> AsyncGenerator[Streams]:
    """The streams of this process's standard input and output.

    When input ends or `stop` is set, the requests in flight are answered first; `hurry` is called if that takes
    longer than `ANSWER_SECONDS`. Meanwhile fd 0 is the null device and fd 1 is stderr, so that a stray print
    cannot break a message.
    """
    to_server, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](16)
    outgoing, from_server = anyio.create_memory_object_stream[SessionMessage](16)
    unanswered: set[types.RequestId] = set()
    all_answered = asyncio.Event()
    with _claimed(0, os.O_RDONLY) as source, _claimed(1, os.O_WRONLY) as sink:
        async with _writer(sink) as write, anyio.create_task_group() as tasks:

            async def read() -> None:
                async with to_server:
                    async for line in _lines(source, stop):
                        try:
                            message = types.jsonrpc_message_adapter.validate_json(line, by_name=False)
                        except ValueError:
                            if line.strip():
                                await write(_unreadable(line))
                            continue
                        if isinstance(message, types.JSONRPCRequest):
                            unanswered.add(message.id)
                        elif isinstance(message, types.JSONRPCNotification) and _has_id(line):
                            await write(_invalid())
                            continue
                        await to_server.send(SessionMessage(message))
                    await last_answers()

            async def last_answers() -> None:
                for seconds in (ANSWER_SECONDS, HURRIED_SECONDS):
                    all_answered.clear()
                    if unanswered:
                        with anyio.move_on_after(seconds):
                            await all_answered.wait()
                    if unanswered:
                        await hurry()

            async def answer() -> None:
                async with from_server:
                    async for item in from_server:
                        message = item.message
                        try:
                            data = message.model_dump_json(by_alias=True, exclude_unset=True).encode()
                        except ValueError:
                            logger.error("An answer could not be written as JSON.")
                            data = _internal_error(message)
                        await write(data + b"\n")
                        if isinstance(message, types.JSONRPCResponse | types.JSONRPCError) and message.id is not None:
                            unanswered.discard(message.id)
                            if not unanswered:
                                all_answered.set()

            tasks.start_soon(read)
            tasks.start_soon(answer)
            yield incoming, outgoing


def _unreadable(line: bytes) -> bytes:
    """The answer to a line that is no message, or nests or counts beyond what the SDK's parser reads."""
    text = (
        "This line is no JSON-RPC message that can be read. Half of a surrogate pair, nesting beyond some 200 levels "
        "and numbers of thousands of digits are beyond every parser on the way."
    )
    error = types.ErrorData(code=types.PARSE_ERROR, message=text)
    answer = types.JSONRPCError(jsonrpc="2.0", id=_id_in(line[:SCANNED]), error=error)
    return answer.model_dump_json(by_alias=True).encode() + b"\n"


def _has_id(line: bytes) -> bool:
    """Whether what the SDK takes for a notification has an id: one that is neither text nor a whole number."""
    return b'"id"' in line and "id" in json.loads(line)


def _invalid() -> bytes:
    """The answer to a request whose id is none; it cannot be repeated."""
    error = types.ErrorData(code=types.INVALID_REQUEST, message="The id of a request must be a string or an integer.")
    return types.JSONRPCError(jsonrpc="2.0", id=None, error=error).model_dump_json(by_alias=True).encode() + b"\n"


def _id_in(line: bytes) -> types.RequestId | None:
    """The top-level `id` of a JSON object, found without parsing the rest of it."""
    depth = 0
    recent: tuple[bytes, bytes] = (b"", b"")
    for match in _TOKEN.finditer(line):
        token = match.group()
        if token in b"{[":
            depth += 1
        elif token in b"}]":
            depth -= 1
        elif depth == 1 and recent == (b'"id"', b":"):
            try:
                identity = cast("types.RequestId", json.loads(token)) if _ID.fullmatch(token) else None
                str(identity).encode()
            except ValueError:  # bad escapes, bad UTF-8, half of a surrogate pair
                return None
            return identity
        recent = (recent[1], token)
    return None


def _internal_error(message: types.JSONRPCMessage) -> bytes:
    identity = getattr(message, "id", None)
    error = types.ErrorData(code=types.INTERNAL_ERROR, message="The answer could not be written as JSON.")
    return types.JSONRPCError(jsonrpc="2.0", id=identity, error=error).model_dump_json(exclude_unset=True).encode()


@contextlib.contextmanager
def _claimed(descriptor: int, flags: int) -> Generator[int]:
    """A private duplicate of a standard descriptor, which is diverted meanwhile and restored afterwards."""
    private = os.dup(descriptor)
    diversion = os.open(os.devnull, flags) if flags == os.O_RDONLY else os.dup(2)
    os.dup2(diversion, descriptor)
    os.close(diversion)
    try:
        yield private
    finally:
        os.dup2(private, descriptor)
        os.close(private)


def _is_pipe(descriptor: int) -> bool:
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


async def _lines(descriptor: int, stop: asyncio.Event) -> AsyncIterator[bytes]:
    """The lines of a descriptor, until it ends or `stop` is set."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LINE_LIMIT)
    if _is_pipe(descriptor):
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(descriptor), "rb"))
    else:
        # A file or a terminal: a daemon thread reads it, which the end of the process does not wait for.
        threading.Thread(target=_feed, args=(descriptor, reader, loop), daemon=True).start()
    stopped = asyncio.ensure_future(stop.wait())
    try:
        while not stop.is_set():
            line = asyncio.ensure_future(reader.readline())
            await asyncio.wait({line, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not line.done():
                line.cancel()
                return
            try:
                if not (data := line.result()):
                    return
            except ValueError:
                data = b"too long"
            yield data
    finally:
        stopped.cancel()


def _feed(descriptor: int, reader: asyncio.StreamReader, loop: asyncio.AbstractEventLoop) -> None:
    with contextlib.suppress(OSError, RuntimeError):  # the loop is closed, or the terminal gone
        while chunk := os.read(descriptor, 65_536):
            loop.call_soon_threadsafe(reader.feed_data, chunk)
        loop.call_soon_threadsafe(reader.feed_eof)


@asynccontextmanager
async def _writer(descriptor: int) -> AsyncGenerator[Callable[[bytes], Awaitable[None]]]:
    """A function that writes bytes to a descriptor; a reader that has gone is no error."""
    if not _is_pipe(descriptor):

        async def write_now(data: bytes) -> None:
            with contextlib.suppress(OSError):
                view = memoryview(data)
                while view:
                    view = view[os.write(descriptor, view) :]

        yield write_now
        return
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), os.fdopen(os.dup(descriptor), "wb")
    )
    writer = asyncio.StreamWriter(transport, protocol, None, loop)

    async def write(data: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(data)
            await writer.drain()

    try:
        yield write
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(LAST_WRITE_SECONDS) as late:
            writer.close()  # flushes what is buffered first
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        if late.cancelled_caught:
            transport.abort()
