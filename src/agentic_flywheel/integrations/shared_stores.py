"""Opens the stores that the objects of one event loop share, and closes them with the last of these objects."""

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Self
from weakref import WeakKeyDictionary, WeakValueDictionary

from agentic_flywheel.errors import Unavailable
from agentic_flywheel.integrations.background_loop import ENDED
from agentic_flywheel.replication.key_locks import KeyLocks
from agentic_flywheel.settings import Settings

if TYPE_CHECKING:  # imported when a store is opened
    from agentic_flywheel.coaia.supervisor import Supervisor
    from agentic_flywheel.sessions.attached import AttachedStore
    from agentic_flywheel.sessions.executions import ExecutionStore
    from agentic_flywheel.sessions.store import SessionStore

STEP_SECONDS = 0.002
"""From one look at another event loop's save to the next."""

STEPS = 15_000
"""Looks before a save goes on without the lock, after half a minute: one that was ended in the middle blocks nobody."""


class Closed:
    """Is closed by `async with`, whose block it is used in."""

    async def aclose(self) -> None:
        """Let go of what was opened in the running event loop."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


@dataclass(slots=True)
class Stores:
    """The stores that objects of one event loop share, and how many of those objects are still open."""

    sessions: "SessionStore"
    executions: "ExecutionStore"
    attached: "AttachedStore"
    client: "Supervisor"
    turns: KeyLocks = field(default_factory=KeyLocks)
    """One save of a session after another, in the order in which they began."""
    users: int = 0


OPENS_STORES = (
    "agentic_flywheel.sessions.store",
    "agentic_flywheel.sessions.executions",
    "agentic_flywheel.sessions.attached",
    "agentic_flywheel.sessions.wiring",
    "agentic_flywheel.coaia.stash",
    "agentic_flywheel.coaia.launch",
    "agentic_flywheel.coaia.supervisor",
)
"""What is imported by the first call, so that a program that makes none is not held up."""

_shared = threading.Lock()
"""Held over each look at the stores of all event loops, and each change of them; nothing is waited for meanwhile."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_shared.acquire, after_in_parent=_shared.release, after_in_child=_shared.release)
_clients: "WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Settings, Supervisor]]" = WeakKeyDictionary()
_opened: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Settings, Stores]] = WeakKeyDictionary()


class SharedStores:
    """One object's share in the stores of each event loop that uses it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._mine: WeakKeyDictionary[asyncio.AbstractEventLoop, Stores] = WeakKeyDictionary()

    async def open(self) -> Stores:
        """The stores of the running event loop, opened by the object that needs them first.

        Raises:
            RuntimeError: no event loop of asyncio is running; trio has another.
            Unavailable: the interpreter takes its modules apart, and nothing can be kept any more.

        """
        loop = running_loop()
        if sys.is_finalizing():
            raise Unavailable(ENDED)
        if stores := self._mine.get(loop):
            return stores
        await _imports()
        from agentic_flywheel.sessions.wiring import attached_to, open_client, open_store

        with _shared:
            for ended in [other for other in _opened if other.is_closed()]:
                _opened.pop(ended, None)  # its children ended with it
                _clients.pop(ended, None)
            for ended in [other for other in self._mine if other.is_closed()]:
                self._mine.pop(ended, None)
            mine = _opened.setdefault(loop, {})
            stores = mine.get(self._settings)
            is_new = stores is None
            if stores is None:
                clients = _clients.setdefault(loop, {})
                connection = replace(self._settings, key_prefix="")
                client = clients.setdefault(connection, clients.get(connection) or open_client(self._settings))
                sessions, executions = open_store(self._settings, client=client)
                attached = attached_to(sessions, self._settings)
                stores = mine[self._settings] = Stores(sessions, executions, attached, client)
            if loop not in self._mine:
                self._mine[loop] = stores
                stores.users += 1
        if is_new:
            await stores.sessions.__aenter__()
        return stores

    async def aclose(self) -> None:
        """Let go of the stores; the last object of an event loop to do so ends the child."""
        loop = running_loop()
        with _shared:
            stores = self._mine.pop(loop, None)
            if stores is None:
                return
            stores.users -= 1
            if stores.users:
                return
            del _opened[loop][self._settings]
        await stores.sessions.__aexit__()
        with _shared:
            if any(other.client is stores.client for other in _opened[loop].values()):
                return
            _clients[loop].pop(replace(self._settings, key_prefix=""), None)
        await stores.client.aclose()


def running_loop() -> asyncio.AbstractEventLoop:
    """The running event loop; where there is none, a `RuntimeError` that says what to do."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "This needs an event loop of asyncio (or uvloop). Under trio call it in a thread:"
            " await trio.to_thread.run_sync(asyncio.run, call())"
        ) from None


async def _imports() -> None:
    """Import what opens stores in a thread, since it takes a quarter of a second; here where none can begin any more.

    The thread is not the event loop's: that one's cannot be had once the program's main thread has ended.
    """
    missing = [module for module in OPENS_STORES if module not in sys.modules]
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def work() -> None:
        with contextlib.suppress(Exception):  # whatever it is, the import that follows raises it again
            for module in missing:
                import_module(module)
        with contextlib.suppress(RuntimeError):  # the event loop was closed meanwhile
            loop.call_soon_threadsafe(done.set)

    if missing:
        with contextlib.suppress(RuntimeError):  # from Python 3.12 on: the program is ending
            threading.Thread(target=work, name="imports").start()
            await done.wait()


class LoopLocks:
    """One save of a session at a time among the event loops that share an object."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()
        self._process = os.getpid()

    @contextlib.asynccontextmanager
    async def of(self, session_id: str) -> AsyncGenerator[None]:
        """Hold off the other event loops; what another process saves meanwhile is merged."""
        with _shared:
            if self._process != os.getpid():  # a fork has no save of its parent's, which would never let go
                self._locks, self._process = WeakValueDictionary(), os.getpid()
            lock = self._locks.setdefault(session_id, threading.Lock())
        steps = 0
        while not (acquired := lock.acquire(blocking=False)) and steps < STEPS:
            steps += 1
            await asyncio.sleep(STEP_SECONDS)
        try:
            yield
        finally:
            if acquired:
                lock.release()
