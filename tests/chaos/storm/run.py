"""One seed's run: Redis, the machines and their clients; the faults; then calm, and the judgement."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from ...support.async_wire import AsyncWireServer, ServerGone, clean_environment
from ...support.redis_server import RedisServer
from ...support.waiting import eventually
from ..book import Book
from ..caller import TIMEOUT_SECONDS, Caller
from ..machine import Machine
from ..seat import Seat
from .client import Client
from .faults import Faults
from .judge import Judge
from .model import Model
from .schedule import faults

MACHINES, CLIENTS_A_MACHINE = 3, 2
DURABLE = ["--appendonly", "yes", "--appendfsync", "always"]
"""What Redis acknowledged survives its kill -9, so what is lost was lost by us."""

DRAINED_WITHIN = 30.0
LEFT_WITHIN = 20.0  # seconds until nothing of an ended server may be left


async def run(seed: int, count: int, folder: Path, log: Path, python: str = sys.executable) -> Book:
    """Let clients work under `count` faults; the book of it. `folder` is empty and on the journals' disk.

    `python` is the interpreter with the build that is tried.
    """
    redis = RedisServer(folder / "redis")
    redis.arguments = list(DURABLE)
    await asyncio.to_thread(redis.start)
    try:
        with Book(seed, log) as book:
            book.during = "storm"
            async with _seats(redis, folder, book, python) as seats, Machine(folder) as machine:
                model = Model()
                await _work(seed, count, redis, seats, machine, model, book)
                await _settle(seats, book)
                async with _fresh(redis, folder, python) as fresh:
                    await Judge(model, book, fresh, {seat.name: seat.server for seat in seats}).judge()
                book.event("machine", "worst allowance", seconds=machine.worst)
            await _nothing_left(seats, book)
            return book
    finally:
        await asyncio.to_thread(redis.kill)


async def _work(
    seed: int, count: int, redis: RedisServer, seats: list[Seat], machine: Machine, model: Model, book: Book
) -> None:
    stop = asyncio.Event()
    clients = [Client(seed, Caller(seat, book, machine), model) for seat in seats]
    workers = [asyncio.create_task(client.work(stop)) for client in clients]
    injector = asyncio.create_task(Faults(redis, seats, book).run(faults(seed, len(seats)), count))
    try:
        while not injector.done():
            done, _ = await asyncio.wait({injector, *workers}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        stop.set()
        await asyncio.gather(*workers)
    finally:
        for task in (injector, *workers):
            task.cancel()
        await asyncio.gather(injector, *workers, return_exceptions=True)


async def _settle(seats: list[Seat], book: Book) -> None:
    """All is well again: what is pending must drain."""
    began = book.seconds()
    for seat in seats:
        await seat.up()
        journal: dict[str, object] = {}

        async def drained(seat: Seat = seat) -> bool:
            nonlocal journal
            try:
                journal = (await seat.server.call("persistence_status")).answer["journal"]
            except ServerGone:
                raise AssertionError(f"{seat.name}'s server ended while all was calm") from None
            return journal["pending"] == 0

        try:
            await eventually(drained, within=DRAINED_WITHIN)
        except AssertionError:
            text = f"{journal.get('pending')} changes are pending {DRAINED_WITHIN} s after all was well again"
            book.violation("wrongly reported", f"{seat.machine} pending", text, journal=journal)
        if journal.get("set_aside"):
            text = "acknowledged changes were set aside"
            book.violation("wrongly reported", f"{seat.machine} set aside", text, set_aside=journal["set_aside"])
    book.event("judge", "drained", seconds=round(book.seconds() - began, 3))


async def _nothing_left(seats: list[Seat], book: Book) -> None:
    try:
        await eventually(lambda: not any(seat.left_behind() for seat in seats), within=LEFT_WITHIN)
    except AssertionError:
        for seat in seats:
            for pid in seat.left_behind():
                book.violation("left behind", f"{seat.name} {pid}", "a process outlives its server")


@asynccontextmanager
async def _seats(redis: RedisServer, folder: Path, book: Book, python: str) -> AsyncIterator[list[Seat]]:
    """The clients' seats, each with a server; two share a machine's data folder. Nothing of them is left."""
    seats: list[Seat] = []
    for number in range(MACHINES * CLIENTS_A_MACHINE):
        name, machine = f"c{number}", f"m{number // CLIENTS_A_MACHINE}"
        env = clean_environment(
            folder / machine,
            name,
            redis.url,
            FLYWHEEL_TIMEOUT_SECONDS=f"{TIMEOUT_SECONDS:g}",
            FLYWHEEL_LOG_LEVEL="INFO",
        )
        seats.append(Seat(name, machine, env, folder / f"{name}.stderr", book, python))
    try:
        await asyncio.gather(*(seat.start() for seat in seats))
        yield seats
    finally:
        await asyncio.gather(*(seat.close() for seat in seats))


@asynccontextmanager
async def _fresh(redis: RedisServer, folder: Path, python: str) -> AsyncIterator[AsyncWireServer]:
    """A server whose machine has never seen anything."""
    server = AsyncWireServer(clean_environment(folder / "fresh", "home", redis.url), folder / "fresh.stderr", python)
    await server.start()
    try:
        yield server
    finally:
        await server.close()
