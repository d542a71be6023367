"""Serves connections with uvicorn, and bounds what it leaves open: silent ones, slow ones, and how many there are."""

import asyncio
import logging
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from agentic_flywheel.errors import SettingError

logger = logging.getLogger(__name__)

HEAD_SECONDS = 10.0
"""How long a connection may take until the head of its next request is there."""

KEEP_ALIVE_SECONDS = 60
"""How long a connection may rest between two requests; clients that keep it save a handshake."""

UNREAD_SECONDS = 60.0
"""How long a client may leave an answer unread."""

LAST_ANSWERS_SECONDS = 20
"""How long requests that were accepted may take once the server ends; each of them is bounded by less."""

BACKLOG = 2048
"""Connections that wait for the loop to take them."""

SPARE_FILES = 200
"""Open files that are not connections: journals, the child's pipes."""

MOST_CONNECTIONS = 4000


class BoundedProtocol(H11Protocol):
    """A connection that is closed when it is silent or slow: uvicorn's own timer ends with the first byte."""

    _waiting: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, if there is room."""
        super().connection_made(transport)
        if len(self.connections) > most_connections():
            transport.abort()
            return
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Take what was sent; the next request's head must be complete in time, counted from its first byte."""
        super().data_received(data)
        cycle = cast("RequestResponseCycle | None", self.cycle)  # none before the first request
        if cycle and not cycle.response_complete:
            self._stop_waiting()
        elif self._waiting is None:
            self._wait_for_head()

    def on_response_complete(self) -> None:
        """The connection rests, or the next request begins."""
        self._stop_waiting()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop_waiting()
        self._stop_unread()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client reads nothing: not for ever."""
        super().pause_writing()
        self._stop_unread()
        self._unread = self.loop.call_later(UNREAD_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        self._stop_unread()

    def _wait_for_head(self) -> None:
        self._waiting = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._waiting:
            self._waiting.cancel()
            self._waiting = None

    def _stop_unread(self) -> None:
        if self._unread:
            self._unread.cancel()
            self._unread = None


class HTTPServer(uvicorn.Server):
    """uvicorn's server, which first ends the streams when it ends, and leaves the exit code to its caller."""

    def __init__(self, config: uvicorn.Config, after_start: Callable[[], None], before_end: Callable[[], None]) -> None:
        super().__init__(config)
        self._after_start, self._before_end = after_start, before_end
        self.received = 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        self._after_start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take nothing more, end the streams, answer what was accepted."""
        self._before_end()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Note a signal; uvicorn would raise it once more afterwards."""
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGTERM, signal.SIGINT, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
        for number in numbers:
            with suppress(NotImplementedError):  # Windows
                loop.add_signal_handler(number, self._on_signal, number)
        try:
            yield
        finally:
            for number in numbers:
                with suppress(NotImplementedError):
                    loop.remove_signal_handler(number)

    def _on_signal(self, number: int) -> None:
        self.received = number
        self.should_exit = True


def configured(app: Callable[..., Awaitable[None]], cert: Path | None, key: Path | None) -> uvicorn.Config:
    """What uvicorn is told.

    Raises:
        SettingError: the certificate or its key cannot be used.

    """
    try:
        config = uvicorn.Config(
            app,
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,  # an address may hold what is nobody's business
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=LAST_ANSWERS_SECONDS,
            ssl_certfile=cert,
            ssl_keyfile=key,
        )
        config.load()
    except (ssl.SSLError, OSError) as exc:
        why = getattr(exc, "reason", None) or exc.strerror or type(exc).__name__
        raise SettingError(f"--tls-cert {cert} and --tls-key {key} cannot be used: {why}.") from None
    if config.ssl:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    return config


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Raises:
        SettingError: that is not possible, and why.

    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except (OSError, UnicodeError) as exc:
        why = getattr(exc, "strerror", None) or type(exc).__name__
        raise SettingError(f"cannot listen on {host} port {port}: {why}.") from None
    return listener


def raise_file_limit() -> None:
    """Let this process have as many files open as it may: a thousand connections are some."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = MOST_CONNECTIONS + SPARE_FILES * 10
        most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        if soft != resource.RLIM_INFINITY and soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


_most: list[int] = []


def most_connections() -> int:
    """How many connections are taken at once."""
    if not _most:
        _most.append(MOST_CONNECTIONS)
        with suppress(ImportError, ValueError, OSError):
            import resource

            soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            if soft != resource.RLIM_INFINITY:
                _most[0] = max(16, min(MOST_CONNECTIONS, soft - SPARE_FILES))
    return _most[0]
