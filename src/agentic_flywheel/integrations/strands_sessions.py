"""Changes and reads the sessions of Strands programs: a change is kept where nothing else changed, else made anew."""

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from typing import Any

from strands.types.exceptions import SessionException
from strands.types.session import SessionMessage

from agentic_flywheel.documents.model import Document
from agentic_flywheel.errors import Conflict
from agentic_flywheel.integrations.adapter import Adapter
from agentic_flywheel.integrations.strands_records import AGENT, SESSION, Known, message_of, noted, turn_of
from agentic_flywheel.json_text import JSONObject

REMEMBERED_SESSIONS = 256
"""Sessions of which it is remembered what they hold; the longest unused goes first."""

TRIED_SECONDS = 60.0
"""How long a change is tried again while others save in between; each try takes milliseconds."""

PAUSE_SECONDS = 0.02
"""The most that a writer who came second waits before it tries again, so that writers do not keep in step."""

_Made = Callable[[Known], dict[str, Any] | None]
"""The history and context to add to what is there; `None`: nothing. Raises `SessionException` where it may not be."""


class StrandsSessions(Adapter):
    """The sessions, and what is known of those that were used last."""

    def __init__(self, *, user_id: str, **settings: Any) -> None:
        super().__init__(**settings)
        self._user_id = user_id
        self._known: OrderedDict[str, Known] = OrderedDict()

    async def read(self, session_id: str) -> Document | None:
        """The session; `None` if there is none, or none of Strands'.

        Raises:
            DocumentError, Unavailable: it cannot be told.

        """
        document = await self.load(session_id)
        return document if document and SESSION in document.session.context else None

    async def record(self, session_id: str, key: str) -> JSONObject | None:
        """What the context holds under a key."""
        document = await self.read(session_id)
        return document.session.context.get(key) if document else None

    async def messages(self, session_id: str, agent_id: str) -> list[SessionMessage]:
        """The messages of an agent, by their numbers."""
        document = await self.read(session_id)
        history = document.session.history if document else []
        mine = [message_of(history[at]) for at, note in noted(history) if note["agent_id"] == agent_id]
        return sorted(mine, key=lambda message: message.message_id)

    async def begin(self, session_id: str, record: JSONObject) -> None:
        """Begin a session, or make one of Strands' of what is there."""

        def made(known: Known) -> dict[str, Any]:
            if SESSION in known.context:
                raise SessionException(f"Session {session_id} already exists")
            values = {"user_id": self._user_id} if self._user_id and not known.revision else {}
            return {"context": {SESSION: record}, "values": values}

        await self._change(session_id, made)

    async def put(
        self, session_id: str, key: str, record: Callable[[], JSONObject], what: str, *, new: bool
    ) -> JSONObject:
        """Keep a record under a key of the context, and give it as it is kept.

        `new`: where there is none; else in the place of the one there, since which an agent exists. The record is made
        where it is known that it may be.
        """
        put = JSONObject()

        def made(known: Known) -> dict[str, Any]:
            if SESSION not in known.context:
                raise SessionException(f"Session {session_id} does not exist")
            before = known.context.get(key)
            if before is None and not new:
                raise SessionException(f"{what} does not exist in session {session_id}")
            put.update(record())
            if before is not None and new and before != put:
                raise SessionException(f"{what} already exists in session {session_id}")
            if before is not None and key.startswith(AGENT) and not new:
                put["created_at"] = before["created_at"]
            return {"context": {key: put}}

        await self._change(session_id, made)
        return put

    async def add(self, session_id: str, agent_id: str, message: SessionMessage) -> None:
        """Add a message to those of an agent; the same one again is not added."""
        turn, number = turn_of(agent_id, message), (agent_id, message.message_id)

        def made(known: Known) -> dict[str, Any] | None:
            if AGENT + agent_id not in known.context:
                raise SessionException(f"Agent {agent_id} does not exist in session {session_id}")
            if number in known.messages:
                raise SessionException(f"Message {message.message_id} already exists in agent {agent_id}")
            return {"history": [turn]}

        try:
            await self._change(session_id, made)
        except SessionException:
            document = await self.read(session_id)  # it may have been kept when it was first sent
            kept = (await self.without_credentials("create_message", history=[turn]))["history"]
            if document is None or kept[0] not in document.session.history:
                raise

    async def put_message(self, session_id: str, agent_id: str, message: SessionMessage) -> None:
        """Put a message in the place of the one of its number, as a revision; the one before can be restored."""
        from agentic_flywheel.sessions.history import save_fields

        async with (await self.stores()).turns.of(session_id):
            async for _ in _tries():
                document = await self.read(session_id)
                history = list(document.session.history) if document else []
                place = (agent_id, message.message_id)
                at = [at for at, note in noted(history) if (note["agent_id"], note["message_id"]) == place]
                if document is None or not at:
                    raise SessionException(f"Message {message.message_id} does not exist")
                message.created_at = message_of(history[at[0]]).created_at
                history[at[0]] = turn_of(agent_id, message)
                fields = save_fields(document) | {"history": history}
                if await self._saved(session_id, document.revision, fields | {"mode": "replace"}):
                    return
        raise Conflict(f"Others saved session {session_id!r} for {TRIED_SECONDS:.0f} s in between.")

    async def remove(self, session_id: str) -> None:
        """Take a session away with all that goes with it.

        Raises:
            SessionException: there is none.
            FlywheelError: it may still be there.

        """
        async with (await self.stores()).turns.of(session_id):
            self._known.pop(session_id, None)
            if not await self.delete(session_id):
                raise SessionException(f"Session {session_id} does not exist")

    async def _change(self, session_id: str, made: _Made) -> None:
        """Add what is made of what is there. It is made again of what others put there meanwhile.

        What is remembered of the session is tried first: alone, a writer reads nothing.

        Raises:
            SessionException: it may not be, as the session is now.
            FlywheelError: it is not kept.

        """
        async with (await self.stores()).turns.of(session_id):
            async for _ in _tries():
                remembered = self._known.pop(session_id, None)
                known = remembered or Known.of(await self.load(session_id))
                try:
                    fields = made(known)
                except SessionException:
                    if remembered:
                        continue
                    raise
                if fields is None:
                    return
                if await self._saved(session_id, known.revision, fields, known):
                    return
        raise Conflict(f"Others saved session {session_id!r} for {TRIED_SECONDS:.0f} s in between.")

    async def _saved(self, session_id: str, revision: int, fields: dict[str, Any], known: Known | None = None) -> bool:
        """Save on top of that revision; whether it was still the stored one."""
        from agentic_flywheel.documents.save_request import Save

        self._known.pop(session_id, None)
        try:
            result = await self.save(Save(session_id=session_id, as_sent=True, expected_revision=revision, **fields))
        except Conflict:
            return False
        if known:
            known.learn(result.revision, fields.get("history") or [], fields.get("context") or {})
            self._known[session_id] = known
            if len(self._known) > REMEMBERED_SESSIONS:
                self._known.popitem(last=False)
        return True


async def _tries() -> AsyncIterator[None]:
    """One after the other for `TRIED_SECONDS`, with a pause between them that is longer or shorter by chance."""
    give_up = time.monotonic() + TRIED_SECONDS
    while time.monotonic() < give_up:
        yield
        await asyncio.sleep(random.uniform(0, PAUSE_SECONDS))  # noqa: S311  nothing is secret here
