"""Defines what a session document, a tombstone, a write and an earlier revision are, and how times are written."""

import functools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from agentic_flywheel.backends.base import UniversalSession
from agentic_flywheel.json_text import JSONObject

SCHEMA_VERSION = 1
"""The newest document schema this version reads and writes."""

MAX_TEXT = 100_000
"""Characters of a title, a summary or another text of a session; lists show the beginning."""

Origin = Literal["deleted", "expired"]


@dataclass(frozen=True, slots=True)
class Operation:
    """One accepted write, kept in the document so that "did it arrive?" is a look-up and a retry has its answer."""

    id: str
    revision: int
    turns: int
    added: int


@dataclass(frozen=True, slots=True)
class Past:
    """An earlier revision: it had the first `turns` turns of the one after it, and these `fields`, where they differed.

    `fields` is `None` if it is kept whole, under a key of its own.
    """

    revision: int
    saved_at: datetime
    turns: int
    fields: JSONObject | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """A session with all that the store knows of it. Times are aware; `ttl_seconds` 0 means never expires."""

    session: UniversalSession
    revision: int
    saved_at: datetime
    kept_until: datetime | None
    ttl_seconds: int | None = None
    title: str = ""
    summary: str = ""
    tags: tuple[str, ...] = ()
    operations: tuple[Operation, ...] = ()
    began: int = 1
    """The revision with which this life of the session began: above 1 once it was deleted and begun anew."""
    begun_after: datetime | None = None
    """When it was deleted, then."""
    extra: JSONObject = field(default_factory=JSONObject)
    note: str = ""
    """How this revision came about, where that is more than turns added or replaced."""
    past: tuple[Past, ...] = ()
    """The earlier revisions that can be had back, oldest first."""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """That a document was deleted (or expired, on a child that cannot expire keys) at `revision`.

    It names the writes that the document held, so that one of them is not taken for new when it is sent again.
    """

    id: str
    revision: int
    deleted_at: datetime
    kept_until: datetime | None
    because: Origin = "deleted"
    operations: tuple[Operation, ...] = ()


def micros(time: datetime) -> int:
    """Microseconds since 1970, exactly."""
    delta = aware(time) - EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant(microseconds: int | None) -> datetime | None:
    """The time that `micros` counted to."""
    return None if microseconds is None else EPOCH + timedelta(microseconds=microseconds)


def instant_of(value: object) -> datetime | None:
    """The time in a field; `None` for one that cannot be read, or says no offset."""
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return time if time and time.tzinfo else None


def expired(kept_until: datetime | None, now: datetime) -> bool:
    """Whether that time has come."""
    return kept_until is not None and kept_until <= now


def aware(time: datetime) -> datetime:
    """The same instant in UTC; a naive one is UTC already."""
    if time.tzinfo is UTC:
        return time
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def iso(time: datetime | None) -> str | None:
    """ISO 8601 in UTC with offset and microseconds."""
    return None if time is None else _iso(time)


@functools.lru_cache(1000)  # a save writes most of its times several times, and those of the save before
def _iso(time: datetime) -> str:
    return aware(time).isoformat(timespec="microseconds")
