"""Asks Redis in the event loop's own thread, for as long as it answers at once.

A thread costs a call twice what Redis does. So a script goes over a connection kept for that. A thread waits for an
answer that is not there at once, and for all that follow, until Redis is quick again. Threads also do what could hold
up the event loop: connecting, sending much, trying a connection that was idle.
"""

# pyright: basic
# redis-py 4 has no types; in strict mode every line that touches it would be an error.

import asyncio
import time
from collections.abc import Awaitable, Sequence
from concurrent.futures import Executor
from typing import Any

import redis

from script_runner import Script

AT_ONCE = 0.005
"""Seconds that the event loop waits for an answer; a Redis on the same machine needs a twentieth."""

QUICK_FOR = 5.0
"""Seconds after a quick answer in which the next one is expected to be as quick."""

IDLE_SECONDS = 30.0
"""A connection that was idle for longer may have been forgotten on its way, and is made anew."""

AT_ONE_GO = 32_768
"""Characters that any socket takes without waiting for its reader."""


class InlineRedis:
    """One connection for answers that come at once, and `threads` for all others."""

    def __init__(self, client: Any, threads: Executor) -> None:  # noqa: ANN401  it is untyped
        self._client = client
        self._threads = threads
        self._connection: Any = None  # while nobody uses it
        self._connected = False
        self._idle_since = 0.0
        self._quick_until = 0.0

    def ask(self, script: Script, keys: Sequence[str], args: Sequence[Any]) -> Any:  # noqa: ANN401
        """What a script answers; what to wait for, where that is not there at once.

        Raises:
            redis.RedisError: nothing, or a refusal.

        """
        connection = self._take(keys, args)
        if connection is None:
            return self._ask_in_thread(script, keys, args)
        try:
            connection.send_packed_command([_packed(script.command(keys, args))], check_health=False)
            at_once = connection.can_read(AT_ONCE)
        except BaseException:
            self._let_go(connection)
            raise
        if not at_once:
            self._quick_until = 0.0
            reading = asyncio.get_running_loop().run_in_executor(self._threads, self._read, connection)
            return self._wait(reading, script, keys, args)
        try:
            return self._read(connection)
        except redis.ResponseError as exc:
            if not script.has_another_way(exc):
                raise
            return self._ask_in_thread(script, keys, args)

    async def _wait(self, reading: Awaitable[Any], script: Script, keys: Sequence[str], args: Sequence[Any]) -> Any:  # noqa: ANN401
        try:
            return await asyncio.shield(reading)  # a cancelled caller leaves the connection to the thread
        except redis.ResponseError as exc:
            if not script.has_another_way(exc):
                raise
            return await self._ask_in_thread(script, keys, args)

    def _read(self, connection: Any) -> Any:  # noqa: ANN401
        try:
            answer = connection.read_response()
        except redis.ResponseError:
            self._put_back(connection)
            raise
        except BaseException:
            self._let_go(connection)
            raise
        self._put_back(connection)
        return answer

    def _take(self, keys: Sequence[str], args: Sequence[Any]) -> Any:  # noqa: ANN401
        """The connection, if nothing suggests that it would have to be waited for."""
        connection = self._connection
        if connection is None or time.monotonic() > self._quick_until:
            return None
        if sum(len(arg) for arg in (*keys, *args) if isinstance(arg, str)) > AT_ONE_GO:
            return None
        self._connection = None
        try:
            # If there is something to read before anything was asked, Redis has closed it.
            if time.monotonic() - self._idle_since < IDLE_SECONDS and not connection.can_read(0):
                return connection
        except (redis.RedisError, OSError):
            pass
        self._let_go(connection)
        return None

    async def _ask_in_thread(self, script: Script, keys: Sequence[str], args: Sequence[Any]) -> Any:  # noqa: ANN401
        def ask() -> tuple[Any, float]:
            began = time.monotonic()
            answer = script(keys=keys, args=args)
            return answer, time.monotonic() - began

        loop = asyncio.get_running_loop()
        answer, seconds = await loop.run_in_executor(self._threads, ask)
        if seconds < AT_ONCE:
            self._quick_until = time.monotonic() + QUICK_FOR
            if not self._connected:
                self._connected = True
                loop.run_in_executor(self._threads, self._connect)
        return answer

    def _connect(self) -> None:
        connection = self._client.connection_pool.make_connection()
        try:
            connection.send_command("PING")
            connection.read_response()
        except (redis.RedisError, OSError):
            self._let_go(connection)
        else:
            self._put_back(connection)

    def _put_back(self, connection: Any) -> None:  # noqa: ANN401
        self._idle_since = time.monotonic()
        self._connection = connection

    def _let_go(self, connection: Any) -> None:  # noqa: ANN401
        connection.disconnect()
        self._connected = False


def _packed(command: Sequence[Any]) -> bytes:
    """A command as Redis reads it, in one piece: redis-py sends three where it is large, and takes twice as long."""
    parts = [part.encode() if isinstance(part, str) else b"%d" % part for part in command]
    return b"".join([b"*%d\r\n" % len(parts), *[b"$%d\r\n%b\r\n" % (len(part), part) for part in parts]])
