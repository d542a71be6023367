"""Checks the arguments of a Python caller, and gives the fields of a session as JSON."""

from collections.abc import Sequence
from datetime import datetime

from agentic_flywheel.backends.base import BackendType, FlowStatus, UniversalSession
from agentic_flywheel.documents.model import iso
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.sealing import is_marked
from agentic_flywheel.settings import Settings

_KINDS: dict[str, tuple[type, ...]] = {
    "backend": (BackendType,),
    "backend_session_id": (str,),
    "status": (FlowStatus,),
    "current_flow_id": (str, type(None)),
    "context": (dict,),
    "history": (list,),
    "created_at": (datetime,),
    "updated_at": (datetime,),
    "expires_at": (datetime, type(None)),
    "user_id": (str, type(None)),
    "total_queries": (int,),
    "successful_queries": (int,),
    "total_response_time": (int, float),
}


def check_fields(session: UniversalSession) -> None:
    """Raise `TypeError` for a field that a later load could not give back."""
    check_text(session.id, "session.id")
    for name, kinds in _KINDS.items():
        value = getattr(session, name)
        if not isinstance(value, kinds) or isinstance(value, bool):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise TypeError(f"session.{name} must be {wanted}, not {type(value).__name__}")
    for turn in session.history:
        check_kind(turn, dict, "each turn of session.history")


def values_of(session: UniversalSession) -> JSONObject:
    """The fields but `id`, `history` and `context`, as JSON."""
    return {
        "backend": session.backend.value,
        "backend_session_id": session.backend_session_id,
        "status": session.status.value,
        "current_flow_id": session.current_flow_id,
        "created_at": iso(session.created_at),
        "updated_at": iso(session.updated_at),
        "expires_at": iso(session.expires_at),
        "user_id": session.user_id,
        "total_queries": session.total_queries,
        "successful_queries": session.successful_queries,
        "total_response_time": session.total_response_time,
    }


def check_sealed(settings: Settings) -> None:
    """Check the keys of a sealed store, or of one that is to be. Raises `SettingError` for a wrong one, or none."""
    if settings.journal and (settings.seal or is_marked(settings.data_dir)):
        from agentic_flywheel.sessions.wiring import check_keys  # it imports SQLite, which others need when they save

        check_keys(settings)


def check_text(value: object, name: str) -> None:
    """Raise `TypeError` for what is no text, `ValueError` for an empty one."""
    check_kind(value, str, name)
    if not value:
        raise ValueError(f"{name} must not be empty")


def check_kind(value: object, kind: type, name: str) -> None:
    """Raise `TypeError` for what is not of that kind."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be a {kind.__name__}, not {type(value).__name__}")


def check_keys(value: Sequence[object], name: str) -> None:
    """Raise `TypeError` for what is no list of texts; one text alone would be its letters."""
    if isinstance(value, str):
        raise TypeError(f"{name} must be a list of texts, not str")
    for key in value:
        check_kind(key, str, f"each of {name}")
