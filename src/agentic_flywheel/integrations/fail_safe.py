"""Answers `False`, `None` or `[]` instead of raising when storage is down, and says why in one log line."""

import logging
from dataclasses import replace
from typing import Any, TypeVar

from agentic_flywheel.errors import (
    Conflict,
    Damaged,
    Disabled,
    DocumentError,
    FlywheelError,
    NewerSchema,
    TooLarge,
    Unavailable,
)
from agentic_flywheel.integrations.checks import check_sealed
from agentic_flywheel.integrations.shared_stores import Closed, SharedStores, Stores
from agentic_flywheel.sessions.redaction.policy import Credentials
from agentic_flywheel.settings import MAX_TTL_SECONDS, Settings

logger = logging.getLogger("agentic_flywheel.integrations.redis_state")
"""Programs know it by the module whose classes they use."""

_Answer = TypeVar("_Answer")


class FailSafe(Closed):
    """Settings, the stores of the running event loop, and the answers when storage is down."""

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
        redact: bool,
    ) -> None:
        if isinstance(ttl_seconds, bool) or not isinstance(ttl_seconds, int):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"ttl_seconds must be a whole number of seconds, not {type(ttl_seconds).__name__}")
        if not 0 <= ttl_seconds <= MAX_TTL_SECONDS:
            raise ValueError(f"ttl_seconds must be from 0 (never expires) to {MAX_TTL_SECONDS}")
        named = {"FLYWHEEL_KEY_PREFIX": key_prefix, "FLYWHEEL_PREFIX": ""}
        overrides = {**named, "REDIS_ENABLED": "true", "REDIS_TTL_SECONDS": ""}
        if redis_url is not None:
            overrides["REDIS_URL"] = redis_url
        elif host is not None or port is not None:
            overrides["REDIS_URL"] = ""
            overrides |= {"REDIS_HOST": host} if host else {}
            overrides |= {"REDIS_PORT": str(port)} if port is not None else {}
        if not key_prefix.strip():
            raise ValueError("key_prefix must not be empty")
        settings = Settings.of_this_process(overrides) if enabled else Settings.from_env({})
        if enabled:
            check_sealed(settings)
        self.enabled = enabled
        self.ttl_seconds = ttl_seconds
        self.key_prefix = key_prefix
        self._strict = strict
        self._credentials = Credentials("redact" if redact else "off")
        # What the MCP server adds by default (a user, its own times to live) is no affair of a library.
        self._settings = replace(settings, user="", user_only=False, session_ttl_seconds=0, execution_ttl_seconds=0)
        self._shared = SharedStores(self._settings)

    def __repr__(self) -> str:
        state = f"Redis {self._settings.redis_target}" if self.enabled else "disabled"
        return f"{type(self).__name__}({state}, {self.key_prefix}:, {self.ttl_seconds} s)"

    async def aclose(self) -> None:
        """Let go of the stores; the last object of an event loop to do so ends the child. Using it opens anew."""
        await self._shared.aclose()

    async def _stores(self) -> Stores:
        """The stores of the running event loop.

        Raises:
            Disabled: this object was made with `enabled=False`.

        """
        if not self.enabled:
            raise Disabled("Persistence is disabled.")
        return await self._shared.open()

    async def _without_credentials(self, what: str, **sent: Any) -> dict[str, Any]:
        """The same arguments as they are kept, with one log line that names the places of what was replaced."""
        clean, findings = await self._credentials.redact_in_time(sent)
        if findings:
            logger.warning("%s: %s", what, self._credentials.report(findings)[1])
        return clean

    def _failed(self, what: str, exc: FlywheelError, answer: _Answer) -> _Answer:
        """The safe answer, with one log line that says which kind of failure it was; in strict mode the failure."""
        if self._strict and not isinstance(exc, Disabled):
            raise exc
        kind = (
            "disabled" if isinstance(exc, Disabled) else "refused" if isinstance(exc, DocumentError) else "unreachable"
        )
        logger.log(logging.DEBUG if kind == "disabled" else logging.WARNING, "%s: %s (%s)", what, kind, exc)
        return answer


_ERRORS: dict[str, type[FlywheelError]] = {
    "unavailable": Unavailable,
    "disabled": Disabled,
    "damaged": Damaged,
    "newer_schema": NewerSchema,
    "too_large": TooLarge,
    "conflict": Conflict,
}


def error_of(reason: str | None, message: str) -> FlywheelError:
    """The exception that an answer of the store stands for."""
    return _ERRORS.get(reason or "", Unavailable)(message or f"The store answered {reason}.")
