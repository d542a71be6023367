"""Keeps one store and one server for each namespace, opened when it is first asked for and closed when it is idle.

That is the whole of how namespaces are kept apart: another key prefix, another folder, another object for everything
that holds anything. Nothing below this file knows of namespaces, and no argument of a tool names one.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings

from agentic_flywheel.journal.threads import in_thread
from agentic_flywheel.keys import Keys
from agentic_flywheel.server.app import FlywheelServer, build_server
from agentic_flywheel.server.http_ended import EndedSessions
from agentic_flywheel.server.http_questions import SharedAnswers
from agentic_flywheel.server.http_sessions import HandshakeSessions
from agentic_flywheel.server.http_subscribed import SubscriptionRecords
from agentic_flywheel.server.sdk_internals import lowlevel_of
from agentic_flywheel.server.tool_tracing import ToolTracing
from agentic_flywheel.sessions.wiring import check_keys, open_store
from agentic_flywheel.settings import Settings

if TYPE_CHECKING:
    from agentic_flywheel.coaia.supervisor import Supervisor

logger = logging.getLogger(__name__)

FOLDER = "namespaces"
"""Below the data folder: a folder for each namespace."""

MOST_OPEN = 128
"""Namespaces that are open at once; each has a journal, a poll of Redis and some 2 MB."""

IDLE_SECONDS = 300.0
"""After this a namespace of which nothing is asked, and nothing is pending, is closed."""

SWEEP_SECONDS = 30.0
"""From one look for such namespaces to the next."""

CHECKED = TransportSecuritySettings(enable_dns_rebinding_protection=False)
"""Host and Origin were checked before, for every address."""


class Busy(Exception):  # noqa: N818  named for what is the matter
    """As many namespaces are in use as may be open."""


class Namespace:
    """The store and the server of one namespace."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        client: "Supervisor | None",
        largest: int,
        tracing: ToolTracing | None,
    ) -> None:
        self.name = name
        self.users = 0
        self.used = 0.0
        self._settings = settings
        self._client = client
        self._largest = largest
        self._tracing = tracing
        self._end = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Open it; one that could not be opened is closed."""
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(opened), name=f"namespace {self.name}")
        await opened

    async def close(self) -> None:
        """Close it; what was acknowledged is kept."""
        self._end.set()
        if self._task:
            await asyncio.wait({self._task})

    def end_streams(self) -> None:
        """End what clients listen to and what a person is asked, so that what is left will be answered by itself."""
        if self.server.notifier:
            self.server.notifier.end_streams()
        self.server.end_questions()
        self.handshake_sessions.end_streams()

    async def has_pending(self) -> bool:
        """Whether something here is not yet in Redis."""
        return bool((await in_thread(self.sessions.repository.journal.state)).pending)

    @property
    def _place(self) -> str:
        """What all processes that serve this namespace have in common."""
        return self._settings.redis_url if self._settings.redis_enabled else str(self._settings.data_dir)

    @property
    def _folder(self) -> Path | None:
        """Where files of it may be; `None` where nothing is kept on this machine."""
        return self._settings.data_dir if self._settings.journal else None

    async def _run(self, opened: "asyncio.Future[None]") -> None:
        try:
            self.sessions, executions = open_store(self._settings, client=self._client)
            key = hashlib.blake2b(
                repr((self._settings.key_prefix, self._place)).encode(),
                person=b"flywheel http",
                digest_size=32,
            ).digest()
            self.server: FlywheelServer = await asyncio.to_thread(
                build_server, self._settings, self.sessions, executions, self._tracing, key
            )
            lowlevel = lowlevel_of(self.server)
            self.manager = StreamableHTTPSessionManager(
                lowlevel,
                json_response=True,
                stateless=True,
                security_settings=CHECKED,
                max_request_body_size=self._largest,
            )
            async with self.manager.run():
                shared = self.sessions.repository.stash, Keys(self._settings.key_prefix)
                self.handshake_sessions = HandshakeSessions(
                    lowlevel,
                    self.sessions,
                    self.server.notifier,
                    key,
                    EndedSessions(*shared),
                    SharedAnswers(*shared),
                    SubscriptionRecords(*shared, self._folder),
                )
                try:
                    opened.set_result(None)
                    await self._end.wait()
                finally:
                    await self.handshake_sessions.aclose()
        except Exception as exc:  # noqa: BLE001  who asked for it is told
            if opened.done():
                logger.error("A namespace was closed with %s.", type(exc).__name__)
            else:
                opened.set_exception(exc)


class Namespaces:
    """The namespaces that are open. Entered and left by the task that serves."""

    def __init__(
        self,
        settings: Settings,
        client: "Supervisor | None",
        largest: int,
        tracing: ToolTracing | None = None,
        *,
        most: int = MOST_OPEN,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._settings = settings
        self._client = client
        self._largest = largest
        self._tracing = tracing
        self._most, self._idle_seconds = most, idle_seconds
        self._open: dict[str, Namespace] = {}
        self._changing = asyncio.Lock()
        """Held while one is opened or closed: whoever opens one anew waits for its end."""
        self._sweeping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Namespaces":
        self._sweeping = asyncio.create_task(self._sweep_for_ever(), name="namespaces")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._sweeping:
            self._sweeping.cancel()
            await asyncio.wait({self._sweeping})
        await asyncio.gather(*(namespace.close() for namespace in self._open.values()))
        self._open.clear()

    @asynccontextmanager
    async def using(self, name: str) -> AsyncGenerator[Namespace]:
        """A namespace, open for as long as it is used.

        Raises:
            Busy: too many others are in use.

        """
        namespace = await self._get(name)
        namespace.users += 1
        try:
            yield namespace
        finally:
            namespace.users -= 1
            namespace.used = asyncio.get_running_loop().time()

    def end_streams(self) -> None:
        """End what clients listen to."""
        for namespace in self._open.values():
            namespace.end_streams()

    async def _get(self, name: str) -> Namespace:
        if (namespace := self._open.get(name)) is not None:
            return namespace
        async with self._changing:
            if (namespace := self._open.get(name)) is None:
                await self._make_room()
                namespace = Namespace(name, self._settings_of(name), self._client, self._largest, self._tracing)
                await namespace.open()
                namespace.used = asyncio.get_running_loop().time()
                self._open[name] = namespace
            return namespace

    def _settings_of(self, name: str) -> Settings:
        if not name:
            return self._settings
        return replace(
            self._settings,
            key_prefix=f"{self._settings.key_prefix}.{name}",
            data_dir=self._settings.data_dir / FOLDER / folder_name(name),
        )

    async def _make_room(self) -> None:
        while len(self._open) >= self._most:
            idle = [each for each in self._open.values() if not each.users]
            if not idle:
                raise Busy
            await self._close(min(idle, key=lambda each: each.used))

    async def _close(self, namespace: Namespace) -> None:
        del self._open[namespace.name]
        await namespace.close()

    async def _sweep_for_ever(self) -> None:
        sweep = self._send_what_is_pending
        while True:
            try:
                await sweep()
            except Exception as exc:  # noqa: BLE001  whatever it is, others must be swept
                logger.error("Looking after namespaces failed with %s; it goes on.", type(exc).__name__)
            sweep = self._close_idle
            await asyncio.sleep(SWEEP_SECONDS)

    async def _close_idle(self) -> None:
        now = asyncio.get_running_loop().time()
        for namespace in [*self._open.values()]:
            if namespace.users or now - namespace.used < self._idle_seconds or await namespace.has_pending():
                continue
            async with self._changing:
                if not namespace.users and self._open.get(namespace.name) is namespace:
                    await self._close(namespace)

    async def _send_what_is_pending(self) -> None:
        """Open the namespaces that an earlier process left, so that what waits in them goes to Redis."""
        if not self._settings.redis_enabled or not self._settings.journal:
            return
        for name in await asyncio.to_thread(_left_behind, self._settings.data_dir / FOLDER):
            with contextlib.suppress(Busy):
                async with self.using(name):
                    pass


def check_folders(settings: Settings) -> None:
    """Check that the keys open what namespaces have here: else each request would fail, and the start would not.

    Raises:
        SettingError: a folder is sealed with another key, or in clear, and which it is.

    """
    for folder in sorted((settings.data_dir / FOLDER).glob("*/")):
        check_keys(replace(settings, data_dir=folder))


def folder_name(name: str) -> str:
    """The name of a namespace's folder, also where upper and lower case are one."""
    return "".join(f"+{each.lower()}" if each.isupper() else each for each in name)


def name_of(folder: str) -> str:
    """The namespace whose folder has that name."""
    name, parts = "", folder.split("+")
    name += parts[0]
    for part in parts[1:]:
        name += part[:1].upper() + part[1:]
    return name


def _left_behind(folder: Path) -> list[str]:
    try:
        newest = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    except OSError:
        return []
    return [name_of(path.name) for path in newest[: MOST_OPEN // 2] if path.name.startswith(("ns.", "jwt."))]
