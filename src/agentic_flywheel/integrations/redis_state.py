"""Keeps sessions and executions for Python programs, with answers instead of exceptions when storage is down.

    async def main() -> None:
        manager = RedisSessionManager()
        await manager.save_session(session)             # True: kept, in Redis or in the journal on its way there
        session = await manager.load_session("session_123")

Everything is kept as given, credentials too, unlike by the MCP server; `RedisSessionManager(redact=True)` replaces
them before they are kept.

There is no connect step. All objects of one event loop that use the same Redis share one child process, which
ends with the loop or with the last `aclose()`. An object may be used in any number of event loops and threads, at the
same time too. Documents and keys are those of the MCP server.

`False`, `None` and `[]` mean "not kept" and "nothing that I could find"; one log line says why. A program that must
tell absent from unreachable passes `strict=True`: then `Unavailable` and `DocumentError` are raised.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from agentic_flywheel.backends.base import UniversalSession
from agentic_flywheel.documents.model import Document
from agentic_flywheel.errors import Damaged, DocumentError, FlywheelError, Unavailable
from agentic_flywheel.integrations.checks import check_fields, check_keys, check_kind, check_text
from agentic_flywheel.integrations.fail_safe import FailSafe, error_of, logger
from agentic_flywheel.integrations.session_objects import SessionObjects
from agentic_flywheel.integrations.shared_stores import LoopLocks
from agentic_flywheel.sessions.caller_view import CallerViews
from agentic_flywheel.sessions.redaction.ids import check_ids
from agentic_flywheel.settings import MAX_TTL_SECONDS, Environment
from agentic_flywheel.settings_file import default_path, gather

__all__ = ["RedisConfig", "RedisExecutionCache", "RedisSessionManager"]


class RedisConfig:
    """The settings of this module as the environment gives them."""

    @staticmethod
    def from_env(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
        """`enabled`, `ttl_seconds`, `host`, `port`, and under a sister project's names `session_ttl`,
        `execution_ttl` and `key_prefix`; times in seconds.

        From `REDIS_ENABLED`, `REDIS_TTL_SECONDS`, `REDIS_HOST`, `REDIS_PORT`; where those are absent, from
        `REDIS_STATE_ENABLED`, `REDIS_SESSION_TTL_SECONDS`; and `REDIS_EXECUTION_TTL_SECONDS`, `REDIS_KEY_PREFIX` or
        `REDIS_PREFIX`. The settings file counts where this process' own environment is read.

        Raises:
            SettingError: a variable has a value that is not allowed.

        """  # noqa: D205  one sentence, too long for a line
        given = gather(os.environ, default_path()) if environ is None else gather(environ)
        env = Environment(given.texts, given.labels)
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
            "key_prefix": env.text("REDIS_KEY_PREFIX", env.text("REDIS_PREFIX", "agentic_flywheel")),
        }


_TEXTS = ("history", "context", "user_id", "backend_session_id", "current_flow_id")
"""The fields of a session in which anything may be written."""


class RedisSessionManager(FailSafe):
    """Keeps `UniversalSession`s.

    A save replaces what is stored if the session object that is saved was loaded or saved by this manager at the
    revision that is current. Otherwise, and at the first save of an object, it adds the turns that are new, so
    that nobody's turns are overwritten.

    Args:
        enabled: `False` keeps nothing at all.
        ttl_seconds: life of a new session after its last save; 0 means for ever. A stored session keeps its own.
        key_prefix: keeps deployments in one Redis apart.
        redis_url: `redis://…`, `rediss://…` or `unix://…`; by default as the environment and the settings file say.
        host, port: instead of a URL.
        strict: raise `Unavailable` and `DocumentError` instead of answering `False`, `None` or `[]`.
        redact: replace what looks like a credential by `[redacted: <kind>]` before it is kept, as the MCP server does,
            with a log line that names the places; refuse new ids that look like one. The objects of the program stay
            as they are. By default everything is kept as given, whatever `FLYWHEEL_SECRETS` says.

    Everything else (data folder, time-outs, the child's command) comes from there too, as for the server.

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
        redact: bool = False,
    ) -> None:
        super().__init__(
            enabled=enabled,
            ttl_seconds=ttl_seconds,
            key_prefix=key_prefix,
            redis_url=redis_url,
            host=host,
            port=port,
            strict=strict,
            redact=redact,
        )
        self._objects = SessionObjects()
        self._other_loops = LoopLocks()

    async def save_session(
        self, session: UniversalSession, *, ttl_seconds: int | None = None, remove_context: Sequence[str] = ()
    ) -> bool:
        """Keep a session; `True` once it is in Redis, or in this machine's journal on its way there.

        `ttl_seconds` sets the life of this session; by default a stored one keeps its own. `remove_context` are keys
        to take out of the stored context where the object is merged into it; what it has itself stays. If somebody
        deleted since what this object had loaded, that wins, once: `False`; the next save begins the session anew.

        Raises:
            TypeError: it is no `UniversalSession`, or `remove_context` no list of texts.
            InvalidArgument: it holds what JSON cannot carry; the message names what and where. Or, with `redact`, its
                id is new and looks like a credential.

        """
        if not isinstance(session, UniversalSession):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"session must be a UniversalSession, not {type(session).__name__}")
        check_fields(session)
        check_keys(remove_context, "remove_context")
        try:
            stores = await self._stores()
            async with stores.turns.of(session.id), self._other_loops.of(session.id):
                await check_ids(self._credentials, stores.sessions, session.id)
                kept = await self._kept(session)
                keys = await self._without_credentials("save_session", remove_context=list(remove_context))
                await self._objects.save(
                    stores.sessions, session, kept, ttl_seconds, self.ttl_seconds, keys["remove_context"]
                )
        except FlywheelError as exc:
            if not isinstance(exc, DocumentError | Unavailable):
                raise
            return self._failed("save_session", exc, answer=False)
        return True

    async def _kept(self, session: UniversalSession) -> UniversalSession:
        """What is kept of a session: itself, or a copy without credentials."""
        if not self._credentials.replaces:
            return session
        sent = {name: getattr(session, name) for name in _TEXTS if getattr(session, name)}
        return replace(session, **await self._without_credentials("save_session", **sent))

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
        return self._objects.loaded(document)

    async def delete_session(self, session_id: str) -> bool:
        """Delete a session with its flow histories; `True` if there was one and it is gone now."""
        check_text(session_id, "session_id")
        try:
            stores = await self._stores()
            async with stores.turns.of(session_id), self._other_loops.of(session_id):
                result = await stores.sessions.delete(session_id, CallerViews())
                self._objects.forget(session_id)
        except Unavailable as exc:
            return self._failed("delete_session", exc, answer=False)
        if not result.deleted and result.reason in ("unavailable", "damaged", "newer_schema"):
            return self._failed("delete_session", error_of(result.reason, result.message), answer=False)
        return result.deleted

    async def list_sessions(self, pattern: str = "*") -> list[str]:
        """The ids of sessions that match a Redis glob, newest first."""
        from agentic_flywheel.sessions.session_filter import SessionFilter

        check_text(pattern, "pattern")
        ids: list[str] = []
        cursor = ""
        try:
            store = (await self._stores()).sessions
            while True:
                page = await store.list_sessions(SessionFilter(pattern, each=True), limit=1000, cursor=cursor)
                ids += [row["id"] for row in page.sessions]
                stash = store.repository.stash
                if page.scope == "this machine" and stash and not stash.mirror:
                    why = page.message or "Redis could not be asked; these are this machine's."
                    return self._failed("list_sessions", Unavailable(why), answer=ids)
                if not page.next_cursor:
                    return ids
                cursor = page.next_cursor
        except (DocumentError, Unavailable) as exc:
            return self._failed("list_sessions", exc, answer=[])


class RedisExecutionCache(FailSafe):
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
        redact: bool = False,
    ) -> None:
        super().__init__(
            enabled=enabled,
            ttl_seconds=ttl_seconds,
            key_prefix=key_prefix,
            redis_url=redis_url,
            host=host,
            port=port,
            strict=strict,
            redact=redact,
        )

    async def cache_result(self, execution_id: str, result: dict[str, Any]) -> bool:
        """Keep the result of an execution."""
        check_text(execution_id, "execution_id")
        check_kind(result, dict, "result")
        try:
            stores = await self._stores()
            await check_ids(self._credentials, stores.sessions, execution_id=execution_id)
            sent = await self._without_credentials("cache_result", result=result)
            kept = await stores.executions.cache_result(sent["result"], execution_id, ttl_seconds=self.ttl_seconds)
        except Unavailable as exc:
            return self._failed("cache_result", exc, answer=False)
        if not kept.cached:
            return self._failed("cache_result", error_of(kept.reason, kept.message), answer=False)
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
        return self._failed("get_result", error_of(found.reason, found.message), answer=None)

    async def cache_flow_history(self, session_id: str, flow_id: str, executions: list[dict[str, Any]]) -> bool:
        """Make these, oldest first, the executions of a flow in a session."""
        check_text(session_id, "session_id")
        check_text(flow_id, "flow_id")
        check_kind(executions, list, "executions")
        for execution in executions:
            check_kind(execution, dict, "each execution")
        try:
            stores = await self._stores()
            await check_ids(self._credentials, stores.sessions, session_id, flow_id=flow_id)
            sent = await self._without_credentials("cache_flow_history", executions=executions)
            await stores.executions.replace_flow_history(session_id, flow_id, sent["executions"], self.ttl_seconds)
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
            return self._failed("get_flow_history", error_of(found.reason, found.message), answer=[])
        return found.executions
