"""Takes the credentials out of a whole session document: what it says now, and what it keeps of earlier revisions."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agentic_flywheel.documents.codec import public
from agentic_flywheel.documents.model import Document
from agentic_flywheel.documents.parse import document_in
from agentic_flywheel.sessions.redaction.policy import Credentials

if TYPE_CHECKING:
    from agentic_flywheel.sessions.redaction.values import Finding

_OWN = {"id", "revision", "backend", "status", "created_at", "updated_at", "expires_at", "saved_at", "kept_until"}
"""Fields in which nobody writes a text, and the id, which cannot be replaced."""


def redacted_document(credentials: Credentials, document: Document) -> tuple[Document, "list[Finding]"]:
    """The document as it may be kept, and where in it, and in its earlier revisions, credentials were.

    The same document when nothing was found, or when they are only named.
    """
    fields = {name: value for name, value in public(document).items() if name not in _OWN and value}
    texts: dict[str, Any] = {name: each for name, each in fields.items() if not isinstance(each, int | float)}
    earlier: dict[str, Any] = {f"revisions[{past.revision}]": past.fields for past in document.past if past.fields}
    clean, findings = credentials.redact(texts | earlier)
    if not findings or not credentials.replaces:
        return document, findings
    shown = public(document) | {name: clean[name] for name in texts}
    made = document_in({k: v for k, v in shown.items() if v is not None}, document.session.id, "the session")
    past = tuple(replace(each, fields=clean.get(f"revisions[{each.revision}]", each.fields)) for each in document.past)
    kept = {"operations": document.operations, "began": document.began, "note": document.note, "past": past}
    return replace(made, **kept), findings
