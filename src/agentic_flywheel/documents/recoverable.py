"""Makes an older revision of a save whose session was deleted meanwhile."""

from dataclasses import replace
from datetime import datetime

from agentic_flywheel.documents.model import Document
from agentic_flywheel.documents.parse import decode
from agentic_flywheel.documents.save import SaveCommand
from agentic_flywheel.documents.superseded import as_older
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.errors import Damaged


def recoverable(command: SaveCommand, base: str | None, revision: int, now: datetime) -> Write:
    """What the save comes to on top of `base`, as an older revision.

    Raises:
        DocumentError: it cannot be applied to that.

    """
    alone = command.model_copy(update={"based_on": 0, "expected_revision": None, "replaces": None})
    step = alone.apply(base, now, alive_remotely=True)
    document = decode(step.write.text if step.write else base or "", command.session_id)
    if not isinstance(document, Document):
        raise Damaged("A save came to no session.")
    return as_older(command.revisions, replace(document, revision=revision))
