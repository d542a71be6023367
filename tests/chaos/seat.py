"""A seat: the place of one client, with the server process that it talks to, started again after each end."""

import asyncio
import sys
from pathlib import Path

from ..support.async_wire import AsyncWireServer, ServerGone
from ..support.processes import alive
from .book import Book

READY_WITHIN = 60.0  # seconds until a server that was started again must have shaken hands
TRIES = 5  # a server that is killed while it starts is started again


class Seat:
    """One client's server. `machine` names the data folder that it shares with the other seats of that machine.

    `python` is the interpreter with the build that is tried, `destination` where its sessions belong.
    """

    def __init__(
        self,
        name: str,
        machine: str,
        env: dict[str, str],
        stderr: Path,
        book: Book,
        python: str = sys.executable,
        destination: str = "A",
    ) -> None:
        self.name = name
        self._python = python
        self.destination = destination
        self.machine = machine
        self.env = env
        self.stderr = stderr
        self.life = 0  # how many servers it has had
        self.reached = False  # whether this server has shown that its child was ready once
        self.reached_at = 0.0  # when Redis was last seen to be behind an answer (monotonic clock)
        self.childless_at = 0.0  # when its status last said that there is no child now (monotonic clock)
        self.polite_end = False
        self.server = AsyncWireServer(env, stderr, python)
        self.pids: set[int] = set()  # children seen below any of its servers
        self._up = asyncio.Event()
        self._book = book

    def __repr__(self) -> str:
        return f"<Seat {self.name} on {self.machine}, life {self.life}>"

    @property
    def is_up(self) -> bool:
        return self._up.is_set()

    async def up(self) -> None:
        """Wait until there is a server to talk to."""
        async with asyncio.timeout(READY_WITHIN):
            await self._up.wait()

    async def start(self) -> None:
        """A new server process."""
        for _ in range(TRIES):
            server = AsyncWireServer(self.env, self.stderr, self._python)
            try:
                await server.start()
            except ServerGone:
                await server.gone()
                self._book.violation("wrongly reported", f"{self.name} start {self.life}", "the server did not start")
                continue
            self.server, self.reached, self.polite_end = server, False, False
            self.life += 1
            self._book.event(self.name, "server started", life=self.life, pid=server.pid)
            self._up.set()
            return
        raise AssertionError(f"{self.name}'s server does not start; see {self.stderr}")

    async def kill(self) -> None:
        """kill -9 of the server, and a new one."""
        await self.stop(politely=False)
        await self.start()

    async def end(self) -> None:
        """End the server by the end of its input, and start a new one."""
        await self.stop(politely=True)
        await self.start()

    async def stop(self, *, politely: bool) -> None:
        """End the server by the end of its input, or kill -9 it; `start` begins the next one."""
        self._down()
        self.polite_end = politely
        self._book.event(self.name, "server ended" if politely else "server killed", life=self.life)
        self.server.close_input() if politely else self.server.kill()
        if not await self.server.gone() and politely:
            text = "the server did not end within 10 s of the end of its input"
            self._book.violation("wrongly reported", f"{self.name} end {self.life}", text)

    async def revive(self) -> None:
        """A new server for one that ended by itself."""
        if not self.server.running:
            self._down()
            await self.server.gone()
            await self.start()

    async def close(self) -> None:
        """End the server for good, and look for what it leaves behind."""
        self._down()
        await self.server.close()

    def child(self) -> int | None:
        """The pid of the youngest process below the server."""
        below = self.server.children
        self.pids.update(below)
        return below[-1] if below else None

    def left_behind(self) -> list[int]:
        return [pid for pid in self.pids if alive(pid)]

    def _down(self) -> None:
        self._up.clear()
        self.pids.update(self.server.children)
        if self.server.junk:
            self._book.violation(
                "wrongly reported",
                f"{self.name} junk {self.life}",
                "stdout is the protocol's alone",
                lines=self.server.junk,
            )
