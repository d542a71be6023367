"""Keeps the messages of a LangChain talk as a session: `BaseChatMessageHistory`, plain and as `a…`.

What is added is appended as it is, each message once, whatever others add meanwhile. What other doors have added is
read as messages too.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Self

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    messages_from_dict,
)

from agentic_flywheel.documents.save_request import Save
from agentic_flywheel.errors import Conflict
from agentic_flywheel.integrations.adapter import Adapter
from agentic_flywheel.integrations.background_loop import BackgroundLoop
from agentic_flywheel.integrations.langgraph.messages import turn_of
from agentic_flywheel.integrations.spoken import spoken
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.sessions.history import save_fields
from agentic_flywheel.settings import Settings

TRIES = 8
"""How often messages are cleared anew because others added some meanwhile."""


class FlywheelChatMessageHistory(BaseChatMessageHistory):
    """The messages of the session `session_id`. It raises where something could not be kept, or is not known.

    Args:
        session_id: the talk.
        settings: where it is kept; by default as the environment and the settings file name it.
        key_prefix: another prefix of the keys than those name.
        redis_url: another Redis.
        ttl_seconds: how long a new session lives after its last message; 0: for ever. By default as sessions do.
        redact: whether credentials are replaced before messages are kept.

    """

    def __init__(
        self,
        session_id: str,
        *,
        settings: Settings | None = None,
        key_prefix: str | None = None,
        redis_url: str | None = None,
        ttl_seconds: int | None = None,
        redact: bool = False,
    ) -> None:
        self.session_id = session_id
        self._adapter = Adapter(
            settings=settings, key_prefix=key_prefix, redis_url=redis_url, ttl_seconds=ttl_seconds, redact=redact
        )
        self._background = BackgroundLoop("agentic-flywheel-langchain")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Let go of what the running event loop has open. Using the object opens it anew."""
        await self._adapter.aclose()

    def close(self) -> None:
        """Close what the blocking methods have open; it ends with the program, too."""
        self._background.close(self.aclose())

    async def aget_messages(self) -> list[BaseMessage]:
        """All messages, oldest first."""
        document = await self._adapter.load(self.session_id)
        return [_message_of(turn) for turn in document.session.history] if document else []

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Add messages, all or none."""
        if turns := [turn_of(message) for message in messages]:
            await self._adapter.save(Save(session_id=self.session_id, history=turns, as_sent=True))

    async def aclear(self) -> None:
        """Take all messages away, as a revision that can be undone; title and tags stay."""
        for tries_left in reversed(range(TRIES)):
            document = await self._adapter.load(self.session_id)
            if document is None or not document.session.history:
                return
            fields: dict[str, Any] = save_fields(document) | {"history": []}
            revision = document.revision
            try:
                await self._adapter.save(
                    Save(session_id=self.session_id, mode="replace", expected_revision=revision, **fields)
                )
            except Conflict:
                if not tries_left:
                    raise
            else:
                return

    @property
    def messages(self) -> list[BaseMessage]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As `aget_messages`."""
        return self._background.run(self.aget_messages())

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """As `aadd_messages`."""
        self._background.run(self.aadd_messages(messages))

    def clear(self) -> None:
        """As `aclear`."""
        self._background.run(self.aclear())


_KINDS = {"user": HumanMessage, "assistant": AIMessage, "system": SystemMessage}


def _message_of(turn: JSONObject) -> BaseMessage:
    """A turn as a message: LangChain's own as it was, one of another program as what is said in it, and by whom."""
    if isinstance(turn.get("data"), dict) and isinstance(turn.get("type"), str):
        with suppress(AttributeError, KeyError, TypeError, ValueError):  # it looks like LangChain's, and is not
            return messages_from_dict([turn])[0]
    role, text = spoken(turn)
    return _KINDS[role](text)
