"""Opens the journal that the settings describe. It needs no MCP, so a command that needs the journal alone is quick."""

from collections.abc import Callable
from datetime import UTC, datetime

from agentic_flywheel.journal import Journal
from agentic_flywheel.settings import Settings


def open_journal(settings: Settings, clock: Callable[[], datetime] | None = None) -> Journal:
    """The journal that the settings describe."""
    named = settings.redis_enabled or settings.redis_named  # switched off, a Redis is still where sessions belong
    addresses = (settings.redis_place, settings.redis_place_before) if named else ()
    shown = settings.redis_target if named else ""
    return Journal(
        settings.data_dir,
        clock or _utc_now,
        addresses,
        shown,
        settings.replica_bytes,
        switched_off=not settings.redis_enabled,
    )


def _utc_now() -> datetime:
    return datetime.now(UTC)
