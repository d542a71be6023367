"""The changes other than a save, and all of them as the outbox keeps them."""

from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from agentic_flywheel.documents.delete import Deletion
from agentic_flywheel.documents.execution import ExecutionChange
from agentic_flywheel.documents.flow_document import outline
from agentic_flywheel.documents.flow_history import FlowChange
from agentic_flywheel.documents.import_document import Arrival
from agentic_flywheel.documents.lineage import MergeForward
from agentic_flywheel.documents.list_row import entry
from agentic_flywheel.documents.model import Document
from agentic_flywheel.documents.parse import decode, kept_until_in, load
from agentic_flywheel.documents.renewal import Renewal
from agentic_flywheel.documents.save import SessionChange
from agentic_flywheel.documents.writes import Write, ends_of
from agentic_flywheel.errors import Damaged

AnyChange = SessionChange | Renewal | Deletion | ExecutionChange | FlowChange | Arrival | MergeForward
_PENDING: TypeAdapter[AnyChange] = TypeAdapter(Annotated[AnyChange, Field(discriminator="kind")])


def dump_change(change: AnyChange) -> str:
    """A change as the outbox keeps it."""
    return _PENDING.dump_json(change).decode()


def load_change(text: str) -> AnyChange:
    """The change that `dump_change` wrote.

    Raises:
        Damaged: it cannot be read.

    """
    try:
        return _PENDING.validate_json(text)
    except ValidationError:  # its text quotes what was said
        raise Damaged("The pending change cannot be read: it is damaged, or of a newer version.") from None


def as_copy(key: str, text: str, member: str = "", index: str = "") -> Write:
    """What the stash holds, as the journal keeps it; with `member` and `index` it is a session, and listed.

    Raises:
        DocumentError: it is no document of ours.

    """
    if member:
        document = decode(text, member)
        listed = entry(index, document) if isinstance(document, Document) else None
        return Write(key, text, None, document.kept_until, tombstone=listed is None, entry=listed)
    if history := outline(ends_of(text)):
        return Write(key, text, None, history.kept_until)
    data = load(text, "the document")
    return Write(key, text, None, kept_until_in(data), tombstone="deleted_at" in data)
