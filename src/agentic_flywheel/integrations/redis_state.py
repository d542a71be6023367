"""The fail-safe face of the store for Python programs: answers instead of exceptions when storage is down.

    async def main() -> None:
        manager = RedisSessionManager()
        await manager.save_session(session)             # True: kept, in Redis or in the journal on its way there
        session = await manager.load_session("session_123")

There is no connect step. All objects of one event loop that use the same Redis share one child process, which
ends with the loop or with the last `aclose()`. An object may be used in any number of event loops and threads, at the
same time too. Documents and keys are those of the MCP server.

`False`, `None` and `[]` mean "not kept" and "nothing that I could find"; one log line says why. A program that must
tell absent from unreachable passes `strict=True`: then `Unavailable` and `DocumentError` are raised.
"""

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self, TypeVar, cast
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

from agentic_flywheel.backends.base import UniversalSession
from agentic_flywheel.coaia.supervisor import CoaiaClient
from agentic_flywheel.documents.model import Document
from agentic_flywheel.documents.write_ids import told
from agentic_flywheel.errors import (
    Damaged,
    DeletedMeanwhile,
    Disabled,
    DocumentError,
    FlywheelError,
    NewerSchema,
    TooLarge,
    Unavailable,
)
from agentic_flywheel.integrations.checks import check_fields, check_kind, check_text, values_of
from agentic_flywheel.integrations.known_objects import KnownObjects
from agentic_flywheel.replication.key_locks import KeyLocks
from agentic_flywheel.sessions.caller_view import CallerViews
from agentic_flywheel.sessions.executions import ExecutionStore
from agentic_flywheel.sessions.listing import Wanted
from agentic_flywheel.sessions.store import Save, SessionStore, open_client, open_store
from agentic_flywheel.settings import MAX_TTL_SECONDS, Environment, Settings

logger = logging.getLogger(__name__)

OTHER_LOOPS_SECONDS, OTHER_LOOPS_STEP_SECONDS = 30.0, 0.002
"""How long a save waits for those of other event loops: one that was ended in the middle holds up nobody for ever."""

_Answer = TypeVar("_Answer")


class RedisConfig:
    """The settings of this module as the environment gives them."""

    @staticmethod
    def from_env(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
        """`enabled`, `ttl_seconds`, `host`, `port`, and under a sister project's names `session_ttl`,
        `execution_ttl` and `key_prefix`; times in seconds.

        From `REDIS_ENABLED`, `REDIS_TTL_SECONDS`, `REDIS_HOST`, `REDIS_PORT`; where those are absent, from
        `REDIS_STATE_ENABLED`, `REDIS_SESSION_TTL_SECONDS`; and `REDIS_EXECUTION_TTL_SECONDS`, `REDIS_KEY_PREFIX`.

        Raises:
            SettingError: a variable has a value that is not allowed.

        """  # noqa: D205  one sentence, too long for a line
        env = Environment(os.environ if environ is None else environ)
        session_ttl = env.integer("REDIS_SESSION_TTL_SECONDS", 86_400, 0, MAX_TTL_SECONDS)
        session_ttl = env.integer("REDIS_TTL_SECONDS", session_ttl, 0, MAX_TTL_SECONDS)
        enabled = env.boolean("REDIS_STATE_ENABLED", default=True)
        return {
            "enabled": env.boolean("REDIS_ENABLED", default=enabled),
            "ttl_seconds": session_ttl,
            "host": env.text("REDIS_HOST", "localhost"),
            "port": env.integer("REDIS_PORT", 6379, 1, 65_535),
            "session_ttl": session_ttl,
            "execution_ttl": env.integer("REDIS_EXECUTION_TTL_SECONDS", 3600, 0, MAX_TTL_SECONDS),
            "key_prefix": env.text("REDIS_KEY_PREFIX", "agentic_flywheel"),
        }


@dataclass(slots=True)
class _Opened:
    """The stores that objects of one event loop share, and how many of them are still open."""

    sessions: SessionStore
    executions: ExecutionStore
    client: CoaiaClient
    turns: KeyLocks = field(default_factory=KeyLocks)
    """One save of a session after another, in the order in which they began."""
    users: int = 0


_shared = threading.Lock()
"""Held over each look at the stores of all event loops, and each change of them; nothing is waited for meanwhile."""
_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Settings, CoaiaClient]] = WeakKeyDictionary()
_opened: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Settings, _Opened]] = WeakKeyDictionary()


class _RedisState:
    """What both classes share: settings, the stores of the running event loop, and failing safely."""

    def __init__(
        self,
        *,
        enabled: bool,
        ttl_seconds: int,
        key_prefix: str,
        redis_url: str | None,
        host: str | None,
        port: int | None,
        strict: bool,
    ) -> None:
        if isinstance(ttl_seconds, bool) or not isinstance(ttl_seconds, int):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"ttl_seconds must be a whole number of seconds, not {type(ttl_seconds).__name__}")
        if not 0 <= ttl_seconds <= MAX_TTL_SECONDS:
            raise ValueError(f"ttl_seconds must be from 0 (never expires) to {MAX_TTL_SECONDS}")
        overrides = {"FLYWHEEL_KEY_PREFIX": key_prefix, "REDIS_ENABLED": "true", "REDIS_TTL_SECONDS": ""}
        if redis_url is not None:
            overrides["REDIS_URL"] = redis_url
        elif host is not None or port is not None:
            overrides["REDIS_URL"] = ""
            overrides |= {"REDIS_HOST": host} if host else {}
            overrides |= {"REDIS_PORT": str(port)} if port is not None else {}
        if not key_prefix.strip():
            raise ValueError("key_prefix must not be empty")
        settings = Settings.from_env({**os.environ, **overrides} if enabled else {})
        self.enabled = enabled
        self.ttl_seconds = ttl_seconds
        self.key_prefix = key_prefix
        self._strict = strict
        # What the MCP server adds by default (a user, its own times to live) is no affair of a library.
        self._settings = replace(settings, user="", session_ttl_seconds=0, execution_ttl_seconds=0)
        self._loops: WeakSet[asyncio.AbstractEventLoop] = WeakSet()

    def __repr__(self) -> str:
        state = f"Redis {self._settings.redis_target}" if self.enabled else "disabled"
        return f"{type(self).__name__}({state}, {self.key_prefix}:, {self.ttl_seconds} s)"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Let go of the stores; the last object of an event loop to do so ends the child. Using it opens anew."""
        loop = asyncio.get_running_loop()
        with _shared:
            if loop not in self._loops:
                return
            self._loops.discard(loop)
            stores = _opened[loop][self._settings]
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

    async def _stores(self) -> _Opened:
        """The stores of the running event loop, opened by whoever needs them first.

        Raises:
            Disabled: this object was made with `enabled=False`.

        """
        if not self.enabled:
            raise Disabled("Persistence is disabled.")
        loop = asyncio.get_running_loop()
        with _shared:
            for ended in [other for other in _opened if other.is_closed()]:
                _opened.pop(ended, None)  # its children ended with it
                _clients.pop(ended, None)
            mine = _opened.setdefault(loop, {})
            stores = mine.get(self._settings)
            is_new = stores is None
            if stores is None:
                clients = _clients.setdefault(loop, {})
                connection = replace(self._settings, key_prefix="")
                client = clients.setdefault(connection, clients.get(connection) or open_client(self._settings))
                stores = mine[self._settings] = _Opened(*open_store(self._settings, client=client), client)
            if loop not in self._loops:
                self._loops.add(loop)
                stores.users += 1
        if is_new:
            await stores.sessions.__aenter__()
        return stores

    def _failed(self, what: str, exc: FlywheelError, answer: _Answer) -> _Answer:
        """The safe answer, with one log line that says which kind of failure it was; in strict mode the failure."""
        if self._strict and not isinstance(exc, Disabled):
            raise exc
        kind = (
            "disabled" if isinstance(exc, Disabled) else "refused" if isinstance(exc, DocumentError) else "unreachable"
        )
        logger.log(logging.DEBUG if kind == "disabled" else logging.WARNING, "%s: %s (%s)", what, kind, exc)
        return answer


class RedisSessionManager(_RedisState):
    """Keeps `UniversalSession`s.

    A save replaces what is stored if the session object that is saved was loaded or saved by this manager at the
    revision that is current. Otherwise, and at the first save of an object, it adds what is new (DESIGN: append), so
    that nobody's turns are overwritten.

    Args:
        enabled: `False` keeps nothing at all.
        ttl_seconds: life of a new session after its last save; 0 means for ever. A stored session keeps its own.
        key_prefix: keeps deployments in one Redis apart.
        redis_url: `redis://…`, `rediss://…` or `unix://…`; by default the environment's `REDIS_URL`.
        host, port: instead of a URL.
        strict: raise `Unavailable` and `DocumentError` instead of answering `False`, `None` or `[]`.

    Everything else (data folder, time-outs, the child's command) comes from the environment, as for the server.

    """

    def __init__(
        self,
        enabled: bool = True,  # noqa: FBT001, FBT002  the signature that other projects call
        ttl_seconds: int = 86_400,
        key_prefix: str = "agentic_flywheel",
        *,
        redis_url: str | None = None,
        host: str | None = None,
        port: int | None = None,
        strict: bool = False,
    ) -> None:
        super().__init__(
            enabled=enabled,
            ttl_seconds=ttl_seconds,
            key_prefix=key_prefix,
            redis_url=redis_url,
            host=host,
            port=port,
            strict=strict,
        )
        self._known = KnownObjects()
        self._alone: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()

    async def save_session(self, session: UniversalSession, *, ttl_seconds: int | None = None) -> bool:
        """Keep a session; `True` once it is in Redis, or in this machine's journal on its way there.

        `ttl_seconds` sets the life of this session; by default a stored one keeps its own. If somebody deleted since
        what this object had loaded, that wins, once: `False`; the next save begins the session anew.

        Raises:
            TypeError: it is no `UniversalSession`.
            InvalidArgument: it holds what JSON cannot carry; the message names what and where.

        """
        if not isinstance(session, UniversalSession):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"session must be a UniversalSession, not {type(session).__name__}")
        check_fields(session)
        try:
            stores = await self._stores()
            async with stores.turns.of(session.id), self._alone_with(session.id):
                return await self._saved(stores.sessions, session, ttl_seconds)
        except FlywheelError as exc:
            if not isinstance(exc, DocumentError | Unavailable):
                raise
            return self._failed("save_session", exc, answer=False)

    async def _saved(self, store: SessionStore, session: UniversalSession, ttl_seconds: int | None) -> bool:
        known = self._known.of(session)
        revision = known.revision
        result = await store.save(self._save(session, revision, ttl_seconds), known.memory)
        merged = revision is None or result.reason == "conflict"
        if revision is not None and merged and result.deleted_revision is None:
            result = await store.save(self._save(session, None, ttl_seconds), known.memory)
        if not result.saved:
            known.revision = None
            if result.deleted_revision is None:
                raise _error(result.reason, result.message)
            self._known.forget(session.id)
            raise DeletedMeanwhile(result.message, result.revision, result.deleted_revision)
        known.revision = result.revision
        if merged and result.revision > 1 and not await self._is_all(store, session):
            known.revision = None  # what others wrote is in it as well, so the next save merges again
        self._known.keep(session, known)
        return True

    @contextlib.asynccontextmanager
    async def _alone_with(self, session_id: str) -> AsyncGenerator[None]:
        """Let no other event loop save the session with this manager meanwhile; what another process does is merged."""
        with _shared:
            lock = self._alone.setdefault(session_id, threading.Lock())
        waited = 0
        while not (alone := lock.acquire(blocking=False)) and waited < OTHER_LOOPS_SECONDS / OTHER_LOOPS_STEP_SECONDS:
            waited += 1
            await asyncio.sleep(OTHER_LOOPS_STEP_SECONDS)
        try:
            yield
        finally:
            if alone:
                lock.release()

    async def _is_all(self, store: SessionStore, session: UniversalSession) -> bool:
        """Whether what is stored is this session and nothing else."""
        try:
            document, _ = await store.load(session.id)
        except (DocumentError, Unavailable):
            return False
        if not isinstance(document, Document):
            return False
        return values_of(document.session) == values_of(session) and (
            (document.session.history, document.session.context) == (session.history, session.context)
        )

    async def load_session(self, session_id: str) -> UniversalSession | None:
        """The session; `None` if there is none or (unless strict) it cannot be told."""
        check_text(session_id, "session_id")
        try:
            document, _ = await (await self._stores()).sessions.load(session_id)
        except (DocumentError, Unavailable) as exc:
            return self._failed("load_session", exc, answer=None)
        if not isinstance(document, Document):
            logger.info("load_session: absent")
            return None
        known = self._known.new(session_id)
        known.revision = document.revision
        seen = known.memory.of(session_id)
        seen.resumed(document.session.history)
        seen.told, seen.newest = told(seen.told, document.operations), document.revision
        self._known.keep(document.session, known)
        return document.session

    async def delete_session(self, session_id: str) -> bool:
        """Delete a session with its flow histories; `True` if there was one and it is gone now."""
        check_text(session_id, "session_id")
        try:
            stores = await self._stores()
            async with stores.turns.of(session_id), self._alone_with(session_id):
                result = await stores.sessions.delete(session_id, CallerViews())
                self._known.forget(session_id)
        except Unavailable as exc:
            return self._failed("delete_session", exc, answer=False)
        if not result.deleted and result.reason in ("unavailable", "damaged", "newer_schema"):
            return self._failed("delete_session", _error(result.reason, result.message), answer=False)
        return result.deleted

    async def list_sessions(self, pattern: str = "*") -> list[str]:
        """The ids of sessions that match a Redis glob, newest first."""
        check_text(pattern, "pattern")
        ids: list[str] = []
        cursor = ""
        try:
            store = (await self._stores()).sessions
            while True:
                page = await store.list_sessions(Wanted(pattern=pattern), limit=1000, cursor=cursor)
                ids += [row["id"] for row in page.sessions]
                stash = store.places.stash
                if page.scope == "this machine" and stash and not stash.mirror:
                    why = page.message or "Redis could not be asked; these are this machine's."
                    return self._failed("list_sessions", Unavailable(why), answer=ids)
                if not page.next_cursor:
                    return ids
                cursor = page.next_cursor
        except (DocumentError, Unavailable) as exc:
            return self._failed("list_sessions", exc, answer=[])

    def _save(self, session: UniversalSession, known: int | None, ttl_seconds: int | None) -> Save:
        return Save(
            session_id=session.id,
            history=session.history,
            context=session.context,
            values=values_of(session),
            ttl_seconds=ttl_seconds,
            default_ttl_seconds=self.ttl_seconds,
            mode="append" if known is None else "replace",
            expected_revision=known,
            session_only=True,
        )


class RedisExecutionCache(_RedisState):
    """Keeps execution results and flow histories; its arguments are those of `RedisSessionManager`."""

    def __init__(
        self,
        enabled: bool = True,  # noqa: FBT001, FBT002  the signature that other projects call
        ttl_seconds: int = 3600,
        key_prefix: str = "agentic_flywheel",
        *,
        redis_url: str | None = None,
        host: str | None = None,
        port: int | None = None,
        strict: bool = False,
    ) -> None:
        super().__init__(
            enabled=enabled,
            ttl_seconds=ttl_seconds,
            key_prefix=key_prefix,
            redis_url=redis_url,
            host=host,
            port=port,
            strict=strict,
        )

    async def cache_result(self, execution_id: str, result: dict[str, Any]) -> bool:
        """Keep the result of an execution."""
        check_text(execution_id, "execution_id")
        check_kind(result, dict, "result")
        try:
            store = (await self._stores()).executions
            kept = await store.cache_result(result, execution_id, ttl_seconds=self.ttl_seconds)
        except Unavailable as exc:
            return self._failed("cache_result", exc, answer=False)
        if not kept.cached:
            return self._failed("cache_result", _error(kept.reason, kept.message), answer=False)
        return True

    async def get_result(self, execution_id: str) -> dict[str, Any] | None:
        """The result of an execution; `None` if there is none or (unless strict) it cannot be told."""
        check_text(execution_id, "execution_id")
        try:
            found = await (await self._stores()).executions.get_result(execution_id)
        except Unavailable as exc:
            return self._failed("get_result", exc, answer=None)
        if found.execution is not None:
            result = found.execution.get("result")
            if isinstance(result, dict):
                return cast("dict[str, Any]", result)
            return self._failed("get_result", Damaged("What is stored there is no execution."), answer=None)
        if found.reason in ("not_found", "expired", "deleted"):
            logger.info("get_result: absent")
            return None
        return self._failed("get_result", _error(found.reason, found.message), answer=None)

    async def cache_flow_history(self, session_id: str, flow_id: str, executions: list[dict[str, Any]]) -> bool:
        """Make these, oldest first, the executions of a flow in a session."""
        check_text(session_id, "session_id")
        check_text(flow_id, "flow_id")
        check_kind(executions, list, "executions")
        for execution in executions:
            check_kind(execution, dict, "each execution")
        try:
            store = (await self._stores()).executions
            await store.replace_flow_history(session_id, flow_id, executions, self.ttl_seconds)
        except (DocumentError, Unavailable) as exc:
            return self._failed("cache_flow_history", exc, answer=False)
        return True

    async def get_flow_history(self, session_id: str, flow_id: str) -> list[dict[str, Any]]:
        """The executions of a flow in a session, oldest first; `[]` if there are none or it cannot be told."""
        check_text(session_id, "session_id")
        check_text(flow_id, "flow_id")
        try:
            found = await (await self._stores()).executions.get_flow_history(session_id, flow_id)
        except Unavailable as exc:
            return self._failed("get_flow_history", exc, answer=[])
        if not found.found and found.reason not in ("not_found", "expired", "deleted"):
            return self._failed("get_flow_history", _error(found.reason, found.message), answer=[])
        return found.executions


_ERRORS: dict[str, type[FlywheelError]] = {
    "unavailable": Unavailable,
    "disabled": Disabled,
    "damaged": Damaged,
    "newer_schema": NewerSchema,
    "too_large": TooLarge,
}


def _error(reason: str | None, message: str) -> FlywheelError:
    """The exception that an answer of the store stands for."""
    return _ERRORS.get(reason or "", Unavailable)(message or f"The store answered {reason}.")
