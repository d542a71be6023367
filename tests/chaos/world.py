"""The world of some faults: two Redis servers, each at an address that stays, two machines, and their servers.

Destination `A` is shared by both machines, `B` is another Redis of machine m0 alone, `here` is that machine without a
Redis. The servers of one machine share its data folder and the key prefix. Each address is a proxy's, so that another
Redis may take the place of the one behind it, and the network may be cut.
"""

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from ..support.async_wire import clean_environment
from ..support.conversations import exact
from ..support.disks import Disk, disks
from ..support.proxy import Proxy
from ..support.redis_server import RedisServer, server_binary
from ..support.waiting import eventually
from .book import Book
from .caller import TIMEOUT_SECONDS, Caller
from .facts import Facts
from .ledger import Ledger
from .machine import Machine
from .seat import Seat
from .watch import Watch

PREFIX = "agentic_flywheel"

READY_WITHIN = 30.0


class Address:
    """One Redis as its clients see it. `redis` is the process that is behind it now."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.redis = RedisServer(folder / "redis")
        self.others: list[RedisServer] = []  # replicas of it
        self.proxy = Proxy(self.redis.port)
        self.down_since: float | None = None
        self._downs: list[tuple[float, float]] = []

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.proxy.port}/0"

    def went_down(self) -> None:
        """Nobody can reach it from now on."""
        self.down_since = time.monotonic()

    def comes_up(self) -> None:
        """Somebody may from now on."""
        if self.down_since is not None:
            self._downs.append((self.down_since, time.monotonic()))
            self.down_since = None

    def was_down(self, began: float, ended: float) -> bool:
        """Whether nobody could reach it from `began` to `ended` (monotonic clock)."""
        downs = [*self._downs, *([(self.down_since, ended)] if self.down_since is not None else [])]
        return any(start <= began and ended <= end for start, end in downs)

    def cut_off(self) -> None:
        """The network between it and everybody is gone, until `let_in`."""
        self.proxy.shut_off()
        self.went_down()

    def let_in(self) -> None:
        self.comes_up()
        self.proxy.shut = False

    async def kill(self) -> None:
        """kill -9."""
        await asyncio.to_thread(self.redis.kill)
        self.went_down()

    async def close(self) -> None:
        """End every process that was ever behind it."""
        for redis in {self.redis, *self.others}:
            await asyncio.to_thread(redis.kill)

    async def start(self, *arguments: str) -> None:
        """Start the process, with these arguments beside the usual ones, from what is in its folder."""
        self.comes_up()
        self.redis.arguments = [*redis_arguments(self.folder), *arguments]
        await asyncio.to_thread(self.redis.start)

    async def ask(self, *command: Any) -> Any:
        """One command of ours, not through the proxy."""
        return await asyncio.to_thread(self._ask, command)

    def _ask(self, command: tuple[Any, ...]) -> Any:
        with self.redis.client() as client:
            return client.execute_command(*command)

    async def documents(self, ids: Sequence[str]) -> dict[str, list[str] | None]:
        """The canonical turns of each session's document; `None`: there is none."""
        texts = await self.ask("MGET", *(f"{PREFIX}:session:{each}" for each in ids)) if ids else []
        return {each: None if text is None else turns_of(text) for each, text in zip(ids, texts, strict=True)}

    async def everything(self) -> dict[str, str]:
        """Every key of the databases in use and the text of its value."""
        return await asyncio.to_thread(self._everything)

    def _everything(self) -> dict[str, str]:
        read = {
            "string": lambda pipe, key: pipe.get(key),
            "hash": lambda pipe, key: pipe.hgetall(key),
            "zset": lambda pipe, key: pipe.zrange(key, 0, -1),
            "stream": lambda pipe, key: pipe.xrange(key),
            "list": lambda pipe, key: pipe.lrange(key, 0, -1),
            "set": lambda pipe, key: pipe.smembers(key),
        }
        with self.redis.client() as client, client.pipeline(transaction=False) as pipe:
            keys = list(client.scan_iter(match=f"{PREFIX}:*", count=1000))
            for key in keys:
                pipe.type(key)
            there = [(key, kind) for key, kind in zip(keys, pipe.execute(), strict=True) if kind in read]
            for key, kind in there:
                read[kind](pipe, key)
            return {key: str(value) for (key, _), value in zip(there, pipe.execute(), strict=True)}


class World:
    """Redis servers, machines and seats. `python` is the interpreter with the build that is tried."""

    def __init__(self, folder: Path, book: Book, machine: Machine, python: str) -> None:
        self.folder = folder
        self.book = book
        self.machine = machine
        self.python = python
        self.ledger = Ledger()
        self.addresses = {name: Address(name, folder / name) for name in ("A", "B")}
        self.seats: dict[str, Seat] = {}
        self.wrong: set[str] = set()  # sessions that were found wrong, and are not judged again
        self._watches: list[asyncio.Task[None]] = []
        self.dead_letters: dict[str, int] = {}  # of each machine: those that are meant to be there
        self.disks: list[Disk] = []  # the ways to fill the disk of machine m0

    @property
    def a(self) -> Address:
        return self.addresses["A"]

    @property
    def b(self) -> Address:
        return self.addresses["B"]

    def data(self, machine: str) -> Path:
        """A machine's data folder."""
        return self.folder / machine / "data"

    def seats_of(self, machine: str) -> list[Seat]:
        return [seat for seat in self.seats.values() if seat.machine == machine]

    async def seat(self, machine: str, destination: str) -> Seat:
        """The seat of that machine with a server for that destination, begun if there is none."""
        name = f"{machine}{destination}"
        if name not in self.seats:
            env = clean_environment(
                self.folder / machine,
                f"home-{destination}",
                self.addresses[destination].url if destination != "here" else "",
                FLYWHEEL_TIMEOUT_SECONDS=f"{TIMEOUT_SECONDS:g}",
                FLYWHEEL_LOG_LEVEL="INFO",
            )
            if destination == "here":  # no Redis is named; builds that take one for granted are told so
                del env["REDIS_URL"]
                env["REDIS_ENABLED"] = "false"
            seat = Seat(name, machine, env, self.folder / f"{name}.stderr", self.book, self.python, destination)
            await seat.start()
            self.seats[name] = seat
            self._watches.append(asyncio.create_task(Watch(self, seat, self.caller(seat, f"watch of {name}")).run()))
        return self.seats[name]

    def caller(self, seat: Seat, name: str) -> Caller:
        """A caller at that seat, whose answers are held against the facts."""
        return Caller(seat, self.book, self.machine, Facts(self), name)

    async def watch_no_more(self) -> None:
        """End the watches; raise what broke one."""
        for task in self._watches:
            task.cancel()
        for outcome in await asyncio.gather(*self._watches, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    async def kill(self, seat: Seat) -> None:
        """kill -9 of a seat's server, and a new one."""
        self.ledger.killed(seat.machine)
        await seat.kill()


@asynccontextmanager
async def a_world(folder: Path, book: Book, python: str = sys.executable) -> AsyncIterator[World]:
    """A world with Redis A, B and one server on each machine, reached and ready; nothing of it is left afterwards."""
    async with AsyncExitStack() as stack, Machine(folder) as machine:
        world = World(folder, book, machine, python)
        for address in world.addresses.values():
            stack.enter_context(address.proxy)
            stack.push_async_callback(address.close)
            await address.start()
        world.disks = disks(world.data("m0"))
        for disk in world.disks:
            stack.callback(disk.close)
        stack.push_async_callback(_close, world)
        seats = await asyncio.gather(world.seat("m0", "A"), world.seat("m1", "A"))
        for seat in seats:
            await reached(seat)
        yield world


async def reached(seat: Seat) -> None:
    """Wait until that seat's server has its Redis."""

    async def answers() -> bool:
        return (await seat.server.call("persistence_status")).answer.get("mode") == "redis"

    await eventually(answers, within=READY_WITHIN, what=f"{seat} to reach its Redis")


async def _close(world: World) -> None:
    await world.watch_no_more()
    await asyncio.gather(*(seat.close() for seat in world.seats.values()))
    for seat in world.seats.values():
        if left := seat.left_behind():
            world.book.violation("left behind", seat.name, f"processes {left} outlive their server")


def turns_of(text: str) -> list[str]:
    """The canonical turns in a session document's text."""
    return [exact(turn) for turn in json.loads(text).get("history", [])]


def redis_arguments(folder: Path) -> list[str]:
    """What every Redis of ours is started with: replicas wait for nobody, DEBUG is allowed (needed from 7.0 on)."""
    said = subprocess.run([server_binary(folder), "--version"], capture_output=True, text=True, check=True).stdout
    major = int(re.search(r"v=(\d+)", said)[1])  # type: ignore[index]
    return ["--repl-diskless-sync-delay", "0", *(["--enable-debug-command", "local"] if major >= 7 else [])]
