"""Documents and their JSON text: what a session looks like where it is kept, and nothing else.

A session document is one JSON object. It begins with `schema_version`, `id`, `revision`, so that the head of
the text names the revision; then every field of `UniversalSession`; then the store's own. Fields this version
does not know are carried along untouched. A deleted document leaves a tombstone: the same three fields and
`deleted_at`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)

from agentic_flywheel.backends.base import BackendType, FlowStatus, UniversalSession
from agentic_flywheel.errors import Damaged, NewerSchema
from agentic_flywheel.json_text import JSONObject, dumps, dumps_checked, is_larger, load_object, narrow

SCHEMA_VERSION = 1
"""The newest document schema this version reads and writes."""

NARROW_FROM = 2**16
"""Bytes of a session document above which it is written `narrow`."""

MADE_LONGER = 1.1
"""How much longer that may make its turns: else less than the limit of bytes allows would be refused."""

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
    delta = aware(time) - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant(microseconds: int | None) -> datetime | None:
    """The time that `micros` counted to."""
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)


def aware(time: datetime) -> datetime:
    """The same instant in UTC; a naive one is UTC already."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def iso(time: datetime | None) -> str | None:
    """ISO 8601 in UTC with offset and microseconds."""
    return None if time is None else aware(time).isoformat(timespec="microseconds")


def encode(document: Document) -> str:
    """The text of a session document."""
    return encode_around(document, turns_of(document))[0]


def turns_of(document: Document) -> bytes:
    """The text of the turns of a session document, before any of it is made narrow."""
    return dumps_checked(document.session.history)[1:-1]


def encode_around(document: Document, turns: bytes) -> tuple[str, tuple[int, int]]:
    """The text of a session document with the text of its turns, and where in it that is."""
    before, after = around_history(document)
    if len(before.encode()) + len(turns) + len(after.encode()) > NARROW_FROM:
        narrowed = narrow(turns)
        if len(narrowed) <= MADE_LONGER * len(turns):
            (before, after), turns = around_history(document, narrowed=True), narrowed
    text = b"".join((before.encode(), turns, after.encode())).decode()
    return text, (len(before), len(text) - len(after))


def is_large(text: str) -> bool:
    """Whether a document with this text may be written narrow: it is too large for a person to read anyway."""
    return is_larger(text, NARROW_FROM)


def around_history(document: Document, *, narrowed: bool = False) -> tuple[str, str]:
    """The text of a session document up to its first turn, and from the end of its last turn on."""
    began = {"began": document.began} if document.began > 1 else {}
    # Last, because the end of a document names the write that made it.
    operations = {"operations": listed(document.operations)}
    note = {"note": document.note} if document.note else {}
    past = {"revisions": [[p.revision, iso(p.saved_at), p.turns, p.fields, p.note] for p in document.past]}
    own = began | note | (past if document.past else {}) | operations
    fields = list(({"schema_version": SCHEMA_VERSION} | public(document) | own).items())
    place = next(i for i, (name, _) in enumerate(fields) if name == "history")
    before, after = (dumps(dict(part)) for part in (fields[:place], fields[place + 1 :]))
    if narrowed:
        before, after = narrow(before.encode()).decode(), narrow(after.encode()).decode()
    return before[:-1] + ',"history":[', "]," + after[1:]


def public(document: Document) -> JSONObject:
    """A session as callers see it: every field and the metadata, without the store's bookkeeping."""
    session = document.session
    known: JSONObject = {
        "id": session.id,
        "revision": document.revision,
        "backend": session.backend.value,
        "backend_session_id": session.backend_session_id,
        "status": session.status.value,
        "current_flow_id": session.current_flow_id,
        "context": session.context,
        "history": session.history,
        "created_at": iso(session.created_at),
        "updated_at": iso(session.updated_at),
        "expires_at": iso(session.expires_at),
        "user_id": session.user_id,
        "total_queries": session.total_queries,
        "successful_queries": session.successful_queries,
        "total_response_time": session.total_response_time,
        "saved_at": iso(document.saved_at),
        "kept_until": iso(document.kept_until),
        "ttl_seconds": document.ttl_seconds,
        "title": document.title,
        "summary": document.summary,
        "tags": list(document.tags),
    }
    return known | document.extra


def encode_tombstone(tombstone: Tombstone) -> str:
    """The text of a tombstone."""
    return dumps({
        "schema_version": SCHEMA_VERSION,
        "id": tombstone.id,
        "revision": tombstone.revision,
        "deleted_at": iso(tombstone.deleted_at),
        "kept_until": iso(tombstone.kept_until),
        "because": tombstone.because,
        "operations": listed(tombstone.operations),
    })  # fmt: skip


def listed(operations: tuple[Operation, ...]) -> list[list[object]]:
    """The writes as a document names them."""
    return [[o.turns, o.added, o.revision, o.id] for o in operations]


def _operations(stored: list[tuple[int, int, int, str]]) -> tuple[Operation, ...]:
    return tuple(Operation(name, revision, turns, added) for turns, added, revision, name in stored)


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


def instant_of(value: object) -> datetime | None:
    """The time in a field; `None` for one that cannot be read, or says no offset."""
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return time if time and time.tzinfo else None


def operations_in(data: JSONObject) -> tuple[Operation, ...]:
    """The writes that a document or tombstone names; none where what is there is not such a list."""
    try:
        return _operations(_OPERATIONS.validate_python(data.get("operations", [])))
    except ValidationError:
        return ()


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
    try:
        return _document(_validated(_StoredSession, data, what), data, session_id)
    except OverflowError:
        raise Damaged(f"What is stored as {what} has a time that no calendar has.") from None


def _document(stored: "_StoredSession", data: JSONObject, session_id: str) -> Document:
    created_at = aware(stored.created_at or stored.metadata.created_at or _EPOCH)
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
        extra={name: value for name, value in data.items() if name not in _KNOWN},
        note=stored.note,
        past=tuple(
            Past(revision, aware(saved_at), turns, fields, note)
            for revision, saved_at, turns, fields, note in stored.revisions
        ),
    )


def with_fields(document: Document, fields: JSONObject) -> Document:
    """The document without its turns and with other values in some of the fields that `public` gives; `None`: none."""
    session = replace(document.session, history=[])
    shown = public(replace(document, session=session)) | fields
    data = {name: value for name, value in shown.items() if value is not None}
    made = _document(_validated(_StoredSession, data, "an earlier revision"), data, document.session.id)
    return replace(made, operations=document.operations, began=document.began)


class _OlderTimes(BaseModel):
    """Where the older shape keeps its times; other fields of that object are the caller's."""

    created_at: datetime | None = None
    last_active: datetime | None = None


class _StoredSession(BaseModel):
    """The fields of a session document as they are read; `null` counts as absent."""

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
    id: str = ""
    deleted_at: datetime
    kept_until: datetime | None = None
    because: Origin = "deleted"
    operations: list[tuple[int, int, int, str]] = []


_OPERATIONS = TypeAdapter(list[tuple[int, int, int, str]])
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
