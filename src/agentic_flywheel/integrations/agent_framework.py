"""Keeps the messages and the session state of Agent Framework as sessions.

    from agent_framework import Agent
    from agentic_flywheel.integrations.agent_framework import FlywheelHistoryProvider

    async with FlywheelHistoryProvider() as history:
        agent = Agent(client, context_providers=[history])
        await agent.run("Where were we?", session=AgentSession(session_id="trip"))

The provider keeps each message as a turn, as `Message.to_dict` writes it. The store keeps an `AgentSession` whole: the
messages of its in-memory provider are the turns, all else of it stands in the context of the session.
"""

import time
from collections.abc import Sequence
from typing import Any, ClassVar, cast

from agent_framework import AgentSession, HistoryProvider, Message, SessionStore

from agentic_flywheel.errors import Conflict
from agentic_flywheel.integrations.adapter import AdapterBase
from agentic_flywheel.integrations.spoken import spoken
from agentic_flywheel.integrations.turn_log import EDIT_SECONDS, append_turns, edit_turns, finished, plain_turns
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.settings import Settings

__all__ = ["FlywheelHistoryProvider", "FlywheelSessionStore"]

SNAPSHOT = "agent_framework"
"""The field of a session's context in which the rest of an `AgentSession` stands."""

MESSAGES = "messages"
"""Where the framework's in-memory provider keeps its messages, in its part of the state."""


class FlywheelHistoryProvider(AdapterBase, HistoryProvider):
    """A `HistoryProvider` whose messages are the turns of the session of the same id.

    Turns that other programs added are given as messages of their role with the text that they say.

    Args:
        source_id: the framework's name of this provider.
        load_messages, store_inputs, store_context_messages, store_context_from, store_outputs: the framework's.
        skip_excluded: leave out messages that a compaction has marked as excluded.
        settings, key_prefix, redis_url, ttl_seconds, redact: see `AdapterBase`.

    """

    DEFAULT_SOURCE_ID: ClassVar[str] = "flywheel"

    def __init__(
        self,
        source_id: str = DEFAULT_SOURCE_ID,
        *,
        load_messages: bool = True,
        store_inputs: bool = True,
        store_context_messages: bool = False,
        store_context_from: set[str] | None = None,
        store_outputs: bool = True,
        skip_excluded: bool = False,
        settings: Settings | None = None,
        key_prefix: str | None = None,
        redis_url: str | None = None,
        ttl_seconds: int | None = None,
        redact: bool = False,
    ) -> None:
        AdapterBase.__init__(
            self, settings=settings, key_prefix=key_prefix, redis_url=redis_url, ttl_seconds=ttl_seconds, redact=redact
        )
        HistoryProvider.__init__(
            self,
            source_id,
            load_messages=load_messages,
            store_inputs=store_inputs,
            store_context_messages=store_context_messages,
            store_context_from=store_context_from,
            store_outputs=store_outputs,
        )
        self.skip_excluded = skip_excluded
        self._fields: JSONObject = {} if ttl_seconds is None else {"ttl_seconds": ttl_seconds}

    async def get_messages(
        self,
        session_id: str | None,
        *,
        state: dict[str, Any] | None = None,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> list[Message]:
        """The messages of a session, oldest first; `[]` where there is none.

        Raises:
            ValueError: there is no `session_id`.
            DocumentError, Unavailable: they cannot be told.

        """
        document = await self.read_session(_checked(session_id))
        messages = [_message(turn) for turn in (document.session.history if document else [])]
        if self.skip_excluded:
            return [each for each in messages if not each.additional_properties.get("_excluded", False)]
        return messages

    async def save_messages(
        self,
        session_id: str | None,
        messages: Sequence[Message],
        *,
        state: dict[str, Any] | None = None,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Add messages, all or none; of a replay of the whole talk only what is new.

        Raises:
            ValueError: there is no `session_id`.
            TypeError, InvalidArgument: JSON cannot carry one.
            DocumentError, Unavailable: they are not kept.

        """
        turns = plain_turns([message.to_dict() for message in messages], "messages")
        if turns:
            await finished(self._add(_checked(session_id), turns))

    async def _add(self, session_id: str, turns: list[JSONObject]) -> None:
        document = await self.read_session(session_id) if len(turns) > 1 else None
        there = document.session.history if document else []
        if 1 < len(there) <= len(turns) and turns[: len(there)] == there:
            turns = turns[len(there) :]
        if turns:
            await append_turns(self, session_id, turns, **self._fields)


class FlywheelSessionStore(AdapterBase, SessionStore):
    """A `SessionStore` that keeps each `AgentSession` as the session of that id; arguments as of `AdapterBase`.

    What other doors added to the messages, or took away, is in what `get` gives.
    """

    def __init__(
        self,
        *,
        settings: Settings | None = None,
        key_prefix: str | None = None,
        redis_url: str | None = None,
        ttl_seconds: int | None = None,
        redact: bool = False,
    ) -> None:
        AdapterBase.__init__(
            self, settings=settings, key_prefix=key_prefix, redis_url=redis_url, ttl_seconds=ttl_seconds, redact=redact
        )
        SessionStore.__init__(self)
        self._fields: JSONObject = {} if ttl_seconds is None else {"ttl_seconds": ttl_seconds}

    async def get(self, session_id: str) -> AgentSession | None:
        """The session as it was set, in an object of its own; `None` where none was.

        Raises:
            ValueError: the id is empty.
            DocumentError, Unavailable: it cannot be told.

        """
        self.validate_session_id(session_id)
        document = await self.read_session(session_id)
        kept = document.session.context.get(SNAPSHOT) if document else None
        if document is None or not isinstance(kept, dict):
            return None
        snapshot, source = cast("JSONObject", kept), cast("JSONObject", kept).pop("messages_of", None)
        if source is not None:
            turns = document.session.history
            snapshot["state"][source][MESSAGES] = [_message(turn).to_dict() for turn in turns]
        return AgentSession.from_dict(snapshot)

    async def set(self, session_id: str, session: AgentSession) -> None:
        """Keep a session in the place of the one of that id, as one revision.

        Raises:
            ValueError: the id is empty.
            TypeError, InvalidArgument: JSON cannot carry what is in it.
            DocumentError, Unavailable: it is not kept.

        """
        self.validate_session_id(session_id)
        (snapshot,) = plain_turns([session.to_dict()], "session")
        parts: JSONObject = snapshot["state"]
        state: JSONObject = {name: {**part} if isinstance(part, dict) else part for name, part in parts.items()}
        snapshot |= {"state": state}
        source = next((name for name, part in state.items() if _has_messages(part)), None)
        turns: list[JSONObject] | None = None
        if source is not None:
            turns = state[source].pop(MESSAGES)
            snapshot["messages_of"] = source
        await finished(self._put(session_id, snapshot, turns))

    async def delete(self, session_id: str) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Delete a session for good, with its revisions; whether there was one.

        Raises:
            ValueError: the id is empty.
            DocumentError, Unavailable: it may still be there.

        """
        self.validate_session_id(session_id)
        return await finished(self.delete_session(session_id))

    async def _put(self, session_id: str, snapshot: JSONObject, turns: list[JSONObject] | None) -> None:
        """Set the context, and the turns: what is new is added to them, if they begin with what is there."""
        fields: JSONObject = self._fields | {"context": {SNAPSHOT: snapshot}}
        if turns is None:
            await append_turns(self, session_id, [], **fields)
            return
        give_up = time.monotonic() + EDIT_SECONDS
        while True:
            document = await self.read_session(session_id)
            there, revision = (document.session.history, document.revision) if document else ([], 0)
            try:
                if turns[: len(there)] == there:
                    await append_turns(self, session_id, turns[len(there) :], expected_revision=revision, **fields)
                else:
                    await edit_turns(self, session_id, lambda _: turns, "set", context={SNAPSHOT: snapshot})
            except Conflict:
                if time.monotonic() > give_up:
                    raise
            else:
                return


def _checked(session_id: str | None) -> str:
    if not session_id:
        raise ValueError("The history is kept by session: give the agent a session, or get_messages a session_id.")
    return session_id


def _has_messages(part: object) -> bool:
    """Whether a part of the state is that of an in-memory provider."""
    messages = cast("JSONObject", part).get(MESSAGES) if isinstance(part, dict) else None
    return isinstance(messages, list) and all(_is_message(each) for each in cast("list[object]", messages))


def _is_message(turn: object) -> bool:
    return isinstance(turn, dict) and cast("JSONObject", turn).get("type") == "message" and "contents" in turn


def _message(turn: JSONObject) -> Message:
    """The message that a turn is, or that says what it says."""
    if _is_message(turn):
        return Message.from_dict(turn)
    role, text = spoken(turn)
    return Message(role, [text])
