"""Says what a save came to: its answer, before anybody puts it into words."""

from dataclasses import dataclass, field
from datetime import datetime

from agentic_flywheel.documents.appended import Appended
from agentic_flywheel.documents.model import Document, Operation
from agentic_flywheel.documents.superseded import Taken
from agentic_flywheel.json_text import JSONObject


@dataclass(frozen=True, slots=True)
class Saved:
    """A save's answer: `turns` in all, the document's `operations`, what `append` found, what a replace has `taken`."""

    revision: int
    turns: int
    added: int
    kept_until: datetime | None
    history: list[JSONObject]
    operations: tuple[Operation, ...] = field(default=(), compare=False)
    append: Appended | None = field(default=None, compare=False)
    taken: Taken | None = field(default=None, compare=False)


def saved_as(document: Document, added: int, append: Appended | None = None, taken: Taken | None = None) -> Saved:
    """The answer to a save that made the document, and `added` so many turns."""
    until, history = document.kept_until, document.session.history
    return Saved(document.revision, len(history), added, until, history, document.operations, append, taken)
