"""Holds what every framework's adapter shares: settings, the stores of the running event loop, redaction and errors.

An adapter takes `settings` (by default what the environment and the settings file say, as the server reads them: where
no Redis is named, the journal alone), `key_prefix`, `redis_url`, `ttl_seconds` and `redact` by keyword, beside what its
framework asks for. Everything is kept as given; `redact=True` replaces what looks like a credential, as the server
does. An adapter raises where something could not be kept: a framework takes silence for success.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from agentic_flywheel.documents.model import Document
from agentic_flywheel.errors import DeletedMeanwhile, SettingError
from agentic_flywheel.integrations.checks import check_sealed
from agentic_flywheel.integrations.fail_safe import error_of
from agentic_flywheel.integrations.shared_stores import Closed, SharedStores, Stores
from agentic_flywheel.keys import PREFIX_RULE, RESERVED
from agentic_flywheel.sessions.caller_view import CallerViews
from agentic_flywheel.sessions.redaction.policy import Credentials
from agentic_flywheel.settings import MAX_TTL_SECONDS, Settings

if TYPE_CHECKING:  # imported when a store is opened
    from agentic_flywheel.documents.save_request import Save
    from agentic_flywheel.sessions.results import SaveResult

logger = logging.getLogger(__name__)


class AdapterBase(Closed):
    """One object of a framework, in any number of event loops; the last of a loop to be closed ends the child.

    For adapters whose framework has methods named `save`, `load` or `delete` of its own; the others take `Adapter`.
    """

    def __init__(
        self,
        *,
        settings: Settings | None = None,
        key_prefix: str | None = None,
        redis_url: str | None = None,
        ttl_seconds: int | None = None,
        redact: bool = False,
    ) -> None:
        """`ttl_seconds`: the life of what it keeps, from the last write on; 0 for ever. By default the server's.

        Raises:
            SettingError: a setting has a value that is not allowed.
            ValueError: `redis_url` beside `settings`, which name one, or a `ttl_seconds` out of bounds.

        """
        self.settings = settings_of(settings, key_prefix, redis_url, ttl_seconds)
        check_sealed(self.settings)
        self.ttl_seconds = self.settings.session_ttl_seconds
        self._credentials = Credentials("redact" if redact else "off")
        self._shared = SharedStores(self.settings)

    def __repr__(self) -> str:
        place = f"Redis {self.settings.redis_target}" if self.settings.redis_enabled else "journal alone"
        return f"{type(self).__name__}({place}, {self.settings.key_prefix}:, {self.ttl_seconds} s)"

    async def aclose(self) -> None:
        """Let go of the stores of the running event loop. Using the object opens them anew."""
        await self._shared.aclose()

    async def stores(self) -> Stores:
        """The stores of the running event loop."""
        return await self._shared.open()

    async def without_credentials(self, what: str, **sent: Any) -> dict[str, Any]:
        """The same values as they may be kept, with one log line that names the places of what was replaced."""
        clean, findings = await self._credentials.redact_in_time(sent)
        if findings:
            logger.warning("%s: %s", what, self._credentials.report(findings)[1])
        return clean

    async def save_session(self, save: "Save", views: CallerViews | None = None) -> "SaveResult":
        """Save a session, whose `history`, `context`, `title` and `summary` are redacted if that was asked for.

        Raises:
            FlywheelError: it is not kept; `DeletedMeanwhile` where somebody deleted what the `views` had seen.

        """
        stores = await self.stores()
        if self._credentials.replaces:
            names = ("history", "context", "title", "summary")
            sent = {name: value for name in names if (value := getattr(save, name))}
            save = save.model_copy(update=await self.without_credentials(type(self).__name__, **sent))
        result = await stores.sessions.save(save, CallerViews(once=True) if views is None else views)
        if not result.saved and result.deleted_revision is not None:
            raise DeletedMeanwhile(result.message, result.revision, result.deleted_revision)
        if not result.saved:
            raise error_of(result.reason, result.message)
        return result

    async def read_session(self, session_id: str) -> Document | None:
        """A session with what the store knows of it; `None` if there is none, or it was deleted or has expired.

        Raises:
            DocumentError, Unavailable: what is stored cannot be read, or it is not known.

        """
        document, _ = await (await self.stores()).sessions.load(session_id)
        return document if isinstance(document, Document) else None

    async def delete_session(self, session_id: str) -> bool:
        """Delete a session with all that is beside it; whether there was one.

        Raises:
            FlywheelError: it may still be there.

        """
        result = await (await self.stores()).sessions.delete(session_id, CallerViews())
        if not result.deleted and result.reason not in ("not_found", "expired", "deleted"):
            raise error_of(result.reason, result.message)
        return result.deleted


class Adapter(AdapterBase):
    """The same, with short names."""

    async def save(self, save: "Save", views: CallerViews | None = None) -> "SaveResult":
        """`save_session`."""
        return await self.save_session(save, views)

    async def load(self, session_id: str) -> Document | None:
        """`read_session`."""
        return await self.read_session(session_id)

    async def delete(self, session_id: str) -> bool:
        """`delete_session`."""
        return await self.delete_session(session_id)


def tagged(tags: Sequence[str], own: str) -> list[str] | None:
    """The tags with a program's `own`, by which it finds its sessions; `None`: it is there, so all stay as they are."""
    return None if own in tags else [*tags, own]


def settings_of(
    settings: Settings | None, key_prefix: str | None, redis_url: str | None, ttl_seconds: int | None
) -> Settings:
    """What the arguments come to."""
    if settings is not None and redis_url is not None:
        raise ValueError("Give either settings, which name a Redis, or redis_url.")
    if ttl_seconds is not None and not 0 <= ttl_seconds <= MAX_TTL_SECONDS:
        raise ValueError(f"ttl_seconds must be from 0 (never expires) to {MAX_TTL_SECONDS}")
    if settings is None:
        named = {} if redis_url is None else {"REDIS_URL": redis_url, "REDIS_URL_FILE": "", "REDIS_ENABLED": "true"}
        prefix = {} if key_prefix is None else {"FLYWHEEL_KEY_PREFIX": key_prefix, "FLYWHEEL_PREFIX": ""}
        if key_prefix is not None and not key_prefix.strip():
            raise ValueError("key_prefix must not be empty")
        settings = Settings.of_this_process(cast("Mapping[str, str]", named | prefix))
    elif key_prefix is not None:
        if not PREFIX_RULE.fullmatch(key_prefix) or RESERVED & set(key_prefix.split(":")[1:]):
            raise SettingError(f"key_prefix={key_prefix[:200]!r} is not allowed: see FLYWHEEL_KEY_PREFIX.")
        settings = replace(settings, key_prefix=key_prefix)
    return settings if ttl_seconds is None else replace(settings, session_ttl_seconds=ttl_seconds)
