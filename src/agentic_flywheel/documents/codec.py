"""Writes documents and tombstones as JSON text: what a session looks like where it is kept.

A session document is one JSON object. It begins with `schema_version`, `id`, `revision`, so that the head of
the text names the revision; then every field of `UniversalSession`; then the store's own. Fields this version
does not know are carried along untouched. A deleted document leaves a tombstone: the same three fields and
`deleted_at`.
"""

from agentic_flywheel.documents.model import SCHEMA_VERSION, Document, Operation, Tombstone, iso
from agentic_flywheel.json_text import JSONObject, dumps, dumps_checked, is_larger, narrow

NARROW_FROM = 2**16
"""Bytes of a session document above which it is written `narrow`."""

MADE_LONGER = 1.1
"""How much longer that may make its turns: else less than the limit of bytes allows would be refused."""


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
    began |= {"begun_after": iso(document.begun_after)} if document.begun_after else {}
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
