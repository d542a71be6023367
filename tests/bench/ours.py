"""Our server, and our Python API, as peers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import redis as redis_py

from agentic_flywheel.backends.base import BackendType, UniversalSession
from agentic_flywheel.integrations.redis_state import RedisSessionManager

from ..support.waiting import eventually
from .corpus import Talk, Turn
from .peers import LIBRARY, Peer, Server


class Ours(Server):
    """Our server: revisions, expiry and journal are on."""

    stored_in = "redis"
    has_budget = True
    redis_key = "agentic_flywheel:session:{key}"

    async def ready(self) -> None:
        """Come back once saves go where they are meant to go."""

        async def reached() -> bool:
            answer = await self.call("save_session", session_id="warm", history=[{"role": "user", "content": "?"}])
            return self.kept(answer)

        await eventually(reached, within=30, what=f"{self.name} to reach its store")

    async def save(self, key: str, talk: Talk) -> Any:
        return await self.call("save_session", session_id=key, history=talk.history, mode="replace")

    async def append(self, key: str, added: Turn) -> Any:
        return await self.call("save_session", session_id=key, history=[added])

    async def resume(self, key: str, tokens: int) -> Any:
        return await self.call("resume_session", session_id=key, max_tokens=tokens)

    def results(self) -> Peer:
        return OurResults(self)

    def kept(self, answer: Any) -> bool:
        return not answer.is_error and answer.structured_content["stored_in"] == self.stored_in

    def history(self, answer: Any) -> list[Turn] | None:
        found = answer.structured_content
        return found["session"]["history"] if found.get("source") == self.stored_in else None


@dataclass(eq=False)
class OurResults(Peer):
    """Our server's verbs for execution results."""

    server: Ours

    def __post_init__(self) -> None:
        self.name = self.server.name
        if self.server.redis_key:
            self.redis_key = self.server.redis_key.replace(":session:", ":execution:")
        else:
            self.redis_key = None

    async def save(self, key: str, talk: Talk) -> Any:
        return await self.server.call("cache_result", execution_id=key, result={"turns": talk.history})

    async def resume(self, key: str, tokens: int) -> Any:  # noqa: ARG002  a result has no budget
        return await self.server.call("get_result", execution_id=key)

    def kept(self, answer: Any) -> bool:
        return self.server.kept(answer)

    def history(self, answer: Any) -> list[Turn] | None:
        found = answer.structured_content
        return found["execution"]["result"]["turns"] if found["found"] else None


class OursWithoutRedis(Ours):
    """The same with REDIS_ENABLED=false."""

    stored_in = "journal"
    redis_key = None


class Ready(Ours):
    """`ready.py`: our verbs, with their answers at hand."""

    stored_in = "none"
    redis_key = None
    has_budget = False

    async def append(self, key: str, added: Turn) -> Any:
        return await self.call("save_session", session_id=key, history=[added])

    def results(self) -> None:
        """It is measured with sessions only."""


@dataclass(eq=False)
class Library(Peer):
    """Our Python API in this process, with a child of its own; its settings are this process's environment."""

    url: str
    name: str = LIBRARY
    redis_key = None  # what it says it kept may be in the journal, on its way to Redis

    @asynccontextmanager
    async def connected(self) -> AsyncIterator["Library"]:
        async with RedisSessionManager(redis_url=self.url, key_prefix="library", strict=True) as self.manager:
            with redis_py.from_url(self.url) as client:
                assert await self.manager.save_session(UniversalSession("warm", BackendType.CUSTOM))
                await eventually(lambda: client.exists("library:session:warm"), within=30, what="the library's Redis")
            yield self

    async def save(self, key: str, talk: Talk) -> Any:
        return await self.manager.save_session(UniversalSession(key, BackendType.CUSTOM, history=talk.history))

    async def append(self, key: str, added: Turn) -> Any:
        session = await self.manager.load_session(key)
        assert session
        session.history.append(added)
        return await self.manager.save_session(session)

    async def resume(self, key: str, tokens: int) -> Any:  # noqa: ARG002
        return await self.manager.load_session(key)

    def results(self) -> None:
        """It is measured with sessions only."""

    def kept(self, answer: Any) -> bool:
        return answer is True

    def history(self, answer: Any) -> list[Turn]:
        return answer.history
