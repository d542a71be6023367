"""Serves clients before 2026-07-28 over HTTP: the protocol's sessions, which any process of ours can go on with.

A session's id says what its `initialize` said (version, client, whether it can be asked), signed for its namespace. So
a process that did not open it, or was started again since, opens it anew and the client notices nothing. A request
without a session is answered as one of a session of its own.
"""

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import MutableMapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.runner import serve_loop
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER, StreamableHTTPServerTransport
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from agentic_flywheel.server.callers import Caller, RevisionsSeen, note_caller
from agentic_flywheel.server.http_ended import AGAIN_SECONDS, EndedSessions
from agentic_flywheel.server.http_following import Follower, Following
from agentic_flywheel.server.http_in_flight import InFlight, InUse
from agentic_flywheel.server.http_listening import Listening
from agentic_flywheel.server.http_media import takes_stream
from agentic_flywheel.server.http_questions import Answering, Asking, Questions, SharedAnswers
from agentic_flywheel.server.http_session_ids import Handshake, SessionIds, initialize_in
from agentic_flywheel.server.http_subscribed import SubscriptionRecords
from agentic_flywheel.server.sdk_internals import options_of
from agentic_flywheel.server.subscriptions import ChangeNotifier
from agentic_flywheel.sessions.store import SessionStore

logger = logging.getLogger(__name__)

IDLE_SECONDS = 600.0
"""After this a session of which nothing is asked is let go; its client can go on with it all the same."""

MOST_SESSIONS = 2_000
"""Of a namespace at once. The longest unused is let go for a new one."""

NOT_FOUND = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Session not found"}}'
IN_USE = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"A request with this id is being answered"}}'
NO_SESSION = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Bad Request: Missing session ID"}}'
SESSION_HEADER = MCP_SESSION_ID_HEADER.lower().encode()


class _Session:
    """One session, served by a task of its own."""

    def __init__(self, session_id: str | None, handshake: Handshake, records: SubscriptionRecords) -> None:
        self.id = session_id
        self.handshake = handshake
        self.caller = Caller(RevisionsSeen())
        self.follower = Follower(session_id or "", self.caller, records, partial(_post, self))
        self.caller.subscriptions = self.follower if session_id else None
        self.users = 0
        self.looked = asyncio.get_running_loop().time()
        """When it was last known that its client had not ended it."""
        self.in_flight = InFlight()
        self.transport = StreamableHTTPServerTransport(
            session_id,
            is_json_response_enabled=not handshake.asks,  # a question goes before the answer, in a stream
            idle_timeout=IDLE_SECONDS if session_id else None,
        )
        self.listening = Listening(self.transport.close_standalone_sse_stream)
        self.ready = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def turn(self, scope: Scope, body: bytes) -> AbstractAsyncContextManager[None]:
        """What a request waits for: another with its id, or the stream before, where it opens one.

        Raises:
            InUse: on entering; the other is not answered in time.

        """
        if scope["method"] == "POST":
            return self.in_flight.entered(body)
        accepts = takes_stream(scope["headers"])
        return self.listening.entered() if scope["method"] == "GET" and accepts else contextlib.nullcontext()


class HandshakeSessions:
    """The sessions of one namespace that are open in this process."""

    def __init__(
        self,
        server: Server[Any],
        sessions: SessionStore,
        notifier: ChangeNotifier | None,
        key: bytes,
        ended: EndedSessions,
        answers: SharedAnswers,
        records: SubscriptionRecords,
    ) -> None:
        self._server = server
        self._store = sessions
        self._notifier = notifier
        self._ids = SessionIds(key)
        self._open: OrderedDict[str, _Session] = OrderedDict()
        self._ended = ended
        self._answers = answers
        self._records = records
        self._following = Following(records, notifier.handshake_clients) if notifier else None
        self._tasks: set[asyncio.Task[None]] = set()

    async def handle(self, scope: Scope, receive: Receive, send: Send, body: bytes) -> None:
        """Answer one request, whose body has been read."""
        given = [value for name, value in scope["headers"] if name == SESSION_HEADER]
        if not given:
            await self._without_session(scope, receive, send, body)
            return
        session = await self._known(given[0].decode("latin-1")) if len(given) == 1 else None
        if session is None:
            await Response(NOT_FOUND, 404, media_type="application/json")(scope, receive, send)
            return
        if scope["method"] == "DELETE":
            send = self._noting_end(session.id or "", send)
        with contextlib.ExitStack() as stream:
            if scope["method"] == "GET" and self._following:
                send = stream.enter_context(self._following.stream_of(session.follower, send))
            try:
                async with session.turn(scope, body):
                    await self._served(session, scope, receive, send)
            except InUse:
                await Response(IN_USE, 409, media_type="application/json")(scope, receive, send)
        if scope["method"] == "DELETE" and session.transport.is_terminated:
            self._forget(session)

    def end_streams(self) -> None:
        """End the streams on which clients are told of changes."""
        for session in [*self._open.values()]:
            session.transport.close_standalone_sse_stream()

    async def aclose(self) -> None:
        """End all sessions."""
        if self._following:
            await self._following.aclose()
        for session in [*self._open.values()]:
            await session.transport.terminate()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _without_session(self, scope: Scope, receive: Receive, send: Send, body: bytes) -> None:
        if scope["method"] != "POST":
            await Response(NO_SESSION, 400, media_type="application/json")(scope, receive, send)
            return
        if (handshake := initialize_in(body)) is None:
            session = await self._started(_Session(None, Handshake(), self._records), known=True)
            try:
                await self._served(session, scope, receive, send)
            finally:
                await session.transport.terminate()
            return
        session = _Session(self._ids.new(handshake), handshake, self._records)
        await self._admit(session, known=False)
        status = 0

        async def watched(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._served(session, scope, receive, watched)
        finally:
            if not 0 < status < 400:
                self._forget(session)
                await session.transport.terminate()

    async def _known(self, session_id: str) -> _Session | None:
        """The session of that id, opened anew if it is not here; `None` if it is no id of this namespace."""
        if (session := self._open.get(session_id)) is not None and not session.transport.is_terminated:
            self._open.move_to_end(session_id)
            await session.ready.wait()
            return None if await self._was_ended(session) else session
        handshake = self._ids.read(session_id)
        if handshake is None or await self._ended.has(session_id):
            return None
        if session_id in self._open:  # by another request meanwhile
            return await self._known(session_id)
        return await self._admit(_Session(session_id, handshake, self._records), known=True)

    async def _was_ended(self, session: _Session) -> bool:
        """Whether a session that is open here was ended at another process; then it ends here, too."""
        now = asyncio.get_running_loop().time()
        if now - session.looked < AGAIN_SECONDS:
            return False
        session.looked = now
        if not await self._ended.has(session.id or ""):
            return False
        self._forget(session)
        await session.transport.terminate()
        return True

    def _noting_end(self, session_id: str, send: Send) -> Send:
        """A `send` for the answer to a DELETE: who is told that a session has ended finds it ended everywhere."""

        async def noting(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start" and message["status"] < 300:
                await self._ended.note(session_id)
                await self._records.forget(session_id)
            await send(message)

        return noting

    async def _admit(self, session: _Session, *, known: bool) -> _Session:
        self._open[session.id or ""] = session
        if len(self._open) > MOST_SESSIONS:
            unused = next((each for each in self._open.values() if not each.users and each is not session), None)
            if unused:
                self._forget(unused)
                await unused.transport.terminate()
        return await self._started(session, known=known)

    async def _started(self, session: _Session, *, known: bool) -> _Session:
        connected = asyncio.Event()
        session.task = asyncio.create_task(self._serve(session, connected), name="session over HTTP")
        self._tasks.add(session.task)
        session.task.add_done_callback(self._tasks.discard)
        await connected.wait()
        if known:
            await _post(session, session.handshake.request)
            await _post(session, b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
        session.ready.set()
        return session

    async def _serve(self, session: _Session, connected: asyncio.Event) -> None:
        transport = session.transport
        questions = Questions(session.id or "", self._answers, partial(_post, session))
        try:
            async with transport.connect() as (incoming, outgoing):
                connected.set()
                with transport.idle_scope or contextlib.nullcontext():
                    await serve_loop(
                        self._server,
                        Answering(incoming, questions),
                        Asking(outgoing, questions),
                        lifespan_state=self._store,
                        session_id=session.id,
                        init_options=options_of(self._server),
                    )
        except Exception as exc:  # noqa: BLE001  whatever it is, the client opens the session anew with its next request
            logger.error("A session over HTTP ended with %s.", type(exc).__name__)
        finally:
            questions.close()
            connected.set()
            session.ready.set()
            self._forget(session)
            if not transport.is_terminated:
                await transport.terminate()

    async def _served(self, session: _Session, scope: Scope, receive: Receive, send: Send) -> None:
        note_caller(session.caller)
        session.users += 1
        # No events are kept, so there are none to send again; asked for some, the SDK would not answer at all.
        scope["headers"] = [each for each in scope["headers"] if each[0] != b"last-event-id"]
        try:
            await session.transport.handle_request(scope, receive, send)
        finally:
            session.users -= 1

    def _forget(self, session: _Session) -> None:
        if session.id and self._open.get(session.id) is session:
            del self._open[session.id]
        if self._notifier:
            self._notifier.handshake_clients.forget(session.caller)


async def _post(session: _Session, body: bytes) -> None:
    """Give a session a message of our own, whose answer nobody waits for."""
    headers = [(b"content-type", b"application/json"), (b"accept", b"application/json, text/event-stream")]
    headers += [(SESSION_HEADER, session.id.encode())] if session.id else []
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers}
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> MutableMapping[str, Any]:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()
        raise AssertionError

    async def send(_: MutableMapping[str, Any]) -> None:
        """Nobody is there."""

    await session.transport.handle_request(scope, receive, send)
