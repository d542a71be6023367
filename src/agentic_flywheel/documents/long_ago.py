"""Tells that a queued save arrived so long ago that the document does not name it any more.

A data folder that was put back from a backup, or copied, may have saves in its outbox that were sent long since.
"""

from collections.abc import Sequence

from agentic_flywheel.documents.model import Document
from agentic_flywheel.documents.write_ids import KEPT_OPERATIONS, writer_of
from agentic_flywheel.json_text import JSONObject


def arrived_long_ago(alive: Document, sent: Sequence[JSONObject], base: int | None, behind: int | None) -> bool:
    """Whether these turns, queued on top of the revision `base` behind so many turns, are there although not named.

    Several in a row may stand further on. A single one there may be somebody else's: people say the same.
    """
    if base is None or behind is None or not sent or not _may_be_forgotten(alive, base):
        return False
    history, count = alive.session.history, len(sent)
    last = len(history) - count if count > 1 else behind
    return any(history[place : place + count] == sent for place in range(behind, last + 1))


def _may_be_forgotten(alive: Document, base: int) -> bool:
    """Whether as many others as are named have written since a write on top of that revision."""
    newer = {writer_of(each.id) for each in alive.operations if each.revision > base + 1}
    return len(newer) >= KEPT_OPERATIONS
