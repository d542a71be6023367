"""Reads documents and tombstones from their JSON text, in every shape that a version of the program wrote."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)

from agentic_flywheel.backends.base import BackendType, FlowStatus, UniversalSession
from agentic_flywheel.documents.model import (
    EPOCH,
    SCHEMA_VERSION,
    Document,
    Operation,
    Origin,
    Past,
    Tombstone,
    aware,
    instant_of,
)
from agentic_flywheel.documents.writes import SEALED_SCHEMA
from agentic_flywheel.errors import Damaged, NewerSchema
from agentic_flywheel.json_text import JSONObject, load_object


def load(text: str, what: str) -> JSONObject:
    """The JSON object in `text`, if this version may read it.

    Raises:
        Damaged: it is not a JSON object.
        NewerSchema: its `schema_version` is above `SCHEMA_VERSION`.

    """
    data = load_object(text, what)
    version = data.get("schema_version", 0)
    if not isinstance(version, int) or isinstance(version, bool):
        raise Damaged(f"What is stored as {what} has a schema_version that is not a number.")
    if version == SEALED_SCHEMA and "data_key" in data:
        key = data.get("key")
        raise NewerSchema(f"{what} is sealed with the key {key!r}, which is not given here (FLYWHEEL_KEY).")
    if version > SCHEMA_VERSION:
        raise NewerSchema(
            f"{what} has schema version {version}; this program reads up to {SCHEMA_VERSION}. Update the program."
        )
    return data


def revision_in(data: Mapping[str, Any]) -> int:
    """The revision of a document; one without (an older shape) counts as its first."""
    revision = data.get("revision", 1)
    return revision if isinstance(revision, int) and not isinstance(revision, bool) and revision > 0 else 1


def kept_until_in(data: JSONObject) -> datetime | None:
    """When a document expires; a time that cannot be read never comes."""
    return instant_of(data.get("kept_until"))


def operations_in(data: JSONObject) -> tuple[Operation, ...]:
    """The writes that a document or tombstone names; none where what is there is not such a list."""
    try:
        return _operations(_OPERATIONS.validate_python(data.get("operations", [])))
    except ValidationError:
        return ()


def _operations(stored: list[tuple[int, int, int, str]]) -> tuple[Operation, ...]:
    return tuple(Operation(name, revision, turns, added) for turns, added, revision, name in stored)


def tombstone_in(data: JSONObject, what: str) -> Tombstone | None:
    """The tombstone that `data` is, or `None` if it is a document."""
    if "deleted_at" not in data:
        return None
    stored = _validated(_StoredTombstone, data, what)
    try:
        deleted_at, kept_until = aware(stored.deleted_at), _aware(stored.kept_until)
    except OverflowError:
        raise Damaged(f"What is stored as {what} has a time that no calendar has.") from None
    operations = _operations(stored.operations)
    return Tombstone(stored.id, revision_in(data), deleted_at, kept_until, stored.because, operations)


def tombstone_of(text: str) -> Tombstone | None:
    """The tombstone that the text is, if it is one."""
    if '"deleted_at"' not in text[:2000]:
        return None
    try:
        return tombstone_in(load(text, "the document"), "the document")
    except (Damaged, NewerSchema):
        return None


def decode(text: str, session_id: str) -> Document | Tombstone:
    """The session document or tombstone in `text`.

    Older shapes load: without `schema_version`, and with `_schema_version` and `metadata.created_at` /
    `metadata.last_active` (the agentic flywheel's own files).

    Raises:
        Damaged: not a session document, or another session's.
        NewerSchema: written by a newer version.

    """
    what = f"session {session_id!r}"
    data = load(text, what)
    if data.get("id", session_id) != session_id:
        raise Damaged(f"What is stored as {what} names another session.")
    if tombstone := tombstone_in(data, what):
        return tombstone
    return document_in(data, session_id, what)


def document_in(data: JSONObject, session_id: str, what: str) -> Document:
    """The session document that `data` is.

    Raises:
        Damaged: it is none.

    """
    stored = _validated(_StoredSession, data, what)
    try:
        return _document(stored, data, session_id)
    except OverflowError:
        raise Damaged(f"What is stored as {what} has a time that no calendar has.") from None


def _document(stored: "_StoredSession", data: JSONObject, session_id: str) -> Document:
    created_at = aware(stored.created_at or stored.metadata.created_at or EPOCH)
    updated_at = aware(stored.updated_at or stored.metadata.last_active or created_at)
    session = UniversalSession(
        id=session_id,
        backend=stored.backend,
        backend_session_id=stored.backend_session_id,
        status=stored.status,
        current_flow_id=stored.current_flow_id,
        context=stored.context,
        history=stored.history,
        created_at=created_at,
        updated_at=updated_at,
        expires_at=_aware(stored.expires_at),
        user_id=stored.user_id,
        total_queries=stored.total_queries,
        successful_queries=stored.successful_queries,
        total_response_time=stored.total_response_time,
    )
    return Document(
        session=session,
        revision=revision_in(data),
        saved_at=aware(stored.saved_at or updated_at),
        kept_until=_aware(stored.kept_until),
        ttl_seconds=stored.ttl_seconds,
        title=stored.title,
        summary=stored.summary,
        tags=tuple(stored.tags),
        operations=_operations(stored.operations),
        began=min(stored.began, revision_in(data)),
        begun_after=_aware(stored.begun_after),
        extra={name: value for name, value in data.items() if name not in _KNOWN},
        note=stored.note,
        past=tuple(
            Past(revision, aware(saved_at), turns, fields, note)
            for revision, saved_at, turns, fields, note in stored.revisions
        ),
    )


class _OlderTimes(BaseModel):
    """Where the older shape keeps its times; other fields of that object are the caller's."""

    created_at: datetime | None = None
    last_active: datetime | None = None


class _StoredSession(BaseModel):
    """The fields of a session document as they are read; `null` counts as absent."""

    model_config = ConfigDict(defer_build=True)

    backend: BackendType = BackendType.CUSTOM
    backend_session_id: str = ""
    status: FlowStatus = FlowStatus.PENDING
    current_flow_id: str | None = None
    context: JSONObject = {}
    history: list[JSONObject] = []
    created_at: datetime | None = None
    updated_at: datetime | None = None
    expires_at: datetime | None = None
    user_id: str | None = None
    total_queries: int = 0
    successful_queries: int = 0
    total_response_time: float = 0.0
    saved_at: datetime | None = None
    kept_until: datetime | None = None
    ttl_seconds: int | None = None
    title: str = ""
    summary: str = ""
    tags: list[str] = []
    operations: list[tuple[int, int, int, str]] = []
    began: int = 1
    begun_after: datetime | None = None
    note: str = ""
    revisions: list[tuple[int, datetime, int, JSONObject | None, str]] = []
    metadata: _OlderTimes = _OlderTimes()

    @field_validator("metadata", mode="wrap")
    @classmethod
    def _only_the_older_shape_keeps_times_there(
        cls, value: object, validate: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> _OlderTimes:
        return validate(value) if info.context == OLDER else _OlderTimes()


class _StoredTombstone(BaseModel):
    model_config = ConfigDict(defer_build=True)

    id: str = ""
    deleted_at: datetime
    kept_until: datetime | None = None
    because: Origin = "deleted"
    operations: list[tuple[int, int, int, str]] = []


_OPERATIONS = TypeAdapter(list[tuple[int, int, int, str]], config=ConfigDict(defer_build=True))

_KNOWN = (_StoredSession.model_fields.keys() - {"metadata"}) | {"schema_version", "_schema_version", "id", "revision"}

OLDER = {"shape": "_schema_version"}

_Model = TypeVar("_Model", bound=BaseModel)


def _validated(model: type[_Model], data: JSONObject, what: str) -> _Model:
    given = {name: value for name, value in data.items() if value is not None}
    try:
        return model.model_validate(given, context=OLDER if "_schema_version" in data else None)
    except ValidationError as exc:
        place = ".".join(str(part) for part in exc.errors()[0]["loc"])
        # The message names the field only: the value is somebody's conversation.
        raise Damaged(f"What is stored as {what} has a wrong value in its field {place!r}.") from None


def _aware(value: datetime | None) -> datetime | None:
    return None if value is None else aware(value)
