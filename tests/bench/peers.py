"""Who is compared, and what each operation is for them: all servers behind the SDK's own client and stdio.

A peer keeps talks under keys. What it answers is looked at outside the measured time, by `kept` and `history`.
"""

import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import redis as redis_py
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from .corpus import Talk, Turn

OURS, JOURNAL, LIBRARY = "ours", "ours, journal only", "ours, as a library"
STOCK, REDIS_MCP = "stock coaiapy-mcp", "redis-mcp-server"
EMPTY, TWO_HOPS, ENGINE = "empty SDK 2 server", "two hops, plain", "redis-py"
READY = "the client alone"

ANSWER_SECONDS = 60
"""The longest that any answer is waited for: far above all that is measured."""


class Peer:
    """One that keeps talks. The verbs are for the clock: nothing else is in them."""

    name: str
    redis_key: str | None = "{name}:{key}"
    """Where in Redis a talk is; `None` for who does not keep it there."""

    def in_redis(self, key: str) -> str | None:
        """The Redis key of a talk."""
        return self.redis_key and self.redis_key.format(name=self.name, key=key)

    def connected(self) -> Any:
        """A context in which the verbs work."""
        raise NotImplementedError

    async def save(self, key: str, talk: Talk) -> Any:
        """Make the talk what is stored."""
        raise NotImplementedError

    async def append(self, key: str, added: Turn) -> Any:
        """Add a turn to what is stored."""
        raise NotImplementedError

    async def resume(self, key: str, tokens: int) -> Any:
        """Bring back the talk, as much of it as has so many tokens."""
        raise NotImplementedError

    def results(self) -> "Peer | None":
        """The same peer as one that keeps execution results: who has no other verbs for them uses these."""
        return self

    def kept(self, answer: Any) -> bool:
        """Whether that answer of `save` or `append` acknowledges it."""
        raise NotImplementedError

    def history(self, answer: Any) -> list[Turn] | None:
        """The turns in an answer of `resume`; `None` if it does not come from where the peer keeps talks."""
        raise NotImplementedError


@dataclass(eq=False)
class Server(Peer):
    """A server process behind an SDK client."""

    name: str
    command: list[str]
    env: Mapping[str, str]
    mode: Literal["auto", "legacy"] = field(default="auto", init=False)
    """How the client greets it."""
    client: Client | None = field(default=None, init=False)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator["Server"]:
        """A new process; its log goes nowhere, since the stock child writes whole conversations there."""
        command = StdioServerParameters(
            command=self.command[0], args=self.command[1:], env=dict(self.env), cwd=self.env["HOME"]
        )
        with Path(os.devnull).open("w") as errlog:  # noqa: ASYNC230  the null device
            async with Client(
                stdio_client(command, errlog=errlog), mode=self.mode, read_timeout_seconds=ANSWER_SECONDS
            ) as self.client:
                yield self

    async def call(self, tool: str, **arguments: Any) -> Any:
        """A tool call, as a user makes it."""
        assert self.client
        return await self.client.call_tool(tool, arguments)


@dataclass(eq=False)
class TextServer(Server):
    """A server that sets and gets text; what is more than that, its client has to do."""

    put: str = ""
    get: str = ""
    acknowledges: str = ""
    """How the answer to `put` begins."""
    wrapped: bool = False
    """`get` answers JSON with the text in it."""
    ask: Mapping[str, str] = field(default_factory=dict)
    """What `get` is told besides the key."""

    async def save(self, key: str, talk: Talk) -> Any:
        return await self.call(self.put, key=f"{self.name}:{key}", value=talk.text)

    async def append(self, key: str, added: Turn) -> Any:
        document = json.loads(self._text(await self.resume(key, 0)))
        document["history"].append(added)
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
        return await self.call(self.put, key=f"{self.name}:{key}", value=text)

    async def resume(self, key: str, tokens: int) -> Any:  # noqa: ARG002  it has no budget
        return await self.call(self.get, key=f"{self.name}:{key}", **self.ask)

    def kept(self, answer: Any) -> bool:
        return not answer.is_error and answer.content[0].text.startswith(self.acknowledges)

    def history(self, answer: Any) -> list[Turn] | None:
        return json.loads(self._text(answer))["history"]

    def _text(self, answer: Any) -> str:
        text = answer.content[0].text
        return json.loads(text)["value"] if self.wrapped else text


@dataclass(eq=False)
class Engine(Peer):
    """Redis itself, through redis-py in this process."""

    url: str
    name: str = ENGINE
    client: Any = field(init=False)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator["Engine"]:
        with redis_py.from_url(self.url, decode_responses=True) as self.client:
            yield self

    async def save(self, key: str, talk: Talk) -> Any:
        return self.client.set(f"{self.name}:{key}", talk.text)

    async def append(self, key: str, added: Turn) -> Any:
        document = json.loads(self.client.get(f"{self.name}:{key}") or "")
        document["history"].append(added)
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
        return self.client.set(f"{self.name}:{key}", text)

    async def resume(self, key: str, tokens: int) -> Any:  # noqa: ARG002
        return self.client.get(f"{self.name}:{key}")

    def kept(self, answer: Any) -> bool:
        return answer is True

    def history(self, answer: Any) -> list[Turn] | None:
        return json.loads(answer)["history"]
