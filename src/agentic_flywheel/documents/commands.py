"""Writes and reads any command as the outbox keeps it, and any document as the replica keeps it."""

from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from agentic_flywheel.documents.append_log import AppendLogCommand
from agentic_flywheel.documents.delete import DeleteCommand
from agentic_flywheel.documents.drop_records import DropRecordsCommand
from agentic_flywheel.documents.execution import ExecutionCommand
from agentic_flywheel.documents.flow_document import outline
from agentic_flywheel.documents.flow_history import FlowHistoryCommand
from agentic_flywheel.documents.import_document import ImportCommand
from agentic_flywheel.documents.lineage import MergeForwardCommand
from agentic_flywheel.documents.list_row import list_row
from agentic_flywheel.documents.model import Document
from agentic_flywheel.documents.parse import decode, kept_until_in, load
from agentic_flywheel.documents.renewal import RenewCommand
from agentic_flywheel.documents.rewrite import RewriteCommand
from agentic_flywheel.documents.save import SaveCommand
from agentic_flywheel.documents.writes import Write, ends_of
from agentic_flywheel.errors import Damaged
from agentic_flywheel.session_keys import execution_set

AnyCommand = (
    SaveCommand
    | RenewCommand
    | DeleteCommand
    | ExecutionCommand
    | FlowHistoryCommand
    | AppendLogCommand
    | DropRecordsCommand
    | ImportCommand
    | MergeForwardCommand
    | RewriteCommand
)
_COMMANDS: TypeAdapter[AnyCommand] = TypeAdapter(
    Annotated[AnyCommand, Field(discriminator="kind")], config=ConfigDict(defer_build=True)
)


def dump_command(command: AnyCommand) -> str:
    """A command as the outbox keeps it."""
    return _COMMANDS.dump_json(command, by_alias=True).decode()


def load_command(text: str) -> AnyCommand:
    """The command that `dump_command` wrote.

    Raises:
        Damaged: it cannot be read.

    """
    try:
        return _COMMANDS.validate_json(text)
    except ValidationError:  # its text quotes what was said
        raise Damaged("The pending change cannot be read: it is damaged, or of a newer version.") from None


def as_copy(key: str, text: str, member: str = "", index: str = "") -> Write:
    """What the stash holds, as the journal keeps it; with `member` and `index` it is a session, and listed.

    Raises:
        DocumentError: it is no document of ours.

    """
    if member:
        document = decode(text, member)
        listed = list_row(index, document) if isinstance(document, Document) else None
        life = document.ttl_seconds if isinstance(document, Document) else None
        return Write(key, text, None, document.kept_until, tombstone=listed is None, list_row=listed, life=life)
    if history := outline(ends_of(text)):
        return Write(key, text, None, history.kept_until)
    data = load(text, "the document")
    part_of = execution_set(key, data.get("session_id"))
    return Write(key, text, None, kept_until_in(data), tombstone="deleted_at" in data, part_of=part_of)
