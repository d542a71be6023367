"""Merges the fields that a save sends into the stored session."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import ConfigDict, TypeAdapter

from agentic_flywheel.backends.base import BackendType, FlowStatus, UniversalSession
from agentic_flywheel.documents.model import EPOCH, Document
from agentic_flywheel.documents.renewal import ttl_of
from agentic_flywheel.documents.save_request import Save
from agentic_flywheel.json_text import JSONObject


def merged(save: Save, alive: Document | None, added: list[JSONObject], now: datetime, default_user: str) -> Document:
    """The stored session with this save, and the turns `added`, in it; revision and operations still the old ones."""
    session = alive.session if alive else None
    fresh = UniversalSession(
        id=save.session_id,
        backend=BackendType.CUSTOM,
        created_at=session.created_at if session else now,
        updated_at=session.updated_at if session else now,
        user_id=default_user or None,
    )
    blank = Document(fresh, 0, now, None)
    before = alive or blank
    keeps = alive is not None and save.mode == "append"
    base = before.session if keeps else fresh
    context = {name: value for name, value in base.context.items() if name not in save.remove_context}
    labelled = before if keeps or save.session_only else blank
    values = _session_values(save.values, absent=(None, "") if keeps else ())
    if session and session.user_id:  # whose it is does not change by the way
        values["user_id"] = session.user_id
    ttl = _ttl(save, alive)
    return replace(
        before,
        session=replace(
            base,
            **values,
            context={**context, **(save.context or {})},
            history=[*base.history, *added],
        ),
        saved_at=_listed_at(save.said_at, alive, now),
        kept_until=now + timedelta(seconds=ttl) if ttl else None,
        ttl_seconds=ttl,
        title=save.title or labelled.title,
        summary=save.summary or labelled.summary,
        tags=labelled.tags if save.tags is None else tuple(save.tags),
        extra={**before.extra, **save.extra},
    )


def _listed_at(said_at: datetime | None, alive: Document | None, now: datetime) -> datetime:
    """The time at which lists show a session: that of what was said elsewhere, but after what was there already.

    Always later than before, because the index of the search tells by it that the turns are others.
    """
    if said_at is None:
        return now
    at = min(max(said_at, EPOCH), now)
    return max(at, alive.saved_at + timedelta(microseconds=1)) if alive else at


def _ttl(save: Save, alive: Document | None) -> int | None:
    stored = ttl_of(alive) if alive else None
    ttl = stored if save.ttl_seconds is None else save.ttl_seconds
    return save.default_ttl_seconds if ttl is None else ttl


_LATER = ConfigDict(defer_build=True)
_SESSION_VALUES: dict[str, TypeAdapter[Any]] = {
    "backend": TypeAdapter(BackendType, config=_LATER),
    "status": TypeAdapter(FlowStatus, config=_LATER),
    "created_at": TypeAdapter(datetime, config=_LATER),
    "updated_at": TypeAdapter(datetime, config=_LATER),
    "expires_at": TypeAdapter(datetime | None, config=_LATER),
}


def _session_values(values: JSONObject, absent: tuple[object, ...]) -> JSONObject:
    """The values as the dataclass has them, without those that mean: leave it as it is."""
    return {
        name: _SESSION_VALUES[name].validate_python(value) if name in _SESSION_VALUES else value
        for name, value in values.items()
        if value not in absent
    }
