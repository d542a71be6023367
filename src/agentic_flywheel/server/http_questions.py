"""Has a question to a person answered at whichever of several processes the answer comes to, for earlier clients.

Each process numbers its questions elsewhere, so that no answer is ever taken for one to another question. An answer to
none of its own is put into Redis, under `<prefix>:answer:<digest>`, from where the process that asks takes it.
"""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCError, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

from agentic_flywheel.coaia.stash import Stash
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.errors import FlywheelError
from agentic_flywheel.json_text import dumps
from agentic_flywheel.keys import Keys

LOOK_SECONDS = 0.5
"""From one look for an answer that came elsewhere to the next."""

ASKED_SECONDS = 600.0
"""How long such an answer is looked for, and kept."""

LARGEST = 65_536
"""Characters of an answer that is handed on: ours is a word."""

Item = SessionMessage | Exception


class SharedAnswers:
    """The answers of one namespace that came to a process which did not ask; none without Redis."""

    def __init__(self, stash: Stash | None, keys: Keys) -> None:
        self._stash, self._keys = stash, keys

    @property
    def are_shared(self) -> bool:
        """Whether other processes can be told of any."""
        return self._stash is not None

    async def put(self, session_id: str, number: int, answer: str) -> None:
        """Hand an answer on; while Redis is away it is lost, and the question stays open."""
        if self._stash is None or len(answer) > LARGEST:
            return
        text = dumps({"schema_version": 1, "id": str(number), "revision": 1, "answer": answer})
        until = datetime.now(UTC) + timedelta(seconds=ASKED_SECONDS)
        with suppress(FlywheelError):
            write = Write(self._keys.answer(session_id, number), text, None, until)
            await self._stash.keep(write, self._stash.deadline())

    async def take(self, session_id: str, number: int) -> str | None:
        """The answer to this question, if one came elsewhere."""
        if self._stash is None:
            return None
        key = self._keys.answer(session_id, number)
        with suppress(FlywheelError, ValueError, KeyError, TypeError):
            if text := await self._stash.read(key):
                answer = str(json.loads(text)["answer"])
                await self._stash.drop(key, self._stash.deadline())
                return answer
        return None


class Questions:
    """The questions that one session asks in this process; `post` gives the session a message of ours."""

    def __init__(self, session_id: str, answers: SharedAnswers, post: Callable[[bytes], Awaitable[None]]) -> None:
        self._session_id, self._answers, self._post = session_id, answers, post
        self._first = secrets.randbelow(2**30) * 2**20  # all of them stay whole numbers for JavaScript
        self._looking: dict[int, asyncio.Task[None]] = {}
        self._taken: set[int] = set()
        """Those whose answer came elsewhere and is being given to the session: that is done to the end."""

    def close(self) -> None:
        """Look for no answer any more."""
        for number in [*self._looking]:
            self._forget(number)

    def asking(self, item: SessionMessage) -> SessionMessage:
        """The message as it is sent: a question has a number that no other process gives."""
        message = item.message
        if isinstance(message, JSONRPCRequest) and isinstance(message.id, int):
            number = self._first + message.id
            self._looking[number] = asyncio.create_task(self._look_for(number), name="answer")
            return replace(item, message=message.model_copy(update={"id": number}))
        if isinstance(message, JSONRPCNotification) and message.method == "notifications/cancelled":
            given = (message.params or {}).get("requestId")
            if isinstance(given, int) and self._first + given in self._looking:
                self._forget(self._first + given)
                params = {**(message.params or {}), "requestId": self._first + given}
                return replace(item, message=message.model_copy(update={"params": params}))
        return item

    async def answered(self, item: Item) -> Item | None:
        """The message as the SDK awaits it; `None`: it is the answer to a question of another process."""
        message = item.message if isinstance(item, SessionMessage) else None
        if not isinstance(item, SessionMessage) or not isinstance(message, JSONRPCResponse | JSONRPCError):
            return item
        number = int(message.id or 0) if str(message.id).isdecimal() else -1
        if number not in self._looking:
            text = message.model_dump_json(by_alias=True, exclude_none=True)
            await self._answers.put(self._session_id, number, text)
            return None
        self._forget(number)
        return replace(item, message=message.model_copy(update={"id": number - self._first}))

    def _forget(self, number: int) -> None:
        looking = self._looking.pop(number)
        if number not in self._taken:
            looking.cancel()

    async def _look_for(self, number: int) -> None:
        until = asyncio.get_running_loop().time() + ASKED_SECONDS
        while self._answers.are_shared and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(LOOK_SECONDS)
            if answer := await self._answers.take(self._session_id, number):
                self._taken.add(number)
                await self._post(answer.encode())
                return


class _Around:
    """A stream of the SDK, of which all but its messages is left as it is."""

    def __init__(self, stream: Any, questions: Questions) -> None:  # noqa: ANN401  one of several kinds of the SDK
        self._stream, self._questions = stream, questions

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> bool | None:
        return await self._stream.__aexit__(exc_type, exc_val, exc_tb)


class Asking(_Around):
    """The stream to the client, whose questions are numbered."""

    async def send(self, item: SessionMessage, /) -> None:
        """Send a message."""
        await self._stream.send(self._questions.asking(item))


class Answering(_Around):
    """The stream from the client, without what other processes asked for."""

    @property
    def last_context(self) -> Any:  # noqa: ANN401
        """In which context the last message was sent: the SDK goes on in it."""
        return getattr(self._stream, "last_context", None)

    async def receive(self) -> Item:
        """The next message."""
        return await self._next(self._stream.receive)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        return await self._next(self._stream.__anext__)

    async def _next(self, read: Callable[[], Awaitable[Item]]) -> Item:
        while True:
            if (item := await self._questions.answered(await read())) is not None:
                return item
