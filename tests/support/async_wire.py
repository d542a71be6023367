"""The protocol line by line for many callers at once: a server process over real stdio, driven from an event loop.

`WireServer` is its synchronous twin. This one may be killed while calls are in flight: they raise `ServerGone`.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .processes import children, kill

START_SECONDS = 60.0  # far above a start on the busiest machine; only a wedged server reaches it
END_SECONDS = 20.0  # far above the contract's way of closing
LINE_LIMIT = 2**27


class ServerGone(Exception):  # noqa: N818  an event of these tests, not a fault
    """The server ended before it answered: whether the call had its effect is unknown."""


class NotSent(ServerGone):
    """The server's input had ended before: the call had no effect."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One tool call's answer: `answer` is its structured content, `error` the words of an error of any kind."""

    answer: dict[str, Any]
    error: str
    sent_at: float
    seconds: float


class AsyncWireServer:
    """One server process. Start it, call it from as many tasks as you like, end it in one of three ways.

    `python` is the interpreter with the build that is tried.
    """

    def __init__(self, env: Mapping[str, str], stderr_path: Path, python: str = sys.executable) -> None:
        self.env = dict(env)
        self._python = python
        self.stderr_path = stderr_path
        self.junk: list[bytes] = []  # lines on stdout that are no protocol
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._next_id = 0

    @property
    def pid(self) -> int:
        assert self._process, "the server is not started"
        return self._process.pid

    @property
    def children(self) -> list[int]:
        return children(self.pid)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> "AsyncWireServer":
        """Start the process and shake hands.

        Raises:
            ServerGone: it was ended meanwhile.

        """
        with self.stderr_path.open("ab") as err:
            self._process = await asyncio.create_subprocess_exec(
                self._python,
                "-m",
                "agentic_flywheel",
                env=self.env,
                cwd=self.env["HOME"],
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=err,
                limit=LINE_LIMIT,
                start_new_session=True,
            )
        self._reader = asyncio.create_task(self._read())
        hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "wire", "version": "1"}}
        async with asyncio.timeout(START_SECONDS):
            await self._request("initialize", hello)
        self._write({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return self

    async def call(self, name: str, /, **arguments: Any) -> Reply:
        """Call a tool, however long it takes.

        Raises:
            ServerGone: the server ended before it answered (`NotSent`: before it was asked).

        """
        sent_at = time.monotonic()
        message = await self._request("tools/call", {"name": name, "arguments": arguments})
        seconds = time.monotonic() - sent_at
        result = message.get("result")
        if result is None:
            return Reply({}, f"a protocol error: {message.get('error')}", sent_at, seconds)
        if result.get("isError"):
            return Reply({}, "\n".join(block["text"] for block in result["content"]), sent_at, seconds)
        answer = result.get("structuredContent") or {}
        return Reply(answer, "" if answer.get("message") else "an answer without a sentence", sent_at, seconds)

    def kill(self) -> None:
        """kill -9 of the server alone; its child is to notice that by itself."""
        kill(self.pid)

    def close_input(self) -> None:
        """The polite end: what was sent is still answered."""
        assert self._process
        assert self._process.stdin
        self._process.stdin.close()

    async def gone(self, within: float = END_SECONDS) -> bool:
        """Wait for the end of the process and its pipes; False (and a kill -9) if `within` seconds pass without."""
        assert self._process
        in_time = True
        try:
            async with asyncio.timeout(within):
                await self._process.wait()
        except TimeoutError:
            in_time = False
            self.kill()
            await self._process.wait()
        if self._reader:
            await self._reader
        if self._process.stdin:
            self._process.stdin.close()
            with suppress(ConnectionError):
                await self._process.stdin.wait_closed()
        return in_time

    async def close(self) -> None:
        """End it politely, impolitely if need be, with all that is below it; stopped processes are continued first."""
        if not self.running:
            return
        below = self.children
        for pid in below:
            kill(pid, signal.SIGCONT)
        self.close_input()
        await self.gone()
        for pid in below:
            kill(pid)

    async def _request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self._next_id += 1
        number = self._next_id
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        assert self._process
        assert self._process.stdin
        if self._reader is None or self._reader.done() or self._process.stdin.is_closing():
            raise NotSent
        self._waiting[number] = future
        try:
            self._write({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
            return await future
        finally:
            self._waiting.pop(number, None)

    def _write(self, message: dict[str, Any]) -> None:
        assert self._process
        assert self._process.stdin
        with suppress(ConnectionError, RuntimeError):  # its reader then sees the end as well
            self._process.stdin.write(json.dumps(message, ensure_ascii=False).encode() + b"\n")

    async def _read(self) -> None:
        assert self._process
        assert self._process.stdout
        try:
            while line := await self._process.stdout.readline():
                self._take(line)
        finally:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(ServerGone())

    def _take(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            self.junk.append(line)
        elif "method" not in message and (future := self._waiting.get(message.get("id") or 0)) and not future.done():
            future.set_result(message)


def clean_environment(folder: Path, home: str, redis_url: str, **more: str) -> dict[str, str]:
    """The whole environment of a server whose journal is in `folder`, with a home of its own."""
    own_home = folder / home
    own_home.mkdir(parents=True, exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(own_home),
        "FLYWHEEL_DATA_DIR": str(folder / "data"),
        "REDIS_URL": redis_url,
        **more,
    }
