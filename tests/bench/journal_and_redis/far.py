"""A port before another one that is some way off: what is sent arrives later, but as much at once as is sent."""

import asyncio
import threading
from contextlib import suppress
from typing import Self

CHUNK = 1 << 16


class Far:
    """In a thread of its own. Until it is opened, nobody is let through."""

    def __init__(self, behind: int, seconds: float) -> None:
        self.port = 0
        self.open = False
        self._behind = behind
        self._one_way = seconds / 2
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._ready = threading.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._run, name="far", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10), "it does not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)

    def close(self) -> None:
        """Throw everybody out, and let nobody in."""
        self.open = False
        self._loop.call_soon_threadsafe(self._abort)

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._end.wait()
        server.close()
        self._abort()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.open:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._behind)
        both = {writer, far_writer}
        self._writers |= both
        try:
            await asyncio.wait(
                [asyncio.create_task(self._pass(*way)) for way in ((reader, far_writer), (far_reader, writer))],
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            self._writers -= both
            for each in both:
                each.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK):
                self._loop.call_later(self._one_way, writer.write, chunk)
