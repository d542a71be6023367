"""The network between a server and its Redis: it passes everything on, delays answers, cuts them off, or speaks TLS."""

import asyncio
import ssl
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

TLS = Path(__file__).with_name("tls")
OUR_CERTIFICATE = TLS / "ours.crt"  # self-signed, for 127.0.0.1, till 2126: so it is its own authority
OTHER_CERTIFICATE = TLS / "other.crt"  # of somebody else
ELSEWHERE = TLS / "elsewhere.crt"  # self-signed with the same key, for redis.example.org
CHUNK = 1 << 16
TURNS = (
    50  # of the event loop, in which a connection that was accepted is handed over, and one that is aborted is closed
)
CUT_WITHIN = 30.0  # seconds, for the proxy's thread to get its turn


class Proxy:
    """A port in front of another one, in a thread of its own."""

    def __init__(self, behind: int, *, tls: bool = False, certificate: Path = OUR_CERTIFICATE) -> None:
        self.behind = behind
        self.delay = 0.0  # seconds before each piece of an answer is passed on
        self.cuts = False  # whether an answer ends in its middle, and the connection with it
        self.shut = False  # whether nobody gets through
        self.most = 0  # bytes that may be asked without an answer in between, else the connection is cut; 0: any
        self.port = 0
        self._tls = tls
        self._certificate = certificate
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._open: list[asyncio.WriteTransport] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(30), "the proxy does not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(30)
        assert not self._thread.is_alive(), "the proxy does not end"

    def shut_off(self) -> None:
        """From now on nobody gets through; whoever is through is thrown out."""
        self.shut = True
        self.cut()

    def cut(self) -> None:
        """Throw out whoever is through; all are out when this comes back."""
        asyncio.run_coroutine_threadsafe(self._throw_out(), self._loop).result(CUT_WITHIN)

    def lead_to(self, behind: int) -> None:
        """From now on the port behind is another one, as after a fail-over."""
        self.behind = behind
        self.cut()

    async def _throw_out(self) -> None:
        while self._open:
            self._open.pop().abort()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        context = None
        if self._tls:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(self._certificate, TLS / "ours.key")
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._end.wait()
        self.shut = True
        for listening in server.sockets:  # closed before who was let in is handed over, asyncio forgets that socket
            self._loop.remove_reader(listening)
        for _ in range(TURNS):  # whoever was being let in is thrown out as well, and told so before the loop ends
            await asyncio.sleep(0)
            await self._throw_out()
        server.close()
        for _ in range(TURNS):  # cancelled before it began, one closes nothing; one that is let in begins another
            if letting_in := asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.wait(letting_in, timeout=CUT_WITHIN)
            await asyncio.sleep(0)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        if self.shut:
            writer.transport.abort()
            return
        self._open.append(writer.transport)
        with suppress(OSError, asyncio.CancelledError):
            answers, questions = await asyncio.open_connection("127.0.0.1", self.behind)
            writers.append(questions)
            asked = [0]  # bytes since the last answer
            ways = {
                asyncio.create_task(self._ask(reader, questions, asked)),
                asyncio.create_task(self._answer(answers, writer, asked)),
            }
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        for each in writers:
            each.transport.abort()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: list[int]) -> None:
        while chunk := await reader.read(CHUNK):
            asked[0] += len(chunk)
            if 0 < self.most < asked[0]:
                return
            writer.write(chunk)
            await writer.drain()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: list[int]) -> None:
        while chunk := await reader.read(CHUNK):
            asked[0] = 0
            await asyncio.sleep(self.delay)
            if self.cuts:
                writer.write(chunk[: len(chunk) // 2])
                await writer.drain()
                writer.close()
                await writer.wait_closed()
                return
            writer.write(chunk)
            await writer.drain()
