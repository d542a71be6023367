"""Serves MCP over standard input and output, and answers before it ends what was asked before the end.

The SDK's own drops the answers in flight when input ends, gives no answer at all to a line that it cannot parse,
and its reading thread hangs a process that was asked to stop. This one yields the same streams, over asyncio's
pipes where standard input and output are pipes or sockets.
"""

import asyncio
import contextlib
import json
import logging
import os
import threading
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import mcp_types as types
from mcp.shared.message import SessionMessage

from agentic_flywheel.json_text import narrow
from agentic_flywheel.jsonrpc_lines import Incoming, Outgoing, line_of, writer_of
from agentic_flywheel.pipes import LINE_LIMIT, Write, is_pipe, open_reader, settle_memory
from agentic_flywheel.server.prepared_answers import ACKNOWLEDGED, LISTEN, SUBSCRIPTION
from agentic_flywheel.server.refusal import answer_of, refusal, request_of

if TYPE_CHECKING:
    from agentic_flywheel.server.front import Front

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 0.5
"""How long the requests in flight may take once input has ended; then storage is told to hurry."""

HURRIED_SECONDS = 0.8
"""How long they may take after that: the journal alone is left."""

LAST_WRITE_SECONDS = 1.0
"""How long the client may take to read the last answers."""

CANCELLED = "notifications/cancelled"

BATCHED = "2025-03-26"
"""The one revision of the protocol whose servers must take several messages in a line; answers may come singly."""

NARROWED_FROM = 2**16
"""Bytes of an answer from which on it is written so that a reader in Python need not hold it in wide characters."""


@asynccontextmanager
async def stdio(
    stop: asyncio.Event,
    hurry: Callable[[], Awaitable[None]],
    front: "Front | None" = None,
    end_streams: Callable[[], None] = lambda: None,
) -> AsyncGenerator[tuple[Incoming, Outgoing]]:
    """The streams of this process's standard input and output, whose beginning `front` has read.

    When input ends, `stop` is set or nobody reads the output any more, the requests in flight are answered first;
    before them `end_streams` is called, and `hurry` if that takes longer than `ANSWER_SECONDS`. Meanwhile fd 0 is the
    null device and fd 1 is stderr, so that a stray print cannot break a message.
    """
    settle_memory()
    with _claimed(0, os.O_RDONLY) as source, _claimed(1, os.O_WRONLY) as sink:
        read = bytes(front.unread) if front else b""
        async with _writer(sink, stop) as write, _lines(source, stop, read) as next_line:

            async def next_question() -> bytes:
                """The next line; `server/discover` alone does not choose the protocol, as it does by the SDK."""
                while (line := await next_line()) and front and not front.answers.opened:
                    if (answer := front.answers.answer(line, discover_only=True)) is None:
                        break
                    await write(answer)
                return line

            requests = _Requests(next_question, write, hurry, end_streams)
            yield requests, _Answers(write, requests, front)


class _Requests(Incoming):
    """What the client asks. It ends when input has ended and everything is answered."""

    def __init__(
        self,
        next_line: Callable[[], Awaitable[bytes]],
        write: Write,
        hurry: Callable[[], Awaitable[None]],
        end_streams: Callable[[], None],
    ) -> None:
        super().__init__(self._next_message, self._refuse, _message_of)
        self._read_line = next_line
        self._takes_batches = False
        self._batch: deque[bytes] = deque()
        """What is left of the batch that was read last."""
        self._write = write
        self._hurry, self._end_streams = hurry, end_streams
        self._unanswered: set[types.RequestId] = set()
        self._listening: set[types.RequestId] = set()
        """What is answered when its stream ends."""
        self._all_answered = asyncio.Event()

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            item = await super().__anext__()
        except StopAsyncIteration:
            await self._last_answers()
            raise
        request = item.message if isinstance(item, SessionMessage) else None
        if isinstance(request, types.JSONRPCRequest):
            if request.method == "initialize":
                self._takes_batches = (request.params or {}).get("protocolVersion") == BATCHED
            (self._listening if request.method == LISTEN else self._unanswered).add(request.id)
        elif isinstance(request, types.JSONRPCNotification) and request.method == CANCELLED:
            identity = (request.params or {}).get("requestId")
            if isinstance(identity, str | int):  # it will not be answered
                self.answered(identity)
        return item

    async def _next_message(self) -> bytes:
        if not self._batch:
            line = await self._read_line()
            messages = _messages_of_batch(line) if self._takes_batches else []
            if not messages:
                return line
            self._batch.extend(messages)
        return self._batch.popleft()

    def answered(self, identity: types.RequestId) -> None:
        """The answer to that request was written."""
        self._unanswered.discard(identity)
        self._listening.discard(identity)
        if not self._unanswered:
            self._all_answered.set()

    async def _refuse(self, line: bytes) -> None:
        if line.strip():
            await self._write(refusal(line))

    async def _last_answers(self) -> None:
        self._end_streams()
        self._unanswered |= self._listening
        for seconds in (ANSWER_SECONDS, HURRIED_SECONDS):
            self._all_answered.clear()
            if self._unanswered:
                with anyio.move_on_after(seconds):
                    await self._all_answered.wait()
            if self._unanswered:
                await self._hurry()


class _Answers(Outgoing):
    """What the client is told, but for what `front` told it. What cannot be written as JSON becomes an error."""

    def __init__(self, write: Write, requests: _Requests, front: "Front | None") -> None:
        super().__init__(write, _answer_of)
        self._requests = requests
        self._given = front.initialized_as if front else None
        self._acknowledged = front.answers.acknowledged if front else set[types.RequestId]()

    async def send(self, item: SessionMessage, /) -> None:
        message = item.message
        identity = message.id if isinstance(message, types.JSONRPCResponse | types.JSONRPCError) else None
        if identity is not None and identity == self._given:
            self._given = None
            self._requests.answered(identity)
            return
        if self._acknowledged and isinstance(message, types.JSONRPCNotification) and message.method == ACKNOWLEDGED:
            subscription: types.RequestId = (message.params or {})["_meta"][SUBSCRIPTION]
            if subscription in self._acknowledged:
                self._acknowledged.remove(subscription)
                return
        try:
            await super().send(item)
        except ValueError:
            logger.error("An answer could not be written as JSON.")
            await self._write(_internal_error(message))
        if identity is not None:
            self._requests.answered(identity)


def _messages_of_batch(line: bytes) -> list[bytes]:
    """What a batch holds, a line each; nothing where this is none."""
    if not line.lstrip().startswith(b"["):
        return []
    try:
        return [json.dumps(each).encode() + b"\n" for each in json.loads(line.decode(errors="surrogatepass"))]
    except (ValueError, RecursionError):
        return []


def _message_of(line: bytes) -> types.JSONRPCMessage:
    try:
        return request_of(line)
    except ValueError:
        if answer := answer_of(line):
            return answer
        raise


def _answer_of(message: types.JSONRPCMessage) -> bytes:
    line = line_of(message)
    return narrow(line) if len(line) > NARROWED_FROM else line


def _internal_error(message: types.JSONRPCMessage) -> bytes:
    identity = getattr(message, "id", None)
    error = types.ErrorData(code=types.INTERNAL_ERROR, message="The answer could not be written as JSON.")
    return line_of(types.JSONRPCError(jsonrpc="2.0", id=identity, error=error))


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


@asynccontextmanager
async def _lines(descriptor: int, stop: asyncio.Event, read: bytes) -> AsyncGenerator[Callable[[], Awaitable[bytes]]]:
    """A function that gives the next line of what was `read`, then of a descriptor; nothing at its end or `stop`."""
    if is_pipe(descriptor):
        reader = await open_reader(descriptor, read)
    else:
        # A file or a terminal: a daemon thread reads it, which the end of the process does not wait for.
        reader = asyncio.StreamReader(limit=LINE_LIMIT)
        reader.feed_data(read)
        loop = asyncio.get_running_loop()
        threading.Thread(target=_feed, args=(descriptor, reader, loop), daemon=True).start()

    async def next_line() -> bytes:
        try:
            return await reader.readline()
        except EOFError:
            return b""
        except ValueError:
            return b"too long"

    async def stopped() -> None:
        await stop.wait()
        reader.set_exception(EOFError())

    stopping = asyncio.create_task(stopped())
    try:
        yield next_line
    finally:
        stopping.cancel()


def _feed(descriptor: int, reader: asyncio.StreamReader, loop: asyncio.AbstractEventLoop) -> None:
    with contextlib.suppress(OSError, RuntimeError):  # the loop is closed, or the terminal gone
        while chunk := os.read(descriptor, 65_536):
            loop.call_soon_threadsafe(reader.feed_data, chunk)
        loop.call_soon_threadsafe(reader.feed_eof)


@asynccontextmanager
async def _writer(descriptor: int, stop: asyncio.Event) -> AsyncGenerator[Write]:
    """A function that writes bytes to a descriptor; a reader that has gone is no error, but sets `stop`."""
    if not is_pipe(descriptor):

        async def write_now(data: bytes) -> None:
            with contextlib.suppress(OSError):
                view = memoryview(data)
                while view:
                    view = view[os.write(descriptor, view) :]

        yield write_now
        return

    async def stop_without_reader() -> None:
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        stop.set()

    async with writer_of(descriptor, LAST_WRITE_SECONDS) as writer:
        watching = asyncio.create_task(stop_without_reader())

        async def write(data: bytes) -> None:
            with contextlib.suppress(ConnectionError):
                writer.write(data)
                await writer.drain()

        yield write
    await watching
