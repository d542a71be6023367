"""Looks over the seam between two saves of one talk: a client that sends only new turns may send a value alone."""

from collections import OrderedDict
from typing import TYPE_CHECKING

from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.sessions.redaction.policy import Credentials

if TYPE_CHECKING:
    from agentic_flywheel.sessions.redaction.values import Finding

REMEMBERED_TALKS = 256
"""Talks whose last text is remembered; the longest unused goes first."""


class TalkEnds:
    """The end of what one caller sent last of each of its talks, where the next text may go on from it.

    Nothing of it is kept anywhere but in memory.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._ends: OrderedDict[str, str] = OrderedDict()

    def continued(
        self, session_id: str, turns: list[JSONObject] | None
    ) -> "tuple[list[JSONObject] | None, list[Finding]]":
        """The turns as they may be kept after what was sent before, and what was found at their beginning."""
        before = self._ends.get(session_id)
        if not turns or not before or not self._credentials.looks:
            return turns, []
        from agentic_flywheel.sessions.redaction.values import redacted_after

        clean, findings = redacted_after(before, turns, "history")
        return clean if self._credentials.replaces else turns, findings

    def note(self, session_id: str, turns: list[JSONObject] | None) -> None:
        """Remember the end of what was sent, as it was sent."""
        if not turns or not self._credentials.looks:
            return
        from agentic_flywheel.sessions.redaction.seams import open_end_of

        self._ends.pop(session_id, None)
        if end := open_end_of(turns):
            self._ends[session_id] = end
            if len(self._ends) > REMEMBERED_TALKS:
                self._ends.popitem(last=False)
